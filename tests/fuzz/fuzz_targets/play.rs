//! A session with an engine that takes everything, fed in pieces: whatever comes, every octet is
//! used, the replies are lines, and what is kept is bounded.

use std::{sync::Arc, time::Duration};

use relais_channels::{
    mail::{Enhanced, Reply},
    server::{Dialect, Limits, SaslOffer, Session, Setup, TlsOffer, Verdict, session::Event},
};
use relais_config::{Channel, channel::Program};

/// Plays the octets behind `start` to the end, in pieces whose size the first octet says.
pub(crate) fn play(dialect: Dialect, start: &[u8], octets: &[u8]) {
    let Some((piece, rest)) = octets.split_first() else { return };
    let all = [start, rest].concat();
    let piece = usize::from(*piece).max(1);
    let mut channel = Channel::new("in", "in-daemon", Program::Smtp);
    channel.forbid_unauth_pipelining = false;
    let limits = Limits::of(&channel);
    let host = "mx.example".to_owned();
    let mut setup = Setup { dialect, host, limits, tls: TlsOffer::default(), sasl: SaslOffer::default() };
    setup.limits.command_time = Duration::from_secs(1);
    let setup = Arc::new(setup);
    let mut session = Session::new(&setup);
    let mut held: Vec<u8> = Vec::new();
    for piece in all.chunks(piece) {
        held.extend_from_slice(piece);
        if !feed(&mut session, &mut held) {
            return;
        }
        assert!(held.len() <= setup.limits.command_line, "{} octets are kept", held.len());
    }
}

/// Works through what is held; whether the session goes on.
fn feed(session: &mut Session<'_>, held: &mut Vec<u8>) -> bool {
    loop {
        let (used, event) = session.take(held);
        let hungry = matches!(event, Event::Hungry);
        match event {
            Event::Sender(_) => session.sender(Ok(())),
            Event::Recipient(_) => {
                session.recipient(Ok(()), true);
            }
            Event::Open => session.opened(Ok(())),
            Event::Commit => {
                session.committed(Verdict::Whole(Reply::new(250, Enhanced(2, 0, 0), "OK")));
            }
            Event::ContentRefused(reply) => session.opened(Err(reply.clone())),
            Event::Refused(reply, _) => session.refused(&reply),
            Event::Present(_) => session.presented(Ok(())),
            Event::Close(_) => return false,
            _ => {}
        }
        let _ = session.forgotten();
        let replies = session.outgoing();
        assert!(replies.is_empty() || replies.ends_with(b"\r\n"), "a reply is a line");
        session.sent();
        held.drain(..used);
        if hungry {
            return true;
        }
    }
}
