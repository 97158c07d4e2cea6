//! The row of SMTP, and beside it that of LMTP, of each difference, without a socket.

use super::{
    AtServers, Outgoing, OutgoingRcpt,
    before::Before,
    exchange::{Exchange, Next},
    introduction::{Introduced, Introduction},
    offer::Offer,
    policy::{Lost, Stage},
};
use relais_config::{Channel, channel::Program};

use crate::mail::{Dialect, Notify, Outcome, Reply, XQuota};

const BOTH: [Dialect; 2] = [Dialect::Lmtp, Dialect::Smtp];

fn offer(dialect: Dialect, keywords: &str) -> Offer {
    Offer::of(&Reply::plain(250, format!("peer\n{keywords}")), dialect, false)
}

fn reply(code: u16) -> Reply {
    Reply::plain(code, format!("reply {code}"))
}

/// Gives the replies to MAIL, RCPT, DATA and the content as they become due; what is to be done then.
fn converse(exchange: &mut Exchange<'_>, codes: &[u16]) -> Next {
    let mut next = exchange.begin();
    for code in codes {
        assert!(matches!(next, Next::Send | Next::Await | Next::Content), "{code}: {next:?}");
        match next {
            Next::Send => exchange.commands(&mut Vec::new()),
            Next::Content => exchange.content_sent(),
            _ => {}
        }
        next = exchange.take(reply(*code));
    }
    next
}

fn letters(outcomes: &[Outcome]) -> String {
    let letter = |outcome: &Outcome| match outcome {
        Outcome::Delivered(_) => 'D',
        Outcome::Deferred(_) => 'T',
        Outcome::Failed(_) => 'F',
    };
    outcomes.iter().map(letter).collect()
}

/// Dialect, replies, commands, whether PIPELINING is offered (`None`: we are refused).
type Row = (Dialect, &'static [u16], &'static [&'static str], Option<bool>);

#[test]
fn who_we_are_is_said_by_the_commands_of_the_dialect() {
    let rows: [Row; 9] = [
        (Dialect::Lmtp, &[220, 250], &["LHLO us"], Some(true)),
        (Dialect::Lmtp, &[220, 500], &["LHLO us"], None),
        (Dialect::Smtp, &[220, 250], &["EHLO us"], Some(true)),
        (Dialect::Smtp, &[220, 502, 250], &["EHLO us", "HELO us"], Some(false)),
        (Dialect::Smtp, &[220, 500, 550], &["EHLO us", "HELO us"], None),
        (Dialect::Smtp, &[220, 451], &["EHLO us"], None),
        (Dialect::Smtp, &[220, 421], &["EHLO us"], None),
        (Dialect::Smtp, &[220, 530], &["EHLO us"], None),
        (Dialect::Smtp, &[554], &[], None),
    ];
    for (dialect, codes, commands, pipelining) in rows {
        let mut introduction = Introduction::new(dialect, false);
        let (mut said, mut last) = (Vec::new(), Introduced::Say);
        for code in codes {
            assert_eq!(last, Introduced::Say, "{dialect:?} {codes:?}");
            said.extend(Some(introduction.command("us")).filter(|command| !command.is_empty()));
            last = introduction.take(Reply::plain(*code, "peer\nPIPELINING"));
        }
        let said: Vec<_> = said.iter().map(|command| command.trim_end()).collect();
        assert_eq!(said, commands, "{dialect:?} {codes:?}");
        match (last, pipelining) {
            (Introduced::Ready(offer), Some(want)) => assert_eq!(offer.pipelining, want),
            (Introduced::Refused(outcome), None) => {
                let is_final = codes.last().is_some_and(|code| [500, 550].contains(code));
                assert_eq!(matches!(outcome, Outcome::Failed(_)), is_final, "{codes:?}");
            }
            (last, _) => panic!("{dialect:?} {codes:?}: {last:?}"),
        }
    }
}

#[test]
fn the_content_brings_one_reply_for_each_recipient_or_one_for_all() {
    // dialect, replies to MAIL, three RCPT, DATA and the content, outcomes, closes
    let rows: [(Dialect, &[u16], &str, bool); 9] = [
        (Dialect::Lmtp, &[250, 250, 550, 250, 354, 250, 452], "DFT", false),
        (Dialect::Lmtp, &[250, 250, 250, 250, 354, 200, 250, 250], "TDD", true),
        (Dialect::Smtp, &[250, 250, 550, 250, 354, 250], "DFD", false),
        (Dialect::Smtp, &[250, 250, 451, 250, 354, 200], "DTD", false),
        (Dialect::Smtp, &[250, 250, 250, 250, 354, 452], "TTT", false),
        (Dialect::Smtp, &[250, 250, 550, 250, 354, 554], "FFF", false),
        (Dialect::Smtp, &[250, 250, 250, 250, 354, 354], "TTT", true),
        (Dialect::Smtp, &[250, 250, 250, 250, 354, 421], "TTT", true),
        (Dialect::Smtp, &[250, 550, 550, 550, 554], "FFF", false),
    ];
    for pipelining in ["PIPELINING", ""] {
        for (dialect, codes, want, closes) in rows {
            if pipelining.is_empty() && codes.len() == 5 {
                continue;
            }
            let to = ["a", "b", "c"].map(OutgoingRcpt::new);
            let message = Outgoing::new("s@x", &to, 10);
            let offer = offer(dialect, pipelining);
            let mut exchange = Exchange::new(&message, offer, Before::New, false);
            let next = converse(&mut exchange, codes);
            assert_eq!(
                (next, exchange.is_closing()),
                (Next::Done, closes),
                "{dialect:?} {codes:?}"
            );
            let attempt = exchange.finish("peer".into()).attempt;
            assert_eq!(letters(&attempt.outcomes), want, "{dialect:?} {codes:?}");
        }
    }
}

#[test]
fn a_reply_to_the_content_that_never_comes_is_owed_to_all() {
    for dialect in BOTH {
        let to = ["a", "b"].map(OutgoingRcpt::new);
        let message = Outgoing::new("s@x", &to, 10);
        let mut exchange =
            Exchange::new(&message, offer(dialect, "PIPELINING"), Before::New, false);
        let next = converse(&mut exchange, &[250, 250, 250, 354]);
        assert_eq!(next, Next::Content);
        exchange.content_sent();
        assert!(!exchange.lost("peer", &Lost::Closed), "it is not stale");
        let attempt = exchange.finish("peer".into()).attempt;
        assert_eq!(letters(&attempt.outcomes), "TT");
        assert!(attempt.peer.is_some_and(|peer| peer.unsure), "{dialect:?}");
        let text = attempt.outcomes[1].reply().to_string();
        assert!(text.contains("in reply to the end of data; unknown"), "{dialect:?}: {text}");
    }
}

#[test]
fn parameters_of_stores_go_to_lmtp_servers_alone() {
    let quota = Some(XQuota { size: 1, messages: 2 });
    let to = [OutgoingRcpt { quota, flags: 1, ..OutgoingRcpt::new("a@b") }];
    let message = Outgoing { eight_bit: true, ..Outgoing::new("s@x", &to, 10) };
    for (dialect, want) in [
        (Dialect::Lmtp, "RCPT TO:<a@b> XQUOTA=1,2 XDFLG=1 NOTIFY=NEVER"),
        (Dialect::Smtp, "RCPT TO:<a@b> NOTIFY=NEVER"),
    ] {
        let to = [OutgoingRcpt { notify: Notify::Never, ..to[0] }];
        let message = Outgoing { recipients: &to, ..message };
        let keywords = "PIPELINING\nSIZE 100\n8BITMIME\nDSN\nXQUOTA\nXDFLG\nXSTRESS";
        let mut exchange = Exchange::new(&message, offer(dialect, keywords), Before::New, false);
        let mut commands = Vec::new();
        exchange.commands(&mut commands);
        let want = format!("MAIL FROM:<s@x> SIZE=12 BODY=8BITMIME\r\n{want}\r\nDATA\r\n");
        assert_eq!(String::from_utf8_lossy(&commands), want, "{dialect:?}");
    }
    // The word of the configuration makes no store of an SMTP server.
    let of = |dialect| Offer::of(&Reply::plain(250, "peer"), dialect, true);
    assert!(of(Dialect::Lmtp).private && !of(Dialect::Smtp).private);
}

#[test]
fn the_next_message_is_announced_where_one_reply_is_due_before_it() {
    // dialect, replies to two RCPT, whether another message may be announced
    let rows = [
        (Dialect::Lmtp, [250, 250], false),
        (Dialect::Lmtp, [250, 550], true),
        (Dialect::Smtp, [250, 250], true),
        (Dialect::Smtp, [250, 550], true),
        // A second transaction of the same message comes first.
        (Dialect::Smtp, [250, 452], false),
    ];
    for (dialect, [one, two], want) in rows {
        let (to, next) = (["a", "b"].map(OutgoingRcpt::new), [OutgoingRcpt::new("c")]);
        let (message, following) = (Outgoing::new("s@x", &to, 10), Outgoing::new("s@x", &next, 10));
        for (keywords, pipelines) in [("PIPELINING", true), ("8BITMIME", false)] {
            let mut exchange =
                Exchange::new(&message, offer(dialect, keywords), Before::New, false);
            let due = converse(&mut exchange, &[250, one, two, 354]);
            assert_eq!(due, Next::Content);
            let announced = exchange.announce(&following, &mut Vec::new());
            assert_eq!(announced, want && pipelines, "{dialect:?} {one} {two}");
            // To a server without 8BITMIME it is converted, and has another size.
            let following = Outgoing { eight_bit: true, ..following };
            assert!(!exchange.announce(&following, &mut Vec::new()));
        }
    }
}

#[test]
fn one_policy_but_for_the_reply_to_the_content() {
    let stages =
        [Stage::Greeting, Stage::Reset, Stage::Mail, Stage::Rcpt(0), Stage::Data, Stage::Content];
    for stage in stages {
        for code in [220, 250, 251, 354, 421, 450, 452, 500, 530, 550, 552, 554] {
            let [lmtp, smtp] = BOTH.map(|dialect| stage.outcome(dialect, reply(code)));
            assert_eq!(lmtp, smtp, "{stage:?} {code}");
        }
    }
    // code, over LMTP, over SMTP
    let rows = [
        (200, "T", "D"),
        (220, "T", "D"),
        (221, "T", "T"),
        (250, "D", "D"),
        (259, "D", "D"),
        (354, "T", "T"),
        (421, "T", "T"),
        (452, "T", "T"),
        (550, "F", "F"),
    ];
    for (code, lmtp, smtp) in rows {
        let of = |dialect| letters(&[Stage::Status(0).outcome(dialect, reply(code))]);
        assert_eq!(BOTH.map(of), [lmtp, smtp], "{code}");
    }
}

#[test]
fn each_dialect_has_its_port() {
    let port = |program| Channel::new("out", "out-daemon", program).next_hop_port();
    assert_eq!([Program::Lmtp, Program::Smtp].map(port), [24, 25]);
}

#[test]
fn keywords_are_read_in_whatever_form_servers_write_them() {
    // keywords, the announced limit, AUTH as it is shown, PIPELINING
    let rows = [
        ("SIZE", Some(0), "", false),
        ("SIZE 0", Some(0), "", false),
        ("size 1000\npipelining", Some(1_000), "", true),
        ("SIZE many", Some(0), "", false),
        ("SIZE 99999999999999999999999", Some(0), "", false),
        ("AUTH=LOGIN PLAIN", None, "PLAIN, LOGIN", false),
        ("auth login\nAUTH=LOGIN", None, "LOGIN", false),
        ("AUTH", None, "others only", false),
        ("AUTH DIGEST-MD5 cram-md5", None, "CRAM-MD5 and others", false),
        ("X-PIPELINING\nPIPELININGS\n\nSIZEX 3", None, "", false),
        ("", None, "", false),
    ];
    for (keywords, size, auth, pipelining) in rows {
        let offer = offer(Dialect::Smtp, keywords);
        let got = (offer.size, offer.auth.to_string(), offer.pipelining);
        assert_eq!(got, (size, auth.to_owned(), pipelining), "{keywords:?}");
    }
    // HELO offers nothing, whatever its reply says.
    let mut introduction = Introduction::new(Dialect::Smtp, false);
    introduction.take(reply(220));
    introduction.take(reply(502));
    let said = introduction.take(Reply::plain(250, "peer\nPIPELINING\nSIZE 9"));
    assert_eq!(said, Introduced::Ready(Offer::none(Dialect::Smtp)));
}

#[test]
fn a_message_beyond_the_size_is_not_begun() {
    let to = [OutgoingRcpt::new("a@b")];
    // the server's limit, octets, what is announced (`None`: it fails here)
    let rows = [
        ("SIZE 1000", 998, Some(1_000)),
        ("SIZE 1000", 999, Some(1_000)),
        ("SIZE 1000", 1_000, Some(1_000)),
        ("SIZE 1000", 1_001, None),
        ("SIZE 0", 1_001, Some(1_003)),
        ("SIZE", 1_001, Some(1_003)),
    ];
    for (keyword, size, want) in rows {
        let message = Outgoing::new("s@x", &to, size);
        let mut exchange =
            Exchange::new(&message, offer(Dialect::Smtp, keyword), Before::New, false);
        let next = exchange.begin();
        if let Some(announced) = want {
            let mut commands = Vec::new();
            exchange.commands(&mut commands);
            let said = String::from_utf8_lossy(&commands);
            assert_eq!(said, format!("MAIL FROM:<s@x> SIZE={announced}\r\n"), "{keyword} {size}");
        } else {
            assert_eq!(next, Next::Done);
            let attempt = exchange.finish("peer".into()).attempt;
            let said = attempt.outcomes[0].reply().to_string();
            assert!(said.starts_with("552 5.3.4 message of 1001 octets"), "{said}");
            // It is our word, and another server may have more room.
            assert_eq!(AtServers::first(attempt).open(), [0]);
        }
    }
}
