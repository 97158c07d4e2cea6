//! One webhook: a task that posts what waits for it, batch after batch.

use std::{
    io,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::StatusCode;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    backlog::Backlog,
    batch::{Batch, Bounds},
    figures::{HookFigures, Loss, PostResult, Trouble, locked},
    hourly::Hourly,
    post::{Answer, PostError, Poster},
    settings::HookSettings,
};

/// A webhook, as the thread that writes and the task that posts share it.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) settings: Mutex<Arc<HookSettings>>,
    pub(crate) backlog: Mutex<Backlog>,
    pub(crate) figures: Arc<HookFigures>,
    /// Something was appended.
    pub(crate) news: Notify,
    /// Other settings are in force.
    pub(crate) changed: Notify,
    pub(crate) end: CancellationToken,
}

/// The task of a webhook.
struct Courier {
    hook: Arc<Hook>,
    poster: Poster,
    /// Events of a batch at most; fewer while the server refuses one.
    limit: usize,
    /// Failures in a row.
    failures: u32,
    /// The refusals of the single event that is next.
    refusals: u32,
    told: Hourly,
    /// The failures of now are in the log.
    is_told: bool,
    told_refused: Hourly,
}

/// The outcome of a post.
enum Fate {
    Taken,
    Refused(String),
    Failed { why: String, wait: Option<Duration> },
}

impl Hook {
    /// Shows what waits.
    pub(crate) fn show(&self, backlog: &Backlog, oldest: Option<u64>) {
        let figures = &self.figures;
        let waiting = backlog.waiting();
        figures.waiting.store(waiting, Relaxed);
        figures.octets.store(backlog.octets(), Relaxed);
        if waiting == 0 {
            figures.oldest.store(0, Relaxed);
        } else if let Some(oldest) = oldest {
            figures.oldest.store(oldest, Relaxed);
        } else {
            // It was empty: the oldest is as old as this moment.
            let _ = figures.oldest.compare_exchange(0, now(), Relaxed, Relaxed);
        }
    }

    /// Says why nothing can be kept, or that it can.
    pub(crate) fn set_disk_trouble(&self, why: &str) {
        let webhook = &self.figures.name;
        if self.figures.set_disk_trouble(why) && !why.is_empty() {
            warn!(webhook, why, "events for the webhook cannot be kept: they are lost");
        }
    }

    /// Sees to it that there is a place for what is told.
    pub(crate) fn look_after(&self) {
        let mut backlog = locked(&self.backlog);
        match backlog.look_after() {
            Ok(0) => {}
            Ok(lost) => {
                let webhook = &self.figures.name;
                warn!(webhook, lost, "what waited for the webhook is gone from the disk");
                self.figures.lose(Loss::Damaged, lost);
                self.show(&backlog, None);
                self.news.notify_one();
            }
            Err(error) => return self.set_disk_trouble(&cannot_be_kept(&error)),
        }
        if !backlog.has_failed() {
            self.set_disk_trouble("");
        }
    }

    fn settings(&self) -> Arc<HookSettings> {
        Arc::clone(&locked(&self.settings))
    }

    /// Posts until the end.
    pub(crate) async fn run(self: Arc<Self>) {
        let end = self.end.clone();
        let limit = self.settings().batch;
        let courier = Courier {
            hook: self,
            poster: Poster::default(),
            limit,
            failures: 0,
            refusals: 0,
            told: Hourly::default(),
            is_told: false,
            told_refused: Hourly::default(),
        };
        tokio::select! {
            () = courier.work() => {}
            () = end.cancelled() => {}
        }
    }
}

impl Courier {
    async fn work(mut self) {
        let mut waiting: Option<Batch> = None;
        loop {
            let batch = match waiting.take().filter(|batch| self.is_good(batch)) {
                Some(batch) => batch,
                None => self.next().await,
            };
            if batch.events == 0 {
                self.done(&batch);
                continue;
            }
            let settings = self.hook.settings();
            let posted = self.poster.post(&settings, &batch).await;
            match fate(posted) {
                Fate::Taken => self.taken(&batch),
                Fate::Refused(_) if batch.events > 1 => {
                    self.hook.figures.posted(PostResult::Refused);
                    // One of its halves may be to the server's liking.
                    self.limit = usize::try_from(batch.events / 2).unwrap_or(1).max(1);
                }
                Fate::Refused(why) => {
                    self.hook.figures.posted(PostResult::Refused);
                    self.refusals += 1;
                    if self.refusals >= REFUSALS {
                        self.drop_refused(&batch, &why);
                    } else {
                        self.pause(&why, None).await;
                        waiting = Some(batch);
                    }
                }
                Fate::Failed { why, wait } => {
                    self.hook.figures.posted(PostResult::Failed);
                    self.pause(&why, wait).await;
                    waiting = Some(batch);
                }
            }
        }
    }

    /// Whether a batch that was posted before is to be posted again as it is.
    fn is_good(&self, batch: &Batch) -> bool {
        let is_next = locked(&self.hook.backlog).is_next(batch);
        is_next && batch.oldest >= self.bounds().not_before
    }

    fn bounds(&self) -> Bounds {
        let settings = self.hook.settings();
        let age = u64::try_from(settings.give_up.as_millis()).unwrap_or(u64::MAX);
        Bounds { events: self.limit.min(settings.batch), not_before: now().saturating_sub(age) }
    }

    /// Waits for events, and for a while for more of them.
    async fn next(&mut self) -> Batch {
        let mut since = None;
        loop {
            let hook = Arc::clone(&self.hook);
            let news = hook.news.notified();
            let (bounds, settings) = (self.bounds(), self.hook.settings());
            let waits = locked(&self.hook.backlog).waiting();
            let until = *since.get_or_insert_with(Instant::now) + settings.wait;
            if waits == 0 {
                since = None;
                news.await;
                continue;
            }
            // Events that have waited long enough, or that fill a batch, go now.
            let is_full = waits >= bounds.events as u64;
            if !is_full && Instant::now() < until && self.failures == 0 {
                tokio::select! {
                    () = news => {}
                    () = sleep_until(until) => {}
                }
                continue;
            }
            let read = locked(&self.hook.backlog).batch(bounds);
            match read {
                Ok(Some(batch)) => return batch,
                Ok(None) => news.await,
                Err(error) => {
                    self.pause(&format!("what waits cannot be read: {error}"), None).await;
                }
            }
        }
    }

    fn taken(&mut self, batch: &Batch) {
        self.hook.figures.posted(PostResult::Taken);
        self.done(batch);
        (self.failures, self.refusals) = (0, 0);
        self.limit = self.limit.saturating_mul(2).min(self.hook.settings().batch);
        let mut trouble = locked(&self.hook.figures.trouble);
        if !trouble.why.is_empty() {
            let seconds = now().saturating_sub(trouble.since) / 1_000;
            if std::mem::take(&mut self.is_told) {
                let webhook = &self.hook.figures.name;
                info!(webhook, seconds, "the webhook takes events again");
            }
            let Trouble { url, disk, .. } = std::mem::take(&mut *trouble);
            *trouble = Trouble { url, disk, ..Trouble::default() };
        }
    }

    /// The events of a batch wait no more.
    fn done(&self, batch: &Batch) {
        let hook = &self.hook;
        hook.figures.lose(Loss::Age, batch.aged);
        hook.figures.lose(Loss::Damaged, batch.damaged);
        let mut backlog = locked(&hook.backlog);
        if let Err(error) = backlog.take(batch) {
            let webhook = &hook.figures.name;
            warn!(webhook, %error, "events that were taken are posted again after a restart");
        }
        hook.show(&backlog, (batch.newest > 0).then_some(batch.newest));
    }

    fn drop_refused(&mut self, batch: &Batch, why: &str) {
        self.refusals = 0;
        self.hook.figures.lose(Loss::Refused, batch.events);
        if self.told_refused.is_due() {
            let webhook = &self.hook.figures.name;
            warn!(webhook, event = batch.first, why, "the webhook refuses an event, which is lost");
        }
        self.done(batch);
    }

    /// Waits before the next post, until other settings are in force at most.
    async fn pause(&mut self, why: &str, wait: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let wait = wait.unwrap_or_default().max(backoff(self.failures)).min(LONGEST_ASKED);
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.trouble(why, now().saturating_add(millis));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.hook.changed.notified() => {
                self.poster.forget();
                self.failures = 0;
                self.limit = self.hook.settings().batch;
            }
        }
    }

    fn trouble(&mut self, why: &str, next: u64) {
        let hook = &self.hook;
        let mut trouble = locked(&hook.figures.trouble);
        if trouble.why.is_empty() {
            trouble.since = now();
        }
        why.clone_into(&mut trouble.why);
        trouble.next = next;
        if self.told.is_due() {
            self.is_told = true;
            let (webhook, waiting) = (&hook.figures.name, hook.figures.waiting.load(Relaxed));
            warn!(webhook, why, waiting, "the webhook does not take events");
        }
    }
}

/// Why nothing can be kept for a webhook.
pub(crate) fn cannot_be_kept(error: &io::Error) -> String {
    format!("DATA/events cannot be written: {error}")
}

fn fate(posted: Result<Answer, PostError>) -> Fate {
    match posted {
        Ok(Answer { status, .. }) if status.is_success() => Fate::Taken,
        Ok(Answer {
            status:
                StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY,
            words,
            ..
        }) => Fate::Refused(words),
        Ok(Answer { status: StatusCode::GONE, words, .. }) => {
            Fate::Failed { why: words, wait: Some(LONGEST_ASKED) }
        }
        Ok(Answer { retry_after, words, .. }) => Fate::Failed { why: words, wait: retry_after },
        Err(error) => Fate::Failed { why: with_causes(&error), wait: None },
    }
}

/// The library says of an error what it was at, and of its cause why.
fn with_causes(error: &PostError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(its) = cause {
        let more = its.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        cause = its.source();
    }
    words
}

/// A second, doubled with each failure, up to five minutes; each a little shorter, so that the servers of one
/// receiver are not asked by all at once.
fn backoff(failures: u32) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    let parts = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_micros());
    whole.mul_f64(1.0 - f64::from(parts % 1_000) / 4_000.0)
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    relais_channels::clock::now_ms()
}

/// After the first failure.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// However long a server wants to be left alone.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);
/// Of a single event, until it is lost.
const REFUSALS: u32 = 3;

#[cfg(test)]
mod hook_tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_minutes() {
        for (failures, most) in [(1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (4_000_000, 300)] {
            let (pause, most) = (backoff(failures), Duration::from_secs(most));
            assert!(pause <= most && pause >= most * 3 / 4, "{failures}: {pause:?}");
        }
    }
}
