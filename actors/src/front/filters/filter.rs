//! One filter: where it is, whether it answers, and connections that wait for another client.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use relais_channels::{
    mail::{Enhanced, NextHop, Reply},
    milter::{FilterError, FilterLink, FilterPatience, Macros},
};
use relais_config::{ListedMilter, milters::OnError};
use tracing::{info, warn};

use super::cooldown::Cooldown;
use crate::metrics::{MilterMeter, MilterResult};

/// A filter of the configuration.
pub(crate) struct MailFilter {
    listed: ListedMilter,
    pub(super) name: Arc<str>,
    place: NextHop,
    pub(super) patience: FilterPatience,
    fixed: Macros,
    meter: MilterMeter,
    cooldown: Mutex<Cooldown>,
    /// Connections that clients have left, and since when.
    idle: Mutex<Vec<(FilterLink, Instant)>>,
    /// It has not answered on one of these.
    is_deaf_to_others: AtomicBool,
    /// It is told of names of clients, as far as it has said what it wants.
    wants_names: AtomicBool,
}

/// A filter is of no use for now: mail meets `on_error`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Useless;

impl MailFilter {
    /// `None`: it names no socket.
    pub(super) fn new(listed: &ListedMilter, meter: MilterMeter) -> Option<Self> {
        let mut fixed = Macros::default();
        for (name, value) in &listed.macros {
            fixed.set(name, value);
        }
        Some(Self {
            listed: listed.clone(),
            name: listed.name.as_str().into(),
            place: listed.place()?,
            patience: FilterPatience {
                connect: listed.connect_time,
                command: listed.command_time,
                content: listed.content_time,
            },
            fixed,
            meter,
            cooldown: Mutex::default(),
            idle: Mutex::default(),
            is_deaf_to_others: AtomicBool::new(false),
            wants_names: AtomicBool::new(true),
        })
    }

    /// Whether it is this one of a configuration.
    pub(super) fn is(&self, listed: &ListedMilter) -> bool {
        self.listed == *listed
    }

    pub(super) fn place(&self) -> String {
        self.listed.socket.clone()
    }

    pub(super) fn meter(&self) -> MilterMeter {
        self.meter.clone()
    }

    /// It has not answered on a connection that another client has left: it gets no such any more.
    pub(super) fn keep_no_links(&self) {
        self.is_deaf_to_others.store(true, Ordering::Relaxed);
        locked(&self.idle).clear();
        info!(milter = &*self.name, "the filter wants a connection for each client");
    }

    /// Whether the names of clients are looked up for it: it wants them, or has not said yet.
    pub(super) fn wants_names(&self) -> bool {
        self.wants_names.load(Ordering::Relaxed)
    }

    /// A connection that another client has left.
    pub(super) fn idle_link(&self) -> Option<FilterLink> {
        let mut idle = locked(&self.idle);
        idle.retain(|(_, since)| since.elapsed() < LONGEST_IDLE);
        idle.pop().map(|(link, _)| link)
    }

    /// A new connection, unless it has not answered a while ago.
    pub(super) async fn connect(&self) -> Result<FilterLink, Useless> {
        if !locked(&self.cooldown).may_ask(Instant::now()) {
            self.meter.count(MilterResult::Away);
            return Err(Useless);
        }
        let (patience, fixed) = (self.patience, self.fixed.clone());
        let connected = match &self.place {
            NextHop::Unix(path) => FilterLink::to_socket(path, patience, fixed).await,
            NextHop::Ip { address, port } => {
                let host = address.to_string();
                FilterLink::to_host((&host, port.unwrap_or_default()), patience, fixed).await
            }
            NextHop::Host { name, port } => {
                FilterLink::to_host((name, port.unwrap_or_default()), patience, fixed).await
            }
        };
        match connected {
            Ok(link) => {
                locked(&self.cooldown).end();
                let wants = link.talk().agreement().wants_client_name();
                self.wants_names.store(wants, Ordering::Relaxed);
                if self.meter.set_away(None) {
                    info!(milter = &*self.name, "the filter answers again");
                }
                Ok(link)
            }
            Err(error) => {
                locked(&self.cooldown).fail(Instant::now());
                Err(self.give_up(&error, true))
            }
        }
    }

    /// It failed amid its work: said, counted, and where it keeps all waiting, left alone for a while.
    pub(super) fn fail(&self, error: &FilterError) -> Useless {
        if error.is_away() {
            locked(&self.cooldown).fail(Instant::now());
        }
        self.give_up(error, error.is_away())
    }

    fn give_up(&self, error: &FilterError, is_away: bool) -> Useless {
        self.meter.count(MilterResult::Failed);
        if is_away {
            self.meter.set_away(Some(error.to_string()));
        }
        let becomes = match self.listed.on_error {
            OnError::Accept => "mail goes on without it",
            OnError::Tempfail => "mail is refused for now",
            OnError::Reject => "mail is refused",
        };
        warn!(milter = &*self.name, place = %self.place, %error, "a filter fails: {becomes}");
        Useless
    }

    /// A client has gone: its connection waits for another one, or ends.
    pub(super) async fn leave(&self, link: FilterLink) {
        if self.is_deaf_to_others.load(Ordering::Relaxed) {
            return link.quit().await;
        }
        let ended = match link.free().await {
            Ok(link) => {
                let mut idle = locked(&self.idle);
                if idle.len() < MOST_IDLE {
                    idle.push((link, Instant::now()));
                    None
                } else {
                    Some(link)
                }
            }
            Err(link) => Some(link),
        };
        if let Some(link) = ended {
            link.quit().await;
        }
    }

    /// The reply to mail while it is of no use; `None`: mail goes on without it.
    pub(super) fn on_error(&self) -> Option<Reply> {
        match self.listed.on_error {
            OnError::Accept => None,
            OnError::Tempfail => Some(NOT_NOW),
            OnError::Reject => Some(NOT_AT_ALL),
        }
    }

    pub(super) fn count(&self, result: MilterResult) {
        self.meter.count(result);
    }

    /// Counts a refusal.
    pub(super) fn count_refusal(&self, reply: &Reply) {
        let is_permanent = reply.is_permanent();
        let result = if is_permanent { MilterResult::Rejected } else { MilterResult::Tempfailed };
        self.meter.count(result);
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Postfix's words.
const NOT_NOW: Reply = Reply::new(451, Enhanced(4, 7, 1), "Service unavailable - try again later");
const NOT_AT_ALL: Reply = Reply::new(550, Enhanced(5, 5, 0), "Service unavailable");
/// Connections to one filter that wait for another client.
const MOST_IDLE: usize = 8;
const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// How long a filter may take to answer on a connection that another client has left.
pub(super) const REUSE_PATIENCE: Duration = Duration::from_secs(5);
