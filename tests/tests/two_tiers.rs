//! The shipped front end before the shipped back end, with a real `OpenLDAP` server: as the two files
//! stand, ports and paths replaced.

use std::time::Duration;

use relais_tests::{
    Authority, Dialogue, Instance, Ldif, Settings, Slapd, eventually, free_port, mailbox,
    maildir_folder, message, message_ids, needs, python, scripts,
};

/// Users of the root, the organization siroe.com, and of another domain; and a domain that two claim.
fn entries() -> Ldif {
    let claim = |name: &str, attribute: &str| {
        format!(
            "dn: o={name},dc=siroe,dc=com\nobjectClass: organization\n\
             objectClass: sunManagedOrganization\no: {name}\n{attribute}: twice.test\n"
        )
    };
    let user = |entries: Ldif, uid: &str, domain: &str, more: &str| {
        entries.user(uid, domain, &format!("userPassword: pw of {uid}\n{more}"))
    };
    let entries = Ldif::slapd()
        .domain("sesta.com", "")
        .and(&claim("one", "sunPreferredDomain"))
        .and(&claim("two", "associatedDomain"));
    let entries = user(entries, "jdoe", "siroe.com", "mailHost: localhost");
    let jane = "mailHost: localhost\nmailAlternateAddress: jane.doe@sesta.com";
    let entries = user(entries, "jane", "sesta.com", jane);
    let entries = user(entries, "bob", "siroe.com", "mailHost: localhost");
    let entries = user(entries, "old", "siroe.com", "mailHost: store9.siroe.com");
    let held = "mailHost: localhost\nmailUserStatus: hold";
    let entries = user(entries, "held", "siroe.com", held);
    let jane = entries.dn("jane", "sesta.com");
    let members = format!("uniqueMember: {jane}\nmgrpRFC822MailMember: bob@siroe.com");
    entries.group("team", "siroe.com", &members)
}

/// The channel towards the stores as the samples have it: `defragment`, and `fileinto: "@$4O:$U+$S@$D"`.
#[test]
fn a_script_files_mail_and_forty_pieces_arrive_whole_behind_the_samples() {
    if !needs(&[Slapd::PROGRAM]) {
        return;
    }
    let script =
        "require \"fileinto\"; if header :contains \"subject\" \"work\" { fileinto \"Work\"; }";
    let scripted = format!("mailHost: localhost{}", scripts(&[script]));
    let people = Ldif::slapd().user("jdoe", "siroe.com", &scripted);
    let slapd = Slapd::start(people.text());
    let store = Instance::new(Settings::store());
    let _store = store.start();
    let relay = Instance::new(Settings::relay(free_port(), store.settings.lmtp, &slapd));
    Authority::new(relay.data()).sign("relay1", &["localhost"], 2099);
    let _relay = relay.start();
    let send = |content: &str| {
        let mut client = Dialogue::connect_from([127, 0, 2, 1], relay.settings.smtp).unwrap().0;
        client.ask("EHLO mx.sender.test").expect(250);
        client.message("a@sender.test", &["jdoe@siroe.com"], content.as_bytes()).expect(250);
    };
    let has = |folder: &str, id: &str| {
        let folder = maildir_folder(&store.store(), ("jdoe", "siroe.com"), folder);
        message_ids(&folder).iter().any(|its| its == id)
    };
    send("Message-ID: <1@t>\r\nSubject: for work\r\n\r\nx\r\n");
    send("Message-ID: <2@t>\r\nSubject: else\r\n\r\nx\r\n");
    eventually("the folder", PATIENCE, || has("Work", "1@t") && has("", "2@t"));

    let piece = |number: usize| {
        let total = if number == 40 { "; total=40" } else { "" };
        let header = "Message-ID: <whole@t>\r\nSubject: work\r\n\r\n";
        let within = if number == 1 { header } else { "" };
        format!(
            "Message-ID: <{number}@p>\r\nSubject: work ({number}/40)\r\nMIME-Version: 1.0\r\n\
             Content-Type: message/partial; id=\"a@t\"; number={number}{total}\r\n\r\n{within}line {number}\r\n"
        )
    };
    for number in (1..=40).rev().filter(|number| *number != 17) {
        send(&piece(number));
    }
    eventually("all but one wait", PATIENCE, || relay.queue().len() == 39);
    send(&piece(17));
    eventually("the whole in its folder", PATIENCE, || has("Work", "whole@t"));
    eventually("nothing waits", PATIENCE, || relay.queue().is_empty());
    let folder = maildir_folder(&store.store(), ("jdoe", "siroe.com"), "Work");
    assert_eq!(message_ids(&folder).len(), 2);
}

#[test]
fn the_relay_and_the_store_of_the_samples_carry_mail_between_them() {
    if !needs(&[Slapd::PROGRAM]) {
        return;
    }
    let slapd = Slapd::start(entries().text());
    let store = Instance::new(Settings::store());
    let _store = store.start();
    let submit = free_port();
    let relay = Instance::new(Settings::relay(submit, store.settings.lmtp, &slapd));
    let authority = Authority::new(relay.data());
    authority.sign("relay1", &["localhost"], 2099);
    let _relay = relay.start();

    // From the Internet: to users of both domains, to a folder, to a list, to nobody, and elsewhere.
    let (mut stranger, greeting) =
        Dialogue::connect_from([127, 0, 2, 1], relay.settings.smtp).expect("a connection");
    greeting.expect(220);
    stranger.ask("EHLO mx.sender.test").expect(250);
    let to = ["jdoe+Work@siroe.com", "jane.doe@SESTA.com", "team@siroe.com", "held@siroe.com"];
    stranger.message("a@sender.test", &to, &message("m1", 500)).expect(250);
    stranger.ask("MAIL FROM:<a@sender.test>").expect(250);
    stranger.ask("RCPT TO:<nobody@siroe.com>").expect_start("550 5.1.1");
    let refused = stranger.ask("RCPT TO:<a@elsewhere.test>");
    refused.expect_start("550 5.7.1 Relaying not permitted");
    stranger.ask("RCPT TO:<old@siroe.com>").expect(250);
    stranger.ask("RSET").expect(250);
    let count = |domain: &str, user: &str| mailbox(&store.store(), domain, user).len();
    eventually("each has one, of a list or not", PATIENCE, || {
        count("siroe.com", "bob") == 1 && count("sesta.com", "jane") == 1
    });
    // The store makes no folder that the user did not: Work is not there.
    eventually("what is for a folder", PATIENCE, || count("siroe.com", "jdoe") == 1);
    assert!(relay.queue().iter().any(|entry| entry["state"] == "held"), "{:?}", relay.queue());

    // Two organizations claim one domain: an administrator has to mend that, and is told.
    let told = relay.relais("route", &["a@twice.test"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("no answer: domain twice.test has several entries"), "{told}");
    assert!(relay.log().contains("domain twice.test has several entries"));

    // From a user: behind TLS and a login, in no name but one's own.
    let script = format!(
        r#"
import smtplib, ssl
CA = ssl.create_default_context(cafile='{}')
with smtplib.SMTP("localhost", {submit}) as client:
    client.ehlo()
    assert client.docmd("MAIL FROM:<jane@sesta.com>")[0] == 530
    client.starttls(context=CA)
    client.ehlo()
    assert client.docmd("MAIL FROM:<jane@sesta.com>")[0] == 530
    client.login("jane@sesta.com", "pw of jane")
    client.sendmail("jane@sesta.com", ["jdoe@siroe.com"], "From: jane@sesta.com\r\nSubject: x\r\n\r\nx\r\n")
    try:
        client.sendmail("jdoe@siroe.com", ["jdoe@siroe.com"], "From: jdoe@siroe.com\r\n\r\nx\r\n")
        assert False, "in another's name"
    except smtplib.SMTPSenderRefused as error:
        assert error.smtp_code == 553
"#,
        authority.file().display()
    );
    python(&script);
    eventually("a user's mail", PATIENCE, || count("siroe.com", "jdoe") == 2);
}

const PATIENCE: Duration = Duration::from_secs(40);
