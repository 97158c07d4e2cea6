//! Mail that is routed again by the reprocess channel: it knows who had logged in, and gets what a list
//! adds to its mail.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use relais_tests::{
    Dialogue, Instance, Load, Random, Running, Settings, Sink, eventually, free_port, mailbox,
    succeed,
};

const ORGANIZATION: &str = "o=relais.example,dc=example";
const MINUTE: Duration = Duration::from_secs(60);
/// Of the password `secret`.
const HASH: &str = "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0";

fn user(uid: &str) -> String {
    format!(
        "dn: uid={uid},{ORGANIZATION}\nobjectClass: inetMailUser\nuid: {uid}\nmail: \
         {uid}@relais.example\nmailHost: localhost\nuserPassword: {HASH}\n\n"
    )
}

/// A list whose attributes are parted by `; `.
fn list(name: &str, attributes: &str) -> String {
    let attributes = attributes.replace("; ", "\n");
    format!(
        "dn: cn={name},{ORGANIZATION}\nobjectClass: inetMailGroup\nmail: \
         {name}@relais.example\n{attributes}\n\n"
    )
}

/// The sample with three users and these lists.
fn instance(lists: &[String], settings: Settings) -> Instance {
    let settings = settings
        .edit("directory: Ldif()", "directory: Ldif(file: \"people.ldif\")")
        .channel("tcp_local", "sasl: (server: May, without_tls: true)");
    let instance = Instance::new(settings);
    let mut people = format!(
        "dn: {ORGANIZATION}\nobjectClass: sunManagedOrganization\nsunPreferredDomain: \
         relais.example\n\n"
    );
    people.extend(["ann", "bob", "cat"].map(user));
    people.extend(lists.iter().map(String::as_str));
    fs::create_dir_all(instance.data()).unwrap();
    fs::write(instance.data().join("people.ldif"), people).unwrap();
    instance
}

fn started(lists: &[String]) -> (Instance, Running) {
    let instance = instance(lists, Settings::standalone());
    let running = instance.start();
    (instance, running)
}

fn log_in(client: &mut Dialogue, uid: &str) {
    let octets = format!("\0{uid}@relais.example\0secret");
    let mut base64 = std::process::Command::new("base64");
    let initial = succeed(base64.arg("-w0"), octets.as_bytes());
    client.ask("EHLO client.example").expect(250);
    client.ask(&format!("AUTH PLAIN {}", initial.trim())).expect(235);
}

/// The messages of a user.
fn stored(instance: &Instance, uid: &str) -> Vec<String> {
    let all = mailbox(&instance.store(), "relais.example", uid).into_iter();
    all.map(|octets| String::from_utf8(octets).unwrap()).collect()
}

fn count(instance: &Instance, uid: &str) -> usize {
    stored(instance, uid).len()
}

/// The only message of a user with this text in it, from the field `name` on.
#[track_caller]
fn from_field(instance: &Instance, uid: &str, (text, name): (&str, &str)) -> String {
    let find = || stored(instance, uid).into_iter().filter(|its| its.contains(text));
    eventually("the message arrives", MINUTE, || find().count() == 1);
    let message = find().next().unwrap();
    let at = message.find(&format!("\r\n{name}: ")).unwrap_or_else(|| panic!("{message}"));
    message[at + 2..].to_owned()
}

const MEMBERS: &str =
    "mgrpRFC822MailMember: ann@relais.example; mgrpRFC822MailMember: cat@relais.example";
const LINES: &str = "mgrpAddHeader: List-Id: <l.relais.example>; mgrpRemoveHeader: X-Spam; \
                     mgrpMsgPrefixText: To all; mgrpMsgSuffixText: -- ; mgrpMsgSuffixText: The list";

#[test]
fn a_list_that_is_looked_up_later_makes_its_changes_then() {
    let lists = [
        list("later", &format!("{MEMBERS}; {LINES}; mailDeferProcessing: yes")),
        list("large", &format!("{MEMBERS}; {LINES}; mailDeferProcessing: yes")),
        // The changes of the outer list are made at once, those of the inner one later.
        list(
            "outer",
            "mgrpRFC822MailMember: later@relais.example; mgrpRFC822MailMember: bob@relais.example; \
             mgrpAddHeader: X-Outer: yes; mgrpMsgPrefixText: Outside",
        ),
    ];
    let (instance, _running) = started(&lists);
    let mut client = Dialogue::open(instance.settings.smtp);
    let header = "X-Begin: 1\r\nX-Spam: 10\r\nFrom: <x@y.test>\r\n";
    for (to, filler) in [("later", 10), ("large", 600 << 10), ("outer", 10)] {
        let body = "line\r\n".repeat(filler / 6);
        let mail = format!("{header}Subject: {to}\r\n\r\n{body}");
        let to_list = format!("{to}@relais.example");
        client.message("x@y.test", &[&to_list], mail.as_bytes()).expect(250);
        let (outer, outside) =
            if to == "outer" { ("X-Outer: yes\r\n", "Outside\r\n") } else { ("", "") };
        let lists = format!(
            "List-Id: <l.relais.example>\r\n{outer}{}Subject: {to}\r\n\r\nTo all\r\n{outside}{body}--\r\nThe list\r\n",
            header.replace("X-Spam: 10\r\n", "")
        );
        for uid in ["ann", "cat"] {
            let got = from_field(&instance, uid, (&format!("Subject: {to}\r\n"), "List-Id"));
            assert!(got == lists, "{uid} {to}: {:?}", &got[..got.len().min(500)]);
        }
        if to == "outer" {
            let got = from_field(&instance, "bob", ("Subject: outer", "X-Outer"));
            assert_eq!(got, format!("{outer}{header}Subject: {to}\r\n\r\n{outside}{body}"));
        }
    }
    eventually("the queue is empty", MINUTE, || instance.queue().is_empty());
    let large = instance.data().join("spool/large");
    eventually("no content is left", MINUTE, || fs::read_dir(&large).unwrap().count() == 0);
}

/// Addresses of headers are treated for the channel that mail leaves by, and once.
#[test]
fn headers_are_treated_for_the_channel_that_is_found_later() {
    let lists = [list("later", &format!("{MEMBERS}; mailDeferProcessing: yes"))];
    let settings = Settings::standalone()
        .edit(
            "rewrite_rules: [",
            "rewrite_rules: [\n (\"old.test\", \"$B$U.x%old.test@lmtpcs-daemon\"),",
        )
        .channel("tcp_lmtpcs", "header_rules: true");
    let instance = instance(&lists, settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let mail = b"X-Begin: 1\r\nFrom: A <a@old.test>\r\n\r\na@old.test\r\n";
    let to = ["later@relais.example", "bob@relais.example"];
    client.message("x@y.test", &to, mail).expect(250);
    for uid in ["ann", "bob", "cat"] {
        let got = from_field(&instance, uid, ("X-Begin", "X-Begin"));
        assert_eq!(got, "X-Begin: 1\r\nFrom: A <a.x@old.test>\r\n\r\na@old.test\r\n", "{uid}");
    }
}

#[test]
fn a_list_within_one_that_waits_knows_who_had_logged_in() {
    let lists = [
        list("login", "mgrpRFC822MailMember: cat@relais.example; mgrpBroadcasterPolicy: AUTH_REQ"),
        list("outer", "mgrpRFC822MailMember: login@relais.example; mailDeferProcessing: yes"),
        list(
            "annonly",
            "mgrpRFC822MailMember: cat@relais.example; mgrpBroadcasterPolicy: AUTH_REQ; \
             mgrpAllowedBroadcaster: mailto:ann@relais.example",
        ),
        list("second", "mgrpRFC822MailMember: annonly@relais.example; mailDeferProcessing: yes"),
    ];
    let (instance, _running) = started(&lists);
    let mail = |name: &str| format!("Subject: {name}\r\n\r\nx\r\n").into_bytes();
    let mut stranger = Dialogue::open(instance.settings.smtp);
    stranger.message("bob@relais.example", &["outer@relais.example"], &mail("m")).expect(250);
    eventually("bob hears of it", MINUTE, || count(&instance, "bob") == 1);
    assert!(stored(&instance, "bob")[0].contains("550 5.7.2"));
    for (uid, to, arrives) in
        [("ann", "outer", true), ("ann", "second", true), ("cat", "second", false)]
    {
        let mut client = Dialogue::open(instance.settings.smtp);
        log_in(&mut client, uid);
        let (before, told) = (count(&instance, "cat"), count(&instance, "bob"));
        let to = format!("{to}@relais.example");
        client.message("bob@relais.example", &[&to], &mail(uid)).expect(250);
        let one_more = usize::from(arrives);
        eventually("it arrives, or bob hears of it", MINUTE, || {
            count(&instance, "cat") == before + one_more
                && count(&instance, "bob") == told + 1 - one_more
        });
    }
}

/// The address stays what it is, and nobody was asked who posts while the client was there.
#[test]
fn a_list_that_a_rule_sends_round_is_asked_behind_it() {
    let lists = [list(
        "closed",
        "mgrpRFC822MailMember: cat@relais.example; mgrpAllowedBroadcaster: ann@relais.example",
    )];
    for channel in ["process", "hold"] {
        let ours = "mappings: {\n \"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")],";
        let rule = format!("(\"$*\", \"$A$E$F$U%$H@{channel}-daemon$Mtcp_local\")");
        let settings = Settings::standalone()
            .edit("mappings: {", ours)
            .edit("rewrite_rules: [", &format!("rewrite_rules: [\n {rule},"));
        let instance = instance(&lists, settings);
        let _running = instance.start();
        let mut client = Dialogue::open(instance.settings.smtp);
        let mail = b"Subject: m\r\n\r\nx\r\n";
        for sender in ["bob@relais.example", "ann@relais.example"] {
            client.message(sender, &["closed@relais.example"], mail).expect(250);
        }
        if channel == "hold" {
            eventually("both are held", MINUTE, || instance.queue().len() == 2);
            instance.relais("queue", &["release", "--all"]);
        }
        eventually("bob hears of it", MINUTE, || count(&instance, "bob") == 1);
        assert!(
            stored(&instance, "bob")[0].contains("550 5.7.2"),
            "{:?}",
            stored(&instance, "bob")
        );
        eventually("ann's arrives", MINUTE, || count(&instance, "cat") == 1);
        eventually("the queue is empty", MINUTE, || instance.queue().is_empty());
        assert_eq!((count(&instance, "bob"), count(&instance, "cat")), (1, 1), "{channel}");
    }
}

/// Lists with passwords.
fn secret_lists() -> [String; 5] {
    let cat = "mgrpRFC822MailMember: cat@relais.example";
    [
        list(
            "secret",
            &format!("{cat}; mgrpAuthPassword: open sesame; mgrpMsgRejectText: Say the word"),
        ),
        list("hashed", &format!("{cat}; mgrpAuthPassword: {HASH}")),
        list(
            "moderated",
            &format!(
                "{cat}; mgrpAuthPassword: x; mgrpModerator: ann@relais.example; \
                 mgrpMsgRejectAction: TOMODERATOR"
            ),
        ),
        list(
            "outer",
            "mgrpRFC822MailMember: ann@relais.example; mgrpRFC822MailMember: secret@relais.example",
        ),
        list("none", &format!("{cat}; mgrpBroadcasterPolicy: PASSWORD_REQUIRED")),
    ]
}

#[test]
fn the_password_of_a_list_stands_in_the_header_and_goes_no_further() {
    let (instance, _running) = started(&secret_lists());
    let mut client = Dialogue::open(instance.settings.smtp);
    let right = "APPROVED:  open sesame \r\n";
    let large = "x\r\n".repeat(100 << 10);
    // list, fields, body, who gets it, and whether the sender hears of a refusal
    let rows = [
        ("secret", right, "x\r\n", "cat", false),
        ("secret", "Approved: open\r\n\tsesame\r\n", "x\r\n", "", true),
        ("secret", "Approved: wrong\r\nApproved: open sesame\r\n", "x\r\n", "", true),
        ("secret", "", "Approved: open sesame\r\n", "", true),
        ("secret", right, &large, "cat", false),
        (
            "secret",
            "DKIM-Signature: v=1; h=approved\r\nApproved: open sesame\r\n",
            "x\r\n",
            "cat",
            false,
        ),
        ("hashed", "Approved: secret\r\n", "x\r\n", "cat", false),
        ("hashed", "Approved: Secret\r\n", "x\r\n", "", true),
        ("moderated", "Approved: y\r\n", "x\r\n", "ann", false),
        ("outer", right, "x\r\n", "ann cat", false),
        ("outer", "Approved: y\r\n", "x\r\n", "ann", true),
    ];
    let mut told = 0;
    for (n, (to, fields, body, gets, is_told)) in rows.into_iter().enumerate() {
        let subject = format!("Subject: m{n}.\r\n");
        let mail = format!("X-Begin: 1\r\n{fields}{subject}\r\n{body}");
        let to = format!("{to}@relais.example");
        client.message("bob@relais.example", &[&to], mail.as_bytes()).expect(250);
        for uid in gets.split(' ').filter(|uid| !uid.is_empty()) {
            let got = from_field(&instance, uid, (&subject, "X-Begin"));
            let signature = fields.split_inclusive("\r\n").find(|field| field.starts_with("DKIM"));
            let want =
                format!("X-Begin: 1\r\n{}{subject}\r\n{body}", signature.unwrap_or_default());
            assert!(got == want, "{n}: {:?}", &got[..got.len().min(300)]);
        }
        told += usize::from(is_told);
        eventually("the sender hears of it", MINUTE, || count(&instance, "bob") == told);
        eventually("the queue is empty", MINUTE, || instance.queue().is_empty());
        for uid in ["ann", "cat"] {
            let has = stored(&instance, uid).iter().any(|its| its.contains(&subject));
            assert_eq!(has, gets.contains(uid), "{n} {uid}");
        }
    }
    assert!(
        stored(&instance, "bob").iter().any(|notice| notice.contains("550 5.7.2 Say the word"))
    );
    let log = instance.log();
    assert!(!log.contains("sesame"), "{log}");
    client.ask("RSET").expect(250);
    client.ask("MAIL FROM:<bob@relais.example>").expect(250);
    client.ask("RCPT TO:<none@relais.example>").expect_start("550 5.7.2");
    let route = instance.relais("route", &["--from", "x@y.test", "secret@relais.example"]);
    let told = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(told.contains("goes to reprocess: the password stands in the header"), "{told}");
}

#[test]
fn texts_of_a_list_are_put_into_the_first_text() {
    let lists = [
        list(
            "texts",
            "mgrpRFC822MailMember: cat@relais.example; mgrpMsgPrefixText: Before=; mgrpMsgSuffixText: Behind",
        ),
        list(
            "umlaut",
            "mgrpRFC822MailMember: cat@relais.example; mgrpMsgPrefixText:: R3LDvMOfZQ==",
        ),
    ];
    let (instance, _running) = started(&lists);
    let mut client = Dialogue::open(instance.settings.smtp);
    let part = "Content-Type: text/plain";
    let qp = "Content-Transfer-Encoding: quoted-printable\r\n";
    let html = "--i\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--i--\r\n";
    let multipart = "Content-Type: multipart/alternative; boundary=i\r\n\r\n";
    let large = "line\r\n".repeat(100 << 10);
    // `«` and `»` are where the texts go.
    let rows = [
        ("texts", "\r\n«x\r\n.\r\n»".to_owned(), "Before=\r\n"),
        ("texts", format!("\r\n«{large}»"), "Before=\r\n"),
        ("texts", format!("{part}\r\n{qp}\r\n«x=20\r\n»"), "Before=3D\r\n"),
        ("texts", format!("{multipart}--i\r\n{part}\r\n\r\n«x\r\n»{html}"), "Before=\r\n"),
        ("texts", format!("{multipart}--i\r\n{part}\r\n{qp}\r\n«x\r\n»{html}"), "Before=3D\r\n"),
        ("texts", "DKIM-Signature: v=1\r\n\r\nx\r\n".to_owned(), ""),
        ("texts", "Content-Type: text/html\r\n\r\n<p>x\r\n".to_owned(), ""),
        ("umlaut", format!("{part}; charset=utf-8\r\n{qp}\r\n«x\r\n"), "Gr=C3=BC=C3=9Fe\r\n"),
        ("umlaut", format!("{part}; charset=utf-8\r\n\r\nx\r\n"), ""),
    ];
    for (n, (to, text, before)) in rows.into_iter().enumerate() {
        let subject = format!("Subject: m{n}.\r\n");
        let marked = |before: &str, behind: &str| {
            let text = text.replace('«', before).replace('»', behind);
            format!("X-Begin: 1\r\n{subject}{text}")
        };
        let mail = marked("", "");
        let to = format!("{to}@relais.example");
        client.message("x@y.test", &[&to], mail.as_bytes()).expect(250);
        let got = from_field(&instance, "cat", (&subject, "X-Begin"));
        let want = marked(before, "Behind\r\n");
        assert!(
            got == want,
            "{n}: {:?} {:?}",
            &got[..got.len().min(300)],
            &want[..want.len().min(300)]
        );
    }
    let log = instance.log();
    for why in ["it is signed", "its first text is not plain", "another character set"] {
        let told = log.lines().filter(|line| line.contains(why)).count();
        assert_eq!(told, 1, "{why}: {log}");
    }
}

/// A list goes on in two forms, by two records: neither is lost, and neither comes twice, whenever the
/// engine ends. Nothing is delivered meanwhile: a delivery that is cut off comes once more in any case.
#[test]
fn no_form_of_a_list_is_lost_or_doubled_by_kills() {
    const KILLS: usize = 15;
    let mut random = Random::seeded();
    let port = free_port();
    let lists = [
        list(
            "later",
            "mgrpRFC822MailMember: ann@relais.example; mgrpRFC822MailMember: inner@relais.example; \
             mailDeferProcessing: yes; mgrpAddHeader: X-Outer: yes",
        ),
        list("inner", "mgrpRFC822MailMember: cat@relais.example; mgrpAddHeader: X-Inner: yes"),
    ];
    let instance = instance(&lists, Settings::standalone().deliver_to(port));
    let load = Load::new(instance.settings.smtp, "later@relais.example", 1024);
    for _ in 0..KILLS {
        let running = instance.start();
        let life = Duration::from_millis(random.between(5, 600));
        thread::scope(|threads| {
            threads.spawn(|| load.run(10, usize::MAX));
            thread::sleep(life);
            running.kill();
        });
    }
    let acknowledged = load.acknowledged();
    assert!(acknowledged.len() > KILLS, "a load that is none: {}", acknowledged.len());
    let _running = instance.start();
    let waits_in = |channel: &str| {
        let all = instance.queue();
        all.iter().filter(|entry| entry["channel"] == *channel).count()
    };
    eventually("all is routed", MINUTE * 2, || waits_in("reprocess") == 0);
    let sink = Sink::on(port);
    instance.relais("queue", &["retry", "--all"]);
    let copies = || {
        let mut copies: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (id, recipients) in sink.handed() {
            for to in recipients {
                *copies.entry((id.clone(), to)).or_default() += 1;
            }
        }
        copies
    };
    eventually("the queue is empty", MINUTE * 2, || instance.queue().is_empty());
    let copies = copies();
    let has = |id: &String, uid: &str| copies.contains_key(&(id.clone(), uid.to_owned()));
    let lost = acknowledged.iter().filter(|id| !has(id, "ann") || !has(id, "cat")).count();
    let repeated = copies.values().filter(|times| **times > 1).count();
    println!("{KILLS} kills: {} acknowledged, {} copies", acknowledged.len(), copies.len());
    assert_eq!((lost, repeated), (0, 0), "lost, or came again");
}
