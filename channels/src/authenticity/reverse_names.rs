//! Names of a client's address, as the library should have them.

use std::{
    borrow::Borrow,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use mail_auth::{RecordSet, ResolverCache};

/// The names that the reverse look-up of one check found. The library compares them with the domain
/// of `ptr` as they came, with their final dot: a client whose name is that domain itself never
/// matches. Here they lose it, and a check that asked for them is to be made once more.
#[derive(Default)]
pub(super) struct ReverseNames(Mutex<Option<RecordSet<Box<str>>>>);

impl ReverseNames {
    /// Whether a check has asked for them.
    pub(super) fn were_asked(&self) -> bool {
        self.known().is_some()
    }

    fn known(&self) -> Option<RecordSet<Box<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// It is of one address.
impl ResolverCache<IpAddr, RecordSet<Box<str>>> for ReverseNames {
    fn get<Q>(&self, _: &Q) -> Option<RecordSet<Box<str>>>
    where
        IpAddr: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.known()
    }

    fn remove<Q>(&self, _: &Q) -> Option<RecordSet<Box<str>>>
    where
        IpAddr: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn insert(&self, _: IpAddr, names: RecordSet<Box<str>>, _: Instant) {
        let undotted = names.rrset.iter().map(|name| name.trim_end_matches('.').into());
        let names = RecordSet { rrset: undotted.collect(), ..names };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
    }
}
