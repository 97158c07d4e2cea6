//! Notices that senders read when their mail is refused, waits, or arrives: whole notices (RFC
//! 3464) from the whole program, in the mailbox of the sender, read by programs that are not ours.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use relais_tests::{
    Dialogue, Fields, Instance, Notice, Running, Settings, Sink, eventually, free_port, mailbox,
    message,
};

/// An engine whose mail for `one.test` and `two.test` goes to two servers, and whose users alice
/// and bob have mailboxes of their own.
struct Post {
    instance: Instance,
    one: Sink,
    two: Sink,
}

impl Post {
    /// With more fields for the channel of the two servers.
    fn office(fields: &str, change: impl FnOnce(Settings) -> Settings) -> Self {
        let port = free_port();
        let settings = change(Settings::standalone().stores(port).channel("stores", fields));
        let one = Sink::on(port);
        let two = Sink::at(([127, 0, 0, 2], port).into());
        Self { instance: Instance::new(settings), one, two }
    }

    /// Sends as alice would, with parameters behind MAIL and RCPT; the queue id.
    #[track_caller]
    fn send(&self, mail: &str, to: &[&str], content: &[u8]) -> String {
        let mut client = Dialogue::open(self.instance.settings.smtp);
        client.ask(&format!("MAIL FROM:{mail}")).expect(250);
        for recipient in to {
            client.ask(&format!("RCPT TO:{recipient}")).expect(250);
        }
        client.ask("DATA").expect(354);
        let reply = client.finish(content);
        let id = reply.expect(250).text.trim_end().rsplit(' ').next();
        id.expect("a queue id").to_owned()
    }

    /// The mail in a mailbox, once there is so much of it. Mail has no order.
    #[track_caller]
    fn mail_of(&self, user: &str, wanted: usize) -> Vec<Vec<u8>> {
        let mail = || mailbox(&self.instance.store(), "relais.example", user);
        eventually(&format!("{wanted} messages for {user}"), PATIENCE, || mail().len() >= wanted);
        let mail = mail();
        assert_eq!(mail.len(), wanted, "{}", as_text(&mail));
        mail
    }

    /// Alice's only message.
    #[track_caller]
    fn notice(&self) -> Notice {
        Notice::read(&self.mail_of("alice", 1)[0])
    }

    /// Alice's notices of this action, of as many in all.
    #[track_caller]
    fn notices(&self, wanted: usize, action: &str) -> Vec<Notice> {
        let notices = self.mail_of("alice", wanted);
        let notices = notices.iter().map(|octets| Notice::read(octets));
        let of = |notice: &Notice| notice.recipients()[0].get("Action") == Some(action);
        notices.filter(of).collect()
    }

    /// The action letters of the log, for this message: E first, though a job that is quick may
    /// have its line before the session.
    fn actions(&self, id: &str) -> String {
        let log = self.instance.log();
        let of_id = log.lines().filter(|line| line.contains(&format!("\"id\":\"{id}\"")));
        let letter = |line: &str| line.split("\"action\":\"").nth(1)?.chars().next();
        let mut letters: Vec<char> = of_id.filter_map(letter).collect();
        letters.sort_by_key(|letter| *letter != 'E');
        letters.into_iter().collect()
    }

    #[track_caller]
    fn start(&self) -> Running {
        self.instance.start()
    }
}

#[test]
fn a_refused_recipient_is_reported_in_every_field() {
    let post = Post::office("maxjobs: 3", |settings| settings);
    let _running = post.start();
    post.one.answer("RCPT TO:<nobody@", "550 5.1.1 no such user here");
    let before = now();
    let id = post.send(
        "<alice@relais.example> RET=FULL ENVID=QQ+2B314",
        &["<nobody@one.test> NOTIFY=FAILURE ORCPT=rfc822;Nobody+2B1@else.test"],
        &message("refused", 2_000),
    );
    let notice = post.notice();

    let header = &notice.header;
    assert_eq!(header.get("Return-Path"), Some("<>"), "a notice has no sender: {header:?}");
    let from = "Mail Delivery System <postmaster@relais.example>";
    assert_eq!(header.get("From"), Some(from));
    assert_eq!(header.get("To"), Some("alice@relais.example"));
    assert_eq!(header.get("Subject"), Some("Delivery Notification: Delivery has failed"));
    assert_eq!(header.get("Auto-Submitted"), Some("auto-replied"));
    assert_eq!(header.get("MIME-Version"), Some("1.0"));
    assert_eq!(header.get("In-Reply-To"), Some("<refused@load.test>"));
    assert_eq!(header.get("References"), Some("<refused@load.test>"));
    assert!(header.get("Message-ID").is_some_and(|id| id.ends_with("@localhost>")), "{header:?}");
    assert!((before..=now()).contains(&header.date("Date").unwrap()), "{header:?}");

    let fields = notice.message();
    let names = ["Reporting-MTA", "Original-Envelope-Id", "Arrival-Date"];
    assert_eq!(fields.names(), names, "{fields:?}");
    assert_eq!(fields.get("Reporting-MTA"), Some("dns; localhost"));
    assert_eq!(fields.get("Original-Envelope-Id"), Some("QQ+314"), "decoded (RFC 3461, 6.3)");
    let arrival = fields.date("Arrival-Date").unwrap();
    assert!((before..=now()).contains(&arrival), "{fields:?}");

    let fields = notice.recipient();
    let names = "Original-Recipient Final-Recipient Action Status Remote-MTA Diagnostic-Code \
                 Last-Attempt-Date";
    assert_eq!(fields.names().join(" "), names);
    assert_eq!(fields.get("Original-Recipient"), Some("rfc822;Nobody+1@else.test"));
    assert_eq!(fields.get("Final-Recipient"), Some("rfc822;nobody@one.test"));
    assert_eq!(fields.get("Action"), Some("failed"));
    assert_eq!(fields.get("Status"), Some("5.1.1"));
    assert_eq!(fields.get("Remote-MTA"), Some("dns; [127.0.0.1]"));
    assert_eq!(fields.get("Diagnostic-Code"), Some("smtp; 550 5.1.1 no such user here"));
    assert!((arrival..=now()).contains(&fields.date("Last-Attempt-Date").unwrap()), "{fields:?}");

    assert!(notice.is_full(), "RET=FULL: {notice:?}");
    assert!(notice.returned().starts_with("The horses are changed"), "{notice:?}");
    for words in [&*id, "<nobody@one.test>", "550 5.1.1 no such user here", "postmaster@relais"] {
        assert!(notice.text.contains(words), "{words} is not in:\n{}", notice.text);
    }
    assert_eq!(notice.language, "en");
    assert_eq!(post.actions(&id), "ERN");
    eventually("an empty queue", PATIENCE, || post.instance.queue().is_empty());
}

#[test]
fn a_host_that_refuses_us_by_lhlo_is_quoted_in_its_own_words() {
    let post = Post::office("maxjobs: 3", |settings| settings);
    let _running = post.start();
    post.one.answer("LHLO", "554 we do not talk to you");
    post.send("<alice@relais.example>", &["<nobody@one.test>"], &message("lhlo", 500));
    let notice = post.notice();
    let fields = notice.recipient();
    assert_eq!(fields.get("Remote-MTA"), Some("dns; [127.0.0.1]"));
    assert_eq!(fields.get("Diagnostic-Code"), Some("smtp; 554 we do not talk to you"));
}

#[test]
fn one_of_three_refused_behind_the_dot_is_reported_alone() {
    let post = Post::office("maxjobs: 3", |settings| settings);
    let _running = post.start();
    post.one.answer(". RCPT TO:<full@", "552 5.2.2 <full@one.test> over quota");
    let to = ["<first@one.test>", "<full@one.test>", "<third@one.test>"];
    let id = post.send("<alice@relais.example>", &to, &message("three", 500));

    let notice = post.notice();
    let fields = notice.recipient();
    assert_eq!(fields.get("Final-Recipient"), Some("rfc822;full@one.test"));
    assert_eq!(fields.get("Status"), Some("5.2.2"));
    let words = "smtp; 552 5.2.2 <full@one.test> over quota";
    assert_eq!(fields.get("Diagnostic-Code"), Some(words));
    assert_eq!(fields.get("Original-Recipient"), None, "none was given");
    assert_eq!(notice.message().get("Original-Envelope-Id"), None, "none was given");
    assert!(!notice.text.contains("first@") && !notice.text.contains("third@"), "{}", notice.text);
    let mut actions: Vec<char> = post.actions(&id).chars().collect();
    actions.sort_unstable();
    assert_eq!(actions, ['D', 'E', 'N', 'R']);
    assert_eq!(post.one.total(), 1, "nobody got it twice");
}

#[test]
fn several_recipients_on_two_hosts_that_fail_at_once_share_a_notice() {
    let post = Post::office("maxjobs: 3", |settings| settings);
    let _running = post.start();
    post.one.answer("RCPT TO:<", "550 5.1.1 not at one");
    post.two.answer("MAIL FROM:<", "554 5.7.1 not to two");
    let to = ["<a@one.test>", "<b@one.test>", "<c@two.test>", "<d@two.test>"];
    post.send("<alice@relais.example>", &to, &message("four", 500));

    let notice = post.notice();
    let told = |to: &Fields| {
        let told = ["Final-Recipient", "Status", "Remote-MTA"].map(|name| to.get(name));
        told.map(|value| value.unwrap_or_default().to_owned())
    };
    let mut found: Vec<_> = notice.recipients().iter().map(told).collect();
    found.sort_unstable();
    let want = [
        ["rfc822;a@one.test", "5.1.1", "dns; [127.0.0.1]"],
        ["rfc822;b@one.test", "5.1.1", "dns; [127.0.0.1]"],
        ["rfc822;c@two.test", "5.7.1", "dns; [127.0.0.2]"],
        ["rfc822;d@two.test", "5.7.1", "dns; [127.0.0.2]"],
    ];
    assert_eq!(found, want);
    eventually("an empty queue", PATIENCE, || post.instance.queue().is_empty());
    post.mail_of("alice", 1);
}

/// A name that nobody knows may be known tomorrow, or be a slip in the configuration: the mail
/// waits, and the sender is warned. The words are ours, no host has said them.
#[test]
fn mail_for_a_host_whose_name_nobody_knows_waits_and_then_times_out() {
    let post = Post::office("notices: [\"1s\", \"4s\"]", |settings| settings);
    let _running = post.start();
    let id = post.send("<alice@relais.example>", &["<a@gone.test>"], &message("gone", 500));

    let warning = post.notices(1, "delayed").remove(0);
    assert_eq!(post.instance.queue()[0]["state"], "delayed");
    let fields = warning.recipient();
    // RFC 3463 section 3.5: there is no such host, or where these tests run nobody can tell.
    let status = fields.get("Status").unwrap();
    assert!(["4.4.4", "4.4.3"].contains(&status), "{fields:?}");
    assert_eq!(fields.get("Remote-MTA"), None, "nobody was asked: {fields:?}");
    let code = fields.get("Diagnostic-Code").unwrap();
    assert!(code.starts_with(&format!("X-relais; 451 {status} look up gone.invalid")), "{code}");

    let failed = post.notices(2, "failed").remove(0);
    let fields = failed.recipient();
    assert_eq!(fields.get("Status"), Some("4.4.7"), "{fields:?}");
    assert_eq!(fields.get("Remote-MTA"), None, "{fields:?}");
    assert!(fields.get("Diagnostic-Code").unwrap().starts_with("X-relais; 451 "), "{fields:?}");
    eventually("an empty queue", PATIENCE, || post.instance.queue().is_empty());
    assert_eq!(post.actions(&id).replace('Q', ""), "EWNRN");
}

#[test]
fn a_message_that_is_put_off_is_warned_of_and_returned_in_time() {
    let post = Post::office("notices: [\"1s\", \"4s\"], backoff: [\"1h\"]", |settings| settings);
    let _running = post.start();
    post.one.answer("RCPT TO:<", "451 4.3.0 come back later");
    post.send("<alice@relais.example> ENVID=abc", &["<a@one.test>"], &message("late", 500));

    let warning = post.notices(1, "delayed").remove(0);
    assert_eq!(
        warning.header.get("Subject"),
        Some("Delivery Notification: Delivery has been delayed")
    );
    assert_eq!(warning.header.get("Return-Path"), Some("<>"));
    assert_eq!(warning.header.get("Auto-Submitted"), Some("auto-replied"));
    assert!(!warning.is_full(), "a warning brings the header only (RFC 3461 section 4.3)");
    assert!(warning.returned().contains("Message-ID: <late@load.test>"), "{warning:?}");
    let arrival = warning.message().date("Arrival-Date").unwrap();
    let fields = warning.recipient();
    assert_eq!(fields.get("Status"), Some("4.3.0"));
    assert_eq!(fields.get("Remote-MTA"), Some("dns; [127.0.0.1]"));
    assert_eq!(fields.get("Diagnostic-Code"), Some("smtp; 451 4.3.0 come back later"));
    assert!(fields.date("Last-Attempt-Date").unwrap() >= arrival, "{fields:?}");
    assert_eq!(fields.date("Will-Retry-Until"), Some(arrival + 4), "{fields:?}");

    let returned = post.notices(2, "failed").remove(0);
    let subject = "Delivery Notification: Delivery has timed out and failed";
    assert_eq!(returned.header.get("Subject"), Some(subject));
    assert!(returned.is_full(), "nothing was said of RET, so it is ours to choose: {returned:?}");
    assert_eq!(returned.message().get("Original-Envelope-Id"), Some("abc"));
    assert_eq!(returned.message().date("Arrival-Date"), Some(arrival));
    let fields = returned.recipient();
    assert_eq!(fields.get("Status"), Some("4.4.7"), "RFC 3463: delivery time expired");
    assert_eq!(fields.get("Diagnostic-Code"), Some("smtp; 451 4.3.0 come back later"));
    assert_eq!(fields.get("Will-Retry-Until"), None, "only when delayed (RFC 3464, 2.3.9)");
    eventually("an empty queue", PATIENCE, || post.instance.queue().is_empty());
}

#[test]
fn what_an_operator_holds_and_returns_is_reported_as_returned() {
    let post = Post::office("maxjobs: 3", |settings| settings);
    let _running = post.start();
    assert!(post.instance.relais("channel", &["stop", "stores"]).status.success());
    let id = post.send("<alice@relais.example>", &["<a@one.test>"], &message("held", 500));
    assert!(post.instance.relais("queue", &["hold", &id]).status.success());
    assert_eq!(post.instance.queue()[0]["state"], "held");
    assert!(post.instance.relais("queue", &["return", &id]).status.success());

    let notice = post.notice();
    let subject = "Delivery Notification: Delivery has been manually aborted";
    assert_eq!(notice.header.get("Subject"), Some(subject));
    let fields = notice.recipient();
    assert_eq!(fields.get("Action"), Some("failed"));
    assert_eq!(fields.get("Status"), Some("5.0.0"));
    assert_eq!(fields.get("Remote-MTA"), None, "no host has refused it");
    assert_eq!(fields.get("Last-Attempt-Date"), None, "there was no attempt");
    assert!(notice.is_full());
    eventually("an empty queue", PATIENCE, || post.instance.queue().is_empty());
    assert_eq!(post.actions(&id), "EHRN");
    assert_eq!(post.one.total(), 0);
}

#[test]
fn senders_hear_what_they_asked_for() {
    let post = Post::office("notices: [\"1s\", \"1d\"], backoff: [\"1h\"]", |settings| settings);
    let _running = post.start();
    post.one.answer("RCPT TO:<nobody@", "550 5.1.1 no such user here");
    post.one.answer("RCPT TO:<busy@", "451 4.3.0 come back later");
    let alice = "<alice@relais.example>";
    let silent = post.send(alice, &["<nobody@one.test> NOTIFY=NEVER"], &message("never", 500));
    let late = post.send(alice, &["<busy@one.test> NOTIFY=FAILURE"], &message("late", 500));
    let also = post.send(alice, &["<busy@one.test> NOTIFY=NEVER"], &message("also", 500));
    // The messages that follow come behind the silent ones in every respect.
    post.send(alice, &["<bob@one.test> NOTIFY=SUCCESS,FAILURE"], &message("good", 500));
    post.send(alice, &["<busy@one.test> NOTIFY=DELAY"], &message("warned", 500));

    let good = post.notices(2, "delivered").remove(0);
    let subject = "Delivery Notification: Delivery has been successful";
    assert_eq!(good.header.get("Subject"), Some(subject));
    assert_eq!(good.header.get("Return-Path"), Some("<>"));
    let fields = good.recipient();
    assert_eq!(fields.get("Final-Recipient"), Some("rfc822;bob@one.test"));
    assert!(fields.get("Status").unwrap().starts_with("2."), "{fields:?}");
    assert_eq!(fields.get("Remote-MTA"), Some("dns; [127.0.0.1]"));
    let delayed = post.notices(2, "delayed");
    assert_eq!(delayed.len(), 1, "a delay is told to those who want to hear of it");
    assert!(delayed[0].returned().contains("<warned@load.test>"), "{delayed:?}");

    assert_eq!(post.actions(&silent), "EK", "given up, and nobody told");
    eventually("all three are warned of in the log", PATIENCE, || {
        post.actions(&late).ends_with('W') && post.actions(&also).ends_with('K')
    });
    assert_eq!(post.instance.queue().len(), 3, "who is not warned still waits");
    post.mail_of("alice", 2);
}

/// RFC 3461 section 4.3: RET is about failures.
#[test]
fn good_news_bring_the_header_only() {
    let post = Post::office("maxjobs: 3", |settings| settings);
    let _running = post.start();
    for ret in ["", " RET=FULL", " RET=HDRS"] {
        let mail = format!("<alice@relais.example>{ret}");
        post.send(&mail, &["<bob@one.test> NOTIFY=SUCCESS"], &message("good", 500));
    }
    let full = post.notices(3, "delivered").into_iter().filter(Notice::is_full);
    assert_eq!(full.count(), 0);
}

#[test]
fn nobody_is_told_of_mail_from_nobody_but_the_postmaster_who_wants_to_know() {
    let bob = "notary: (postmaster: \"bob@relais.example\")";
    let post = Post::office("sendpost: Error", |settings| settings.section(bob));
    let _running = post.start();
    post.one.answer("RCPT TO:<", "550 5.1.1 no such user here");
    post.send("<>", &["<a@one.test>"], &message("from-nobody", 500));
    let notice = Notice::read(&post.mail_of("bob", 1)[0]);
    assert_eq!(notice.header.get("To"), Some("bob@relais.example"));
    assert_eq!(notice.recipient().get("Final-Recipient"), Some("rfc822;a@one.test"));
    post.send("<alice@relais.example>", &["<a@one.test>"], &message("from-alice", 500));
    let notice = post.notice();
    assert_eq!(notice.header.get("From"), Some("Mail Delivery System <bob@relais.example>"));
    eventually("an empty queue", PATIENCE, || post.instance.queue().is_empty());
    post.mail_of("bob", 1);
}

/// Without `sendpost` nobody is written to, as RFC 5321 section 6.1 wants it; the log and a counter
/// tell.
#[test]
fn of_mail_from_nobody_that_fails_the_log_and_a_counter_tell() {
    let bob = "notary: (postmaster: \"bob@relais.example\")";
    let post = Post::office("sendpost: Copy", |settings| settings.section(bob));
    let _running = post.start();
    post.one.answer("RCPT TO:<", "550 5.1.1 no such user here");
    let id = post.send("<>", &["<a@one.test>"], &message("from-nobody", 500));
    eventually("it is given up", PATIENCE, || post.actions(&id) == "ER");
    let died = || post.instance.metric("relais_notices_total{result=\"died\"}");
    eventually("it is counted", PATIENCE, || died() > 0.0);
    eventually("it is told", PATIENCE, || {
        let log = post.instance.log();
        let mut lines = log.lines().filter(|line| line.contains("nobody is told"));
        lines.any(|line| {
            let words = ["WARN", &id, "<a@one.test>", "550 5.1.1 no such user here"];
            words.iter().all(|word| line.contains(word))
        })
    });
    // A notice that should not be would have come first.
    post.send("<alice@relais.example>", &["<a@one.test>"], &message("from-alice", 500));
    let copy = Notice::read(&post.mail_of("bob", 1)[0]);
    assert_eq!(copy.header.get("To"), Some("alice@relais.example"), "a copy");
    assert_eq!(post.notice().header.get("Message-ID"), copy.header.get("Message-ID"));
    eventually("an empty queue", PATIENCE, || post.instance.queue().is_empty());
    assert!(died() < 2.0, "whoever has a sender is told");
}

#[test]
fn a_sender_who_was_told_is_not_told_again_after_kill_9() {
    let post = Post::office("notices: [\"1s\", \"1d\"], backoff: [\"1h\"]", |settings| settings);
    let running = post.start();
    post.one.answer("RCPT TO:<nobody@", "550 5.1.1 no such user here");
    post.one.answer("RCPT TO:<busy@", "451 4.3.0 come back later");
    let both = ["<nobody@one.test>", "<busy@one.test>"];
    post.send("<alice@relais.example>", &both, &message("both", 500));
    post.mail_of("alice", 2);
    // Until then kill -9 may repeat a delivery, be it that of a notice.
    eventually("one entry is left", PATIENCE, || post.instance.queue().len() == 1);
    running.kill();

    let _running = post.start();
    post.send("<alice@relais.example>", &both, &message("both-again", 500));
    let again =
        |notice: &Notice| notice.header.get("In-Reply-To") == Some("<both-again@load.test>");
    for action in ["failed", "delayed"] {
        let found = post.notices(4, action);
        assert_eq!((found.len(), found.iter().filter(|found| again(found)).count()), (2, 1));
    }
}

/// Killed in the very moment of the last delivery; when all are written down and none is told of;
/// and while notices are gathered, and written.
#[test]
fn no_notice_of_a_success_is_lost_by_kill_9_after_the_delivery_and_nobody_gets_the_mail_again() {
    const EACH: usize = 50;
    /// Notices that are written at the same time.
    const AT_ONCE: usize = 48;
    let post = Post::office("maxjobs: 3", |settings| settings);
    let after = [0, 950, 1_100].map(|ms| Some(Duration::from_millis(ms)));
    let moments = [None; 2].into_iter().chain(after);
    let mut names: Vec<String> = Vec::new();
    for (round, moment) in moments.enumerate() {
        let running = post.start();
        let mut client = Dialogue::open(post.instance.settings.smtp);
        for nth in 0..EACH {
            let name = format!("told-{round}-{nth}");
            client.ask("MAIL FROM:<alice@relais.example>").expect(250);
            client.ask("RCPT TO:<bob@one.test> NOTIFY=SUCCESS").expect(250);
            client.ask("DATA").expect(354);
            client.finish(&message(&name, 500)).expect(250);
            names.push(name);
        }
        eventually("all are delivered", PATIENCE, || post.one.missing(&ids_of(&names)).is_empty());
        let Some(moment) = moment else {
            running.kill();
            continue;
        };
        // An entry that is delivered is no mail that waits, whether its sender knows or not.
        eventually("none waits", PATIENCE, || {
            post.instance.json("queue", &["list", "--channel", "stores"]).is_empty()
        });
        std::thread::sleep(moment);
        let told = mailbox(&post.instance.store(), "relais.example", "alice").len();
        println!("killed after {moment:?}: {told} of {} are told of", names.len());
        running.kill();
    }
    let _running = post.start();
    let untold = || {
        let mail = mailbox(&post.instance.store(), "relais.example", "alice");
        let text = as_text(&mail);
        let is_told = |id: &&String| text.contains(&format!("In-Reply-To: <{id}>"));
        let ids = ids_of(&names);
        ids.len() - ids.iter().filter(is_told).count()
    };
    eventually("everybody is told of", PATIENCE, || untold() == 0);
    eventually("an empty queue", PATIENCE, || post.instance.queue().is_empty());
    let written_down = |id: &&String| !["-0-", "-1-"].iter().any(|round| id.contains(round));
    let again = post.one.repeated();
    let never_again: Vec<_> = again.iter().filter(written_down).collect();
    assert!(never_again.is_empty(), "what is written down is not delivered again: {never_again:?}");
    let notices = mailbox(&post.instance.store(), "relais.example", "alice").len();
    println!("{notices} notices of {} messages, {} delivered again", names.len(), again.len());
    // Notices that are being written at a kill may be written once more.
    assert!(notices <= names.len() + again.len() + 5 * AT_ONCE, "{notices}");
}

/// As the sink's books have them.
fn ids_of(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("{name}@load.test")).collect()
}

/// The sender cannot be told while its account is away: the notice waits, and no mail does.
#[test]
fn mail_that_is_delivered_is_named_for_what_it_is_while_its_sender_cannot_be_told() {
    let post = Post::office("maxjobs: 3, backoff: [\"1h\"]", |settings| {
        settings.edit("directory: Ldif()", "directory: Ldif(file: \"users.ldif\")")
    });
    fs::create_dir_all(post.instance.data()).expect("the data directory");
    let users = post.instance.data().join("users.ldif");
    let directory = |status: &str| {
        let user = |name: &str, status: &str| {
            format!(
                "dn: uid={name},o=relais.example,dc=relais,dc=example\nobjectClass: inetMailUser\n\
                 uid: {name}\nmail: {name}@relais.example\nmailHost: localhost\n\
                 mailUserStatus: {status}\n\n"
            )
        };
        let domain = "dn: o=relais.example,dc=relais,dc=example\n\
                      objectClass: sunManagedOrganization\nsunPreferredDomain: relais.example\n\n";
        let text = format!("{domain}{}{}", user("alice", status), user("bob", "active"));
        fs::write(&users, text).expect("the directory is written");
    };
    directory("inactive");
    post.one.answer("RCPT TO:<nobody@", "550 5.1.1 no such user here");
    post.one.answer("RCPT TO:<busy@", "451 4.3.0 come back later");
    let running = post.start();
    let told = "NOTIFY=SUCCESS,FAILURE";
    let whole = post.send(
        "<alice@relais.example>",
        &[&format!("<a@one.test> {told}")],
        &message("whole", 500),
    );
    let to = ["a", "nobody", "busy"].map(|user| format!("<{user}@one.test> {told}"));
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let part = post.send("<alice@relais.example>", &to, &message("part", 500));
    eventually("both are delivered", PATIENCE, || post.one.total() == 2);
    eventually("their sender cannot be told", PATIENCE, || {
        post.instance.log().matches("a notice could not be written").count() >= 2
    });
    let listed = || post.instance.json("queue", &["list"]);
    let waits = |id: &str| listed().iter().filter(|entry| entry["id"] == id).count();
    assert_eq!((waits(&whole), waits(&part)), (0, 1), "{:?}", listed());
    for (id, words) in [(&whole, "It is delivered."), (&part, "Some of its recipients have it.")] {
        let why = post.instance.json("queue", &["why", id]).remove(0)[0].clone();
        assert_eq!(why["waits_for"], "notice", "{why}");
        assert!(why["text"].as_str().expect("a text").starts_with(words), "{why}");
    }
    let orders = post.instance.json("queue", &["delete", "--all", "--yes", "--dry-run"]).remove(0);
    assert_eq!(orders["seen"], 1, "{orders}");
    let owed = || post.instance.metric("relais_queue_owed_notices");
    eventually("the gauge", PATIENCE, || owed() > 1.5);
    running.kill();

    directory("active");
    let _running = post.start();
    let good = post.notices(3, "delivered");
    assert_eq!(good.len(), 2);
    for notice in good {
        assert_eq!(notice.recipient().get("Final-Recipient"), Some("rfc822;a@one.test"));
        assert_eq!(notice.recipient().get("Status"), Some("2.0.0"), "{:?}", notice.recipient());
    }
    let bad = post.notices(3, "failed").remove(0);
    assert_eq!(bad.recipient().get("Final-Recipient"), Some("rfc822;nobody@one.test"));
    eventually("one waits", PATIENCE, || listed().len() == 1 && waits(&part) == 1);
    let states = |user: &str| {
        let recipients = listed()[0]["recipients"].as_array().cloned().expect("recipients");
        let of = recipients.iter().find(|to| to["address"] == format!("{user}@one.test"));
        of.expect("it is listed")["state"].as_str().expect("a state").to_owned()
    };
    assert_eq!(["a", "nobody", "busy"].map(states), ["delivered", "failed", "delayed"]);
}

#[test]
fn as_much_comes_back_as_the_sender_wants_and_the_operator_allows() {
    let limit = "notary: (content_return_limit: \"4KiB\")";
    let post = Post::office("maxjobs: 3", |settings| settings.section(limit));
    let _running = post.start();
    post.one.answer("RCPT TO:<", "550 5.1.1 no such user here");
    // parameters, octets, whether all comes back
    let rows = [
        ("ret-hdrs", " RET=HDRS", 1_000, false),
        ("ret-full", " RET=FULL", 3_000, true),
        ("ret-full-large", " RET=FULL", 9_000, false),
        ("ret-unsaid-large", "", 9_000, false),
    ];
    for (name, ret, size, _) in rows {
        let mail = format!("<alice@relais.example>{ret}");
        post.send(&mail, &["<a@one.test>"], &message(name, size));
    }
    let notices: Vec<_> =
        post.mail_of("alice", rows.len()).iter().map(|n| Notice::read(n)).collect();
    for (name, _, size, full) in rows {
        let id = format!("<{name}@load.test>");
        let of = |notice: &&Notice| notice.header.get("In-Reply-To") == Some(&id);
        let notice = notices.iter().find(of).unwrap_or_else(|| panic!("no notice of {name}"));
        assert_eq!(notice.is_full(), full, "{name}");
        if full {
            assert!(notice.returned().len() > size / 2, "{name}: cut off");
        } else {
            assert!(
                notice.returned().contains(&format!("Subject: {name}\n")),
                "{name}: {notice:?}"
            );
            assert!(!notice.returned().contains("horses"), "{name}: {notice:?}");
        }
    }
}

#[test]
fn senders_read_their_own_language_and_the_words_of_the_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("fr")).expect("a fresh folder");
    let words = "Subject: Oh l\u{e0} l\u{e0}\n\nPas de chance :\n\n%{recipients}\n";
    fs::write(folder.path().join("fr/return_failed.txt"), words).expect("a file");
    let notary = format!("notary: (templates: \"{}\")", folder.path().display());
    let post = Post::office("maxjobs: 3", |settings| settings.section(&notary));
    let _running = post.start();
    post.one.answer("RCPT TO:<", "550 5.1.1 no such user here");
    // language asked for, language, subject, words of the text
    let rows = [
        ("de-AT, en;q=0.5", "de", "Zustellbericht: Nachricht konnte nicht", "Empf\u{e4}ngern"),
        ("fr", "fr", "Oh l\u{e0} l\u{e0}", "Pas de chance :\n\n  <a@one.test>"),
        ("xx", "en", "Delivery Notification: Delivery has failed", "could not be delivered"),
    ];
    for (asked, ..) in rows {
        let header = format!("Accept-Language: {asked}\r\nSubject: x\r\n\r\nx\r\n");
        post.send("<alice@relais.example>", &["<a@one.test>"], header.as_bytes());
    }
    let notices: Vec<_> =
        post.mail_of("alice", rows.len()).iter().map(|n| Notice::read(n)).collect();
    for (asked, language, subject, words) in rows {
        let notice = notices.iter().find(|notice| notice.language == language);
        let notice = notice.unwrap_or_else(|| panic!("{asked}: nothing in {language}"));
        let found = notice.header.get("Subject").unwrap_or_default();
        assert!(found.starts_with(subject), "{asked}: {found}");
        assert!(notice.text.contains(words), "{asked}: {}", notice.text);
        assert_eq!(notice.recipient().get("Status"), Some("5.1.1"), "the same for programs");
    }
}

fn as_text(mail: &[Vec<u8>]) -> String {
    mail.iter().map(|octets| String::from_utf8_lossy(octets)).collect::<Vec<_>>().join("\n----\n")
}

/// Seconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970");
    i64::try_from(now.as_secs()).expect("sooner than the end of the world")
}

const PATIENCE: Duration = Duration::from_secs(15);
