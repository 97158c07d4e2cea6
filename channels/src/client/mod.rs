//! The client's side of LMTP, and of SMTP to come: an [`Outbound`] is how a channel's mail leaves, a
//! [`Connection`] carries it. What to say is in [`introduction`] and [`exchange`], without sockets; what
//! a reply means is in [`policy`]; in what the two protocols differ is in [`dialect`].

mod before;
mod beyond_ascii;
mod chunk;
mod commands;
pub mod connection;
mod credentials;
mod dialect;
mod exchange;
mod gate;
mod handover;
mod introduction;
mod lacking;
mod last_resort;
mod line_ends;
mod offer;
mod opening;
pub mod outbound;
mod outgoing;
mod owed;
mod policy;
mod probe;
mod progress;
mod rendition;
mod security;
mod sending;
mod servers;
mod settings;
mod signing;
mod site;
mod socket;
mod stream;
mod tokens;

pub use chunk::ChunkReplies;
pub use connection::{Again, Connection};
pub use credentials::{Credentials, CredentialsError};
pub use gate::{Approach, Gate, Passage};
pub use handover::{Handover, Transacted};
pub use outbound::Outbound;
pub use outgoing::{Outgoing, OutgoingRcpt};
pub use owed::Errand;
pub use probe::{ProbedDestination, ProbedServer};
pub use progress::{Progress, WaitsFor};
pub use rendition::Converted;
pub use security::{ClientHandshake, Securities, Security};
pub use servers::AtServers;
pub use settings::{ConnectionLimits, Settings};
pub use site::{ChosenBy, Finder, Finders, LeftOut, NoSite, Server, Site, is_of_this_machine};

#[cfg(test)]
mod dialect_tests;
