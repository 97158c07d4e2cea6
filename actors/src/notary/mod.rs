//! The notary ("return job"): tells senders what became of their mail.
//!
//! The queue hands it [`Case`]s: entries of which recipients failed for good, timed out, were
//! returned by an operator, or were reached and their sender wants to hear of that. It gathers for a
//! moment, so that a message that failed in several places is told of once, writes the notice,
//! puts it into the spool as mail like any other, and only then lets the queue take the recipients off ([`Noticed`]). A crash in between repeats a
//! notice; it never loses one. Warnings and returns for age it finds itself, on its rounds
//! through the index ([`rounds`]).

#[cfg(test)]
mod calendar_tests;
mod grace;
mod letter;
mod linked;
mod parts;
mod progress;
mod replies;
mod rounds;
mod standing;
pub mod timetable;

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    rc::Rc,
    time::{Duration, Instant},
};

use relais_channels::{dsn::Kind, mail::MessageId};
use relais_storage::Place;
use tracing::warn;

pub use self::{
    letter::{Audience, audience_of_return, has_nowhere_to_go},
    parts::NotaryParts,
};
use self::{progress::Progress, rounds::ForRounds};
use crate::{
    actor::{Actor, Adopt, Ctx, Handle, Mailbox},
    metrics::NoticeResult,
    queue::{Case, News, Noticed, Queue, SubscribeToNews, Told},
    timestamp::now_ms,
};

/// A message, the record that has its recipients, and what there is to say of it. One that was routed
/// again has several records.
type About = (MessageId, Place, Kind);

/// Cases that share a notice.
struct Letter {
    cases: Vec<Case>,
    /// How often it was tried.
    tries: u32,
}

/// The actor.
pub struct Notary {
    parts: NotaryParts,
    /// The same, for the next round.
    for_rounds: Rc<ForRounds>,
    queue: Mailbox<Queue>,
    pending: HashMap<About, Vec<Case>>,
    /// Since when news of each of these is gathered, the oldest first.
    gathering: VecDeque<(Instant, About)>,
    /// A timer runs for the first of them.
    is_timed: bool,
    /// Gathered, and to be written in this order.
    letters: VecDeque<Letter>,
    /// Notices that are being written.
    writing: usize,
    progress: Rc<RefCell<Progress>>,
    /// News that nothing depends on, to be told once more, and how often that was tried.
    untold: Vec<Letter>,
    hurries: bool,
}

impl Notary {
    /// A notary of the news of `queue`.
    pub fn new(parts: NotaryParts, queue: Mailbox<Queue>) -> Self {
        let has_mail = parts.storage.stored() > 0;
        Self {
            progress: Rc::new(RefCell::new(Progress::load(parts.progress.clone(), has_mail))),
            for_rounds: Rc::new(ForRounds::new(parts.clone())),
            parts,
            queue,
            pending: HashMap::new(),
            gathering: VecDeque::new(),
            is_timed: false,
            letters: VecDeque::new(),
            writing: 0,
            untold: Vec::new(),
            hurries: false,
        }
    }

    /// Gathers these with others of the same messages.
    fn take(&mut self, cases: Vec<Case>, ctx: &mut Ctx<Self>) {
        let now = Instant::now();
        for case in cases {
            let about = (case.entry.id, case.entry.place, case.kind);
            let gathered = self.pending.entry(about).or_default();
            gathered.push(case);
            if gathered.len() == 1 {
                self.gathering.push_back((now, about));
            }
        }
        self.gather(ctx);
    }

    /// One timer for all that is gathered: what is spawned costs all others at each wake-up.
    fn gather(&mut self, ctx: &mut Ctx<Self>) {
        let Some((since, _)) = self.gathering.front().filter(|_| !self.is_timed) else { return };
        let wait = (*since + GATHER).saturating_duration_since(Instant::now()).max(STEP);
        self.is_timed = true;
        ctx.after(wait, |notary, ctx| {
            notary.is_timed = false;
            notary.gathered(ctx);
            notary.gather(ctx);
        });
    }

    fn gathered(&mut self, ctx: &mut Ctx<Self>) {
        let now = Instant::now();
        let mut unsaid = Vec::new();
        while let Some((since, about)) = self.gathering.front().copied()
            && since + GATHER <= now
        {
            self.gathering.pop_front();
            let Some(cases) = self.pending.remove(&about) else { continue };
            let letter = Letter { cases, tries: 0 };
            if needs_replies(&letter.cases) {
                unsaid.push(letter);
            } else {
                self.letters.push_back(letter);
            }
        }
        if !unsaid.is_empty() {
            // An operator does not know what was said, nor does a new start; the spool does.
            let parts = self.parts.clone();
            let work = async move {
                let cases = unsaid.iter_mut().flat_map(|letter| &mut letter.cases);
                parts.add_replies(&mut cases.collect::<Vec<_>>()).await;
                unsaid
            };
            ctx.when(work, |notary, said, ctx| {
                notary.letters.extend(said);
                notary.write(ctx);
            });
        }
        self.write(ctx);
    }

    /// Writes what is gathered, a few notices at once, and tells the queue.
    fn write(&mut self, ctx: &mut Ctx<Self>) {
        while self.writing < AT_ONCE
            && let Some(Letter { mut cases, tries }) = self.letters.pop_front()
        {
            self.writing += 1;
            let parts = self.parts.clone();
            let is_warning = cases.first().is_some_and(|case| case.kind == Kind::Delayed);
            let queue = is_warning.then(|| self.queue.clone());
            let work = async move {
                if let Some(queue) = queue {
                    parts.keep_waiting(&queue, &mut cases).await;
                }
                let told = parts.tell(&cases).await;
                (cases, told)
            };
            ctx.when(work, move |notary, (cases, told), ctx| {
                notary.writing -= 1;
                notary.written(cases, told, tries + 1);
                notary.write(ctx);
            });
        }
    }

    fn written(&mut self, mut cases: Vec<Case>, told: Told, tries: u32) {
        // Nothing else would bring these up again.
        let notices = &self.parts.metrics.notices;
        if told == Told::Later {
            notices.count(NoticeResult::PutOff);
        }
        let is_alone = cases.iter().all(|case| case.then.is_none());
        if is_alone && told == Told::Later {
            if tries < TRIES && !self.hurries && self.untold.len() < MAX_UNTOLD {
                // It would remember all that changes until then.
                for case in &mut cases {
                    case.reading = None;
                }
                return self.untold.push(Letter { cases, tries });
            }
            if let Some(Case { entry, kind, .. }) = cases.first() {
                warn!(id = %entry.id, ?kind, tries, "given up: its sender is not told");
                notices.count(NoticeResult::GivenUp);
            }
        }
        let (warnings, cases): (Vec<_>, Vec<_>) =
            cases.into_iter().partition(|case| case.kind == Kind::Delayed);
        if told == Told::Settled && !warnings.is_empty() {
            let warned = warnings.iter().map(|case| (case.entry.id, case.entry.entry));
            self.progress.borrow().warned(warned);
        }
        if told == Told::Later && cases.iter().any(|case| case.kind == Kind::TimedOut) {
            self.progress.borrow_mut().fall_behind();
        }
        // The queue does not wait for warnings.
        if !cases.is_empty() {
            self.queue.tell(Noticed { cases, told });
        }
    }

    fn write_untold(&mut self, ctx: &mut Ctx<Self>) {
        self.letters.extend(self.untold.drain(..));
        self.write(ctx);
    }
}

impl Actor for Notary {
    const NAME: &'static str = "notary";

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        ctx.every(AGAIN, |notary, ctx| {
            notary.write_untold(ctx);
            notary.progress.borrow_mut().note_alive(Instant::now(), now_ms());
        });
        let itself = ctx.mailbox().downgrade();
        self.queue.tell(SubscribeToNews(itself.outlet()));
        let (progress, queue) = (self.progress.clone(), self.queue.clone());
        let parts = self.for_rounds.clone();
        ctx.spawn(rounds::walk(parts, progress, queue, itself.outlet()));
    }
}

impl Handle<Adopt<NotaryParts>> for Notary {
    fn handle(&mut self, Adopt(parts): Adopt<NotaryParts>, _: &mut Ctx<Self>) {
        self.for_rounds.replace(parts.clone());
        self.parts = parts;
    }
}

impl Handle<News> for Notary {
    fn handle(&mut self, news: News, ctx: &mut Ctx<Self>) {
        match news {
            News::Tell(cases) => self.take(cases, ctx),
            News::Draining => {
                self.hurries = true;
                self.write_untold(ctx);
            }
        }
    }
}

/// Cases that came from a round have no replies yet.
fn needs_replies(cases: &[Case]) -> bool {
    cases.iter().any(|case| match case.kind {
        Kind::Bounced => true,
        kind => kind.is_success() && case.replies.is_empty(),
    })
}

/// How long a message's other entries have time to fail, too, and to share its notice.
const GATHER: Duration = Duration::from_secs(1);
/// The cases gathered are looked through at most this often.
const STEP: Duration = Duration::from_millis(50);
/// News that nothing depends on are tried to be told this often, and with this in between. As often
/// there is a sign of life.
const TRIES: u32 = 4;
const AGAIN: Duration = Duration::from_secs(60);
/// Notices that wait for that. Each may hold the header of a message; the others are given up.
const MAX_UNTOLD: usize = 1_000;
/// Notices written at the same time: they share the syncs of the spool.
const AT_ONCE: usize = 48;
