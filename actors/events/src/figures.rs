//! Numbers of events, for metrics and `relais status`.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use relais_config::EventKind;
use serde::{Deserialize, Serialize};

/// Numbers of all events.
#[derive(Debug, Default)]
pub struct Figures {
    told: [AtomicU64; EventKind::ALL.len()],
    /// Before they came to the file and the webhooks.
    memory: AtomicU64,
    /// On the way to the file.
    file: AtomicU64,
    file_trouble: Mutex<Option<FileTrouble>>,
    hooks: Mutex<Vec<Arc<HookFigures>>>,
}

/// Numbers of one webhook.
#[derive(Debug, Default)]
pub struct HookFigures {
    /// Its name.
    pub name: String,
    posts: [AtomicU64; PostResult::ALL.len()],
    lost: [AtomicU64; Loss::ALL.len()],
    /// Events that it has not taken yet.
    pub waiting: AtomicU64,
    /// Octets of the disk that these have.
    pub octets: AtomicU64,
    /// The time of the oldest of these in milliseconds since 1970; 0: there is none.
    pub oldest: AtomicU64,
    pub(crate) trouble: Mutex<Trouble>,
}

/// The standing of a webhook.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) url: String,
    /// Why nothing can be kept for it; empty: it can.
    pub(crate) disk: String,
    /// The last answer, or why there was none; empty: it took the last batch, or nothing was posted yet.
    pub(crate) why: String,
    /// Since when, in milliseconds since 1970.
    pub(crate) since: u64,
    /// When the next post is, in milliseconds since 1970.
    pub(crate) next: u64,
}

/// Why nothing is written to the file of events.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileTrouble {
    /// The file.
    pub path: String,
    /// Why, in words.
    pub why: String,
    /// Events that it never gets, since the start.
    pub lost: u64,
}

/// A webhook as `relais status` shows it. Times are milliseconds since 1970.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct WebhookStatus {
    /// Its name.
    pub name: String,
    /// Where to, without what stands behind the host.
    pub url: String,
    /// Events that it has not taken yet.
    pub waiting: u64,
    /// Seconds since the oldest of these.
    pub behind_seconds: u64,
    /// Events that it never gets, since the start.
    pub lost: u64,
    /// The last answer, where it did not take a batch; or why nothing can be kept for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Seconds until the next post, where there is trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_seconds: Option<u64>,
}

/// Why an event is lost; the label `why`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// The buffer was full: the disk is too slow.
    Memory,
    /// It could not be written: the disk is full, or broken.
    Disk,
    /// More than its `size` waited for the webhook.
    Size,
    /// It was older than `give_up`.
    Age,
    /// The webhook refuses it.
    Refused,
    /// The disk's copy cannot be read.
    Damaged,
    /// The webhook was taken out of the configuration.
    Removed,
}

/// The result of a post; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PostResult {
    /// 2xx.
    Taken,
    /// 400, 413 or 422: what is in it is not to its liking.
    Refused,
    /// Anything else, or nothing.
    Failed,
}

impl Figures {
    pub(crate) fn told(&self, kind: EventKind) {
        self.told[kind as usize].fetch_add(1, Relaxed);
    }

    /// Events of a kind that were told since the start.
    pub fn count(&self, kind: EventKind) -> u64 {
        self.told[kind as usize].load(Relaxed)
    }

    /// Counts events that neither the file nor a webhook gets, or the file alone.
    pub(crate) fn lose(&self, why: Loss, events: u64) {
        let slot = if why == Loss::Memory { &self.memory } else { &self.file };
        slot.fetch_add(events, Relaxed);
    }

    /// Events that found no room in memory.
    pub fn lost_in_memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// Events that could not be written to the file.
    pub fn lost_by_file(&self) -> u64 {
        self.file.load(Relaxed)
    }

    pub(crate) fn set_file_trouble(&self, path: &Path, why: Option<String>) {
        let path = path.display().to_string();
        *locked(&self.file_trouble) = why.map(|why| FileTrouble { path, why, lost: 0 });
    }

    /// Why nothing is written to the file of events, if there is one; `None`: all is well.
    pub fn file_trouble(&self) -> Option<FileTrouble> {
        let trouble = locked(&self.file_trouble).clone();
        trouble.map(|its| FileTrouble { lost: self.lost_by_file(), ..its })
    }

    /// The webhooks there are, or have been since the start, in name order.
    pub fn hooks(&self) -> Vec<Arc<HookFigures>> {
        locked(&self.hooks).clone()
    }

    /// The numbers of a webhook of this name, which may have been here before.
    pub(crate) fn hook(&self, name: &str) -> Arc<HookFigures> {
        let mut hooks = locked(&self.hooks);
        match hooks.binary_search_by(|its| its.name.as_str().cmp(name)) {
            Ok(place) => Arc::clone(&hooks[place]),
            Err(place) => {
                let its = Arc::new(HookFigures::of(name));
                hooks.insert(place, Arc::clone(&its));
                its
            }
        }
    }
}

impl HookFigures {
    /// Of a webhook of this name, which nothing has happened to yet.
    pub fn of(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(crate) fn lose(&self, why: Loss, events: u64) {
        self.lost[why as usize].fetch_add(events, Relaxed);
    }

    /// Says why nothing can be kept for it, or that it can; whether that is news.
    pub(crate) fn set_disk_trouble(&self, why: &str) -> bool {
        let mut trouble = locked(&self.trouble);
        let is_news = trouble.disk != why;
        why.clone_into(&mut trouble.disk);
        is_news
    }

    pub(crate) fn posted(&self, result: PostResult) {
        self.posts[result as usize].fetch_add(1, Relaxed);
    }

    /// Events that it never gets, for this reason.
    pub fn lost(&self, why: Loss) -> u64 {
        self.lost[why as usize].load(Relaxed)
    }

    /// Posts with this result.
    pub fn posts(&self, result: PostResult) -> u64 {
        self.posts[result as usize].load(Relaxed)
    }

    /// All events that it never gets.
    pub fn all_lost(&self) -> u64 {
        Loss::ALL.iter().map(|why| self.lost(*why)).sum()
    }

    /// Seconds since the oldest event that it has not taken, at this time in milliseconds since 1970.
    pub fn behind(&self, now: u64) -> u64 {
        match self.oldest.load(Relaxed) {
            0 => 0,
            oldest => now.saturating_sub(oldest) / 1_000,
        }
    }

    /// As `relais status` shows it; `None`: it is configured no more.
    pub fn status(&self, now: u64) -> Option<WebhookStatus> {
        let trouble = locked(&self.trouble).clone();
        let can_wait = trouble.disk.is_empty();
        let is_taken = trouble.why.is_empty();
        let next = trouble.next.saturating_sub(now).div_ceil(1_000);
        let why = if can_wait { trouble.why } else { trouble.disk };
        (!trouble.url.is_empty()).then(|| WebhookStatus {
            name: self.name.clone(),
            url: trouble.url,
            waiting: self.waiting.load(Relaxed),
            behind_seconds: self.behind(now),
            lost: self.all_lost(),
            trouble: (!is_taken || !can_wait).then_some(why),
            next_seconds: (!is_taken && can_wait).then_some(next),
        })
    }
}

impl Loss {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Memory,
        Self::Disk,
        Self::Size,
        Self::Age,
        Self::Refused,
        Self::Damaged,
        Self::Removed,
    ];

    /// As in the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Size => "size",
            Self::Age => "age",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::Removed => "removed",
        }
    }
}

impl PostResult {
    /// Every result.
    pub const ALL: [Self; 3] = [Self::Taken, Self::Refused, Self::Failed];

    /// As in the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

pub(crate) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
