//! The addresses of a next hop's name.
//!
//! The system's resolver is asked (files, DNS, whatever it is set up for). Unlike the standard
//! library's call this one keeps apart that there is no such name and that nobody could tell.

use std::{io, net::SocketAddr, time::Duration};

use dns_lookup::{LookupError, LookupErrorKind, lookup_host};
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
        Ok(found.take(MAX_ADDRESSES).map(|ip| SocketAddr::new(ip, port)).collect::<Vec<_>>())
    });
    let lost = |lost| Err(Unresolved::NoAnswer(lost));
    match timeout(limit, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panicked)) => lost(Lost::Io(panicked.into())),
        Err(_) => lost(Lost::TimedOut),
    }
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

    #[tokio::test]
    async fn the_name_of_this_host_has_an_address() {
        let found = look_up("localhost", 2525, Duration::from_secs(10)).await.unwrap();
        assert!(found.iter().all(|at| at.ip().is_loopback() && at.port() == 2525), "{found:?}");
    }
}
