//! Filters of Debian packages, each with a configuration of its own: rspamd, opendkim and clamav-milter.

use std::{
    fs,
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{eventually, foreign_mta::open_folder, free_port, succeed};

/// A running filter. Dropping it ends it, and what it needs beside it.
#[derive(Debug)]
pub struct ForeignFilter {
    /// Where it listens, as the configuration has it.
    pub socket: String,
    programs: Vec<Child>,
    folder: TempDir,
}

impl ForeignFilter {
    /// rspamd's proxy as a milter, which scans itself: GTUBE is its only rule, and it adds
    /// `X-Spamd-Result` and its like. No name server is asked.
    pub fn rspamd() -> Self {
        let (folder, port) = (open_folder(), free_port());
        let place = folder.path().display();
        fs::write(folder.path().join("tld"), "test\nexample\n").expect("a table");
        let text = format!(
            "options {{ pidfile = \"{place}/pid\"; tempdir = \"{place}\"; gtube_patterns = \"all\";\n\
             dns {{ nameserver = [\"127.0.0.1:9\"]; timeout = 0.1s; retransmits = 1; }}\n\
             filters = \"\"; url_tld = \"{place}/tld\"; local_addrs = []; }}\n\
             logging {{ type = \"file\"; filename = \"{place}/log\"; level = \"info\"; }}\n\
             actions {{ reject = 15; add_header = 6; }}\n\
             worker \"rspamd_proxy\" {{ bind_socket = \"127.0.0.1:{port}\"; milter = yes; timeout = 60s;\n\
             count = 1; upstream \"local\" {{ default = yes; self_scan = yes; }} }}\n\
             milter_headers {{ use = [\"x-spamd-result\", \"x-rspamd-queue-id\"]; skip_local = false; }}\n\
             lua = \"/usr/share/rspamd/rules/rspamd.lua\";\n\
             modules {{ path = \"/usr/share/rspamd/plugins/milter_headers.lua\"; }}\n"
        );
        let config = folder.path().join("rspamd.conf");
        fs::write(&config, text).expect("a configuration");
        let rspamd = spawn(Command::new("/usr/bin/rspamd").args(["-f", "-i", "-c"]).arg(config));
        let filter =
            Self { socket: format!("inet:127.0.0.1:{port}"), programs: vec![rspamd], folder };
        filter.wait("rspamd", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        filter
    }

    /// opendkim, which signs mail of these clients and verifies that of all others, by the keys in
    /// `keys` ([`dkim_key`]).
    pub fn opendkim(keys: &Path, mode: &str) -> Self {
        let folder = open_folder();
        let socket = folder.path().join("opendkim.sock");
        let text = format!(
            "Mode {mode}\nDomain client.test\nSelector s1\nKeyFile {keys}/key\nTestPublicKeys {keys}/public\n\
             Canonicalization simple/simple\nInternalHosts 127.0.0.1\nAlwaysAddARHeader yes\n\
             AuthservID verifier.test\nBackground no\nSocket local:{}\nUMask 000\n\
             RequireSafeKeys no\nSyslog no\n",
            socket.display(),
            keys = keys.display(),
        );
        // Mail from inside is signed and not verified.
        let text = if mode == "v" { text.replace("127.0.0.1", "192.0.2.1") } else { text };
        let config = folder.path().join("opendkim.conf");
        fs::write(&config, text).expect("a configuration");
        let program = spawn(Command::new("/usr/sbin/opendkim").arg("-f").arg("-x").arg(config));
        Self::at_socket("opendkim", &socket, vec![program], folder)
    }

    /// clamav-milter before a clamd that knows one virus: EICAR's test file.
    pub fn clamav() -> Self {
        let folder = open_folder();
        let place = folder.path().display().to_string();
        let database = folder.path().join("database");
        fs::create_dir(&database).expect("a fresh folder");
        let name = "Eicar-Test-Signature";
        let signature = format!("{name}:0:*:{}\n", hex(EICAR.as_bytes()));
        fs::write(database.join("test.ndb"), signature).expect("a database");
        let clamd_socket = folder.path().join("clamd.sock");
        let clamd = format!(
            "DatabaseDirectory {place}/database\nLocalSocket {}\nForeground yes\nLogFile {place}/clamd.log\n\
             User root\nTemporaryDirectory {place}\n",
            clamd_socket.display()
        );
        fs::write(folder.path().join("clamd.conf"), clamd).expect("a configuration");
        let socket = folder.path().join("milter.sock");
        let milter = format!(
            "MilterSocket {}\nClamdSocket unix:{}\nForeground yes\nUser root\nOnInfected Reject\n\
             RejectMsg virus %v\nAddHeader Add\nLogFile {place}/milter.log\n",
            socket.display(),
            clamd_socket.display()
        );
        fs::write(folder.path().join("milter.conf"), milter).expect("a configuration");
        let option = |name: &str| format!("--config-file={place}/{name}.conf");
        let clamd = spawn(Command::new("/usr/sbin/clamd").arg(option("clamd")));
        eventually("clamd listens", START, || UnixStream::connect(&clamd_socket).is_ok());
        let milter = spawn(Command::new("/usr/sbin/clamav-milter").arg(option("milter")));
        Self::at_socket("clamav-milter", &socket, vec![milter, clamd], folder)
    }

    /// A file of its folder, such as `clamd.conf`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn at_socket(what: &str, socket: &Path, programs: Vec<Child>, folder: TempDir) -> Self {
        let filter = Self { socket: format!("unix:{}", socket.display()), programs, folder };
        filter.wait(what, || UnixStream::connect(socket).is_ok());
        filter
    }

    #[track_caller]
    fn wait(&self, what: &str, listens: impl FnMut() -> bool) {
        eventually(
            &format!("{what} listens, see {}", self.folder.path().display()),
            START,
            listens,
        );
    }
}

/// A key to sign mail of `client.test` with: `key` and `public` in a folder.
pub fn dkim_key() -> TempDir {
    let folder = open_folder();
    let key = folder.path().join("key");
    let openssl = || Command::new("/usr/bin/openssl");
    succeed(openssl().args(["genrsa", "-out"]).arg(&key).arg("2048"), b"");
    let public = succeed(openssl().args(["rsa", "-pubout", "-in"]).arg(&key), b"");
    let words = public.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let record = format!("s1._domainkey.client.test v=DKIM1; k=rsa; p={words}\n");
    fs::write(folder.path().join("public"), record).expect("a key");
    folder
}

fn spawn(command: &mut Command) -> Child {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
}

/// The test file of EICAR, in two parts: this file is to be no virus.
pub const EICAR: &str =
    concat!("X5O!P%@AP[4\\PZX54(P^)7CC)7}", "$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*");
const START: Duration = Duration::from_secs(60);

impl Drop for ForeignFilter {
    fn drop(&mut self) {
        for program in &mut self.programs {
            // Its children end with it only when it is asked.
            let pid = rustix::process::Pid::from_child(program);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            if !crate::within(Duration::from_secs(1), || matches!(program.try_wait(), Ok(Some(_))))
            {
                let _ = program.kill();
            }
            let _ = program.wait();
        }
    }
}
