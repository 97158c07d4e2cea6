//! Where a channel connects to.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use super::{
    domain::{undotted, untagged},
    international::ascii_domain,
    services::port_of,
};

/// A place to connect to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum NextHop {
    /// A host name, looked up when connecting.
    Host {
        /// In lower case, without a final dot.
        name: String,
        /// `None`: as the channel says.
        port: Option<u16>,
    },
    /// An address.
    Ip {
        /// IPv4 or IPv6.
        address: IpAddr,
        /// `None`: as the channel says.
        port: Option<u16>,
    },
    /// A UNIX-domain stream socket.
    Unix(PathBuf),
}

/// Not a next hop.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{text:?} is not a next hop: a host name, \"[address]\", \"inet:host:port\" or \"unix:/path\" is"
)]
pub struct NextHopError {
    text: String,
}

impl FromStr for NextHop {
    type Err = NextHopError;

    fn from_str(text: &str) -> Result<Self, NextHopError> {
        let parsed = match text.strip_prefix("unix:") {
            Some(path) => unix(path),
            None => inet(text.strip_prefix("inet:").unwrap_or(text)),
        };
        parsed.ok_or_else(|| NextHopError { text: text.chars().take(200).collect() })
    }
}

/// An absolute path: where a relative one leads depends on who reads it.
fn unix(path: &str) -> Option<NextHop> {
    let is_fit = path.starts_with('/') && path.len() <= LONGEST_SOCKET && !path.contains('\0');
    is_fit.then(|| NextHop::Unix(path.into()))
}

fn inet(text: &str) -> Option<NextHop> {
    if let Some((address, after)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let address = match untagged(address) {
            Some(address) => IpAddr::V6(address.parse().ok()?),
            None => address.parse().ok()?,
        };
        return Some(NextHop::Ip { address, port: port(after).ok()? });
    }
    if let Ok(address) = text.parse() {
        return Some(NextHop::Ip { address, port: None });
    }
    let (name, after) = text.split_at(text.find(':').unwrap_or(text.len()));
    let port = port(after).ok()?;
    if let Ok(address) = name.parse() {
        return Some(NextHop::Ip { address, port });
    }
    let name = undotted(&ascii_domain(name)?).to_ascii_lowercase();
    Some(NextHop::Host { name, port })
}

/// Nothing, `":25"` or `":smtp"`.
fn port(after: &str) -> Result<Option<u16>, ()> {
    let Some(text) = after.strip_prefix(':') else {
        return if after.is_empty() { Ok(None) } else { Err(()) };
    };
    let is_number = text.bytes().all(|c| c.is_ascii_digit());
    let port = if is_number { text.parse().ok() } else { port_of(text) };
    port.filter(|port| *port != 0).map(Some).ok_or(())
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match self {
            Self::Host { name, port } => {
                f.write_str(name)?;
                port
            }
            Self::Ip { address, port } => {
                write!(f, "[{address}]")?;
                port
            }
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
        };
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// `sun_path` of `sockaddr_un` on Linux, without its end mark.
pub const LONGEST_SOCKET: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_next_hop() {
        let rows = [
            ("store1.siroe.com", "store1.siroe.com"),
            ("Store1.Siroe.COM.", "store1.siroe.com"),
            ("inet:lmtp2host:24", "lmtp2host:24"),
            ("inet:lmtp2host:lmtp", "lmtp2host:24"),
            ("[127.0.0.1]:submission", "[127.0.0.1]:587"),
            ("[127.0.0.1]", "[127.0.0.1]"),
            ("127.0.0.1", "[127.0.0.1]"),
            ("127.0.0.1:2525", "[127.0.0.1]:2525"),
            ("inet:[::1]:24", "[::1]:24"),
            ("[ipv6:::1]", "[::1]"),
            ("[IPv6:::1]:24", "[::1]:24"),
            ("::1", "[::1]"),
            ("store.example.:24", "store.example:24"),
            ("unix:/var/imap/socket/lmtp", "unix:/var/imap/socket/lmtp"),
        ];
        for (text, want) in rows {
            assert_eq!(text.parse::<NextHop>().expect(text).to_string(), want, "{text}");
        }
        let long = format!("unix:/{}", "a".repeat(LONGEST_SOCKET));
        let others = [
            "",
            "unix:",
            "unix:run/x",
            &long,
            "unix:/a\0b",
            "[1.2.3",
            "[1.2.3]",
            "[::1]x",
            "[ipv6:1.2.3.4]",
            "a b",
            "-a",
            "a-.b",
            "a..b",
            "a..",
            ".",
            "host:",
            "host:0",
            "host:65536",
            "host:+25",
            "host:no-such-service",
            "inet:",
            "inet:unix:/x",
        ];
        for text in others {
            assert!(text.parse::<NextHop>().is_err(), "{text}");
        }
    }
}
