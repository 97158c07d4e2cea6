//! Senders wrapped into addresses of ours, and back (Sender Rewriting Scheme), as postsrsd and libsrs2
//! have it: `SRS0=hash=day=domain=user@ours`, and `SRS1=hash=forwarder==rest@ours` for a sender that
//! another forwarder has wrapped.

use std::{
    fs::File,
    io::Read,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use relais_config::{Config, grammar::undotted, srs::SrsUse};
use ring::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key};
use zeroize::Zeroizing;

use super::key::{KeyFault, KeyFileFault};
use crate::{
    clock::since_1970,
    mail::{Address, written_local},
};

/// Wraps senders, and unwraps recipients.
#[derive(Debug)]
pub struct Srs {
    domain: Box<str>,
    /// The domains whose senders are ours, that one among them.
    own: Vec<Box<str>>,
    /// The addresses that others see us send from.
    addresses: Vec<IpAddr>,
    /// Days.
    max_age: u64,
    secrets: RwLock<Arc<[Key]>>,
}

/// An address of that form that is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SrsFault {
    /// It lacks a part.
    #[error("the address makes no sense")]
    Malformed,
    /// Its hash is another, or too short.
    #[error("the address was not made here")]
    WrongHash,
    /// It was made too long ago.
    #[error("the address has expired")]
    Expired,
}

impl Srs {
    /// As configured; `None`: it is not. The secrets are read.
    pub fn load(config: &Config) -> Result<Option<Self>, KeyFileFault> {
        let Some(its) = &config.srs else { return Ok(None) };
        let own = [&its.domain, &config.default_domain].into_iter().chain(&its.own_domains);
        Ok(Some(Self {
            domain: its.domain.to_ascii_lowercase().into(),
            own: own.map(|domain| domain.to_ascii_lowercase().into()).collect(),
            addresses: its.addresses.clone(),
            max_age: its.max_age.as_secs() / DAY,
            secrets: RwLock::new(secrets(config)?),
        }))
    }

    /// Reads the secrets again; after an error those of before are in force.
    pub fn adopt(&self, config: &Config) -> Result<(), KeyFileFault> {
        let secrets = secrets(config)?;
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
        Ok(())
    }

    /// Whether a sender is of a domain that is ours, or below one.
    pub fn is_own(&self, sender: &str) -> bool {
        let Some((_, domain)) = sender.rsplit_once('@') else { return true };
        let domain = domain.to_ascii_lowercase();
        self.own.iter().any(|own| {
            let above = domain.strip_suffix(&**own);
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        })
    }

    /// Whether a sender may get another address at all.
    pub fn wraps(&self, srs_use: SrsUse, sender: &str) -> bool {
        srs_use != SrsUse::Never && !self.is_own(sender)
    }

    /// The addresses that SPF of a sender has to let send; one that nobody lets where ours are not
    /// known.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        if self.addresses.is_empty() { &NOBODY } else { &self.addresses }
    }

    /// The address of ours that stands for a sender. `None`: it has no such form.
    pub fn wrapped(&self, sender: &str, now: SystemTime) -> Option<String> {
        let sender = Address::parse(sender).ok()?;
        let (user, host) = (&*sender.unquoted_local(), sender.domain()?);
        if host.starts_with('[') {
            return None;
        }
        let secrets = self.secrets();
        let first = secrets.first()?;
        let local = match Wrapped::of(user) {
            None => {
                let day = day_letters(days(now));
                let hash = hash(first, &[&day, host, user]);
                format!("SRS0={hash}={day}={host}={user}")
            }
            // Its own separator stays where it is.
            Some(Wrapped::Once(rest)) => {
                let hash = hash(first, &[host, rest]);
                format!("SRS1={hash}={host}={rest}")
            }
            Some(Wrapped::Again(rest)) => {
                let (_, rest) = rest[1..].split_once('=')?;
                let (host, rest) = rest.split_once('=')?;
                let hash = hash(first, &[host, rest]);
                format!("SRS1={hash}={host}={rest}")
            }
        };
        let wrapped = format!("{}@{}", written_local(&local), self.domain);
        (wrapped.len() <= LONGEST).then_some(wrapped)
    }

    /// The sender that an address of ours stands for. `None`: it is no such address.
    pub fn unwrapped(&self, address: &str, now: SystemTime) -> Option<Result<String, SrsFault>> {
        let address = Address::parse(address).ok()?;
        if !undotted(address.domain()?).eq_ignore_ascii_case(&self.domain) {
            return None;
        }
        Some(match Wrapped::of(&address.unquoted_local())? {
            Wrapped::Once(rest) => self.sender_of(&rest[1..], now),
            Wrapped::Again(rest) => self.forwarder_of(&rest[1..]),
        })
    }

    fn sender_of(&self, text: &str, now: SystemTime) -> Result<String, SrsFault> {
        let mut parts = text.splitn(4, '=');
        let mut part = || parts.next().filter(|it| !it.is_empty()).ok_or(SrsFault::Malformed);
        let (hash, day, host) = (part()?, part()?, part()?);
        let user = parts.next().ok_or(SrsFault::Malformed)?;
        self.believe(hash, &[day, host, user])?;
        let made = days_of(day).ok_or(SrsFault::Malformed)?;
        let age = (days(now) + DAYS - made) % DAYS;
        if age > self.max_age {
            return Err(SrsFault::Expired);
        }
        Ok(format!("{}@{host}", written_local(user)))
    }

    fn forwarder_of(&self, text: &str) -> Result<String, SrsFault> {
        let mut parts = text.splitn(3, '=');
        let mut part = || parts.next().filter(|it| !it.is_empty()).ok_or(SrsFault::Malformed);
        let (hash, host, rest) = (part()?, part()?, part()?);
        if !rest.starts_with(SEPARATORS) {
            return Err(SrsFault::Malformed);
        }
        self.believe(hash, &[host, rest])?;
        Ok(format!("{}@{host}", written_local(&format!("SRS0{rest}"))))
    }

    fn believe(&self, given: &str, parts: &[&str]) -> Result<(), SrsFault> {
        if given.len() < HASH || given.len() > MOST_HASH {
            return Err(SrsFault::WrongHash);
        }
        // The case of such an address may have changed on its way.
        let fits = |key: &Key| {
            let whole = STANDARD.encode(signature(key, parts));
            whole.get(..given.len()).is_some_and(|hash| hash.eq_ignore_ascii_case(given))
        };
        if self.secrets().iter().any(fits) { Ok(()) } else { Err(SrsFault::WrongHash) }
    }

    fn secrets(&self) -> Arc<[Key]> {
        Arc::clone(&self.secrets.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A local part of that form: the rest behind its first four letters, a separator first.
enum Wrapped<'a> {
    Once(&'a str),
    Again(&'a str),
}

impl<'a> Wrapped<'a> {
    fn of(user: &'a str) -> Option<Self> {
        let (begin, rest) = user.split_at_checked(4)?;
        if !rest.starts_with(SEPARATORS) {
            return None;
        }
        if begin.eq_ignore_ascii_case("SRS0") {
            Some(Self::Once(rest))
        } else {
            begin.eq_ignore_ascii_case("SRS1").then_some(Self::Again(rest))
        }
    }
}

fn hash(key: &Key, parts: &[&str]) -> String {
    STANDARD.encode(signature(key, parts)).chars().take(HASH).collect()
}

fn signature(key: &Key, parts: &[&str]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part.to_ascii_lowercase().as_bytes());
    }
    context.sign()
}

fn days(now: SystemTime) -> u64 {
    since_1970(now).as_secs() / DAY % DAYS
}

fn day_letters(day: u64) -> String {
    [day >> 5, day].map(|digit| char::from(BASE32[(digit & 31) as usize])).iter().collect()
}

fn days_of(letters: &str) -> Option<u64> {
    let digit = |c: u8| BASE32.iter().position(|it| it.eq_ignore_ascii_case(&c));
    match letters.as_bytes() {
        [first, second] => Some((digit(*first)? as u64) << 5 | digit(*second)? as u64),
        _ => None,
    }
}

/// The secrets of the file.
fn secrets(config: &Config) -> Result<Arc<[Key]>, KeyFileFault> {
    let file = config.srs.as_ref().map(|its| config.path(&its.secrets)).unwrap_or_default();
    let field = || "srs.secrets".to_owned();
    read(&file).map_err(|why| KeyFileFault { field: field(), file: file.clone(), why })
}

fn read(file: &Path) -> Result<Arc<[Key]>, KeyFault> {
    let mut text = Zeroizing::new(String::new());
    File::open(file)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(KeyFault::TooLarge);
    }
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let key = |line: &str| hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, line.as_bytes());
    let keys: Arc<[Key]> = lines.map(key).collect();
    if keys.is_empty() { Err(KeyFault::NoSecret) } else { Ok(keys) }
}

const SEPARATORS: [char; 3] = ['=', '-', '+'];
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Letters of a hash that are written, and the fewest that are believed.
const HASH: usize = 4;
/// Letters of a whole one.
const MOST_HASH: usize = 28;
/// Of TEST-NET-1 (RFC 5737): no host has it.
const NOBODY: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))];
/// Days come again after so many.
const DAYS: u64 = 1_024;
const DAY: u64 = 86_400;
/// Octets of an address (RFC 5321 section 4.5.3.1.3).
const LONGEST: usize = 254;
/// Octets of the file.
const LARGEST: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn srs(secrets: &[&str]) -> Srs {
        let key = |line: &&str| hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, line.as_bytes());
        let secrets: Arc<[Key]> = secrets.iter().map(key).collect();
        let own = vec!["ours.test".into()];
        let (addresses, secrets) = (Vec::new(), RwLock::new(secrets));
        Srs { domain: "ours.test".into(), own, addresses, max_age: 21, secrets }
    }

    fn at(day: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(day * DAY + 5)
    }

    #[test]
    fn addresses_come_back_within_their_time_and_from_nobody_else() {
        let (first, second) = (srs(&["one"]), srs(&["two", "one"]));
        let wrapped = first.wrapped("Ann.Bee@else.test", at(1_030)).unwrap();
        let back = |srs: &Srs, address: &str, day| srs.unwrapped(address, at(day)).unwrap();
        for (srs, address, day, want) in [
            (&first, wrapped.clone(), 1_030, Ok("Ann.Bee@else.test")),
            (&first, wrapped.to_lowercase(), 1_051, Ok("ann.bee@else.test")),
            (&second, wrapped.clone(), 1_030, Ok("Ann.Bee@else.test")),
            (&first, wrapped.clone(), 1_052, Err(SrsFault::Expired)),
            (&first, wrapped.clone(), 1_029, Err(SrsFault::Expired)),
            (&srs(&["two"]), wrapped.clone(), 1_030, Err(SrsFault::WrongHash)),
            (&first, wrapped.replace("else", "evil"), 1_030, Err(SrsFault::WrongHash)),
            (&first, "SRS0=@ours.test".to_owned(), 1_030, Err(SrsFault::Malformed)),
            (&first, "SRS0=a=b=c@ours.test".to_owned(), 1_030, Err(SrsFault::Malformed)),
            (&first, "SRS0==BG=c=d@ours.test".to_owned(), 1_030, Err(SrsFault::Malformed)),
            (&first, "SRS1=abcd=c=d@ours.test".to_owned(), 1_030, Err(SrsFault::Malformed)),
            (&first, "SRS1=abcd=c==d@ours.test".to_owned(), 1_030, Err(SrsFault::WrongHash)),
        ] {
            assert_eq!(back(srs, &address, day).as_deref(), want.as_deref(), "{address} {day}");
        }
        for other in
            ["a@ours.test", "SRS0@ours.test", "SRS0x@ours.test", "SRS0=a=b=c=d@else.test", "x"]
        {
            assert!(first.unwrapped(other, at(1)).is_none(), "{other}");
        }
    }

    #[test]
    fn senders_that_others_have_wrapped_go_back_to_them() {
        let (one, two, three) = (srs(&["one"]), srs(&["two"]), srs(&["three"]));
        let now = at(7);
        let first = one.wrapped("a+b=c@else.test", now).unwrap().replace("ours.test", "one.test");
        let second = two.wrapped(&first, now).unwrap().replace("ours.test", "two.test");
        let third = three.wrapped(&second, now).unwrap();
        assert!(third.starts_with("SRS1=") && third.contains("=one.test=="), "{third}");
        let back = three.unwrapped(&third, now).unwrap().unwrap();
        assert_eq!(back, first);
        let home = back.replace("one.test", "ours.test");
        assert_eq!(one.unwrapped(&home, now).unwrap().unwrap(), "a+b=c@else.test");
    }

    #[test]
    fn quotes_stand_where_an_address_needs_them_and_nowhere_else() {
        let (here, there) = (srs(&["one"]), srs(&["two"]));
        let now = at(7);
        // sender, how the local part of its address begins, whom that stands for
        let rows = [
            ("\"a b\"@else.test", "\"SRS0=", "\"a b\"@else.test"),
            ("\"a.b\"@else.test", "SRS0=", "a.b@else.test"),
            ("a.\"b\".c@else.test", "SRS0=", "a.b.c@else.test"),
            ("\"a..b\"@else.test", "\"SRS0=", "\"a..b\"@else.test"),
            ("\".a\"@else.test", "SRS0=", "\".a\"@else.test"),
            ("\"a\\\"b\\\\c\"@else.test", "\"SRS0=", "\"a\\\"b\\\\c\"@else.test"),
            ("\"a@b\"@else.test", "\"SRS0=", "\"a@b\"@else.test"),
            ("\"\"@else.test", "SRS0=", "\"\"@else.test"),
            (
                "\"SRS0=abcd=AB=far.test=a b\"@else.test",
                "\"SRS1=",
                "\"SRS0=abcd=AB=far.test=a b\"@else.test",
            ),
            ("\"SRS0=abcd=AB=far.test=a\"@else.test", "SRS1=", "SRS0=abcd=AB=far.test=a@else.test"),
        ];
        for (sender, begin, want) in rows {
            let wrapped = here.wrapped(sender, now).unwrap_or_default();
            assert!(wrapped.starts_with(begin), "{sender}: {wrapped}");
            assert!(Address::parse_strictly(&wrapped).is_ok(), "{wrapped}");
            assert_eq!(here.unwrapped(&wrapped, now), Some(Ok(want.to_owned())), "{wrapped}");
            // Another forwarder behind us.
            let again = there.wrapped(&wrapped.replace("ours.test", "first.test"), now).unwrap();
            let back = there.unwrapped(&again, now).unwrap().unwrap();
            // The shortcut of a second forwarder leads past the first one.
            let home = if wrapped.contains("SRS1") { want } else { &wrapped };
            assert_eq!(back.replace("first.test", "ours.test"), home, "{again}");
        }
        let plain = here.wrapped("a@else.test", now).unwrap();
        let quoted = format!("\"{}", plain.replace('@', "\"@"));
        assert_eq!(here.unwrapped(&quoted, now), Some(Ok("a@else.test".to_owned())));
        assert_eq!(here.unwrapped(&format!("{plain}."), now), Some(Ok("a@else.test".to_owned())));
    }

    #[test]
    fn senders_without_such_a_form_stay_as_they_are() {
        let long = format!("{}@else.test", "x".repeat(240));
        for sender in ["", "x", "a b@else.test", "a@[192.0.2.1]", &long] {
            assert_eq!(srs(&["one"]).wrapped(sender, at(1)), None, "{sender}");
        }
        let srs = srs(&["one"]);
        for (sender, want) in [
            ("a@ours.test", true),
            ("a@Sub.OURS.test", true),
            ("a@notours.test", false),
            ("a@else.test", false),
            ("", true),
        ] {
            assert_eq!(srs.is_own(sender), want, "{sender}");
        }
    }
}
