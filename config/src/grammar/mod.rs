//! The grammars that the file shares with the wire: a domain, a network, the place a channel
//! connects to, a transport, a pattern with wildcards, and octets in hexadecimal digits.
//!
//! Each has one definition, which the configuration, SMTP and LMTP, the directory and the results of
//! rules and templates use alike. Octets in, values out: nothing here knows a section of the file.

mod domain;
mod glob;
mod hex;
mod international;
mod network;
mod next_hop;
mod next_hops;
mod services;
mod transport;
mod web_url;

pub use domain::{is_domain, is_domain_name, is_label, literal, undotted, untagged};
pub use glob::glob;
pub use hex::{HexError, without_backslashes, without_percents};
pub use international::{
    ascii_domain, composed, escaped, folded, is_any_domain, is_nameable, is_printable,
    is_unprintable, pattern_key, table_key, unicode_domain,
};
pub use network::{Network, NetworkError};
pub use next_hop::{LONGEST_SOCKET, NextHop, NextHopError};
pub use next_hops::NextHops;
pub use transport::{Transport, TransportError, is_channel};
pub use web_url::{WebUrl, WebUrlError};
