//! Certificates over their life: read, shown, replaced.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use relais_config::{Config, tls::Tls};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsConnector;

use super::*;

/// A self-signed certificate for these hosts, `NAME.crt` and `NAME.key`.
fn write(folder: &Path, name: &str, hosts: &[&str], until: i32) {
    let key = KeyPair::generate().unwrap();
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 12, 31);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn settings(more: &str) -> Tls {
    let tls = format!("admin: (), tls: (certificate: \"a.crt\", key: \"a.key\", {more}),");
    let text = relais_config::STANDALONE.replace("admin: (listen: \"127.0.0.1:9225\"),", &tls);
    let (config, _) = Config::parse("f", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.tls.expect("a section")
}

/// Shakes hands as a client that trusts this certificate only, asking for this name.
async fn trusts(server: &Arc<ServerTls>, certificate: PathBuf, name: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (ours, theirs) = duplex(1 << 16);
    let server = Arc::clone(server);
    let accepted = tokio::spawn(async move {
        let (mut stream, secured) = server.accept(ours).await?;
        stream.write_all(b"220 ").await.unwrap();
        stream.flush().await.unwrap();
        Ok::<_, HandshakeFailure>(secured)
    });
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connected = TlsConnector::from(Arc::new(client)).connect(name, theirs).await;
    let trusted = match connected {
        Ok(mut stream) => {
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting).await.unwrap();
            greeting == *b"220 "
        }
        Err(_refused) => false,
    };
    let outcome = accepted.await.unwrap();
    assert_eq!(outcome.is_ok(), trusted, "{outcome:?}");
    if let Err(failure) = outcome {
        // Rustls takes another certificate of the same subject for one that was forged.
        let refused = [FailureReason::CertificateRefused, FailureReason::Alert];
        assert!(refused.contains(&failure.reason), "{failure}");
    }
    trusted
}

#[tokio::test]
async fn certificates_are_replaced_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write(path, "a", &["a.test"], 2099);
    let server = Arc::new(ServerTls::load(Some(&settings("")), path).unwrap());
    std::fs::copy(path.join("a.crt"), path.join("old.crt")).unwrap();
    assert!(trusts(&server, path.join("old.crt"), "a.test").await);
    write(path, "a", &["a.test"], 2099);
    assert!(trusts(&server, path.join("old.crt"), "a.test").await, "nobody said so");
    server.adopt(Some(&settings("")), path).unwrap();
    assert!(!trusts(&server, path.join("old.crt"), "a.test").await);
    assert!(trusts(&server, path.join("a.crt"), "a.test").await);
    std::fs::copy(path.join("a.crt"), path.join("old.crt")).unwrap();
    std::fs::write(path.join("a.key"), "no key").unwrap();
    let error = server.adopt(Some(&settings("")), path).unwrap_err();
    assert_eq!(error.field, "tls.key");
    assert!(trusts(&server, path.join("old.crt"), "a.test").await, "the old one is in force");
    server.adopt(None, path).unwrap();
    assert!(!server.is_available());
}

#[tokio::test]
async fn the_name_chooses_and_the_first_stands_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let more = "more_certificates: [(certificate: \"b.crt\", key: \"b.key\")]";
    write(path, "a", &["a.test", "c.test"], 2099);
    write(path, "b", &["b.test", "*.b.test"], 2099);
    let server = Arc::new(ServerTls::load(Some(&settings(more)), path).unwrap());
    for (file, name, want) in [
        ("a.crt", "a.test", true),
        ("b.crt", "b.test", true),
        ("b.crt", "mx.b.test", true),
        ("b.crt", "a.test", false),
        ("a.crt", "b.test", false),
    ] {
        assert_eq!(trusts(&server, path.join(file), name).await, want, "{file} {name}");
    }
    let certificates = server.certificates();
    assert!(certificates[1].covers("MX.b.test") && !certificates[1].covers("a.mx.b.test"));
}

#[test]
fn the_days_of_a_certificate_are_told() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a", &["a.test"], 2030);
    let server = ServerTls::load(Some(&settings("")), folder.path()).unwrap();
    let certificate = server.certificates().remove(0);
    let end = UNIX_EPOCH + Duration::from_secs(1_924_905_600);
    let day = |days: u64| Duration::from_secs(days * 86_400);
    assert_eq!(certificate.expires(), 1_924_905_600);
    // The moment, days left, a word of what is said of it.
    let rows: [(SystemTime, i64, &str); 4] = [
        (end - day(30), 30, ""),
        (end - day(3), 3, "expires in 3 days"),
        (end + day(2), -2, "expired 2 days ago"),
        (UNIX_EPOCH, 22_279, "not good yet"),
    ];
    for (now, days, word) in rows {
        assert_eq!(certificate.days_left(now), days);
        let remarks = certificate.remarks(now);
        assert_eq!(remarks.len(), usize::from(!word.is_empty()), "{remarks:?}");
        assert!(remarks.iter().all(|remark| remark.contains(word)), "{remarks:?}");
    }
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    std::fs::write(folder.path().join("a.crt"), authority.pem()).unwrap();
    std::fs::write(folder.path().join("a.key"), key.serialize_pem()).unwrap();
    server.adopt(Some(&settings("")), folder.path()).unwrap();
    let remarks = server.certificates()[0].remarks(SystemTime::now());
    assert!(remarks[0].contains("CA:TRUE"), "{remarks:?}");
}
