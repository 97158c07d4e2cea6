//! The postmaster is always taken (RFC 5321 section 4.5.1), and ends with somebody.

use std::time::Duration;

use relais_tests::{
    Dialogue, Instance, Ldif, Settings, eventually, example, free_port, mailbox, message,
};

const SPELLINGS: [&str; 5] = [
    "postmaster",
    "Postmaster@relais.example",
    "postmaster@localhost",
    "POSTMASTER@[127.0.0.1]",
    "\"postmaster\"@relais.example",
];

/// A directory with alice and this entry.
fn with(entry: &str) -> Ldif {
    let entries = Ldif::file().domain("relais.example", "");
    entries.user("alice", "relais.example", "mailHost: localhost").and(entry)
}

/// The directory's entry, and whether `check` has something to say of it.
fn rows() -> Vec<(&'static str, String, bool)> {
    let user = |uid: &str, rest: &str| {
        format!(
            "\ndn: uid={uid},o=relais.example,dc=example\nobjectClass: inetMailUser\nuid: {uid}\n\
             mail: postmaster@relais.example\n{rest}\n"
        )
    };
    let status =
        |status: &str| user("pm", &format!("mailHost: localhost\nmailUserStatus: {status}"));
    let group = "\ndn: cn=pm,o=relais.example,dc=example\nobjectClass: inetMailGroup\n\
                 mail: postmaster@relais.example\n";
    vec![
        ("nobody", String::new(), false),
        ("inactive", status("inactive"), true),
        ("over quota", status("overquota"), true),
        ("disabled", status("disabled"), true),
        ("no mail host", user("pm", "mailUserStatus: active"), true),
        ("two", user("pm", "mailHost: localhost") + &user("pn", "mailHost: localhost"), true),
        ("a group of nobody", group.to_owned(), true),
        (
            "a broken forward",
            user("pm", "mailDeliveryOption: forward\nmailForwardingAddress: a b"),
            true,
        ),
    ]
}

/// With `autocreate: No`, too, and in spellings of every kind.
#[test]
fn postmaster_reaches_our_own_store_when_the_directory_has_nobody_who_takes_mail() {
    for (name, ldif, told) in rows() {
        let settings = Settings::standalone().edit("autocreate: Inbox", "autocreate: No");
        let instance = with(&ldif).instance(settings);
        let check = instance.relais("check", &[]);
        assert_eq!(check.status.code(), Some(0), "{name}: {check:?}");
        let said = String::from_utf8_lossy(&check.stdout).into_owned()
            + &String::from_utf8_lossy(&check.stderr);
        let words = "the directory has the postmaster, postmaster@relais.example, and no mail is taken there (";
        assert_eq!(said.contains(words), told, "{name}: {said}");

        let running = instance.start();
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask("MAIL FROM:<>").expect(250);
        for to in SPELLINGS {
            let reply = client.ask(&format!("RCPT TO:<{to}>"));
            assert_eq!(reply.code, 250, "{name}: {to}: {}", reply.text);
        }
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("alice@relais.example", &["postmaster"], &message("pm", 500)).expect(250);
        let boxes = || mailbox(&instance.store(), "relais.example", "postmaster").len();
        eventually(&format!("{name}: it is there"), PATIENCE, || boxes() == 1);
        eventually(&format!("{name}: nothing is left"), PATIENCE, || instance.queue().is_empty());
        running.kill();
    }
}

#[test]
fn the_configured_postmaster_stands_in_before_our_own_store() {
    let settings = Settings::standalone().section("notary: (postmaster: \"alice@relais.example\")");
    let (_, ldif, _) = rows().remove(1);
    let instance = with(&ldif).instance(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("", &["postmaster@relais.example"], &message("pm", 500)).expect(250);
    let boxes = || mailbox(&instance.store(), "relais.example", "alice").len();
    eventually("it is there", PATIENCE, || boxes() == 1);
}

#[test]
fn postmaster_is_taken_without_a_directory_and_waits_for_somebody() {
    let (start, end) = ("delivery_options: [", "\"#*forward=**\",\n    ],");
    let settings = Settings::standalone()
        .edit("directory: Ldif(),", "")
        .edit(start, "/* delivery_options: [")
        .edit(end, "\"#*forward=**\",\n    ], */");
    let instance = Instance::new(settings);
    let check = instance.relais("check", &[]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned()
        + &String::from_utf8_lossy(&check.stderr);
    assert!(said.contains("leads nowhere: nobody is postmaster"), "{said}");
    let _running = instance.start();
    for to in SPELLINGS {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("", &[to], &message("pm", 500)).expect(250);
    }
    eventually("all are held", PATIENCE, || {
        let queue = instance.queue();
        queue.len() == SPELLINGS.len() && queue.iter().all(|entry| entry["state"] == "held")
    });
}

/// A name that the local channel does not know is for its transport to know.
#[test]
fn postmaster_is_taken_by_the_sample_after_postfix() {
    let (smtp, admin) = (free_port(), free_port());
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let text = example("postfix")
        .replace("ports: [25]", &format!("ports: [{smtp}]"))
        .replace("127.0.0.1:9225", &format!("127.0.0.1:{admin}"))
        .replace("/var/lib/relais", &data.display().to_string());
    let file = directory.path().join("relais.ron");
    std::fs::write(&file, text).expect("room");
    let mut relais = std::process::Command::new(relais_tests::program());
    let mut running = relais.arg("run").arg("--config").arg(&file).spawn().expect("relais");
    eventually("it listens", PATIENCE, || Dialogue::connect(smtp).is_ok());
    let mut client = Dialogue::open(smtp);
    client.ask("MAIL FROM:<>").expect(250);
    let replies = [
        "postmaster",
        "postmaster@mail.example.org",
        "postmaster@example.org",
        "postmaster@localhost",
        "Postmaster@[127.0.0.1]",
    ]
    .map(|to| client.ask(&format!("RCPT TO:<{to}>")).code);
    let alice = client.ask("RCPT TO:<alice@example.org>").code;
    running.kill().expect("it runs");
    running.wait().expect("it ends");
    assert_eq!((replies, alice), ([250; 5], 250));
}

const PATIENCE: Duration = Duration::from_secs(60);
