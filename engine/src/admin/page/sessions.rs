//! Browsers that have logged in with the token, and clients that have tried too often.

use std::{
    collections::VecDeque,
    fmt::Write,
    net::IpAddr,
    time::{Duration, Instant},
};

use ring::{
    hmac::{HMAC_SHA256, Key, sign, verify},
    rand::{SecureRandom, SystemRandom},
};

/// Sessions of browsers. Nothing of them outlives the engine.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: VecDeque<Session>,
    failures: VecDeque<(Instant, IpAddr)>,
}

/// A browser that has shown the token.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The value of its cookie.
    id: String,
    /// The token of its forms.
    pub(super) form_token: String,
    /// The token that it showed; another one in the file ends the session.
    shown: String,
    ends: Instant,
}

impl Sessions {
    /// Whether somebody may try to log in from there.
    pub(super) fn may_try(&mut self, from: IpAddr, now: Instant) -> bool {
        self.failures.retain(|(at, _)| now.duration_since(*at) < WINDOW);
        let (network, all) = (network(from), self.failures.len());
        let its = self.failures.iter().filter(|(_, tried)| *tried == network).count();
        its < MOST_FAILURES && all < MOST_FAILURES_OF_ALL
    }

    /// Remembers that somebody has shown a wrong token.
    pub(super) fn failed(&mut self, from: IpAddr, now: Instant) {
        self.failures.push_back((now, network(from)));
    }

    /// Begins a session, in place of the oldest where there are many; the value of its cookie.
    /// Nothing when the system has no random numbers.
    pub(super) fn open(&mut self, shown: &str, now: Instant) -> Option<String> {
        let (id, form_token) = (secret()?, secret()?);
        self.open.retain(|session| now < session.ends);
        if self.open.len() >= MOST_SESSIONS {
            self.open.pop_front();
        }
        let (shown, ends) = (shown.to_owned(), now + LIFE);
        self.open.push_back(Session { id: id.clone(), form_token, shown, ends });
        Some(id)
    }

    /// The session of a cookie, as long as the token is still the one that it was begun with.
    pub(super) fn find(&self, cookie: &str, token: &str, now: Instant) -> Option<&Session> {
        let its = self.open.iter().find(|session| is_same(&session.id, cookie))?;
        (now < its.ends && is_same(&its.shown, token)).then_some(its)
    }

    /// Ends a session.
    pub(super) fn close(&mut self, cookie: &str) {
        self.open.retain(|session| !is_same(&session.id, cookie));
    }
}

/// Whether two secrets are equal, in a time that does not tell where they differ.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let key = Key::new(HMAC_SHA256, one.as_bytes());
    let tag = sign(&Key::new(HMAC_SHA256, other.as_bytes()), LABEL);
    verify(&key, LABEL, tag.as_ref()).is_ok()
}

/// 256 random bits, as 64 digits; nothing when the system has none.
pub(super) fn secret() -> Option<String> {
    let mut octets = [0; 32];
    SystemRandom::new().fill(&mut octets).ok()?;
    let mut text = String::with_capacity(64);
    for octet in octets {
        let _ = write!(text, "{octet:02x}");
    }
    Some(text)
}

/// The network of an address: a client of IPv6 has a whole one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::from((u128::from(address) >> HOST_BITS << HOST_BITS).to_be_bytes())
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Of a session.
pub(super) const LIFE: Duration = Duration::from_secs(8 * 3_600);
const MOST_SESSIONS: usize = 64;
/// Within this time so many wrong tokens are looked at.
const WINDOW: Duration = Duration::from_secs(60);
const MOST_FAILURES: usize = 5;
const MOST_FAILURES_OF_ALL: usize = 100;
const HOST_BITS: u32 = 64;
const LABEL: &[u8] = b"relais";

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a token of twenty octets and more";

    #[test]
    fn a_session_lasts_as_long_as_its_token_and_eight_hours() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let id = sessions.open(TOKEN, now).unwrap();
        assert_eq!(id.len(), 64);
        assert!(sessions.find(&id, TOKEN, now).is_some());
        assert!(sessions.find(&id, "another token", now).is_none(), "the file has changed");
        assert!(sessions.find("", TOKEN, now).is_none());
        assert!(sessions.find(&id[1..], TOKEN, now).is_none());
        assert!(sessions.find(&id, TOKEN, now + LIFE).is_none());
        sessions.close(&id);
        assert!(sessions.find(&id, TOKEN, now).is_none());
    }

    #[test]
    fn the_oldest_session_makes_room() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let ids: Vec<_> = (0..=MOST_SESSIONS).filter_map(|_| sessions.open(TOKEN, now)).collect();
        assert!(sessions.find(&ids[0], TOKEN, now).is_none());
        assert!(ids[1..].iter().all(|id| sessions.find(id, TOKEN, now).is_some()));
    }

    #[test]
    fn wrong_tokens_are_few_from_one_network_and_from_all() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let here: IpAddr = "2001:db8::1".parse().unwrap();
        let beside: IpAddr = "2001:db8::2".parse().unwrap();
        let elsewhere: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        for _ in 0..MOST_FAILURES {
            assert!(sessions.may_try(here, now));
            sessions.failed(here, now);
        }
        assert!(!sessions.may_try(here, now) && !sessions.may_try(beside, now));
        assert!(sessions.may_try(elsewhere, now));
        assert!(sessions.may_try(here, now + WINDOW));
        for n in 0..MOST_FAILURES_OF_ALL {
            sessions.failed(IpAddr::from([10, 0, 0, n as u8]), now);
        }
        assert!(!sessions.may_try("192.0.2.1".parse().unwrap(), now));
    }
}
