//! Ports by the names of their services.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    sync::LazyLock,
};

/// The TCP port of a service: those of mail are known, all others stand in `/etc/services`, which is
/// read once. Debian's file does not have `lmtp`.
pub(super) fn port_of(service: &str) -> Option<u16> {
    let known = KNOWN.iter().find(|(name, _)| *name == service).map(|(_, port)| *port);
    known.or_else(|| LISTED.get(service).copied())
}

static LISTED: LazyLock<HashMap<String, u16>> = LazyLock::new(|| {
    let Ok(file) = File::open("/etc/services") else { return HashMap::new() };
    listed(BufReader::new(file.take(LARGEST)))
});

/// `name port/tcp aliases # comment`, of each service its first line.
fn listed(file: impl BufRead) -> HashMap<String, u16> {
    let mut found = HashMap::new();
    for line in file.lines().map_while(Result::ok) {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let (Some(name), Some(place)) = (words.next(), words.next()) else { continue };
        let port = place.strip_suffix("/tcp").and_then(|port| port.parse().ok());
        let Some(port) = port.filter(|port| *port != 0) else { continue };
        for name in std::iter::once(name).chain(words) {
            found.entry(name.to_owned()).or_insert(port);
        }
    }
    found
}

const KNOWN: [(&str, u16); 6] = [
    ("lmtp", 24),
    ("smtp", 25),
    ("smtps", 465),
    ("submission", 587),
    ("submissions", 465),
    ("urd", 465),
];

/// Octets.
const LARGEST: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_by_any_of_their_names() {
        let file = "# x 1/tcp\nsmtp\t\t25/tcp\tmail\nntp 123/udp\nimap2 143/tcp imap # old\nimap \
                    99/tcp\nodd 0/tcp\nbad x/tcp\nalone\n";
        let listed = listed(file.as_bytes());
        let rows = [
            ("smtp", Some(25)),
            ("mail", Some(25)),
            ("imap", Some(143)),
            ("ntp", None),
            ("odd", None),
            ("bad", None),
            ("old", None),
        ];
        for (name, want) in rows {
            assert_eq!(listed.get(name).copied(), want, "{name}");
        }
        for (name, want) in [("lmtp", Some(24)), ("submission", Some(587)), ("no-such", None)] {
            assert_eq!(port_of(name), want, "{name}");
        }
    }
}
