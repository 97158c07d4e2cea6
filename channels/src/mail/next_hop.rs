//! Where a channel connects to.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

/// A place to connect to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum NextHop {
    /// A host name, looked up when connecting.
    Host {
        /// In lower case.
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
        let error = || NextHopError { text: text.chars().take(200).collect() };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(error()) } else { Ok(Self::Unix(path.into())) };
        }
        let rest = text.strip_prefix("inet:").unwrap_or(text);
        if let Some(literal) = rest.strip_prefix('[') {
            let (address, after) = literal.split_once(']').ok_or_else(error)?;
            let address = address.strip_prefix("ipv6:").unwrap_or(address);
            return Ok(Self::Ip {
                address: address.parse().map_err(|_| error())?,
                port: port(after).map_err(|()| error())?,
            });
        }
        if let Ok(address) = rest.parse() {
            return Ok(Self::Ip { address, port: None });
        }
        let (name, after) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
        let port = port(after).map_err(|()| error())?;
        if let Ok(address) = name.parse() {
            return Ok(Self::Ip { address, port });
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || name.len() > 253 || !name.chars().all(plain) {
            return Err(error());
        }
        Ok(Self::Host { name, port })
    }
}

/// Nothing, or `":25"`.
fn port(after: &str) -> Result<Option<u16>, ()> {
    match after.strip_prefix(':') {
        None if after.is_empty() => Ok(None),
        None => Err(()),
        Some(digits) => digits.parse().ok().filter(|port| *port != 0).map(Some).ok_or(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_next_hop() {
        let rows = [
            ("store1.siroe.com", "store1.siroe.com"),
            ("Store1.Siroe.COM.", "store1.siroe.com"),
            ("inet:lmtp2host:24", "lmtp2host:24"),
            ("[127.0.0.1]", "[127.0.0.1]"),
            ("127.0.0.1", "[127.0.0.1]"),
            ("127.0.0.1:2525", "[127.0.0.1]:2525"),
            ("inet:[::1]:24", "[::1]:24"),
            ("[ipv6:::1]", "[::1]"),
            ("unix:/var/imap/socket/lmtp", "unix:/var/imap/socket/lmtp"),
        ];
        for (text, want) in rows {
            assert_eq!(text.parse::<NextHop>().expect(text).to_string(), want, "{text}");
        }
        for text in
            ["", "unix:", "[1.2.3", "a b", "host:", "host:0", "host:65536", "[::1]x", "inet:"]
        {
            assert!(text.parse::<NextHop>().is_err(), "{text}");
        }
    }
}
