//! Checks of the origin of mail that comes in.

use std::time::Duration;

use crate::file::{
    kinds::{Choice, Count, Flag, PATIENCE},
    setting::Role::SmtpSource,
};

section! {
    /// Checks of the origin of mail, as far as neither a login nor `INTERNAL_IP` vouches for the
    /// client: SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 9989). Their results stand in the log and
    /// in a field `Authentication-Results` (RFC 8601) under our `host`; fields that bear that name
    /// already are taken off, whoever brings them. Name servers are those of `dns`.
    pub struct Verify {
        /// Whether the domain of the sender, and of HELO, lets this client send.
        spf: SpfCheck = SpfCheck::default(), Choice, of(SmtpSource);
        /// Whether the signatures of the message hold.
        dkim: bool = false, Flag, of(SmtpSource);
        /// Whether one of these is of the domain of `From:`; both are checked for it, whatever `spf`
        /// and `dkim` say.
        dmarc: DmarcCheck = DmarcCheck::default(), Choice, of(SmtpSource);
        /// Signatures of a message that are looked at.
        max_signatures: usize = 10, Count(1..=100), of(SmtpSource), unit("signatures");
        /// All questions to name servers that are asked at MAIL, and all that are asked behind the
        /// content. A check that takes longer ends with `temperror`, and the mail is taken.
        time: Duration = Duration::from_secs(10), PATIENCE, of(SmtpSource);
        /// Fields `Authentication-Results` under our `host` that mail brings stay: whatever comes in by
        /// this channel has been through a relay of ours of the same `host`, such as mail that a filter
        /// gives back (RFC 8601 section 5).
        keep_results: bool = false, Flag, of(SmtpSource);
    }
}

choice! {
    /// Whether SPF is checked, and what comes of it.
    pub enum SpfCheck = No {
        /// It is not checked.
        No,
        /// The result is written down.
        Record,
        /// Senders whose domain says `fail` are refused at MAIL (550).
        Refuse,
    }
}

choice! {
    /// Whether DMARC is checked, and what comes of it.
    pub enum DmarcCheck = No {
        /// It is not checked.
        No,
        /// The result is written down.
        Record,
        /// Mail that fails is treated as the domain of `From:` asks for: refused (550) where it says
        /// `reject`, held for an operator where it says `quarantine`.
        Enforce,
    }
}

impl Verify {
    /// Whether anything is checked.
    pub fn is_on(&self) -> bool {
        self.dkim || self.checks_spf() || self.dmarc != DmarcCheck::No
    }

    /// Whether SPF is checked.
    pub fn checks_spf(&self) -> bool {
        self.spf != SpfCheck::No || self.dmarc != DmarcCheck::No
    }
}
