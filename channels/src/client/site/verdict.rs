//! Why a next hop has no server that mail can be sent to, and what becomes of the mail.

use std::{io, sync::Arc};

use super::ChosenBy;
use crate::{
    dns::NoAnswer,
    mail::{Enhanced, Outcome, Reply, SiteTrouble},
};

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum NoSite {
    /// The name that was looked for.
    #[error("{0}")]
    Name(NoAnswer),
    /// The name, or a host of its list, could not be looked up now.
    #[error("look up {name}: {why}")]
    Unanswered {
        /// The name that was asked for.
        name: Arc<str>,
        /// In words.
        why: String,
    },
    /// The file of hosts does not have it, and nothing else may be asked.
    #[error("the file of hosts does not name it, and mx: NoDns asks nobody else")]
    NotInHosts,
    /// The file of hosts cannot be read.
    #[error("the file of hosts cannot be read: {0}")]
    NoHosts(io::Error),
    /// The domain says that it takes no mail.
    #[error("the domain takes no mail (null MX)")]
    NullMx,
    /// The best server is this machine, which does not know the domain as its own.
    #[error("mail for it loops back to myself")]
    Loop,
    /// Servers that are better than this machine are nowhere.
    #[error("no mail server that is better than myself can be found")]
    NoBetter,
    /// None of its servers has an address.
    #[error("none of its mail servers has an address")]
    NoAddress,
    /// All addresses are of no server of the Internet.
    #[error("its mail servers are where no mail is sent to: {place}")]
    Guarded {
        /// One of them, and why not.
        place: String,
    },
}

impl NoSite {
    /// The name could not be looked up in time.
    pub(super) fn late(name: &str) -> Self {
        Self::Unanswered { name: name.into(), why: "timed out".to_owned() }
    }

    pub(super) fn of(name: &str, none: NoAnswer) -> Self {
        match none {
            NoAnswer::Passing(why) => Self::Unanswered { name: name.into(), why },
            none => Self::Name(none),
        }
    }

    /// The trouble of mail for this name. RFC 3463 tells apart: 1.2 there is no such destination,
    /// 1.10 it takes no mail (RFC 7505), 4.3 name servers fail, 4.4 unable to route, 4.6 a loop.
    pub fn trouble(&self, name: &str, chosen_by: ChosenBy) -> SiteTrouble {
        let (code, subject, detail) = match self {
            Self::Name(NoAnswer::NoSuchName | NoAnswer::NotAName) => (550, 1, 2),
            Self::Name(_) | Self::NoAddress | Self::Guarded { .. } => (550, 4, 4),
            Self::NullMx => (556, 1, 10),
            Self::Loop => (554, 4, 6),
            Self::Unanswered { .. } => (451, 4, 3),
            Self::NotInHosts | Self::NoHosts(_) | Self::NoBetter => (451, 4, 4),
        };
        let text = match self {
            Self::Unanswered { name: asked, .. } if **asked == *name => self.to_string(),
            _ => format!("look up {name}: {self}"),
        };
        if code == 451 {
            return SiteTrouble::deferred(Reply::with_text(
                451,
                Enhanced(4, subject, detail),
                text,
            ));
        }
        match chosen_by {
            ChosenBy::Recipient => SiteTrouble {
                outcome: Outcome::Failed(Reply::with_text(
                    code,
                    Enhanced(5, subject, detail),
                    text,
                )),
            },
            // It may be a slip of the configuration, or be there tomorrow.
            ChosenBy::Configuration => {
                let detail = if matches!(self, Self::Loop) { 6 } else { 4 };
                SiteTrouble::deferred(Reply::with_text(451, Enhanced(4, 4, detail), text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_comes_back_where_the_recipient_is_wrong_and_waits_where_we_may_be() {
        let passing = || NoAnswer::Passing("servfail".into());
        let other = NoSite::Unanswered { name: "mx.x.test".into(), why: "servfail".into() };
        // reason, of a recipient's domain, of a host of the configuration
        let rows = [
            (NoSite::Name(NoAnswer::NoSuchName), "550 5.1.2", "451 4.4.4"),
            (NoSite::Name(NoAnswer::NotAName), "550 5.1.2", "451 4.4.4"),
            (NoSite::Name(NoAnswer::NoRecords), "550 5.4.4", "451 4.4.4"),
            (NoSite::of("x.test", passing()), "451 4.4.3", "451 4.4.3"),
            (NoSite::late("x.test"), "451 4.4.3", "451 4.4.3"),
            (other, "451 4.4.3", "451 4.4.3"),
            (NoSite::NullMx, "556 5.1.10", "451 4.4.4"),
            (NoSite::Loop, "554 5.4.6", "451 4.4.6"),
            (NoSite::NoBetter, "451 4.4.4", "451 4.4.4"),
            (NoSite::NoAddress, "550 5.4.4", "451 4.4.4"),
            (NoSite::Guarded { place: "mx[::1]".into() }, "550 5.4.4", "451 4.4.4"),
            (NoSite::NotInHosts, "451 4.4.4", "451 4.4.4"),
            (NoSite::NoHosts(io::ErrorKind::PermissionDenied.into()), "451 4.4.4", "451 4.4.4"),
        ];
        for (none, of_recipient, of_configuration) in rows {
            for (chosen_by, want) in
                [(ChosenBy::Recipient, of_recipient), (ChosenBy::Configuration, of_configuration)]
            {
                let trouble = none.trouble("x.test", chosen_by);
                let told = trouble.to_string();
                assert!(told.starts_with(&format!("{want} look up ")), "{none:?}: {told}");
                assert!(told.contains("x.test"), "{none:?}: {told}");
                assert_eq!(trouble.is_final(), want.starts_with("55"), "{none:?}");
            }
        }
        let late = NoSite::late("x.test").trouble("x.test", ChosenBy::Recipient);
        assert_eq!(late.to_string(), "451 4.4.3 look up x.test: timed out");
    }
}
