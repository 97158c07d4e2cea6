//! The look-ups of one check of SPF, as the library ought to see and count them.
//!
//! The library asks its caches before name servers, and tells them what these found: so a cache knows
//! each question and whether it was answered. Two of its habits are put right by that.
//!
//! - It compares names of a client's address with the domain of `ptr` as they came, with their final
//!   dot: a client whose name is that domain itself never matches. Here they lose it, and a check that
//!   asked for them is to be made once more.
//! - It counts no void look-ups, of which two are the most (RFC 7208 section 4.6.4): answers without
//!   records to `a`, `mx`, `ptr` and `exists`. Of addresses of servers that an MX record or a client's
//!   address names none is counted, for the term itself has had an answer.

use std::{
    borrow::Borrow,
    collections::HashSet,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use mail_auth::{MX, MessageAuthenticator, RecordSet, ResolverCache};

/// Names of a client's address.
pub(super) type Names = RecordSet<Box<str>>;

/// The look-ups of one check.
#[derive(Default)]
pub(super) struct LookUps(Mutex<Questions>);

#[derive(Default)]
struct Questions {
    names: Option<Names>,
    /// Questions for names and servers that have no answer yet.
    others_open: usize,
    /// Names whose addresses were asked for without an answer yet, and whether those of IPv4 were.
    addresses_open: Vec<(String, bool)>,
    /// Names that `exists` asked for.
    exists: Vec<String>,
    /// Names that answers brought up.
    named: HashSet<String>,
}

impl LookUps {
    /// Of a check that knows the names of the client's address.
    pub(super) fn knowing(names: Names) -> Self {
        Self(Mutex::new(Questions {
            named: names.rrset.iter().map(|name| spelled(name)).collect(),
            names: Some(names),
            ..Questions::default()
        }))
    }

    /// The names of the client's address, where the check has asked for them.
    pub(super) fn names(&self) -> Option<Names> {
        self.seen().names.clone()
    }

    /// Whether there were more void look-ups than there may be. The library does not tell what became of
    /// those of `exists`: they are asked once more, of the resolver's memory.
    pub(super) async fn are_too_void(&self, checks: &MessageAuthenticator) -> bool {
        let (mut void, exists) = {
            let seen = self.seen();
            (seen.others_open + seen.addresses_open.len(), seen.exists.clone())
        };
        for name in exists {
            if void > MOST_VOID {
                break;
            }
            let found = checks.0.ipv4_lookup(name + ".").await;
            void += usize::from(found.is_err_and(|error| error.is_no_records_found()));
        }
        void > MOST_VOID
    }

    fn seen(&self) -> MutexGuard<'_, Questions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Questions {
    fn ask_address(&mut self, name: String, is_v4: bool) {
        if self.named.contains(&name) {
            return;
        }
        // One name is asked for both families by `exists` alone.
        if !is_v4 && self.addresses_open.last().is_some_and(|last| *last == (name.clone(), true)) {
            self.addresses_open.pop();
            self.exists.push(name);
        } else {
            self.addresses_open.push((name, is_v4));
        }
    }

    fn answer_address(&mut self, name: &str) {
        let is_open = |open: &(String, bool)| open.0 == name;
        if let Some(at) = self.addresses_open.iter().rposition(is_open) {
            self.addresses_open.remove(at);
        }
    }
}

macro_rules! addresses {
    ($address:ty, $is_v4:literal) => {
        impl ResolverCache<Box<str>, RecordSet<$address>> for LookUps {
            fn get<Q>(&self, name: &Q) -> Option<RecordSet<$address>>
            where
                Box<str>: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.seen().ask_address(text(name), $is_v4);
                None
            }

            fn remove<Q>(&self, _: &Q) -> Option<RecordSet<$address>>
            where
                Box<str>: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                None
            }

            fn insert(&self, name: Box<str>, _: RecordSet<$address>, _: Instant) {
                self.seen().answer_address(&spelled(&name));
            }
        }
    };
}

addresses!(Ipv4Addr, true);
addresses!(Ipv6Addr, false);

impl ResolverCache<Box<str>, RecordSet<MX>> for LookUps {
    fn get<Q>(&self, _: &Q) -> Option<RecordSet<MX>>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.seen().others_open += 1;
        None
    }

    fn remove<Q>(&self, _: &Q) -> Option<RecordSet<MX>>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, found: RecordSet<MX>, _: Instant) {
        let mut seen = self.seen();
        seen.others_open = seen.others_open.saturating_sub(1);
        let exchanges = found.rrset.iter().flat_map(|mx| &mx.exchanges);
        seen.named.extend(exchanges.map(|name| spelled(name)));
    }
}

/// It is of one address.
impl ResolverCache<IpAddr, Names> for LookUps {
    fn get<Q>(&self, _: &Q) -> Option<Names>
    where
        IpAddr: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut seen = self.seen();
        if seen.names.is_none() {
            seen.others_open += 1;
        }
        seen.names.clone()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Names>
    where
        IpAddr: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.seen().names.take()
    }

    fn insert(&self, _: IpAddr, names: Names, _: Instant) {
        let undotted = names.rrset.iter().map(|name| name.trim_end_matches('.').into());
        let names = RecordSet { rrset: undotted.collect(), ..names };
        let mut seen = self.seen();
        seen.others_open = seen.others_open.saturating_sub(1);
        seen.named.extend(names.rrset.iter().map(|name| spelled(name)));
        seen.names = Some(names);
    }
}

/// A name in its one spelling.
fn spelled(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The name that a key of the library is. A key tells its hash alone: the octets that it is made of.
fn text<Q: Hash + ?Sized>(key: &Q) -> String {
    struct KeyOctets(Vec<u8>);

    impl Hasher for KeyOctets {
        fn finish(&self) -> u64 {
            0
        }

        fn write(&mut self, octets: &[u8]) {
            self.0.extend_from_slice(octets);
        }
    }

    let mut octets = KeyOctets(Vec::new());
    key.hash(&mut octets);
    // Behind a text its hash has an octet that is in none.
    let text = octets.0.strip_suffix(b"\xff").unwrap_or(&octets.0);
    spelled(&String::from_utf8_lossy(text))
}

/// Void look-ups of one check.
const MOST_VOID: usize = 2;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mail_auth::DnssecStatus;

    use super::*;

    #[test]
    fn questions_without_an_answer_are_counted() {
        let found = || RecordSet::<Ipv4Addr> {
            rrset: Arc::new([]),
            dnssec_status: DnssecStatus::Indeterminate,
        };
        let looks = LookUps::default();
        let ask = |name: &str, is_v4: bool| {
            if is_v4 {
                let _: Option<RecordSet<Ipv4Addr>> = looks.get(name);
            } else {
                let _: Option<RecordSet<Ipv6Addr>> = looks.get(name);
            }
        };
        ask("A.test.", true);
        looks.insert("a.test.".into(), found(), Instant::now());
        ask("b.test.", true);
        ask("e.test.", true);
        ask("e.test.", false);
        let _: Option<RecordSet<MX>> = looks.get("m.test.");
        let mx = MX { exchanges: Box::new(["X.test.".into()]), preference: 1 };
        let mx = RecordSet { rrset: Arc::new([mx]), dnssec_status: DnssecStatus::Indeterminate };
        looks.insert("m.test.".into(), mx, Instant::now());
        ask("x.test.", true);
        let _: Option<RecordSet<MX>> = looks.get("n.test.");
        let seen = looks.seen();
        assert_eq!(seen.addresses_open, [("b.test".to_owned(), true)]);
        assert_eq!((seen.others_open, &seen.exists[..]), (1, &["e.test".to_owned()][..]));
    }
}
