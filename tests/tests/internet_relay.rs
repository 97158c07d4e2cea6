//! The relay to the Internet that the README shows, by the README's own words: before a name server whose
//! zones hold what it says, a Postfix for all the world, and a mail host inside.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
    time::Duration,
};

use relais_tests::{
    Authority, DKIMPY, Dialogue, Instance, NameServer, Receiver, Settings, Signed, Sink,
    dkimpy_verifies, eventually, free_port, needs, needs_root, open_folder, python, readme_block,
    succeed,
};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(40);
/// `secret`.
const HASH: &str = "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0";

/// The files and the zones that an operator has before the engine starts.
struct Ground {
    folder: TempDir,
    names: NameServer,
    authority: Authority,
}

impl Ground {
    /// Keys, certificate and users as the README makes them, and the records that go with them.
    fn new() -> Self {
        let folder = open_folder();
        let path = folder.path();
        let authority = Authority::new(path);
        authority.sign("mx1", &["mx1.example.org"], 2_099);
        let users = readme_block("ldif", "uid=ann").replace("{SSHA512}...", HASH);
        fs::write(path.join("users.ldif"), users).expect("a file");
        let keys = readme_block("sh", "r2026.pem");
        let keys = succeed(Command::new("sh").args(["-c", &keys]).current_dir(path), b"");
        for key in ["r2026.pem", "e2026.pem", "mx1.key"] {
            fs::set_permissions(path.join(key), Permissions::from_mode(0o600)).expect("our file");
        }
        let own = format!("mail.inside A 127.0.0.2\nmx1 A 127.0.0.1\n@ MX 10 mx1\n{keys}");
        let zones = [
            ("example.org", &*own, Signed::No),
            ("remote.test", "@ MX 10 mx\nmx A 127.0.0.1\n", Signed::No),
            ("provider.example", "smtp A 127.0.0.1\n", Signed::No),
        ];
        let names = NameServer::signed(&zones, &path.join("anchor"));
        Self { folder, names, authority }
    }

    fn settings(&self, submit: u16, far: u16, inside: &Sink) -> Settings {
        Settings::internet(self.folder.path(), submit, self.names.port, [far, inside.port])
    }
}

fn has_no_warning(instance: &Instance) {
    let said = instance.relais("check", &[]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.ends_with(": 0 mistakes, 0 warnings\n"), "{text}");
}

fn inside() -> Sink {
    let inside = Sink::at(([127, 0, 0, 2], free_port()).into());
    inside.keep_contents();
    inside
}

/// Ann logs in and sends; the reply of whoever minds is the error of the script.
fn ann_sends(submit: u16, to: &str) {
    python(&format!(
        "import smtplib, ssl\n\
         with smtplib.SMTP('127.0.0.1', {submit}) as client:\n    \
         client.starttls(context=ssl._create_unverified_context())\n    \
         client.login('ann@example.org', 'secret')\n    \
         client.sendmail('ann@example.org', [{to:?}], 'From: ann@example.org\\nSubject: x\\n\\nx\\n')"
    ));
}

/// The line of the log that tells of a delivery to this address.
fn delivered(instance: &Instance, to: &str) -> Value {
    let to = format!("<{to}>");
    let find = || {
        let log = instance.log();
        let mut all = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.find(|line| line["action"] == "D" && line["to"] == *to)
    };
    eventually(&format!("mail for {to}"), PATIENCE, || find().is_some());
    find().expect("it is there")
}

/// `relais route --dns` about the world, for whom nobody vouches.
fn strangers_are_told_where_mail_of_others_goes(instance: &Instance) {
    let asked = instance.relais("route", &["bob@remote.test", "--dns", "--json"]);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    let told: Value = serde_json::from_slice(&asked.stdout).expect("an object");
    let way = &told["if_permitted"][0];
    assert_eq!(
        (&told["accepted"], &way["channel"]),
        (&false.into(), &"tcp_local".into()),
        "{told}"
    );
    let server = &way["dns"][0]["servers"][0];
    assert_eq!((&server["host"], &server["preference"]), (&"mx.remote.test".into(), &10.into()));
    let shown = instance.relais("route", &["bob@remote.test", "--dns"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for words in [
        "refused: 550 5.7.1 relaying not permitted\nby INTERNAL_IP, which knows no stranger",
        "10           mx.remote.test [127.0.0.1:",
        "now          mail goes there",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let ours = instance.relais("route", &["bob@remote.test", "--dns", "--client", "127.0.0.1"]);
    let shown = String::from_utf8_lossy(&ours.stdout).into_owned();
    assert!(ours.status.success() && shown.contains("mx.remote.test [127.0.0.1:"), "{shown}");
}

#[test]
fn the_relay_of_the_readme_serves_users_networks_and_strangers() {
    let programs = [NameServer::PROGRAM, DKIMPY, "/usr/sbin/postfix", "openssl", "python3"];
    if !needs_root() || !needs(&programs) {
        return;
    }
    let ground = Ground::new();
    let (certificate, key) = ground.authority.sign("far", &["mx.remote.test"], 2_099);
    let tls = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
        certificate.display(),
        key.display()
    );
    let (far, inside, submit) = (Receiver::postfix(&tls), inside(), free_port());
    let instance = Instance::new(ground.settings(submit, far.port, &inside));
    has_no_warning(&instance);
    let _running = instance.start();
    strangers_are_told_where_mail_of_others_goes(&instance);
    // A user, whose mail is signed.
    ann_sends(submit, "bob@remote.test");
    let line = delivered(&instance, "bob@remote.test");
    let protection = line["protection"].as_str().unwrap_or_default();
    assert!(protection.starts_with("TLSv1.3 "), "{line}");
    let message = far.messages().remove(0);
    let file = ground.folder.path().join("message");
    fs::write(&file, &message).expect("a file");
    let text = String::from_utf8_lossy(&message);
    assert_eq!(dkimpy_verifies(&file, &ground.names), ["True", "True"], "{text}");
    // A network inside.
    let mut client = Dialogue::open(instance.settings.smtp);
    client
        .message("joe@example.org", &["carol@remote.test"], b"Subject: y\r\n\r\ny\r\n")
        .expect(250);
    delivered(&instance, "carol@remote.test");
    strangers_reach_whom_the_directory_has(&instance, &inside);
    assert!(instance.queue().is_empty(), "{:?}", instance.queue());
    // Nobody was sent a notice of what a stranger made up.
    assert_eq!(far.messages().len(), 2);
}

/// Strangers reach users at the mail host inside, and nobody else: whom that would refuse is refused here,
/// so that no notice goes to a sender who may be forged.
fn strangers_reach_whom_the_directory_has(instance: &Instance, inside: &Sink) {
    inside.answer_kept("nobody@", "550 5.1.1 no such user");
    let (mut client, _) =
        Dialogue::connect_from([127, 0, 0, 9], instance.settings.smtp).expect("a greeting");
    client.ask("EHLO far.test").expect(250);
    client.ask("MAIL FROM:<eve@remote.test>").expect(250);
    client.ask("RCPT TO:<bob@remote.test>").expect_start("550 5.7.1");
    client.ask("RCPT TO:<nobody@example.org>").expect_start("550 5.1.1");
    client.ask("RCPT TO:<bob%remote.test@example.org>").expect_start("550 5.7.1");
    client.ask("RCPT TO:<nobody%example.org@tcp_intranet-daemon>").expect_start("550 5.");
    client.ask("RCPT TO:<@tcp_intranet-daemon:nobody@example.org>").expect_start("550 5.");
    client.ask("RCPT TO:<@mail.inside.example.org:nobody@example.org>").expect_start("550 5.");
    client.ask("RCPT TO:<ann+x@example.org>").expect(250);
    client.ask("RCPT TO:<postmaster@example.org>").expect(250);
    client.ask("DATA").expect(354);
    client.finish(b"Message-ID: <of-eve@remote.test>\r\n\r\nz\r\n").expect(250);
    eventually("it is inside", PATIENCE, || inside.total() == 1);
    let handed = inside.handed().remove(0).1;
    assert_eq!(handed, ["ann+x@example.org", "postmaster@example.org"]);
    let content = inside.content_of("of-eve@remote.test");
    assert!(content.contains("Authentication-Results: mx1.example.org;"), "{content}");
}

#[test]
fn the_smart_host_of_the_readme_takes_mail_for_all_the_world() {
    let programs = [NameServer::PROGRAM, "/usr/sbin/postfix", "dovecot", "openssl", "python3"];
    if !needs_root() || !needs(&programs) {
        return;
    }
    let ground = Ground::new();
    let certificate = ground.authority.sign("provider", &["smtp.provider.example"], 2_099);
    let provider = Receiver::postfix_with_auth(&certificate, "plain login");
    let (inside, submit) = (inside(), free_port());
    let place = format!("smtp.provider.example:{}", provider.port);
    let secret = ground.folder.path().join("provider.secret");
    fs::write(&secret, format!("{place} tim:secret\n")).expect("a file");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("our file");
    let settings = ground.settings(submit, 25, &inside);
    let begin = settings.text().find("        (name: \"tcp_local\"").expect("the channel is there");
    let end = begin + settings.text()[begin..].find("         )),\n").expect("it ends") + 13;
    let channel = settings.text()[begin..end].to_owned();
    let ca = format!(
        "server: May, client: Must, ca: {:?}",
        ground.authority.file().display().to_string()
    );
    let settings = settings
        .edit(&channel, &readme_block("ron", "smtp.provider.example"))
        .edit("/etc/relais", &ground.folder.path().display().to_string())
        .edit("smtp.provider.example:587", &place)
        .edit("server: May, client: Must", &ca)
        .edit(&format!(", trust_anchor: {:?}", ground.folder.path().join("anchor")), "")
        .edit("    tls_reports: (sender: \"tls-reports@example.org\"),\n", "");
    let instance = Instance::new(settings);
    has_no_warning(&instance);
    let _running = instance.start();
    ann_sends(submit, "bob@remote.test");
    let line = delivered(&instance, "bob@remote.test");
    let protection = line["protection"].as_str().unwrap_or_default();
    assert!(protection.contains(", verified; AUTH PLAIN as tim"), "{line}");
    assert_eq!(provider.messages().len(), 1);
}
