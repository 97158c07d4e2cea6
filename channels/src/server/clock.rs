//! How long a peer has for what is to come next.
//!
//! Octets alone do not prolong the time for a command. Content has a time for the next octets and
//! a rate below which it may not fall; the time that we need ourselves does not count. The session
//! as a whole has a time, too.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Reason, Stress,
    setup::{DataRate, Limits},
    stress::COMMAND_TIME,
};

/// The clock of one session.
pub(super) struct Clock<'l> {
    limits: &'l Limits,
    stress: &'l Stress,
    begun: Instant,
    /// When the session has to be over.
    end: Instant,
    /// Since when the command is waited for.
    command: Option<Instant>,
    /// Octets of the whole session.
    octets: u64,
    window: Window,
    waiting: Option<Instant>,
}

/// The content since the last look at its rate.
#[derive(Default)]
struct Window {
    octets: u64,
    waited: Duration,
}

impl<'l> Clock<'l> {
    pub(super) fn new(limits: &'l Limits, stress: &'l Stress) -> Self {
        let begun = Instant::now();
        Self {
            limits,
            stress,
            begun,
            end: begun + limits.session.time,
            command: None,
            octets: 0,
            window: Window::default(),
            waiting: None,
        }
    }

    /// Other limits hold from now on; the time of the session counts from its beginning all the same.
    pub(super) fn enter(&mut self, limits: &'l Limits) {
        self.end = self.begun + limits.session.time;
        self.limits = limits;
    }

    /// Something has been answered: the next step has its own time.
    pub(super) fn restart(&mut self) {
        self.command = None;
        self.window = Window::default();
    }

    /// Until when the peer may be waited for. `is_content`: what comes next is no command.
    pub(super) fn wait(&mut self, is_content: bool) -> Instant {
        let now = Instant::now();
        let limits = self.limits;
        self.waiting = is_content.then_some(now);
        let deadline = if is_content {
            let left = limits.data_rate.over.saturating_sub(self.window.waited);
            let slow = (limits.data_rate.octets > 0).then_some(now + left);
            (now + limits.data_time).min(slow.unwrap_or(self.end))
        } else {
            let most = if self.stress.is_on() { COMMAND_TIME } else { Duration::MAX };
            let patience = limits.command_time.min(most);
            *self.command.get_or_insert(now) + patience
        };
        deadline.min(self.end)
    }

    /// So many octets came.
    pub(super) fn note(&mut self, octets: usize) {
        self.octets = self.octets.saturating_add(octets as u64);
        let Some(since) = self.waiting.take() else { return };
        let DataRate { octets: rate, over } = self.limits.data_rate;
        self.window.octets += octets as u64;
        self.window.waited += since.elapsed();
        if self.window.octets >= rate.saturating_mul(over.as_secs()) {
            self.window = Window::default();
        }
    }

    /// Why the peer was not waited for any longer.
    pub(super) fn why(&self) -> Reason {
        if self.is_over() { Reason::Spent } else { Reason::Timeout }
    }

    /// Whether the time of the session is over.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Whether the peer has had as many octets as it may.
    pub(super) fn is_full(&self) -> bool {
        self.octets >= self.limits.session.octets
    }
}
