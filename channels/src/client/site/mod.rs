//! Where the mail of a next hop is taken: from a name to servers, in the order in which they are asked.
//!
//! [`Finder`] asks name servers and the file of hosts; what is made of the answers is decided in
//! `plan`, without sockets. [`Laggards`] remembers addresses that did not answer lately, `race`
//! connects to one address after the other without waiting long for any.

mod finder;
mod guard;
mod laggards;
mod own;
mod plan;
mod race;
mod verdict;

use std::{net::SocketAddr, sync::Arc};

pub use finder::{Finder, Finders};
pub(super) use laggards::Laggards;
pub use own::is_of_this_machine;
pub(super) use race::{Pace, Race, Reached, connect};
pub use verdict::NoSite;

/// The servers of one next hop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Site {
    /// The domain or host that was looked for; empty for an address.
    pub name: Arc<str>,
    /// MX records name its servers.
    pub by_mx: bool,
    /// DNSSEC proves the MX records.
    pub secure: bool,
    /// In the order in which they are asked; never empty.
    pub servers: Vec<Server>,
    /// Hosts and addresses that are not asked, and why.
    pub left_out: Vec<LeftOut>,
}

/// One address of a host that takes mail for a site.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// The host by the name that its MX record has, or that of the site; empty for an address.
    pub host: Arc<str>,
    /// Of its MX record.
    pub preference: u16,
    /// Where it listens.
    pub address: SocketAddr,
    /// DNSSEC proves its address records.
    pub secure: bool,
    /// The host is an alias of this one.
    pub canonical: Option<Arc<str>>,
}

/// A host or an address that no mail is sent to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeftOut {
    /// `mx.example` or `mx.example[192.0.2.1]`.
    pub who: String,
    /// In words.
    pub why: String,
}

/// The one who chose a next hop. A recipient's domain that does not exist is a slip of the sender, who
/// is told at once; a host of the configuration that does not is a slip of ours, and mail waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChosenBy {
    /// It is the domain of the recipient's address.
    Recipient,
    /// A channel, a rule, a table or the directory names it.
    Configuration,
}

impl Site {
    /// The one server at an address that was given as such.
    pub(super) fn at(address: SocketAddr) -> Self {
        let host: Arc<str> = "".into();
        let server =
            Server { host: host.clone(), preference: 0, address, secure: false, canonical: None };
        Self {
            name: host,
            by_mx: false,
            secure: false,
            servers: vec![server],
            left_out: Vec::new(),
        }
    }
}
