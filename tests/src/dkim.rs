//! Keys that sign mail, their records, and foreign programs that sign and verify.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{NameServer, succeed};

/// A key that signs mail: PEM in a file, and the record of its public half.
#[derive(Clone, Debug)]
pub struct DkimKey {
    /// The domain that it signs for.
    pub domain: String,
    /// Its selector.
    pub selector: String,
    /// The private key.
    pub file: PathBuf,
    /// The text of its record.
    pub record: String,
}

/// Debian's `opendkim`.
pub const OPENDKIM: &str = "/usr/sbin/opendkim";
/// Debian's dkimpy.
pub const DKIMPY: &str = "/usr/bin/dkimverify";

impl DkimKey {
    /// A new RSA key of so many bits, made by OpenSSL.
    pub fn rsa(folder: &Path, domain: &str, selector: &str, bits: u32) -> Self {
        let options = ["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")];
        let (file, public) = generate(folder, &format!("{selector}.{domain}"), &options);
        let record = format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public));
        Self { domain: domain.to_owned(), selector: selector.to_owned(), file, record }
    }

    /// A new Ed25519 key.
    pub fn ed25519(folder: &Path, domain: &str, selector: &str) -> Self {
        let options = ["-algorithm", "ED25519"];
        let (file, public) = generate(folder, &format!("{selector}.{domain}"), &options);
        // The key itself is the end of its DER.
        let record =
            format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(&public[public.len() - 32..]));
        Self { domain: domain.to_owned(), selector: selector.to_owned(), file, record }
    }

    /// Its entry among `dkim.keys`.
    pub fn entry(&self) -> String {
        let Self { domain, selector, file, .. } = self;
        let file = file.display().to_string();
        format!("(domain: {domain:?}, selector: {selector:?}, key: {file:?})")
    }

    /// Its line in the zone of its domain.
    pub fn zone_line(&self) -> String {
        let parts = self.record.as_bytes().chunks(200).map(|part| {
            let part = String::from_utf8_lossy(part);
            format!("\"{part}\"")
        });
        format!("{}._domainkey TXT {}\n", self.selector, parts.collect::<Vec<_>>().join(" "))
    }
}

/// The file of a new private key, and its public half in DER.
fn generate(folder: &Path, name: &str, options: &[&str]) -> (PathBuf, Vec<u8>) {
    let file = folder.join(format!("{name}.pem"));
    let path = file.display().to_string();
    succeed(Command::new("openssl").args(["genpkey", "-out", &path]).args(options), b"");
    let der = folder.join(format!("{name}.der")).display().to_string();
    let public = ["pkey", "-in", &path, "-pubout", "-outform", "DER", "-out", &der];
    succeed(Command::new("openssl").args(public), b"");
    (file, fs::read(der).expect("the public key"))
}

/// The word of dkimpy about each signature of a message in a file, by the records of this server:
/// `True` or `False`, or the error.
pub fn dkimpy_verifies(file: &Path, server: &NameServer) -> Vec<String> {
    let script = format!(
        "import dkim, dns.resolver\n\
         r = dns.resolver.Resolver(configure=False)\n\
         r.nameservers, r.port = ['127.0.0.1'], {}\n\
         def txt(name, timeout=5):\n\
         \x20   name = name.decode() if isinstance(name, bytes) else name\n\
         \x20   return b''.join(list(r.resolve(name, 'TXT'))[0].strings)\n\
         m = dkim.DKIM(open({:?}, 'rb').read(), minkey=1024)\n\
         n = sum(1 for name, value in m.headers if name.lower() == b'dkim-signature')\n\
         for i in range(n):\n\
         \x20   try: print(m.verify(idx=i, dnsfunc=txt))\n\
         \x20   except Exception as error: print(repr(error))\n",
        server.port,
        file.display().to_string(),
    );
    python(&script).lines().map(str::to_owned).collect()
}

/// Signs a message in a file by dkimpy, and returns it signed.
pub fn dkimpy_signs(file: &Path, key: &DkimKey, forms: (&str, &str)) -> Vec<u8> {
    let signed = file.with_extension("signed");
    let (header, body) = forms;
    let script = format!(
        "import base64, dkim\n\
         m = open({:?}, 'rb').read()\n\
         selector, domain, key = b'{}', b'{}', open({:?}, 'rb').read()\n\
         kind = b'rsa-sha256'\n\
         if len(key) < 200:\n\
         \x20   kind = b'ed25519-sha256'\n\
         \x20   key = base64.b64encode(base64.b64decode(key.split(b'-----')[2])[-32:])\n\
         forms = (b'{header}', b'{body}')\n\
         s = dkim.sign(m, selector, domain, key, canonicalize=forms, signature_algorithm=kind)\n\
         open({:?}, 'wb').write(s + m)\n",
        file.display().to_string(),
        key.selector,
        key.domain,
        key.file.display().to_string(),
        signed.display().to_string(),
    );
    python(&script);
    fs::read(&signed).expect("the signed message")
}

/// Runs a script by Debian's own Python, which has Debian's modules.
fn python(script: &str) -> String {
    succeed(Command::new("/usr/bin/python3").args(["-c", script]), b"")
}

/// The words of `opendkim` about a message in a file, by the records of these keys.
pub fn opendkim_says(file: &Path, keys: &[DkimKey]) -> String {
    let folder = file.parent().expect("a folder");
    let record =
        |key: &DkimKey| format!("{}._domainkey.{} {}\n", key.selector, key.domain, key.record);
    let records = folder.join("opendkim.keys");
    fs::write(&records, keys.iter().map(record).collect::<String>()).expect("a file");
    let config = folder.join("opendkim.conf");
    let lines = format!("TestPublicKeys {}\nMode v\n", records.display());
    fs::write(&config, lines).expect("a file");
    let args = ["-x", &config.display().to_string(), "-vv", "-t", &file.display().to_string()]
        .map(str::to_owned);
    let output = crate::run_with(Command::new(OPENDKIM).args(args), b"");
    let all = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}
