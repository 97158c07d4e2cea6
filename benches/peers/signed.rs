//! Mail signed as it leaves, beside the same mail unsigned and the signature alone.
//!
//! A core that spends U on a message unsigned and S on one signature sends at most 1 / (U + S) signed:
//! whatever is between this and the rate that was measured is spent on more than the signature.

use std::{
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

use relais_benches::{Load, Server, Sink};
use relais_tests::DkimKey;
use tokio_rustls::rustls::{
    SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject},
};

use crate::{
    Options,
    relais::{Build, Relay},
    table::Table,
};

/// Alternates between the two, and prints the rates of a core.
pub(crate) fn measure(options: &Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = DkimKey::rsa(folder.path(), "sender.example", "s1", 2_048);
    let sink = Sink::smtp();
    let servers = [Relay::smtp_out(Build::This, sink.port), Relay::signed(&key, sink.port)];
    let source = options.source(false, true);
    let mut table =
        Table::new("SMTP in -> queue -> SMTP out, kept connections, signed by RSA-2048");
    let load = Load { source, messages: options.messages };
    let mut costs = [Vec::new(), Vec::new()];
    let mut alone = Vec::new();
    for _ in 0..options.rounds {
        for (server, costs) in servers.iter().zip(&mut costs) {
            let measured = load.through(server, &sink);
            costs.push(measured.cost());
            table.enter(&server.name(), measured);
        }
        alone.push(signature(&key));
    }
    table.print();
    let [unsigned, signed] = costs.map(median);
    let alone = median(alone);
    assert!(signed - unsigned > alone / 2.0, "mail is not signed at all");
    let (allowed, reached) = (1e6 / (unsigned + alone), 1e6 / signed);
    println!(
        "A signature alone: {alone:.0} us. Messages per second of a core: unsigned {:.0}, \
         with a signature at most {allowed:.0}, measured {reached:.0}: {:.2} of it.",
        1e6 / unsigned,
        reached / allowed
    );
}

/// Microseconds of one signature over a hash's length, by the library that signs mail.
fn signature(key: &DkimKey) -> f64 {
    let pem = fs::read(&key.file).expect("a key of ours");
    let key = PrivateKeyDer::from_pem_slice(&pem).expect("a key in PEM");
    let key = any_supported_type(&key).expect("a key for RSA");
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).expect("SHA-256");
    let (start, mut signatures) = (Instant::now(), 0);
    while start.elapsed() < LONG_ENOUGH {
        black_box(signer.sign(black_box(&[0x5a; 32])).expect("a signature"));
        signatures += 1;
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(signatures)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const LONG_ENOUGH: Duration = Duration::from_secs(1);
