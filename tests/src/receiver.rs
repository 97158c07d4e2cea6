//! Other MTAs as next hops: a Postfix, an Exim and an `OpenSMTPD` of our own that take mail by SMTP, into a
//! Maildir, with TLS and AUTH where a test wants them.
//!
//! All have to be started by root.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Dialogue, foreign_mta, free_port, open_folder, postfix_services, process, run_with, succeed,
    unpacked, wire_form, within,
};

/// A running MTA that takes mail for everybody at `remote.test`. Dropping it stops it and removes its mail.
#[derive(Debug)]
pub struct Receiver {
    /// Where it takes SMTP, on 127.0.0.1.
    pub port: u16,
    /// Exim, `OpenSMTPD`, or Dovecot beside Postfix.
    child: Option<Child>,
    is_postfix: bool,
    folder: TempDir,
}

/// Lines of Exim that let `tim` in by each mechanism, with `secret`.
const EXIM_AUTHENTICATORS: [(&str, &str); 3] = [
    (
        "PLAIN",
        "driver = plaintext\n  server_prompts = :\n  \
         server_condition = ${if and{{eq{$auth2}{tim}}{eq{$auth3}{secret}}}}\n  \
         server_set_id = $auth2",
    ),
    (
        "LOGIN",
        "driver = plaintext\n  server_prompts = <| Username: | Password:\n  \
         server_condition = ${if and{{eq{$auth1}{tim}}{eq{$auth2}{secret}}}}\n  \
         server_set_id = $auth1",
    ),
    (
        "CRAM-MD5",
        "driver = cram_md5\n  server_secret = ${if eq{$auth1}{tim}{secret}fail}\n  \
         server_set_id = $auth1",
    ),
];

impl Receiver {
    /// Postfix, with these lines in its `main.cf`.
    pub fn postfix(main: &str) -> Self {
        let receiver = Self::new(true);
        receiver.begin_postfix(main);
        receiver
    }

    /// Postfix with TLS that takes mail of `tim` alone, who proves it to Dovecot by one of these mechanisms,
    /// with `secret`; or by a token that its own `token.py` prints.
    pub fn postfix_with_auth((certificate, key): &(PathBuf, PathBuf), mechanisms: &str) -> Self {
        let mut receiver = Self::new(true);
        receiver.begin_dovecot(mechanisms);
        receiver.begin_postfix(&format!(
            "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n\
             smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n\
             smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n",
            certificate.display(),
            key.display(),
            receiver.path("auth").display(),
        ));
        receiver
    }

    /// Exim with TLS that takes mail of `tim` alone; none where its package is not unpacked. `mechanisms`
    /// are those that it offers, of PLAIN, LOGIN and CRAM-MD5.
    pub fn exim((certificate, key): &(PathBuf, PathBuf), mechanisms: &[&str]) -> Option<Self> {
        let program = unpacked("usr/sbin/exim4")?;
        let mut receiver = Self::new(false);
        let spool = receiver.path("spool");
        fs::create_dir(&spool).expect("a fresh folder");
        succeed(Command::new("chown").arg("nobody:nogroup").arg(&spool), b"");
        let offered = EXIM_AUTHENTICATORS.iter().filter(|(name, _)| mechanisms.contains(name));
        let block = |(name, lines): &(&str, &str)| {
            format!("{}:\n  public_name = {name}\n  {lines}\n", name.replace('-', "_"))
        };
        let authenticators = offered.map(block).collect::<Vec<_>>().concat();
        let spool = spool.display();
        let text = format!(
            "exim_user = nobody\nexim_group = nogroup\nspool_directory = {spool}\nexim_path = {}\n\
             log_file_path = {spool}/%slog\nprimary_hostname = exim.test\nkeep_environment =\n\
             disable_ipv6 = true\nlocal_interfaces = 127.0.0.1\ndaemon_smtp_ports = {}\n\
             pid_file_path = {spool}/pid\ntls_advertise_hosts = *\ntls_certificate = {}\n\
             tls_privatekey = {}\nacl_smtp_rcpt = rcpt\n\
             begin acl\nrcpt:\n  require authenticated = *\n  accept\n\
             begin routers\nbox:\n  driver = accept\n  transport = box\n\
             begin transports\nbox:\n  driver = appendfile\n  directory = {}\n  maildir_format\n  \
             create_directory\n  user = nobody\n  group = nogroup\n\
             begin authenticators\n{authenticators}",
            program.display(),
            receiver.port,
            readable(certificate).display(),
            readable(key).display(),
            receiver.path("mail/box").display(),
        );
        let config = receiver.path("exim.conf");
        fs::write(&config, text).expect("a configuration");
        let mut command = Command::new(&program);
        command.arg("-C").arg(&config).args(["-bdf", "-q1h"]);
        receiver.run(&mut command);
        Some(receiver)
    }

    /// `OpenSMTPD` that offers TLS; none where its package is not unpacked.
    pub fn smtpd((certificate, key): &(PathBuf, PathBuf)) -> Option<Self> {
        let package = unpacked("usr/sbin/smtpd")?;
        let package = package.ancestors().nth(3).expect("where it was unpacked");
        let mut receiver = Self::new(false);
        for file in [certificate, key] {
            fs::set_permissions(file, Permissions::from_mode(0o600)).expect("our file");
        }
        let text = format!(
            "pki \"localhost\" cert \"{}\"\npki \"localhost\" key \"{}\"\n\
             listen on 127.0.0.1 port {} tls pki \"localhost\"\n\
             action \"box\" maildir \"{}\" virtual {{ \"@\" = alice }}\n\
             match from any for domain \"remote.test\" action \"box\"\n",
            certificate.display(),
            key.display(),
            receiver.port,
            receiver.path("mail/box").display(),
        );
        let config = receiver.path("smtpd.conf");
        fs::write(&config, text).expect("a configuration");
        fs::set_permissions(&config, Permissions::from_mode(0o600)).expect("our file");
        let folder = receiver.folder.path().to_owned();
        receiver.run(&mut foreign_mta::smtpd(package, &folder, &config));
        Some(receiver)
    }

    /// Every message that it has delivered, in wire form.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let folder = fs::read_dir(self.path("mail/box/new")).into_iter().flatten();
        let read = |path: &Path| fs::read(path).map(wire_form).expect("a message");
        folder.map(|entry| read(&entry.expect("a folder entry").path())).collect()
    }

    /// The lines that it has logged.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.path(name)).unwrap_or_default();
        ["log", "spool/mainlog", "dovecot.log"].map(read).concat()
    }

    /// A script that prints an access token for `tim`, as an authority would give it.
    pub fn token_script(&self) -> PathBuf {
        self.path("token.py")
    }

    fn new(is_postfix: bool) -> Self {
        let receiver = Self { port: free_port(), child: None, is_postfix, folder: open_folder() };
        let mail = receiver.path("mail");
        fs::create_dir(&mail).expect("a fresh folder");
        fs::set_permissions(&mail, Permissions::from_mode(0o777)).expect("our folder");
        receiver
    }

    fn begin_postfix(&self, main: &str) {
        let [config, queue, data] = ["config", "queue", "data"].map(|name| self.path(name));
        for folder in [&config, &queue, &data] {
            fs::create_dir(folder).expect("a fresh folder");
        }
        succeed(Command::new("chown").arg("postfix").arg(&data), b"");
        let text = format!(
            "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\n\
             myhostname = postfix.test\nmydestination =\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nalias_maps =\nlocal_recipient_maps =\n\
             smtpd_peername_lookup = no\nvirtual_mailbox_domains = remote.test\n\
             virtual_mailbox_base = {}\nvirtual_mailbox_maps = static:box/\n\
             virtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\n\
             maillog_file = {}\nmaillog_file_prefixes = {}\n{main}\n",
            queue.display(),
            data.display(),
            self.path("mail").display(),
            self.path("log").display(),
            self.folder.path().display(),
        );
        fs::write(config.join("main.cf"), text).expect("a configuration");
        let port = format!("127.0.0.1:{}", self.port);
        let services = postfix_services(&[
            (&port, "inet n - n - - smtpd"),
            ("virtual", "unix - n n - - virtual"),
            ("tlsmgr", "unix - - n 1000? 1 tlsmgr"),
        ]);
        fs::write(config.join("master.cf"), services).expect("a configuration");
        succeed(&mut self.postfix_command("start"), b"");
        self.listens();
    }

    /// Dovecot as nothing but a judge of passwords and tokens.
    fn begin_dovecot(&mut self, mechanisms: &str) {
        let folder = self.folder.path().display().to_string();
        fs::write(self.path("users"), "tim:{PLAIN}secret\n").expect("a file");
        // It knows tokens that are signed with this key.
        fs::create_dir_all(self.path("keys/default/HS256")).expect("a folder");
        fs::write(self.path("keys/default/HS256/default"), "a2V5IG9mIHRoZSB0ZXN0\n")
            .expect("a key");
        fs::write(self.path("token.py"), TOKEN).expect("a script");
        let oauth2 = format!(
            "introspection_mode = local\nusername_attribute = sub\n\
             local_validation_key_dict = fs:posix:prefix={folder}/keys/\n"
        );
        fs::write(self.path("oauth2.conf"), oauth2).expect("a file");
        let text = format!(
            "base_dir = {folder}/run\nstate_dir = {folder}/run\nlog_path = {folder}/dovecot.log\n\
             protocols =\nssl = no\ndisable_plaintext_auth = no\nauth_mechanisms = {mechanisms}\n\
             passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  \
             args = {folder}/oauth2.conf\n}}\n\
             passdb {{\n  driver = passwd-file\n  args = {folder}/users\n}}\n\
             userdb {{\n  driver = static\n  args = uid=nobody gid=nogroup home=/\n}}\n\
             service auth {{\n  unix_listener {folder}/auth {{\n    mode = 0666\n  }}\n}}\n\
             service stats {{\n  unix_listener stats-writer {{\n    mode = 0666\n  }}\n}}\n"
        );
        let config = self.path("dovecot.conf");
        fs::write(&config, text).expect("a configuration");
        let mut command = process::command("dovecot");
        command.arg("-F").arg("-c").arg(&config).stdin(Stdio::null());
        self.child = Some(command.spawn().expect("dovecot runs"));
        let listens = within(PATIENCE, || self.path("auth").exists());
        assert!(listens, "Dovecot does not listen:\n{}", self.log());
    }

    fn run(&mut self, command: &mut Command) {
        let output = File::create(self.path("log")).expect("a fresh file");
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second one"))
            .stderr(output);
        self.child = Some(command.spawn().expect("it runs"));
        self.listens();
    }

    fn listens(&self) {
        let listens = within(PATIENCE, || Dialogue::connect(self.port).is_ok());
        assert!(listens, "it does not listen:\n{}", self.log());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn postfix_command(&self, what: &str) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.path("config")).arg(what);
        command
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.is_postfix {
            run_with(&mut self.postfix_command("stop"), b"");
        }
        if let Some(child) = &mut self.child {
            // Masters end their children, unless they are the first process of a world.
            process::send(child.id(), Signal::TERM);
            if !within(Duration::from_secs(2), || matches!(child.try_wait(), Ok(Some(_)))) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// A file that MTAs may read, which work as users of their own.
fn readable(file: &Path) -> &Path {
    let around = file.parent().expect("a folder of the test");
    fs::set_permissions(around, Permissions::from_mode(0o755)).expect("our folder");
    fs::set_permissions(file, Permissions::from_mode(0o644)).expect("our file");
    file
}

/// Prints a JSON Web Token (RFC 7519) for `tim`, signed with the key of the test.
const TOKEN: &str = r#"
import base64, hashlib, hmac, json, time
def text(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
def part(value):
    return text(json.dumps(value).encode())
now = int(time.time())
claims = {"sub": "tim", "iat": now, "exp": now + 600}
signed = part({"alg": "HS256", "typ": "JWT"}) + "." + part(claims)
proof = hmac.new(b"key of the test", signed.encode(), hashlib.sha256).digest()
print(json.dumps({"access_token": signed + "." + text(proof), "expires_in": 600}))
"#;
const PATIENCE: Duration = Duration::from_secs(30);
