//! The wait of a client, for whoever wants to know why nothing moves, and the time that its waits took.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::time::{ClockId, Timespec, clock_gettime};

use super::policy::Stage;
use crate::mail::Timings;

/// Shared between a connection and those who look. Noting something costs a few stores and a look at
/// the clock; what is read may be of two moments, which is good enough to be shown.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    waits_for: AtomicU8,
    /// Microseconds since 1970.
    since: AtomicU64,
    /// Microseconds of each part, since they were taken last. The connection alone writes them.
    spent: [AtomicU64; 5],
}

/// A part of an attempt whose time is told.
#[derive(Clone, Copy, Debug)]
enum Stretch {
    Dns,
    Connect,
    Tls,
    Greeting,
    Dialogue,
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

    fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number.checked_sub(1)?)).copied()
    }

    const fn stretch(self) -> Stretch {
        match self {
            Self::LookUp => Stretch::Dns,
            Self::Connect => Stretch::Connect,
            Self::StartTls | Self::Handshake => Stretch::Tls,
            Self::Greeting | Self::Lhlo | Self::Ehlo | Self::Helo | Self::Auth => Stretch::Greeting,
            Self::Rset | Self::Mail | Self::Rcpt | Self::Data | Self::Content | Self::Dot => {
                Stretch::Dialogue
            }
        }
    }

    /// Whether it comes before the first message of a connection.
    pub const fn is_before_mail(self) -> bool {
        !matches!(self.stretch(), Stretch::Dialogue)
    }

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
        let before = self.0.waits_for.swap(number, Relaxed);
        if before != number {
            self.0.pass(before);
        }
    }

    /// It waits for nothing of the peer's.
    pub fn rests(&self) {
        let before = self.0.waits_for.swap(0, Relaxed);
        if before != 0 {
            self.0.pass(before);
        }
    }

    /// The time of each stage since this was last asked; nothing is waited for any more.
    pub fn take_timings(&self) -> Timings {
        self.rests();
        let taken = |stretch: Stretch| {
            let spent = self.0.spent[stretch as usize].swap(0, Relaxed);
            // A stage that was passed is told, however little time it took.
            Timings::millis(Duration::from_millis(spent.div_ceil(1_000)))
        };
        Timings {
            queue: 0,
            dns: taken(Stretch::Dns),
            connect: taken(Stretch::Connect),
            tls: taken(Stretch::Tls),
            greeting: taken(Stretch::Greeting),
            dialogue: taken(Stretch::Dialogue),
        }
    }

    /// The wait, and its beginning in milliseconds since 1970.
    pub fn seen(&self) -> Option<(WaitsFor, u64)> {
        let what = WaitsFor::of(self.0.waits_for.load(Relaxed))?;
        Some((what, self.0.since.load(Relaxed) / 1_000))
    }
}

impl Place {
    /// The wait until now is over.
    fn pass(&self, before: u8) {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
        let now = i128::from(tv_sec) * 1_000_000 + i128::from(tv_nsec) / 1_000;
        let now = u64::try_from(now).unwrap_or_default();
        let since = self.since.swap(now, Relaxed);
        if let Some(what) = WaitsFor::of(before) {
            let spent = &self.spent[what.stretch() as usize];
            // A clock that was put back shows no time.
            spent.store(spent.load(Relaxed) + now.saturating_sub(since), Relaxed);
        }
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

    #[test]
    fn each_stage_has_the_time_that_went_by_in_it() {
        let progress = Progress::default();
        let stages = [WaitsFor::LookUp, WaitsFor::Connect, WaitsFor::Ehlo, WaitsFor::Handshake];
        for what in stages.into_iter().chain([WaitsFor::Mail, WaitsFor::Dot]) {
            progress.waits(what);
            std::thread::sleep(Duration::from_millis(3));
        }
        let Timings { queue, dns, connect, tls, greeting, dialogue } = progress.take_timings();
        assert_eq!(queue, 0, "it is not ours to know");
        for stage in [dns, connect, tls, greeting] {
            assert!((3..1_000).contains(&stage), "{stage}");
        }
        assert!(dialogue >= 6, "{dialogue}");
        let progress = Progress::default();
        progress.waits(WaitsFor::Connect);
        std::thread::sleep(Duration::from_micros(10));
        assert!(progress.take_timings().connect >= 1, "it took less than a millisecond");
        // Nobody's time goes by while nothing is waited for.
        std::thread::sleep(Duration::from_millis(3));
        assert_eq!(progress.take_timings(), Timings::default());
    }
}
