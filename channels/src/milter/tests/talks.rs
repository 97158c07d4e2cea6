//! Events of a conversation, and the decisions that stand after an answer.

use super::{super::*, agreement, frame, words};
use crate::mail::{Enhanced, Reply};

fn talk(version: u32, protocol: u32) -> Talk {
    Talk::agreed(b'O', &words(&[version, 0x1ff, protocol])).expect("an agreement")
}

/// The commands in `out`, which is emptied.
fn commands(out: &mut Vec<u8>) -> String {
    let mut frames = super::Frames::default();
    frames.room().append(out);
    let mut all = String::new();
    while let Ok(Some((command, data))) = frames.take() {
        all.push(char::from(command));
        if command == b'D' {
            all.push(char::from(data[0]).to_ascii_lowercase());
        }
    }
    all
}

struct Play {
    talk: Talk,
    macros: Macros,
    out: Vec<u8>,
}

impl Play {
    fn new(version: u32, protocol: u32) -> Self {
        let mut macros = Macros::default();
        macros.set("i", "1K");
        Self { talk: talk(version, protocol), macros, out: Vec::new() }
    }

    fn tell(&mut self, event: &FilterEvent<'_>) -> (String, Option<Decision>) {
        let decision = self.talk.tell(event, (&self.macros, &Macros::default()), &mut self.out);
        (commands(&mut self.out), decision)
    }

    /// Tells and answers; the decision.
    fn play(&mut self, event: &FilterEvent<'_>, answer: (u8, &[u8])) -> Decision {
        let (_, decision) = self.tell(event);
        if let Some(decision) = decision {
            return decision;
        }
        match self.talk.hear(answer.0, answer.1) {
            Ok(Heard::Decided(decision)) => decision,
            other => panic!("{other:?}"),
        }
    }

    fn abort(&mut self) -> String {
        self.talk.abort(&mut self.out);
        commands(&mut self.out)
    }
}

const CONTINUE: (u8, &[u8]) = (b'c', b"");
const ACCEPT: (u8, &[u8]) = (b'a', b"");
const REJECT: (u8, &[u8]) = (b'r', b"");

fn refused(decision: &Decision) -> Option<u16> {
    if let Decision::Refuse(reply) = decision { Some(reply.code) } else { None }
}

#[test]
fn each_event_is_told_as_was_agreed() {
    let client = Client { name: "x".into(), address: ([127, 0, 0, 1], 0).into() };
    let to = ["<a@b>".to_owned()];
    let events: [(&str, FilterEvent<'_>, &str, u32, u32); 9] = [
        ("connect", FilterEvent::Connect(&client), "C", 1, 1 << 12),
        ("helo", FilterEvent::Helo("x"), "H", 1 << 1, 1 << 13),
        ("mail", FilterEvent::Mail(&to), "DmM", 1 << 2, 1 << 14),
        ("rcpt", FilterEvent::Rcpt(&to), "DrR", 1 << 3, 1 << 15),
        ("data", FilterEvent::Data, "DtT", 1 << 9, 1 << 16),
        ("header", FilterEvent::Header(b"A", b" b"), "L", 1 << 5, 1 << 7),
        ("end of header", FilterEvent::EndOfHeader, "DnN", 1 << 6, 1 << 18),
        ("body", FilterEvent::Body(b"x"), "B", 1 << 4, 1 << 19),
        ("end of message", FilterEvent::EndOfMessage, "DeE", 0, 0),
    ];
    for (name, event, told, unwanted, unanswered) in events {
        assert_eq!(Play::new(6, 0).tell(&event), (told.to_owned(), None), "{name}");
        if unwanted == 0 {
            continue;
        }
        let macros = &told[..told.len() - 1];
        let go_on = Some(Decision::Continue);
        let got = Play::new(6, unwanted).tell(&event);
        assert_eq!(got, (macros.to_owned(), go_on.clone()), "{name} is unwanted");
        assert_eq!(Play::new(6, unanswered).tell(&event), (told.to_owned(), go_on), "{name}");
    }
}

#[test]
fn old_filters_are_told_what_they_know() {
    let to = ["<a@b>".to_owned()];
    for (version, want) in
        [(2, "DmM DrR - N DeE"), (4, "DmM DrR DtT N DeE"), (6, "DmM DrR DtT DnN DeE")]
    {
        let mut play = Play::new(version, 0);
        let events = [
            FilterEvent::Mail(&to),
            FilterEvent::Rcpt(&to),
            FilterEvent::Data,
            FilterEvent::EndOfHeader,
            FilterEvent::EndOfMessage,
        ];
        let mut told = Vec::new();
        for event in events {
            let (commands, decision) = play.tell(&event);
            told.push(if commands.is_empty() { "-".to_owned() } else { commands });
            if decision.is_none() {
                play.talk.hear(b'c', b"").expect("an answer");
            }
        }
        assert_eq!(told.join(" "), want, "version {version}");
    }
}

#[test]
fn decisions_stand_as_long_as_they_are_about() {
    let client = Client { name: "x".into(), address: ([127, 0, 0, 1], 0).into() };
    let to = ["<a@b>".to_owned()];
    let (mail, rcpt) = (FilterEvent::Mail(&to), FilterEvent::Rcpt(&to));
    let connect = FilterEvent::Connect(&client);

    let mut play = Play::new(6, 0);
    assert_eq!(play.play(&connect, ACCEPT), Decision::Accept);
    assert_eq!(play.tell(&mail), (String::new(), Some(Decision::Accept)), "for the session");
    assert_eq!(play.abort(), "");

    let mut play = Play::new(6, 0);
    assert_eq!(refused(&play.play(&connect, REJECT)), Some(550));
    assert_eq!(refused(&play.play(&mail, CONTINUE)), Some(550), "for the session");

    let mut play = Play::new(6, 0);
    assert_eq!(play.play(&connect, (b'd', b"")), Decision::Continue, "no client is discarded");
    assert_eq!(play.play(&mail, ACCEPT), Decision::Accept);
    assert_eq!(play.play(&rcpt, REJECT), Decision::Accept, "of this message");
    assert_eq!(play.abort(), "A");
    assert_eq!(refused(&play.play(&mail, REJECT)), Some(550), "not of the next");
    assert_eq!(play.abort(), "A");
    assert_eq!(play.play(&mail, CONTINUE), Decision::Continue);
    assert_eq!(refused(&play.play(&rcpt, (b't', b""))), Some(451), "of one recipient");
    assert_eq!(play.play(&rcpt, CONTINUE), Decision::Continue);
    assert_eq!(play.play(&FilterEvent::EndOfMessage, (b'd', b"")), Decision::Discard);
    assert_eq!(play.abort(), "", "it is over");

    let reply = (b'y', &b"421 4.3.2 bye\0"[..]);
    assert_eq!(refused(&play.play(&mail, reply)), Some(421));
    assert_eq!(refused(&play.play(&rcpt, CONTINUE)), Some(421), "of all that comes");
}

#[test]
fn skip_is_of_one_kind_of_event_and_one_message() {
    let to = ["<a@b>".to_owned()];
    let mut play = Play::new(6, 1 << 10);
    for _ in 0..2 {
        assert_eq!(play.play(&FilterEvent::Mail(&to), CONTINUE), Decision::Continue);
        assert!(!play.talk.is_deaf_to(&FilterEvent::Body(b"")));
        assert_eq!(play.play(&FilterEvent::Body(b"x"), (b's', b"")), Decision::Continue);
        assert!(play.talk.is_deaf_to(&FilterEvent::Body(b"")));
        let skipped = play.tell(&FilterEvent::Body(b"y"));
        assert_eq!(skipped, (String::new(), Some(Decision::Continue)));
        assert_eq!(play.play(&FilterEvent::EndOfMessage, CONTINUE), Decision::Continue);
    }
}

#[test]
fn changes_come_at_the_end_and_not_before() {
    let to = ["<a@b>".to_owned()];
    let mut play = Play::new(6, 0);
    assert!(play.tell(&FilterEvent::Mail(&to)).1.is_none());
    assert_eq!(play.talk.hear(b'h', b"A\0b\0"), Err(Breach::Unexpected(b'h')));

    let mut play = Play::new(6, 0);
    play.play(&FilterEvent::Mail(&to), CONTINUE);
    assert!(play.tell(&FilterEvent::EndOfMessage).1.is_none());
    assert_eq!(play.talk.hear(b'p', b""), Ok(Heard::Progress));
    assert_eq!(play.talk.hear(b'q', b"why\0"), Ok(Heard::Quarantine("why".into())));
    assert!(matches!(
        play.talk.hear(b'h', b"A\0b\0"),
        Ok(Heard::Change(FilterChange::AddHeader(_)))
    ));
    assert_eq!(play.talk.hear(b'c', b""), Ok(Heard::Decided(Decision::Continue)));
    assert_eq!(play.talk.hear(b'c', b""), Err(Breach::Unasked));
}

#[test]
fn changes_of_one_message_are_bounded() {
    let to = ["<a@b>".to_owned()];
    let big = [&b"A\0"[..], &vec![b'x'; 60_000], b"\0"].concat();
    for (data, most) in [(&b"A\0b\0"[..], 10_000), (&big, 69)] {
        let mut play = Play::new(6, 0);
        play.play(&FilterEvent::Mail(&to), CONTINUE);
        play.tell(&FilterEvent::EndOfMessage);
        let taken = (0..20_000).take_while(|_| play.talk.hear(b'h', data).is_ok()).count();
        assert_eq!(taken, most);
    }
}

#[test]
fn a_connection_goes_to_another_client_where_that_is_known() {
    let to = ["<a@b>".to_owned()];
    let (mail, end) = (FilterEvent::Mail(&to), FilterEvent::EndOfMessage);
    let rows: [(u32, &[(&FilterEvent<'_>, _)], bool); 6] = [
        (6, &[(&mail, CONTINUE), (&end, CONTINUE)], true),
        (4, &[(&mail, CONTINUE), (&end, CONTINUE)], false),
        (6, &[(&mail, CONTINUE), (&end, ACCEPT)], false),
        (6, &[(&mail, CONTINUE), (&end, REJECT)], false),
        (6, &[(&mail, CONTINUE), (&end, CONTINUE), (&mail, CONTINUE)], false),
        (6, &[], false),
    ];
    for (version, events, want) in rows {
        let mut play = Play::new(version, 0);
        for (event, answer) in events {
            play.play(event, *answer);
        }
        assert_eq!(play.talk.quit_for_another(&mut play.out), want, "{version} {events:?}");
        assert_eq!(commands(&mut play.out), if want { "K" } else { "" });
    }
    let mut play = Play::new(6, 0);
    play.play(&FilterEvent::Mail(&["<>".to_owned()]), CONTINUE);
    play.talk.quit(&mut play.out);
    assert_eq!(commands(&mut play.out), "AQ");
}

#[test]
fn usual_replies_are_those_of_sendmail() {
    let mut play = Play::new(6, 0);
    let decision = play.play(&FilterEvent::Data, REJECT);
    let want = Reply::new(550, Enhanced(5, 7, 1), "Command rejected");
    assert_eq!(decision, Decision::Refuse(want));
    assert!(!agreement(6, 0).wants_rejected_recipients());
    assert!(agreement(6, 1 << 11).wants_rejected_recipients());
    assert_eq!(frame(b'A', b""), b"\0\0\0\x01A");
}
