//! The addresses of a next hop's name.
//!
//! The system's resolver is asked (files, DNS, whatever it is set up for). Unlike the standard
//! library's call this one keeps apart that there is no such name and that nobody could tell.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, getaddrinfo, lookup_host};
use tokio::{task::spawn_blocking, time::timeout};

use super::policy::Lost;
use crate::mail::{Enhanced, Reply, SiteTrouble};

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unresolved {
    /// The name servers say that there is no such name, or that it has no address.
    #[error("{0}")]
    NoSuchHost(io::Error),
    /// The name servers could not be asked, or did not know.
    #[error(transparent)]
    NoAnswer(Lost),
}

/// Looks a name up.
pub(crate) async fn look_up(
    name: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, Unresolved> {
    let name = name.to_owned();
    let asked = spawn_blocking(move || {
        let found = lookup_host(&name).map_err(Unresolved::from)?;
        let chosen = chosen(found.collect()).into_iter();
        Ok(chosen.map(|ip| SocketAddr::new(ip, port)).collect::<Vec<_>>())
    });
    let lost = |lost| Err(Unresolved::NoAnswer(lost));
    match timeout(limit, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panicked)) => lost(Lost::Io(panicked.into())),
        Err(_) => lost(Lost::TimedOut),
    }
}

/// The canonical name of a host, where that is another one.
pub(super) async fn canonical_name(name: &str, limit: Duration) -> Option<String> {
    let asked = name.to_owned();
    let canonical = spawn_blocking(move || {
        let hints = AddrInfoHints { flags: AI_CANONNAME, ..AddrInfoHints::default() };
        let mut found = getaddrinfo(Some(&asked), None, Some(hints)).ok()?;
        found.find_map(|info| info.ok()?.canonname)
    });
    let canonical = timeout(limit, canonical).await.ok()?.ok()??;
    let canonical = canonical.trim_end_matches('.').to_ascii_lowercase();
    (canonical != name).then_some(canonical)
}

/// The addresses that are tried: in the system's order, but both families take turns, so that a
/// path that leads nowhere holds nothing up for long.
fn chosen(mut found: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut seen = Vec::new();
    found.retain(|ip| {
        !seen.contains(ip) && {
            seen.push(*ip);
            true
        }
    });
    let Some(first) = found.first().map(IpAddr::is_ipv6) else { return found };
    let (same, other): (Vec<_>, Vec<_>) = found.into_iter().partition(|ip| ip.is_ipv6() == first);
    let mut turns = Vec::new();
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    while turns.len() < MAX_ADDRESSES {
        let before = turns.len();
        turns.extend(same.next());
        turns.extend(other.next());
        if turns.len() == before {
            break;
        }
    }
    turns.truncate(MAX_ADDRESSES);
    turns
}

impl From<LookupError> for Unresolved {
    fn from(error: LookupError) -> Self {
        match error.kind() {
            LookupErrorKind::NoName | LookupErrorKind::NoData => Self::NoSuchHost(error.into()),
            _ => Self::NoAnswer(Lost::Io(error.into())),
        }
    }
}

/// The next hop's name has no address, or none could be asked for. Both are tried again: a name
/// that does not exist may be a slip in the configuration, or exist tomorrow. RFC 3463 section 3.5
/// tells them apart as "unable to route" and "directory server failure".
pub(crate) fn unresolved(peer: &str, unresolved: &Unresolved) -> SiteTrouble {
    let detail = match unresolved {
        Unresolved::NoSuchHost(_) => 4,
        Unresolved::NoAnswer(_) => 3,
    };
    let text = format!("look up {peer}: {unresolved}");
    SiteTrouble::deferred(Reply::with_text(451, Enhanced(4, 4, detail), text))
}

/// Addresses of one next hop that are tried.
const MAX_ADDRESSES: usize = 8;
/// Of `<netdb.h>`, on Linux.
const AI_CANONNAME: i32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_is_told_from_one_that_nobody_could_look_up() {
        // As in <netdb.h> of Linux; RFC 3463 section 3.5.
        let rows = [
            ("EAI_NONAME: no such name", -2, 4),
            ("EAI_NODATA: it has no address", -5, 4),
            ("EAI_AGAIN: no server answers, or it fails", -3, 3),
            ("EAI_FAIL: the server refuses", -4, 3),
            ("EAI_MEMORY", -10, 3),
            ("EAI_SYSTEM", -11, 3),
        ];
        for (name, code, detail) in rows {
            let trouble = unresolved("gone.test", &LookupError::new(code).into());
            assert_eq!(trouble.reply().enhanced, Some(Enhanced(4, 4, detail)), "{name}");
            assert_eq!(trouble.reply().code, 451, "{name}: it is tried again");
            assert!(trouble.reply().text.starts_with("look up gone.test: "), "{name}: {trouble}");
        }
        let late = unresolved("gone.test", &Unresolved::NoAnswer(Lost::TimedOut));
        assert_eq!(late.to_string(), "451 4.4.3 look up gone.test: timed out");
    }

    #[test]
    fn both_families_take_turns() {
        // found, tried
        let rows = [
            ("", ""),
            ("10.0.0.1", "10.0.0.1"),
            ("::1 127.0.0.1", "::1 127.0.0.1"),
            ("::1 ::2 ::3 10.0.0.1 ::1", "::1 10.0.0.1 ::2 ::3"),
            ("10.0.0.1 10.0.0.2 ::1", "10.0.0.1 ::1 10.0.0.2"),
            (
                "::1 ::2 ::3 ::4 ::5 ::6 ::7 ::8 ::9 10.0.0.1",
                "::1 10.0.0.1 ::2 ::3 ::4 ::5 ::6 ::7",
            ),
        ];
        for (found, want) in rows {
            let found = found.split_whitespace().map(|ip| ip.parse().unwrap()).collect();
            let tried: Vec<_> = chosen(found).iter().map(IpAddr::to_string).collect();
            assert_eq!(tried.join(" "), want);
        }
    }

    #[tokio::test]
    async fn the_name_of_this_host_has_an_address() {
        let found = look_up("localhost", 2525, Duration::from_secs(10)).await.unwrap();
        assert!(found.iter().all(|at| at.ip().is_loopback() && at.port() == 2525), "{found:?}");
    }
}
