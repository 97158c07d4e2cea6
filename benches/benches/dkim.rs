//! Signatures of mail that leaves, beside what the key alone costs: a message of 4 KiB, of 64 KiB, and
//! nothing but the header.

use std::{fs, hint::black_box, process::Command};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use relais_channels::authenticity::{SignAs, Signers};
use relais_config::Config;

/// A configuration with one key, of this algorithm of OpenSSL.
fn signers(folder: &std::path::Path, algorithm: &[&str]) -> Signers {
    let file = folder.join("key.pem").display().to_string();
    let made =
        Command::new("openssl").arg("genpkey").args(algorithm).args(["-out", &file]).output();
    assert!(made.expect("openssl runs").status.success());
    let config = format!(
        "(host: \"a.example\", data: {folder:?}, default_domain: \"a.example\", dispatcher: (services: {{}}), \
         channels: [(name: \"l\", tag: \"a.example\", program: Local)], \
         dkim: (keys: [(domain: \"a.example\", selector: \"s\", key: {file:?})]))",
        folder = folder.display().to_string(),
    );
    let (config, _) =
        Config::parse("bench", &config).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    Signers::load(&config).expect("a key")
}

fn sign(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = [
        ("rsa-2048", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..]),
        ("ed25519", &["-algorithm", "ED25519"]),
    ];
    for (name, algorithm) in keys {
        let signers = signers(folder.path(), algorithm);
        let name_of = SignAs { signers, author: true, sender: None };
        let mut group = criterion.benchmark_group(format!("dkim/{name}"));
        for size in [0, 4 << 10, 64 << 10] {
            let header = "From: ann@a.example\r\nTo: bob@b.example\r\nSubject: x\r\n\
                          Date: Mon, 30 Nov 2026 07:00:00 +0000\r\nMessage-ID: <x@a.example>\r\n\r\n";
            let line = "A line of a message as long as most of them are, or a little longer.\r\n";
            let message = header.to_owned() + &line.repeat(size / line.len());
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("{size} octets"), |bencher| {
                bencher.iter(|| {
                    let mut signatures = name_of.begin();
                    signatures.feed(black_box(message.as_bytes())).expect("a message");
                    signatures.finish().expect("a signature")
                });
            });
        }
        group.finish();
    }
    let _ = fs::remove_file(folder.path().join("key.pem"));
}

criterion_group!(benches, sign);
criterion_main!(benches);
