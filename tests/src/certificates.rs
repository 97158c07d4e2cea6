//! Certificates of an authority of our own, made for one test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};

/// An authority, and the folder in which its files lie.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, whose certificate is `ca.crt` in this folder.
    pub fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named("relais test authority");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join("ca.crt"), certificate.pem()).expect("a file");
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// The file of its certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Signs a certificate for these hosts, or for the mail address of a user: `NAME.crt` and
    /// `NAME.key`. It is good until the end of that year.
    pub fn sign(&self, name: &str, hosts: &[&str], until: i32) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = named(hosts.first().unwrap_or(&name));
        let alternative = |host: &&str| {
            let text = (*host).try_into().expect("ASCII");
            if host.contains('@') { SanType::Rfc822Name(text) } else { SanType::DnsName(text) }
        };
        params.subject_alt_names = hosts.iter().map(alternative).collect();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let files = ["crt", "key"].map(|end| self.folder.join(format!("{name}.{end}")));
        fs::write(&files[0], certificate.pem()).expect("a file");
        fs::write(&files[1], key.serialize_pem()).expect("a file");
        files.into()
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}
