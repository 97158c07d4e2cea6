//! The wait of a client, for whoever wants to know why nothing moves.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
};

use rustix::time::{ClockId, Timespec, clock_gettime};

use super::policy::Stage;

/// Shared between a connection and those who look. Noting something costs two stores and a look at
/// the clock; what is read may be of two moments, which is good enough to be shown.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    waits_for: AtomicU8,
    /// Milliseconds since 1970.
    since: AtomicU64,
}

/// A wait of a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WaitsFor {
    /// The addresses of the server.
    LookUp,
    /// The connection.
    Connect,
    /// The greeting.
    Greeting,
    /// The reply to LHLO.
    Lhlo,
    /// The reply to EHLO.
    Ehlo,
    /// The reply to HELO.
    Helo,
    /// The reply to STARTTLS.
    StartTls,
    /// The handshake of TLS.
    Handshake,
    /// The reply to AUTH.
    Auth,
    /// The reply to RSET.
    Rset,
    /// The reply to MAIL.
    Mail,
    /// The reply to RCPT.
    Rcpt,
    /// The reply to DATA.
    Data,
    /// Room for more of the content.
    Content,
    /// The reply to the content.
    Dot,
}

impl WaitsFor {
    const ALL: [Self; 15] = [
        Self::LookUp,
        Self::Connect,
        Self::Greeting,
        Self::Lhlo,
        Self::Ehlo,
        Self::Helo,
        Self::StartTls,
        Self::Handshake,
        Self::Auth,
        Self::Rset,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Content,
        Self::Dot,
    ];

    /// In words, behind "waits for".
    pub const fn words(self) -> &'static str {
        match self {
            Self::LookUp => "the addresses of the server",
            Self::Connect => "the connection",
            Self::Greeting => "the greeting",
            Self::Lhlo => "the reply to LHLO",
            Self::Ehlo => "the reply to EHLO",
            Self::Helo => "the reply to HELO",
            Self::StartTls => "the reply to STARTTLS",
            Self::Handshake => "the handshake of TLS",
            Self::Auth => "the reply to AUTH",
            Self::Rset => "the reply to RSET",
            Self::Mail => "the reply to MAIL FROM",
            Self::Rcpt => "the reply to RCPT TO",
            Self::Data => "the reply to DATA",
            Self::Content => "the content to be taken",
            Self::Dot => "the reply to the content",
        }
    }
}

impl From<Stage> for WaitsFor {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Greeting => Self::Greeting,
            Stage::Lhlo => Self::Lhlo,
            Stage::Ehlo => Self::Ehlo,
            Stage::Helo => Self::Helo,
            Stage::StartTls => Self::StartTls,
            Stage::Auth => Self::Auth,
            Stage::Reset => Self::Rset,
            Stage::Mail => Self::Mail,
            Stage::Rcpt(_) => Self::Rcpt,
            Stage::Data => Self::Data,
            Stage::Content => Self::Content,
            Stage::Status(_) => Self::Dot,
        }
    }
}

impl Progress {
    /// From now on the client waits for this; of what it waits for already, the time stays.
    pub(crate) fn waits(&self, what: WaitsFor) {
        let number = what as u8 + 1;
        if self.0.waits_for.swap(number, Relaxed) != number {
            // A person reads this, and each command of each message comes by: the clock that ticks
            // every few milliseconds is a tenth of the price.
            let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::RealtimeCoarse);
            let since = i128::from(tv_sec) * 1_000 + i128::from(tv_nsec) / 1_000_000;
            self.0.since.store(u64::try_from(since).unwrap_or_default(), Relaxed);
        }
    }

    /// It waits for nothing of the peer's.
    pub(crate) fn rests(&self) {
        self.0.waits_for.store(0, Relaxed);
    }

    /// The wait, and its beginning in milliseconds since 1970.
    pub fn seen(&self) -> Option<(WaitsFor, u64)> {
        let number = usize::from(self.0.waits_for.load(Relaxed));
        let what = *WaitsFor::ALL.get(number.checked_sub(1)?)?;
        Some((what, self.0.since.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_is_read_as_it_was_noted() {
        let progress = Progress::default();
        assert_eq!(progress.seen(), None);
        for what in WaitsFor::ALL {
            progress.waits(what);
            let (seen, since) = progress.clone().seen().unwrap();
            assert_eq!(seen, what);
            assert!(since > 0);
        }
        progress.rests();
        assert_eq!(progress.seen(), None);
    }
}
