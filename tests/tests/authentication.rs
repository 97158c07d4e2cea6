//! Users who log in, as their programs do it: Python's smtplib, swaks, msmtp, and a real Postfix.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
    time::Duration,
};

use relais_tests::{
    Authority, Dialogue, Instance, Settings, eventually, free_port, mailbox, needs, needs_root,
    python, run_with, succeed, within,
};
use tempfile::TempDir;

/// Users, and what their `userPassword` is; the password of all is `secret`. Made by Python's
/// hashlib, libxcrypt and Dovecot.
const USERS: [(&str, &str); 6] = [
    ("ssha", "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0"),
    (
        "ssha512",
        "{SSHA512}E491yrR9AdCoE7rbOPYS3EZgSuZpVE65AD9xko08s6floNesY/Zpe9zMVvLix4S2FiQSJ99RIkNvhHomNO9uL3NhbHQ=",
    ),
    (
        "crypt6",
        "{CRYPT}$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
    ),
    (
        "yescrypt",
        "{CRYPT}$y$j9T$F5Jx5fExrKuPp53xLKQ..1$GmcwIgvdUC9qLWcKCi6gklUa1dM3ziD43YxYNURLKy0",
    ),
    (
        "argon2",
        "{ARGON2}$argon2id$v=19$m=65536,t=3,p=1$E9OjzMau4nMjaxPWtXGU4Q$nzmQjjHSikPpAbWRksMAogtbt08hUfrfzb8r9AhQpcI",
    ),
    (
        "scram",
        "{SCRAM-SHA-256}4096,aB0TBpOWDMxf9K5RTGnc6w==,NTjqxbAd+aOMYOEfvDF6TwRYG4mni2bJy0KDRR7If44=,dTNgqhYziuwYSQcNEy4jKqmSUenarO2k+lr6NCO4CeM=",
    ),
];

/// `janes`, and `grün` in one letter for the umlaut.
const JANES: &str = "{SSHA}dkKJUj2J5Z2R0ZD/ylUmF1reOZNhYmNkZWZnaA==";
const UMLAUT: &str = "{SSHA}J0x+1BhZ6Ij/UlIiJymNny6rnURhYmNkZWZnaA==";

fn directory() -> String {
    let organization = "dn: o=relais.example\nobjectClass: sunManagedOrganization\n\
                        sunPreferredDomain: relais.example\n\n";
    let user = |name: &str, more: &str| {
        format!(
            "dn: uid={name},o=relais.example\nobjectClass: inetMailUser\n\
             objectClass: inetLocalMailRecipient\nuid: {name}\nmail: {name}@relais.example\n\
             mailAlternateAddress: {name}.alias@relais.example\nmailHost: localhost\n{more}\n\n"
        )
    };
    let users = USERS.map(|(name, value)| user(name, &format!("userPassword: {value}"))).concat();
    let odd = [
        user("nopassword", ""),
        user("clear", "userPassword: secret"),
        // A login name that is no address, and one that is another user's address.
        user("john.doe", &format!("uid: jdoe\nuserPassword: {}", USERS[0].1)),
        user("jane", &format!("uid: argon2\nuserPassword: {JANES}")),
        user("umlaut", &format!("userPassword: {UMLAUT}")),
        user("closed", &format!("userPassword: {}\ninetUserStatus: inactive", USERS[0].1)),
    ];
    organization.to_owned() + &users + &odd.concat()
}

/// An engine with users. Its SMTP service is for everybody, `submit` for users alone.
struct Engine {
    instance: Instance,
    authority: Authority,
    submit: u16,
    submits: u16,
}

impl Engine {
    /// `authentication`: fields of the section. `submit`: fields of the channel for users.
    fn new(authentication: &str, submit: &str) -> Self {
        let (port, tls_port) = (free_port(), free_port());
        let service = format!(
            "services: {{ \"SUBMIT\": (program: Smtp, channel: \"tcp_submit\", interface_address: \
             \"127.0.0.1\", ports: [{port}], tls_ports: [{tls_port}]),"
        );
        let channel = format!(
            "program: Local),\n (name: \"tcp_submit\", tag: \"submit-daemon\", program: Smtp, \
             submit: true, tls: (server: May), {submit}),"
        );
        let settings = Settings::standalone()
            .section("tls: (certificate: \"localhost.crt\", key: \"localhost.key\", client_ca: \"ca.crt\")")
            .section(&format!("authentication: ({authentication})"))
            .edit("services: {", &service)
            .edit("program: Local),", &channel)
            .edit("Ldif()", "Ldif(file: \"users.ldif\")")
            .edit("rewrite_rules: [", "rewrite_rules: [(\".\", \"$U%$H@tcp-daemon\"),")
            .channel("tcp_local", "tls: (server: May), sasl: (server: May)");
        let instance = Instance::new(settings);
        let authority = Authority::new(instance.data());
        authority.sign("localhost", &["localhost"], 2099);
        fs::write(instance.data().join("users.ldif"), directory()).expect("a directory");
        Self { instance, authority, submit: port, submits: tls_port }
    }

    /// Runs a script with `SMTP`, `SUBMIT`, `SUBMITS` and `CA` set; it must succeed.
    #[track_caller]
    fn python(&self, script: &str) -> String {
        let start = format!(
            "import smtplib, ssl, time\nSMTP, SUBMIT, SUBMITS = {}, {}, {}\n\
             CA = ssl.create_default_context(cafile='{}')\n",
            self.instance.settings.smtp,
            self.submit,
            self.submits,
            self.authority.file().display(),
        );
        python(&(start + script))
    }

    fn stored(&self, user: &str) -> Vec<String> {
        let messages = mailbox(&self.instance.store(), "relais.example", user);
        messages.iter().map(|message| String::from_utf8_lossy(message).into_owned()).collect()
    }
}

#[test]
fn a_login_name_lets_its_user_in_and_is_no_way_to_anothers_address() {
    let engine = Engine::new("failure_time: \"1ms\", max_failures: 1000", MUST);
    let _running = engine.instance.start();
    engine.python(
        r#"
def login(user, password):
    with smtplib.SMTP_SSL("localhost", SUBMITS, context=CA) as client:
        client.ehlo()
        try:
            client.login(user, password)
        except smtplib.SMTPAuthenticationError:
            return None
        said = [client.docmd(f"MAIL FROM:<{name}@relais.example>")[0] for name in ("john.doe", "argon2", "jane")]
        return said.index(250)

assert login("jdoe", "secret") == 0
assert login("JDoe@relais.example", "secret") == 0
assert login("jdoe@elsewhere.example", "secret") is None
assert login("argon2", "secret") == 1
assert login("argon2", "janes") is None
assert login("jane", "janes") == 2
"#,
    );
    // Letters come in several forms of Unicode, and are one password (RFC 4013).
    engine.python(
        r#"
import base64
for password, code in (("gr\u00fcn", 235), ("gru\u0308n", 235), ("gr\u00adu\u0308n", 235), ("grun", 535)):
    with smtplib.SMTP_SSL("localhost", SUBMITS, context=CA) as client:
        client.ehlo()
        said = base64.b64encode(f"\0umlaut\0{password}".encode()).decode()
        assert client.docmd("AUTH", "PLAIN " + said)[0] == code, password
"#,
    );
}

const MUST: &str = "sasl: (server: Must)";

#[test]
fn every_kind_of_hash_lets_its_user_in_by_plain_and_login() {
    let engine = Engine::new("failure_time: \"1ms\", max_failures: 1000", MUST);
    let _running = engine.instance.start();
    let names: Vec<_> = USERS.iter().map(|(name, _)| *name).collect();
    engine.python(&format!(
        r#"
for user in {names:?}:
    for method in ("auth_plain", "auth_login"):
        for login in (user + "@relais.example", user, user.upper() + ".Alias@RELAIS.example"):
            with smtplib.SMTP("localhost", SUBMIT) as client:
                client.starttls(context=CA)
                client.ehlo()
                assert set("PLAIN LOGIN".split()) <= set(client.esmtp_features["auth"].split())
                client.user, client.password = login, "secret"
                code, said = client.auth(method.split("_")[1], getattr(client, method))
                assert code == 235, (user, method, code, said)
    for password in ("Secret", "secret ", "", "{{SSHA}}"):
        with smtplib.SMTP_SSL("localhost", SUBMITS, context=CA) as client:
            client.ehlo()
            client.user, client.password = user, password
            try:
                client.auth("plain", client.auth_plain)
                assert False, (user, password)
            except smtplib.SMTPAuthenticationError as error:
                assert error.smtp_code == 535, error
"#
    ));
    let granted = engine.instance.metric("relais_auth_attempts_total");
    assert!(granted >= 36.0, "{granted}");
    let log = engine.instance.log();
    assert!(
        log.contains("\"client\":\"[127.0.0.1] [127.0.0.1]\",\"user\":\"argon2@relais.example\""),
        "{log}"
    );
    assert!(!log.contains("secret"), "a password in the log");
}

#[test]
fn auth_is_offered_only_behind_tls_and_only_where_it_is_of_use() {
    let engine = Engine::new("", MUST);
    let _running = engine.instance.start();
    let mut clear = Dialogue::connect(engine.submit).expect("a service").0;
    clear.ask("AUTH PLAIN AGEAYQ==").expect(503);
    let hello = clear.ask("EHLO c.test").text;
    assert!(!hello.contains("AUTH"), "{hello}");
    clear.ask("AUTH PLAIN AGEAYQ==").expect_start("538 5.7.11 ");
    clear.ask("MAIL FROM:<a@b.test>").expect_start("530 5.7.0 ");
    clear.ask("RCPT TO:<ssha@relais.example>").expect(503);
    engine.python(
        r#"
with smtplib.SMTP_SSL("localhost", SUBMITS, context=CA) as client:
    client.ehlo()
    assert client.docmd("AUTH", "NTLM")[0] == 504
    assert client.docmd("AUTH", "PLAIN ***")[0] == 501
    assert client.docmd("AUTH", "PLAIN")[0] == 334
    assert client.docmd("*")[0] == 501
    assert client.docmd("AUTH", "LOGIN") == (334, b"VXNlcm5hbWU6")
    assert client.docmd("*")[0] == 501
    client.login("ssha", "secret")
    client.ehlo()
    assert "auth" not in client.esmtp_features
    assert client.docmd("AUTH", "PLAIN AHNzaGEAc2VjcmV0")[0] == 503
    assert client.docmd("MAIL FROM:<ssha@relais.example> AUTH=<>")[0] == 250
"#,
    );
    let engine = Engine::new("", "sasl: (server: May, without_tls: true)");
    let _running = engine.instance.start();
    let mut clear = Dialogue::open(engine.submit);
    clear.ask("AUTH PLAIN AHNzaGEAc2VjcmV0").expect(235);
    let mut other = Dialogue::open(engine.submit);
    other.ask("AUTH PLAIN c3NoYTUxMgBzc2hhAHNlY3JldA==").expect(535);
}

#[test]
fn whether_there_is_such_a_user_shows_neither_in_the_reply_nor_in_the_time() {
    let engine = Engine::new("failure_time: \"400ms\", max_failures: 1000", MUST);
    let _running = engine.instance.start();
    let said = engine.python(
        r#"
def attempt(user):
    with smtplib.SMTP_SSL("localhost", SUBMITS, context=CA) as client:
        client.ehlo()
        client.user, client.password = user, "wrong"
        begun = time.monotonic()
        try:
            client.auth("plain", client.auth_plain)
        except smtplib.SMTPAuthenticationError as error:
            return time.monotonic() - begun, error
first = attempt("crypt6")
print(first)
# Doubled by each failure of the client, up to 16 times.
for n, user in enumerate(("nobody", "ssha", "closed", "nopassword")):
    took, error = attempt(user)
    want = 0.4 * 2 ** min(n + 1, 4)
    print(user, took, want)
    assert want <= took < want + 1, (user, took, want)
    assert str(error) == str(first[1]), (error, first)
"#,
    );
    assert!(said.contains("nopassword"), "{said}");
}

#[test]
fn a_client_that_fails_too_often_is_let_in_no_more() {
    let engine = Engine::new("failure_time: \"1ms\", max_failures: 3", MUST);
    let _running = engine.instance.start();
    engine.python(
        r#"
def attempt(password):
    with smtplib.SMTP_SSL("localhost", SUBMITS, context=CA) as client:
        client.ehlo()
        client.user, client.password = "ssha", password
        try:
            return client.auth("plain", client.auth_plain)[0]
        except smtplib.SMTPAuthenticationError as error:
            return error.smtp_code
assert attempt("secret") == 235
assert [attempt("wrong") for _ in range(4)] == [535, 535, 535, 454]
assert attempt("secret") == 454
"#,
    );
    let log = engine.instance.log();
    assert!(log.contains("too many attempts have failed"), "{log}");
}

#[test]
fn a_hash_that_is_not_known_is_the_administrators_business() {
    let engine = Engine::new("failure_time: \"1ms\"", MUST);
    let _running = engine.instance.start();
    engine.python(
        r#"
with smtplib.SMTP_SSL("localhost", SUBMITS, context=CA) as client:
    try:
        client.login("clear", "secret")
        assert False
    except smtplib.SMTPAuthenticationError as error:
        # Nobody learns that there is such a user.
        assert error.smtp_code == 535, error
"#,
    );
    let log = engine.instance.log();
    assert!(log.contains("userPassword holds no hash"), "{log}");
    let check = engine.instance.relais("check", &[]);
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(text.contains("userPassword is in clear"), "{text}");
}

#[test]
fn a_user_may_relay_and_a_stranger_may_not() {
    let engine = Engine::new("", MUST);
    let _running = engine.instance.start();
    let mut stranger = Dialogue::open(engine.instance.settings.smtp);
    stranger.ask("MAIL FROM:<a@b.test>").expect(250);
    stranger.ask("RCPT TO:<x@elsewhere.test>").expect_start("550 5.7.1 ");
    engine.python(
        r#"
for port in (SUBMIT, SMTP):
    with smtplib.SMTP("localhost", port) as client:
        client.starttls(context=CA)
        client.login("ssha", "secret")
        assert client.mail("ssha@relais.example")[0] == 250
        assert client.rcpt("x@elsewhere.test")[0] == 250
"#,
    );
}

#[test]
fn what_a_user_submits_is_completed_and_in_the_users_name() {
    let engine = Engine::new("", MUST);
    let _running = engine.instance.start();
    engine.python(
        r#"
with smtplib.SMTP("localhost", SUBMIT) as client:
    client.starttls(context=CA)
    client.login("ssha", "secret")
    to = ["ssha512@relais.example"]
    def refused(sender, text):
        try:
            client.sendmail(sender, to, text)
            assert False, (sender, text)
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
    assert refused("bob@elsewhere.test", "x") == 553
    assert refused("ssha@relais.example", "From: bob@elsewhere.test\r\n\r\nx") == 550
    own, boss = "From: ssha@relais.example\r\n", "From: boss@bank.test\r\n"
    padding = "".join(f"X-{i}: {'y' * 900}\r\n" for i in range(320))
    for text in (own + boss + "\r\nx", boss + own + "\r\nx", "From: boss\r\n\r\nx",
                 "From: =?utf-8?q?boss=40bank.test?=\r\n\r\nx", padding + boss + "\r\nx",
                 own + padding + boss + "\r\nx", "Subject: x\r\n \r\n" + boss + "\r\nx",
                 " \r\n" + boss + "\r\nx"):
        assert refused("ssha@relais.example", text) == 550, text[:80]
    client.sendmail("SSHA.alias@relais.example", to, "From: S <ssha@relais.example>\r\n\r\none\r\n")
    client.sendmail("", to, "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <own@id>\r\n\r\ntwo\r\n")
    client.sendmail("ssha@relais.example", to, "Subject: large\r\n\r\n" + "y" * 70 + "\r\n" + ("x" * 70 + "\r\n") * 50000)
"#,
    );
    eventually("all are delivered", LIMIT, || engine.stored("ssha512").len() == 3);
    assert!(!engine.stored("ssha512").concat().contains("boss"));
    for message in engine.stored("ssha512") {
        let head = message.split("\r\n\r\n").next().unwrap_or_default();
        assert_eq!(head.matches("\r\nDate: ").count(), 1, "{head}");
        assert_eq!(head.matches("\r\nMessage-ID: <").count(), 1, "{head}");
        assert_eq!(head.matches("\r\nFrom: ").count(), 1, "{head}");
        assert!(head.contains(" with ESMTPSA id "), "{head}");
        if message.contains("two") {
            assert!(head.contains("Message-ID: <own@id>"), "{head}");
        }
    }
    let engine = Engine::new("", "sasl: (server: Must), sender_must_match: false");
    let _running = engine.instance.start();
    engine.python(
        r#"
with smtplib.SMTP("localhost", SUBMIT) as client:
    client.starttls(context=CA)
    client.login("ssha", "secret")
    client.sendmail("bob@elsewhere.test", ["ssha@relais.example"], "From: bob@elsewhere.test\r\n\r\nx")
"#,
    );
}

#[test]
fn a_certificate_lets_its_user_in() {
    let engine = Engine::new("failure_time: \"1ms\"", MUST);
    let (crt, key) = engine.authority.sign("ssha", &["ssha.alias@relais.example"], 2099);
    let (old_crt, old_key) = engine.authority.sign("old", &["ssha@relais.example"], 2021);
    let (other_crt, other_key) = engine.authority.sign("other", &["nobody@relais.example"], 2099);
    let _running = engine.instance.start();
    let [crt, key, old_crt, old_key, other_crt, other_key] =
        [crt, key, old_crt, old_key, other_crt, other_key].map(|path| path.display().to_string());
    engine.python(&format!(
        r#"
import base64
def external(crt, key, name):
    context = ssl.create_default_context(cafile=CA_FILE)
    if crt: context.load_cert_chain(crt, key)
    with smtplib.SMTP_SSL("localhost", SUBMITS, context=context) as client:
        client.ehlo()
        if "EXTERNAL" not in client.esmtp_features["auth"].split():
            return None
        said = base64.b64encode(name.encode()).decode() or "="
        return client.docmd("AUTH", "EXTERNAL " + said)[0]
CA_FILE = '{}'
assert external('{crt}', '{key}', "") == 235
assert external('{crt}', '{key}', "ssha") == 235
assert external('{crt}', '{key}', "argon2") == 535
assert external('{other_crt}', '{other_key}', "") == 535
# Whoever has none, or one that is not good any more, is not offered it, and may log in otherwise.
assert external('{old_crt}', '{old_key}', "") is None
assert external(None, None, "") is None
"#,
        engine.authority.file().display()
    ));
}

/// A Postfix that relays everything to the port for users, as one of them, over TLS that it verifies.
struct Postfix {
    folder: TempDir,
}

impl Postfix {
    fn start(engine: &Engine, user: &str, password: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("mta-").tempdir_in("/tmp").expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("our folder");
        for name in ["config", "queue", "data"] {
            fs::create_dir(folder.path().join(name)).expect("a fresh folder");
        }
        succeed(Command::new("chown").arg("postfix").arg(folder.path().join("data")), b"");
        fs::copy(engine.authority.file(), folder.path().join("ca.crt")).expect("a file");
        let (place, relay) = (folder.path().display(), format!("[localhost]:{}", engine.submit));
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {place}/queue\ndata_directory = {place}/data\n\
             myhostname = postfix.test\nmydestination =\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nalias_maps =\nlocal_recipient_maps =\nrelayhost = {relay}\n\
             maillog_file = {place}/log\nmaillog_file_prefixes = {place}\n\
             smtp_host_lookup = native\nsmtp_tls_security_level = verify\n\
             smtp_tls_CAfile = {place}/ca.crt\nsmtp_sasl_auth_enable = yes\n\
             smtp_sasl_password_maps = inline:{{ {{ {relay} = {user}:{password} }} }}\n\
             smtp_sasl_security_options = noanonymous\nsmtp_tls_loglevel = 1\n"
        );
        fs::write(folder.path().join("config/main.cf"), main).expect("a configuration");
        let services = [
            ("pickup", "unix n - n 60 1 pickup"),
            ("cleanup", "unix n - n - 0 cleanup"),
            ("qmgr", "unix n - n 300 1 qmgr"),
            ("tlsmgr", "unix - - n 1000? 1 tlsmgr"),
            ("rewrite", "unix - - n - - trivial-rewrite"),
            ("bounce", "unix - - n - 0 bounce"),
            ("defer", "unix - - n - 0 bounce"),
            ("trace", "unix - - n - 0 bounce"),
            ("proxymap", "unix - - n - - proxymap"),
            ("smtp", "unix - - n - - smtp"),
            ("error", "unix - - n - - error"),
            ("retry", "unix - - n - - error"),
            ("anvil", "unix - - n - 1 anvil"),
            ("scache", "unix - - n - 1 scache"),
            ("postlog", "unix-dgram n - n - 1 postlogd"),
        ];
        let master = services.map(|(name, rest)| format!("{name} {rest}\n")).concat();
        fs::write(folder.path().join("config/master.cf"), master).expect("a configuration");
        let postfix = Self { folder };
        succeed(&mut postfix.command("/usr/sbin/postfix", "-c", &["start"]), b"");
        postfix
    }

    fn command(&self, program: &str, option: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg(option).arg(self.folder.path().join("config")).args(arguments);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self.command("/usr/sbin/postfix", "-c", &["stop"]).output();
    }
}

#[test]
fn a_real_postfix_sends_as_a_user() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let engine = Engine::new("failure_time: \"1ms\"", MUST);
    let _running = engine.instance.start();
    for (password, want) in [("secret", true), ("wrong", false)] {
        let postfix = Postfix::start(&engine, "crypt6", password);
        let to = ["-f", "crypt6@relais.example", "ssha512@relais.example"];
        let text = b"From: crypt6@relais.example\nSubject: by Postfix\n\nbody\n";
        let sent = run_with(&mut postfix.command("/usr/sbin/sendmail", "-C", &to), text);
        assert!(sent.status.success(), "{sent:?}");
        let word = if want { "status=sent (250 2.0.0" } else { "SASL authentication failed" };
        let said = within(LIMIT, || postfix.log().contains(word));
        assert!(said, "{}", postfix.log());
    }
    eventually("it is delivered", LIMIT, || engine.stored("ssha512").len() == 1);
    assert!(engine.stored("ssha512")[0].contains(" with ESMTPSA id "));
}

#[test]
fn a_user_goes_on_in_another_channel() {
    let other = "sasl: (server: May), saslswitchchannel: \"tcp_auth\"), (name: \"tcp_auth\", tag: \
                 \"auth-daemon\", program: Smtp, sasl: (server: Must), sourceblocklimit: 2000";
    let engine = Engine::new("", other);
    let _running = engine.instance.start();
    engine.python(
        r#"
with smtplib.SMTP("localhost", SUBMIT) as client:
    client.starttls(context=CA)
    client.ehlo()
    assert int(client.esmtp_features["size"]) > 2000
    client.sendmail("a@b.test", ["ssha512@relais.example"], "Subject: x\r\n\r\nfrom a stranger")
    client.login("ssha", "secret")
    client.ehlo()
    assert client.esmtp_features["size"] == "2000"
    client.sendmail("ssha@relais.example", ["ssha512@relais.example"], "Subject: x\r\n\r\nfrom a user")
    assert client.docmd("MAIL FROM:<ssha@relais.example> SIZE=3000")[0] == 552
"#,
    );
    let log = engine.instance.log();
    for channel in ["tcp_submit", "tcp_auth"] {
        assert!(log.contains(&format!("\"source_channel\":\"{channel}\"")), "{log}");
    }
}

#[test]
fn swaks_and_msmtp_log_in() {
    if !needs(&["swaks", "msmtp"]) {
        return;
    }
    let engine = Engine::new("failure_time: \"1ms\"", "sasl: (server: Must, scram: true)");
    let _running = engine.instance.start();
    for mechanism in ["PLAIN", "LOGIN"] {
        for (password, want) in [("secret", true), ("wrong", false)] {
            let mut swaks = Command::new("swaks");
            swaks.args(["--server", &format!("127.0.0.1:{}", engine.submit), "--tls"]);
            swaks.args(["--auth", mechanism, "--auth-user", "ssha", "--auth-password", password]);
            swaks.args(["--from", "ssha@relais.example", "--to", "ssha512@relais.example"]);
            let output = run_with(&mut swaks, b"");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.success(), want, "{mechanism} {password}: {said}");
        }
    }
    for (mechanism, want) in MSMTP {
        let mut msmtp = Command::new("msmtp");
        msmtp.args(["--host=localhost", &format!("--port={}", engine.submits), "--tls=on"]);
        msmtp.args(["--tls-starttls=off", "--from=scram@relais.example", "--user=scram"]);
        msmtp.args([&format!("--auth={mechanism}"), "--passwordeval=echo secret"]);
        msmtp.arg(format!("--tls-trust-file={}", engine.authority.file().display()));
        let text = b"From: scram@relais.example\n\nby msmtp\n";
        let output = run_with(msmtp.arg("ssha512@relais.example"), text);
        assert_eq!(output.status.success(), *want, "{mechanism}: {output:?}");
    }
    let all = 2 + MSMTP.iter().filter(|(_, want)| *want).count();
    eventually("all are delivered", LIMIT, || engine.stored("ssha512").len() == all);
}

#[test]
fn gsasl_binds_its_proof_to_the_connection() {
    if !needs(&["gsasl"]) {
        return;
    }
    let engine = Engine::new("failure_time: \"1ms\"", "sasl: (server: Must, scram: true)");
    let _running = engine.instance.start();
    // It takes no binding only when it is told so.
    for (mechanism, binding) in [("SCRAM-SHA-256-PLUS", None), ("SCRAM-SHA-256", Some("--no-cb"))] {
        for (password, want) in [("secret", true), ("wrong", false)] {
            let mut gsasl = Command::new("gsasl");
            gsasl.args(["--smtp", &format!("--connect=localhost:{}", engine.submit)]);
            gsasl.args([&format!("--mechanism={mechanism}"), "--authentication-id=scram"]);
            gsasl.arg(format!("--password={password}"));
            gsasl.arg(format!("--x509-ca-file={}", engine.authority.file().display()));
            let output = run_with(gsasl.args(binding), b"");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.success(), want, "{mechanism} {password}: {output:?}");
            assert_eq!(said.contains("235 2.7.0"), want, "{mechanism} {password}: {said}");
        }
    }
    let log = engine.instance.log();
    assert!(log.contains("\"mechanism\":\"SCRAM-SHA-256-PLUS\""), "{log}");
}

/// Mechanisms of msmtp, and whether we have them.
const MSMTP: &[(&str, bool)] =
    &[("plain", true), ("login", true), ("scram-sha-256", true), ("cram-md5", false)];
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_user_sends_so_much_in_an_hour_over_whichever_connection() {
    let fields = "sasl: (server: May, without_tls: true), user_messages_per_hour: 2";
    let engine = Engine::new("", fields);
    let _running = engine.instance.start();
    // PLAIN: nobody, ssha or ssha512, secret.
    let users = [("ssha", "AHNzaGEAc2VjcmV0"), ("ssha512", "AHNzaGE1MTIAc2VjcmV0")];
    for (user, initial) in users {
        let address = format!("{user}@relais.example");
        for sent in 0..3 {
            let mut client = Dialogue::open(engine.submit);
            client.ask(&format!("AUTH PLAIN {initial}")).expect(235);
            if sent == 2 {
                let refused = client.ask(&format!("MAIL FROM:<{address}>"));
                refused.expect_start("450 4.7.1 ");
                continue;
            }
            let content = format!("From: {address}\r\nSubject: one of two\r\n\r\nhello\r\n");
            client.message(&address, &[&address], content.as_bytes()).expect(250);
        }
    }
    // Sessions that come to DATA at once count, too; a message that does not come does not.
    let mut sessions: Vec<_> = (0..4)
        .map(|_| {
            let mut client = Dialogue::open(engine.submit);
            client.ask("AUTH PLAIN AGFyZ29uMgBzZWNyZXQ=").expect(235);
            client.ask("MAIL FROM:<argon2@relais.example>").expect(250);
            client.ask("RCPT TO:<argon2@relais.example>").expect(250);
            client
        })
        .collect();
    let codes: Vec<_> = sessions.iter_mut().map(|client| client.ask("DATA").code).collect();
    assert_eq!(codes, [354, 354, 450, 450]);
    sessions.remove(0);
    eventually("one has left", LIMIT, || {
        let mut client = Dialogue::open(engine.submit);
        client.ask("AUTH PLAIN AGFyZ29uMgBzZWNyZXQ=").expect(235);
        client.ask("MAIL FROM:<argon2@relais.example>").code == 250
    });
}

#[test]
fn nothing_comes_before_the_answer_to_a_response() {
    let engine = Engine::new("", "sasl: (server: May, without_tls: true)");
    let _running = engine.instance.start();
    let mut client = Dialogue::open(engine.submit);
    client.ask("AUTH PLAIN").expect(334);
    client.send(b"AHNzaGEAc2VjcmV0\r\nMAIL FROM:<ssha@relais.example>\r\n").expect("a socket");
    client.reply().expect("a reply").expect_start("554 5.5.0");
    assert!(client.is_closed());
}
