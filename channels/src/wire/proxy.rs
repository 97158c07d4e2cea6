//! The header of the PROXY protocol, version 1 or 2, in front of a connection that a proxy hands on.
//!
//! Octets behind the header belong to its client: [`header`] says how many more to read, and never
//! one too many.

use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxiedAddress, ProxyHeader};

/// The state of a header that comes in pieces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderProgress {
    /// At least so many octets are missing.
    Missing(usize),
    /// It is complete.
    Complete(Forwarded),
}

/// The connection that a header speaks of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forwarded {
    /// The proxy's own, to see whether we are there (LOCAL), or one whose ends it does not say.
    Own,
    /// One that came to it over TCP.
    From {
        /// The client.
        client: SocketAddr,
        /// The address that the client connected to.
        server: SocketAddr,
    },
}

/// The octets are no header of the PROXY protocol, or a longer one than is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no header of the PROXY protocol")]
pub struct NoHeader;

/// Looks at all octets that came so far.
pub fn header(octets: &[u8]) -> Result<HeaderProgress, NoHeader> {
    let begins_as = |start: &[u8]| octets.iter().zip(start).all(|(is, want)| is == want);
    if begins_as(SIGNATURE) {
        second_version(octets)
    } else if begins_as(WORD) {
        first_version(octets)
    } else {
        Err(NoHeader)
    }
}

/// The header of a connection of our own, in version 2: with its ends, ours first, or as LOCAL where
/// they have no addresses.
pub(crate) fn header_of(ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let header = ends.map_or_else(ProxyHeader::with_local, |(ours, theirs)| {
        ProxyHeader::with_address(ProxiedAddress::stream(ours, theirs))
    });
    let mut octets = Vec::new();
    // Two addresses of one family fit.
    let _ = header.encode_v2(&mut octets);
    octets
}

fn first_version(octets: &[u8]) -> Result<HeaderProgress, NoHeader> {
    if octets.ends_with(b"\n") {
        return parse(octets);
    }
    let behind_cr = if octets.ends_with(b"\r") { 1 } else { CRLF };
    let missing = SHORTEST.saturating_sub(octets.len()).max(behind_cr);
    if octets.len() + missing > LONGEST_LINE {
        Err(NoHeader)
    } else {
        Ok(HeaderProgress::Missing(missing))
    }
}

fn second_version(octets: &[u8]) -> Result<HeaderProgress, NoHeader> {
    let Some(fixed) = octets.get(..FIXED) else {
        let known = if octets.len() < WORD.len() { WORD.len() } else { FIXED };
        return Ok(HeaderProgress::Missing(known - octets.len()));
    };
    let whole = FIXED + usize::from(u16::from_be_bytes([fixed[FIXED - 2], fixed[FIXED - 1]]));
    match whole.saturating_sub(octets.len()) {
        _ if whole > LARGEST => Err(NoHeader),
        0 => parse(octets),
        missing => Ok(HeaderProgress::Missing(missing)),
    }
}

fn parse(octets: &[u8]) -> Result<HeaderProgress, NoHeader> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    let (header, used) = ProxyHeader::parse(octets, config).map_err(|_| NoHeader)?;
    if used != octets.len() {
        return Err(NoHeader);
    }
    Ok(HeaderProgress::Complete(match header.proxied_address() {
        None => Forwarded::Own,
        Some(ends) if ends.protocol == Protocol::Stream => {
            Forwarded::From { client: ends.source, server: ends.destination }
        }
        Some(_) => return Err(NoHeader),
    }))
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const WORD: &[u8] = b"PROXY ";
const CRLF: usize = 2;
/// Octets of the shortest header of version 1.
const SHORTEST: usize = b"PROXY UNKNOWN\r\n".len();
/// Octets of the longest.
const LONGEST_LINE: usize = 107;
/// Octets of version 2 up to the length of the rest.
const FIXED: usize = 16;
/// Octets of version 2 that are taken: with everything that proxies add, real ones have hundreds.
const LARGEST: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads as a server does; the result, and how many octets it took.
    fn read(octets: &[u8]) -> (Result<Forwarded, NoHeader>, usize) {
        let mut done = 0;
        loop {
            match header(&octets[..done]) {
                Ok(HeaderProgress::Missing(count)) if done + count <= octets.len() => done += count,
                Ok(HeaderProgress::Missing(_)) => panic!("more is wanted of {octets:?}"),
                Ok(HeaderProgress::Complete(forwarded)) => return (Ok(forwarded), done),
                Err(error) => return (Err(error), done),
            }
        }
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    #[test]
    fn headers_of_both_versions() {
        let from = |client: &str, server: &str| {
            Ok(Forwarded::From { client: client.parse().unwrap(), server: server.parse().unwrap() })
        };
        let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0, 25];
        let with_tlv = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
        let with_bad_tlv = [&v4[..], &[4, 0, 9, 1]].concat();
        let v6 = [[0x20; 16], [0x30; 16]].concat();
        let v6 = [&v6[..], &[0, 1, 0, 2]].concat();
        let rows: [(&str, Vec<u8>, Result<Forwarded, NoHeader>); 17] = [
            (
                "TCP4",
                b"PROXY TCP4 192.0.2.1 198.51.100.2 4660 25\r\n".to_vec(),
                from("192.0.2.1:4660", "198.51.100.2:25"),
            ),
            (
                "TCP6",
                b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(),
                from("[2001:db8::1]:1", "[::1]:2"),
            ),
            ("UNKNOWN", b"PROXY UNKNOWN\r\n".to_vec(), Ok(Forwarded::Own)),
            (
                "another protocol",
                b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "a name for an address",
                b"PROXY TCP4 mx.example 198.51.100.2 1 2\r\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "a port too many",
                b"PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n".to_vec(),
                Err(NoHeader),
            ),
            ("LF alone", b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n".to_vec(), Err(NoHeader)),
            ("a line without end", [b"PROXY ", &[b'x'; 200][..]].concat(), Err(NoHeader)),
            ("no header", b"EHLO client.test\r\n".to_vec(), Err(NoHeader)),
            ("version 2", version_2(0x21, 0x11, &v4), from("192.0.2.1:4660", "198.51.100.2:25")),
            (
                "version 2 and 6",
                version_2(0x21, 0x21, &v6),
                from(
                    "[2020:2020:2020:2020:2020:2020:2020:2020]:1",
                    "[3030:3030:3030:3030:3030:3030:3030:3030]:2",
                ),
            ),
            (
                "with a TLV",
                version_2(0x21, 0x11, &with_tlv),
                from("192.0.2.1:4660", "198.51.100.2:25"),
            ),
            (
                "with a bad one",
                version_2(0x21, 0x11, &with_bad_tlv),
                from("192.0.2.1:4660", "198.51.100.2:25"),
            ),
            ("LOCAL", version_2(0x20, 0, &[]), Ok(Forwarded::Own)),
            ("a UNIX socket", version_2(0x21, 0x31, &[0; 216]), Ok(Forwarded::Own)),
            ("UDP", version_2(0x21, 0x12, &v4), Err(NoHeader)),
            ("too few octets for addresses", version_2(0x21, 0x11, &v4[..8]), Err(NoHeader)),
        ];
        for (name, octets, want) in rows {
            let behind = [&octets[..], b"EHLO client.test\r\n"].concat();
            let (got, used) = read(&behind);
            assert_eq!(got, want, "{name}");
            assert!(want.is_err() || used == octets.len(), "{name}: {used} octets");
        }
        let huge = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
        assert_eq!(read(&huge).0, Err(NoHeader), "64 KiB are claimed");
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..120), start in 0usize..3) {
            let start: &[u8] = [&b""[..], WORD, SIGNATURE][start];
            let octets = [start, &octets].concat();
            for end in 0..=octets.len() {
                let _ = header(&octets[..end]);
            }
        }
    }
}
