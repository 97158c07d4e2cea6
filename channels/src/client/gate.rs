//! The gate in front of a client's connections: asked before each address of a next hop.

use std::{fmt, net::IpAddr};

use crate::mail::Reply;

/// An address that is about to be connected to.
#[derive(Clone, Copy, Debug)]
pub struct Approach<'a> {
    /// Its place among the addresses of the host, from 1.
    pub index: usize,
    /// How many addresses the host has.
    pub count: usize,
    /// The address.
    pub address: IpAddr,
    /// The host, as it is called; empty for a next hop that is an address.
    pub host: &'a str,
}

/// The word of a gate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Passage {
    /// Connect.
    Open,
    /// Connect there in its place.
    Instead(IpAddr),
    /// Go on with the next address.
    Skip,
    /// Not now: go on with the next address; the mail waits, with this reply, if there is none.
    Later(Reply),
    /// The mail is returned, or waits, with this reply.
    Refused(Reply),
}

/// Says where a client may connect to.
pub trait Gate: fmt::Debug + Send + Sync {
    /// The word about servers that stand in for each other, before the first of them is asked about: as
    /// they are called, in the order of the configuration or the DNS. `Refused` ends the attempt.
    fn meet(&self, _servers: &mut dyn Iterator<Item = &str>) -> Passage {
        Passage::Open
    }

    /// Whether no two servers that stand in for each other may be called at once, so that a second one
    /// waits until the first has failed. Asked behind [`Gate::meet`].
    fn one_by_one(&self) -> bool {
        false
    }

    /// The call of an address that was let pass has come to nothing, or another one was faster.
    fn is_over(&self, _address: IpAddr) {}

    /// The word about one address.
    fn ask(&self, approach: &Approach<'_>) -> Passage;
}
