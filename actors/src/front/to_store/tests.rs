//! The store behind a session.

use std::{fs, path::Path, sync::Arc};

use relais_channels::{
    client::{self, Outbound},
    mail::{Address, Content, MessageId, MessageIds, NextHop, Outcome, ReversePath, XQuota},
    mailbox::{Body, Rcpt},
    server::{
        Dialect, Intake, Limits, MailFrom, Opening, RcptTo, SaslOffer, Setup, Stop, TlsOffer,
        Verdict, serve,
    },
};
use relais_config::{Channel, channel::Program, store::Autocreate};
use tokio::net::UnixListener;

use super::*;
use crate::{
    actor::{Ground, Meters},
    events::{lines::Lines, transaction},
    metrics::{Event, Labels, Metrics},
    store::{CreateMailbox, Deliveries, DrainStore, ListMailboxes, MAX_IN_FLIGHT, Store},
};

fn config(root: &Path, autocreate: Autocreate) -> relais_config::Store {
    relais_config::Store { autocreate, ..relais_config::Store::at(root.to_owned()) }
}

fn open(root: &Path, autocreate: Autocreate) -> Store {
    let (known, metrics) = (root.join("known"), Metrics::new(&Labels::default()));
    Store::open(&config(root, autocreate), "host.example", &known, &metrics).expect("a store")
}

/// As a session of the channel `tcp_lmtpss` would be, in which relays of ours speak.
fn intake(deliveries: Deliveries, flag_transfer: bool) -> LmtpIntake {
    let labels = Labels { channels: vec!["tcp_lmtpss".to_owned()], ..Labels::default() };
    let side = StoreSide {
        service: "LMTPSS".into(),
        host: "store.example".into(),
        source_channel: "tcp_lmtpss".into(),
        mailboxes: Mailboxes::Store(deliveries),
        default_domain: "siroe.com".into(),
        flag_transfer,
        trace: false,
        ids: Arc::new(MessageIds::after(MessageId(0), 0)),
        large_messages: LargeMessages::new(1),
        logins: None,
        metrics: Arc::new(Metrics::new(&labels)),
    };
    LmtpIntake::new(side.into(), Some([192, 0, 2, 1].into()), None)
}

fn messages(root: &Path, dir: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(dir).join("Maildir/new")) else { return Vec::new() };
    let read = |entry: io::Result<fs::DirEntry>| {
        fs::read_to_string(entry.expect("an entry").path()).expect("a message")
    };
    entries.map(read).collect()
}

fn rcpt_to(address: &str, delivery_flags: u32) -> RcptTo {
    let parsed = Address::parse(address).expect(address);
    RcptTo { delivery_flags, ..RcptTo::new(parsed, address) }
}

async fn receive(intake: &mut LmtpIntake, to: &[RcptTo], pieces: &[&[u8]]) -> Vec<String> {
    let path = ReversePath::parse("a@b.example").expect("a path");
    intake.sender(MailFrom::new(path)).await.expect("accepted");
    for to in to {
        intake.recipient(to).await.expect("accepted");
    }
    intake.open().await.expect("accepted");
    for piece in pieces {
        intake.write(piece).await.expect("accepted");
    }
    let Verdict::Each(replies) = intake.commit().await else { panic!("one for each") };
    intake.reset();
    replies.iter().map(ToString::to_string).collect()
}

#[actix::test]
async fn a_message_arrives_as_it_was_sent_behind_its_return_path() {
    let root = tempfile::tempdir().expect("a directory");
    let store = open(root.path(), Autocreate::Inbox);
    let mut intake = intake(store.deliveries(), false);
    let to = [rcpt_to("jdoe", 0), rcpt_to("Amy@sesta.com", 0)];
    let replies = receive(&mut intake, &to, &[b"Subject: x\r\n", b"\r\ntext\r\n"]).await;
    assert_eq!(replies, ["250 2.5.0 jdoe OK", "250 2.5.0 Amy@sesta.com OK"]);
    for dir in ["siroe.com/jdoe", "sesta.com/amy"] {
        let want = "Return-Path: <a@b.example>\r\nSubject: x\r\n\r\ntext\r\n";
        assert_eq!(messages(root.path(), dir), [want]);
    }
}

#[actix::test]
async fn each_recipient_has_a_line_that_says_where_the_message_is_and_whose_it_was() {
    let root = tempfile::tempdir().expect("a directory");
    let store = open(root.path(), Autocreate::No);
    let deliveries = store.deliveries();
    for (uid, folder) in [("jdoe", ""), ("amy", "")] {
        let name = MailboxName::new(uid, "siroe.com", folder).expect("a name");
        deliveries.create(name).await.expect("room");
    }
    let mut intake = intake(deliveries, false);
    intake.hello("mail.example", true);
    let full = Some(XQuota { size: 1, messages: 1 });
    let to = [
        rcpt_to("jdoe+New", 0),
        RcptTo { quota: full, ..rcpt_to("amy", 0) },
        rcpt_to("nobody@siroe.com", 0),
    ];
    let lines = Lines::of(transaction::TARGET);
    let _logged = tracing::subscriber::set_default(lines.clone());
    let text = b"Received: from a by b with ESMTP id 4XyZ12;\r\n\tnow\r\n\r\n";
    receive(&mut intake, &to, &[text]).await;
    let bad = intake.recipient(&rcpt_to("\"../x\"", 0)).await;
    assert!(bad.is_err());
    let taken = lines.taken();
    let field = |line: &str, name: &str| {
        let mut fields = line.split('|').filter_map(|field| field.split_once('='));
        fields.find(|(field, _)| *field == name).map(|(_, value)| value.to_owned())
    };
    let show = |line: &String| {
        let shown = ["action", "client", "channel", "to", "size", "reply", "mailbox", "peer_id"];
        shown.map(|name| field(line, name).unwrap_or("none".to_owned())).join(" ")
    };
    assert_eq!(
        taken.iter().map(show).collect::<Vec<_>>(),
        [
            "D mail.example [192.0.2.1] tcp_lmtpss <jdoe+New> 81 250 2.5.0 jdoe+New OK \
             siroe.com/jdoe/Maildir 4XyZ12",
            "J mail.example [192.0.2.1]  <amy> 81 523 5.2.3 Message too large: it alone is more than the whole quota of this mailbox \
             siroe.com/amy/Maildir 4XyZ12",
            "J mail.example [192.0.2.1]  <nobody@siroe.com> 81 511 5.1.1 mailbox nonexistent \
             siroe.com/nobody/Maildir 4XyZ12",
            "J mail.example [192.0.2.1]  <\"../x\"> 0 511 5.1.1 mailbox nonexistent: the user name is malformed none none",
        ]
    );
    let counters = intake.metrics().counters();
    let tally = |event| {
        let tally = counters.0["tcp_lmtpss"][&event];
        (tally.messages, tally.recipients)
    };
    assert_eq!(tally(Event::Submitted), (1, 1));
    assert_eq!(tally(Event::Delivered), (1, 1));
    assert_eq!(tally(Event::Rejected), (2, 3));
    assert_eq!(tally(Event::Failed), (1, 2));
}

#[actix::test]
async fn a_large_message_takes_the_way_over_a_file() {
    let root = tempfile::tempdir().expect("a directory");
    let store = open(root.path(), Autocreate::Inbox);
    let mut intake = intake(store.deliveries(), false);
    let line = b"a line of a large message\r\n".repeat(5_000);
    let pieces = [line.as_slice(); 7];
    let replies = receive(&mut intake, &[rcpt_to("jdoe", 0)], &pieces).await;
    assert_eq!(replies, ["250 2.5.0 jdoe OK"]);
    let [message] = &*messages(root.path(), "siroe.com/jdoe") else { panic!("one message") };
    let content = message.strip_prefix("Return-Path: <a@b.example>\r\n").expect("a header line");
    assert!(content.as_bytes() == pieces.concat());
}

#[actix::test]
async fn refusals_come_after_the_data_with_the_codes_of_the_original() {
    let root = tempfile::tempdir().expect("a directory");
    let store = open(root.path(), Autocreate::No);
    let name = MailboxName::new("jdoe", "siroe.com", "").expect("a name");
    let deliveries = store.deliveries();
    let store = Ground::new(Meters::default(), Box::new(|_| ())).start(store);
    assert!(store.ask(CreateMailbox(name.clone())).await.expect("alive").expect("room"));
    assert!(!store.ask(CreateMailbox(name)).await.expect("alive").expect("room"));
    let (to, mut pieces) = tokio::sync::mpsc::channel(1);
    store.ask(ListMailboxes { domain: None, to }).await.expect("alive");
    let listed = pieces.recv().await.expect("a piece").expect("readable");
    let maildir = root.path().join("siroe.com/jdoe/Maildir");
    assert_eq!(listed.iter().map(|listed| &listed.path).collect::<Vec<_>>(), [&maildir]);

    let mut intake = intake(deliveries, false);
    let to = [rcpt_to("amy", 0), rcpt_to("jdoe+New", 1)];
    let replies = receive(&mut intake, &to, &[b"\r\n"]).await;
    assert_eq!(replies, ["511 5.1.1 mailbox nonexistent", "250 2.5.0 jdoe+New OK"]);
    // Flags are taken only where the channel says so.
    assert_eq!(messages(root.path(), "siroe.com/jdoe").len(), 1);
    // The original refuses NUL; a Maildir holds it, and real messages have it.
    let replies = receive(&mut intake, &to[1..], &[b"a\0b\r\n"]).await;
    assert_eq!(replies, ["250 2.5.0 jdoe+New OK"]);
    let bad = intake.recipient(&rcpt_to("\"../x\"", 0)).await.expect_err("no mailbox");
    assert_eq!(bad.to_string(), "511 5.1.1 mailbox nonexistent: the user name is malformed");
}

#[actix::test]
async fn a_drained_store_has_finished_everything_and_takes_nothing_more() {
    let root = tempfile::tempdir().expect("a directory");
    let store = open(root.path(), Autocreate::Inbox);
    let deliveries = store.deliveries();
    let store = Ground::new(Meters::default(), Box::new(|_| ())).start(store);
    let delivery = || {
        let mailbox = MailboxName::new("jdoe", "siroe.com", "").expect("a name");
        let rcpt = Rcpt { mailbox, as_given: "jdoe".to_owned(), quota: None, flags: 0 };
        Delivery { body: Body::Whole(b"text".to_vec()), recipients: vec![rcpt] }
    };
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let deliveries = deliveries.clone();
            actix::spawn(async move { deliveries.deliver(delivery()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.ask(DrainStore).await.expect("alive");
    for answer in waiting {
        let answers = answer.await.expect("no panic").expect("it was taken");
        assert_eq!(answers[0].reply.to_string(), "250 2.5.0 jdoe OK");
    }
    assert_eq!(deliveries.free(), MAX_IN_FLIGHT);
    assert_eq!(messages(root.path(), "siroe.com/jdoe").len(), 50);
    assert_eq!(deliveries.deliver(delivery()).await, Err(Refused::Busy));
    // Everything is let go: the partition can be opened again.
    open(root.path(), Autocreate::Inbox);
}

/// Our client, our server and the store, over a socket.
#[actix::test]
async fn mail_from_our_client_lies_in_the_mailboxes_and_each_recipient_is_told() {
    let root = tempfile::tempdir().expect("a directory");
    let store = open(&root.path().join("store"), Autocreate::Inbox);
    let mut channel = Channel::new("tcp_lmtpcs", "tcp_lmtpcs-daemon", Program::Lmtp);
    channel.private = true;
    let path = root.path().join("lmtp");
    let listener = UnixListener::bind(&path).expect("a socket");
    let limits = Limits::of(&channel);
    let setup = Setup {
        dialect: Dialect::Lmtp,
        host: "store.example".to_owned(),
        limits,
        tls: TlsOffer::default(),
        sasl: SaslOffer::default(),
    };
    let setup = setup.into();
    let mut intake = intake(store.deliveries(), true);
    let server = actix::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a client");
        serve(socket, Opening::Greeting, &setup, &mut intake, &Stop::default()).await
    });

    let outbound = Outbound::of("relay.example", &channel);
    let mut connection = outbound.connect(&NextHop::Unix(path)).await.expect("a server");
    let full = Some(XQuota { size: 1, messages: 1 });
    let to = [
        client::OutgoingRcpt::new("jdoe"),
        client::OutgoingRcpt { quota: full, ..client::OutgoingRcpt::new("amy@sesta.com") },
        client::OutgoingRcpt { quota: full, flags: 3, ..client::OutgoingRcpt::new("bob+New") },
    ];
    for n in 0..3 {
        let text = format!("Subject: {n}\r\n\r\n.\r\n..dots\r\n");
        let content = Content::Whole(text.into());
        let delivery =
            client::Outgoing { eight_bit: true, ..client::Outgoing::new("", &to, content.size()) };
        let attempt = connection.deliver(&delivery, &content, None).await.expect("it is open");
        assert_eq!(attempt.attempt.trouble, None);
        let replies: Vec<_> = attempt.attempt.outcomes.iter().map(Outcome::reply).collect();
        let too_large =
            "523 5.2.3 Message too large: it alone is more than the whole quota of this mailbox";
        let want = ["250 2.5.0 jdoe OK", too_large, "250 2.5.0 bob+New OK"];
        assert_eq!(replies.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
        assert!(connection.is_usable());
    }
    connection.quit().await;
    assert_eq!(server.await.expect("no panic").messages, 3);
    let root = root.path().join("store");
    let mut texts = messages(&root, "siroe.com/jdoe");
    texts.sort();
    let want = |n| format!("Return-Path: <>\r\nSubject: {n}\r\n\r\n.\r\n..dots\r\n");
    assert_eq!(texts, [0, 1, 2].map(want));
    assert_eq!(
        fs::read_dir(root.join("siroe.com/bob/Maildir/.New/new")).expect("a folder").count(),
        3
    );
}
