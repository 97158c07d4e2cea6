//! How the LMTP clients of others take the replies of our store for each recipient (table 16-1 of the
//! original): who is tried again, who is returned, and what a client loses by its own mistakes.

use std::{fs, process::Command, time::Duration};

use relais_tests::{
    Exim, Instance, LmtpPlace, Postfix, Running, Settings, mailbox, needs, needs_root, python,
    run_with, succeed, unpacked, within,
};

const LIMIT: Duration = Duration::from_secs(60);
const TEXT: &str = "From: a@client.test\nSubject: x\n\ntext\n";

/// A store that knows alice, bob, full (over quota) and bad (no mailbox where one should be), for clients
/// that are no relays of ours.
fn store() -> (Instance, Running) {
    let settings = Settings::standalone()
        .edit("autocreate: Inbox", "autocreate: No, default_quota: (size: \"64KiB\")")
        .edit("program: Lmtp, flagtransfer: true", "program: Lmtp");
    let instance = Instance::new(settings);
    let domain = instance.store().join("relais.example");
    for sub in ["cur", "new", "tmp"] {
        for user in ["alice", "bob", "full"] {
            fs::create_dir_all(domain.join(user).join("Maildir").join(sub)).expect("room");
        }
    }
    fs::write(domain.join("full/Maildir/new/1.M1P1.filler"), "x".repeat(70_000)).expect("room");
    fs::create_dir_all(domain.join("bad/Maildir")).expect("room");
    fs::write(domain.join("bad/Maildir/new"), "no directory").expect("room");
    let running = instance.start();
    (instance, running)
}

fn at(user: &str) -> String {
    format!("{user}@relais.example")
}

/// Messages in these mailboxes.
fn stored<const N: usize>(instance: &Instance, users: [&str; N]) -> [usize; N] {
    users.map(|user| mailbox(&instance.store(), "relais.example", user).len())
}

/// One transaction, and one for a message that no mailbox takes.
fn submit_all(submit: impl Fn(&[&str], &[u8])) {
    let to = ["alice", "full", "bad", "nobody"].map(at);
    submit(&to.each_ref().map(String::as_str), TEXT.as_bytes());
    submit(&[&at("bob")], TEXT.replace("text", "te\0xt").as_bytes());
}

#[test]
fn postfix_defers_and_returns_each_by_its_own_reply() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let (instance, _running) = store();
    let postfix = Postfix::start(LmtpPlace::Port(instance.settings.lmtp));
    submit_all(|to, content| postfix.submit(to, content));
    let rows = [
        ("alice", "dsn=2.5.0, status=sent", "250 2.5.0 alice@relais.example OK"),
        ("full", "dsn=4.2.2, status=deferred", "said: 422 4.2.2 Quota Exceeded"),
        ("bad", "dsn=4.2.0, status=deferred", "said: 420 4.2.0 Mailbox Bad Formats"),
        ("nobody", "dsn=5.1.1, status=bounced", "said: 511 5.1.1 mailbox nonexistent"),
        ("bob", "dsn=5.6.0, status=bounced", "560 5.6.0 bob@relais.example message contains null"),
    ];
    for (user, how, reply) in rows {
        let to = format!("to=<{user}@");
        let line = || postfix.log().lines().find(|line| line.contains(&to)).map(str::to_owned);
        assert!(within(LIMIT, || line().is_some()), "{user}:\n{}", postfix.log());
        let line = line().unwrap_or_default();
        assert!(line.contains(how) && line.contains(reply), "{user}: {line}\n{}", postfix.log());
    }
    assert_eq!(stored(&instance, ["alice", "bob"]), [1, 0]);
}

#[test]
fn exim_defers_and_returns_each_by_its_own_reply() {
    if !needs_root() {
        return;
    }
    let (instance, _running) = store();
    let Some(exim) = Exim::new(LmtpPlace::Port(instance.settings.lmtp)) else { return };
    submit_all(|to, content| exim.submit(to, content));
    exim.run_queue();
    let rows = [
        ("=> alice@", "250 2.5.0 alice@relais.example OK"),
        ("== full@", "422 4.2.2 Quota Exceeded"),
        ("== bad@", "420 4.2.0 Mailbox Bad Formats"),
        ("** nobody@", "511 5.1.1 mailbox nonexistent"),
        ("** bob@", "560 5.6.0 bob@relais.example message contains null"),
    ];
    let log = exim.log();
    for (how, reply) in rows {
        let line = log.lines().find(|line| line.contains(how));
        assert!(line.is_some_and(|line| line.contains(reply)), "{how} {reply}:\n{log}");
    }
    assert_eq!(stored(&instance, ["alice", "bob"]), [1, 0]);
}

/// Programs that deliver and end: recipients, exit status, messages that alice has then.
type Rows = [(&'static [&'static str], i32, usize)];

#[track_caller]
fn ends(name: &str, rows: &Rows, command: impl Fn(u16, &[String]) -> Command) {
    let (instance, _running) = store();
    for (users, status, want) in rows {
        let to: Vec<_> = users.iter().map(|user| at(user)).collect();
        let output = run_with(&mut command(instance.settings.lmtp, &to), TEXT.as_bytes());
        assert_eq!(output.status.code(), Some(*status), "{name} to {users:?}: {output:?}");
        assert_eq!(stored(&instance, ["alice"]), [*want], "{name} to {users:?}");
    }
}

/// It knows no refusal for good: what the store refuses so stays in smtpd's queue until its life ends.
#[test]
fn opensmtpds_mail_lmtp_tries_everything_again() {
    let Some(lmtp) = unpacked("usr/libexec/opensmtpd/mail.lmtp").filter(|_| needs_root()) else {
        return;
    };
    let rows: &Rows = &[
        (&["alice"], 0, 1),
        (&["full"], 75, 1),
        (&["bad"], 75, 1),
        (&["nobody"], 75, 1),
        (&["alice"], 0, 2),
    ];
    ends("mail.lmtp", rows, |port, to| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]);
        command.arg(&lmtp).args(["-d", &format!("127.0.0.1:{port}"), "-f", "a@client.test", "-r"]);
        command.env("RECIPIENT", &to[0]).env("SENDER", "a@client.test");
        command
    });
}

/// It tells no refusal for now from one for good.
#[test]
fn msmtp_fails_where_one_of_several_is_refused() {
    if !needs(&["msmtp"]) {
        return;
    }
    let rows: &Rows = &[
        (&["alice"], 0, 1),
        (&["full"], 69, 1),
        (&["nobody"], 69, 1),
        (&["alice", "full"], 69, 2),
        (&["alice", "bob"], 0, 3),
    ];
    ends("msmtp", rows, |port, to| {
        let mut command = Command::new("msmtp");
        command.args(["--protocol=lmtp", "--host=127.0.0.1", &format!("--port={port}")]);
        command.args(["--tls=off", "--auth=off", "--from=a@client.test", "--"]).args(to);
        command
    });
}

#[test]
fn swaks_reads_every_reply_and_is_content_with_one() {
    if !needs(&["swaks"]) {
        return;
    }
    let rows: &Rows = &[
        (&["alice"], 0, 1),
        (&["full"], 26, 1),
        (&["nobody"], 26, 1),
        (&["alice", "full", "nobody"], 0, 2),
    ];
    ends("swaks", rows, |port, to| {
        let mut command = Command::new("swaks");
        command.args(["--protocol", "LMTP", "--server", &format!("127.0.0.1:{port}")]);
        command.args(["--from", "a@client.test", "--to", &to.join(","), "--data", "-"]);
        command
    });
}

/// It reads one reply however many recipients there are, and takes each of the others for that to its
/// next command: an error that it tells, and no message is lost or stored twice by it.
#[test]
fn pythons_lmtp_is_out_of_step_behind_two_recipients_and_is_told_so() {
    if !needs(&["python3"]) {
        return;
    }
    let (instance, _running) = store();
    let said = python(&format!(
        r#"
import smtplib
def send(client, *to):
    try:
        return client.sendmail("a@client.test", [f"{{user}}@relais.example" for user in to], "Subject: x\r\n\r\nx\r\n")
    except smtplib.SMTPException as error:
        return type(error).__name__, error.smtp_code
for second in ["bob", "full"]:
    with smtplib.LMTP("127.0.0.1", {}) as client:
        print(send(client, "alice"), send(client, "alice", second), send(client, "alice"))
        client.close()
"#,
        instance.settings.lmtp
    ));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines, ["{} {} ('SMTPDataError', 250)", "{} {} ('SMTPSenderRefused', 422)"]);
    assert_eq!(stored(&instance, ["alice", "bob", "full"]), [4, 1, 1]);
}

/// It resolves its promise whatever the replies behind the dot are.
#[test]
fn nodemailer_lists_who_was_refused() {
    if !needs(&["node", "/usr/share/nodejs/nodemailer/package.json"]) {
        return;
    }
    let (instance, _running) = store();
    let script = r#"
const mail = require("/usr/share/nodejs/nodemailer");
const [port, ...users] = process.argv.slice(1);
const transport = mail.createTransport({lmtp: true, host: "127.0.0.1", port: Number(port), ignoreTLS: true});
const to = users.map((user) => user + "@relais.example");
transport.sendMail({envelope: {from: "a@client.test", to}, raw: "Subject: x\r\n\r\nx\r\n"}).then(
    (info) => console.log("accepted", info.accepted.join(), "rejected", (info.rejected || []).join()),
    (error) => console.log("error", error.responseCode));
"#;
    let rows: [(&[&str], &str); 3] = [
        (&["alice"], "accepted alice@relais.example rejected"),
        (
            &["alice", "full", "nobody"],
            "accepted alice@relais.example rejected full@relais.example,nobody@relais.example",
        ),
        (&["nobody"], "accepted  rejected nobody@relais.example"),
    ];
    for (users, want) in rows {
        let mut node = Command::new("node");
        node.args(["-e", script, "--", &instance.settings.lmtp.to_string()]).args(users);
        let said = succeed(&mut node, b"");
        assert_eq!(said.trim_end(), want, "{users:?}");
    }
    assert_eq!(stored(&instance, ["alice"]), [2]);
}
