//! Puts messages together that were sent in pieces (`message/partial`, RFC 2046 section 5.2.2).
//!
//! A piece is a message like any other, safe before its sender hears of it; its entries are held in the
//! queue from the beginning where their channel has `defragment`. [`Defragmenter`] knows which have come,
//! and finds them again on the disk after a start. When all of a message are there, they are taken aside,
//! and what they make is stored as a message of its own, held; then the pieces are done, and when that is
//! on the disk the message is released. An engine that ends in between finds it held, with the pieces that
//! it was made of, and goes on from there: it is neither lost nor made twice.
//!
//! A piece that cannot be put together is released, and leaves as it is.

mod assembly;
pub mod gathering;
mod settling;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use actix::Message;
use relais_storage::{Place, ScannedEntry};
use tracing::{info, warn};

use self::{
    gathering::{Decision, Gathering, PartialKey},
    settling::{Learned, PutTogether},
};
pub use self::{
    gathering::{EntryKey, PassedOn, Waits},
    settling::DefragmenterParts,
};
use crate::{
    actor::{Actor, Adopt, Ctx, Handle},
    channel_table::Channels,
    metrics,
    queue::PieceStored,
    timestamp::now_ms,
};

/// The actor.
pub struct Defragmenter {
    parts: DefragmenterParts,
    gathering: Gathering,
    /// Pieces that were stored, and have yet to be read.
    stored: Vec<(EntryKey, Place)>,
    tasks: VecDeque<PieceTask>,
    /// One thing is done at a time: this is being done.
    is_busy: bool,
    /// Memory is to be made from the disk.
    has_to_look: bool,
}

/// Something that is to be done about pieces.
enum PieceTask {
    PassOn(Vec<EntryKey>, PassedOn),
    Compare { known: EntryKey, new: EntryKey },
    PutTogether(Arc<PartialKey>),
}

/// The result of a [`PieceTask`].
enum Done {
    /// It is done.
    All,
    /// Of a message that was to be put together.
    PutTogether(Arc<PartialKey>, PutTogether),
    /// A piece is not there any more; the other was compared with it, and takes its place.
    Replace { gone: EntryKey, new: ScannedEntry },
    /// Once more in a while.
    Later(PieceTask),
}

/// Asks what these entries wait for, each for itself; `None`: for nothing that is known here.
#[derive(Message)]
#[rtype(result = "Option<Waits>")]
pub struct DescribePiece(pub EntryKey);

impl Defragmenter {
    /// One that has yet to look at the disk.
    pub fn new(parts: DefragmenterParts) -> Self {
        Self {
            parts,
            gathering: Gathering::default(),
            stored: Vec::new(),
            tasks: VecDeque::new(),
            is_busy: false,
            has_to_look: true,
        }
    }

    /// Begins the next thing, if nothing is being done.
    fn go_on(&mut self, ctx: &mut Ctx<Self>) {
        if self.is_busy {
            return;
        }
        let parts = self.parts.clone();
        if std::mem::take(&mut self.has_to_look) {
            (self.gathering, self.tasks) = Default::default();
            self.is_busy = true;
            let itself = ctx.mailbox().downgrade().outlet();
            ctx.when(async move { parts.look(itself).await }, Self::learn);
        } else if let Some(task) = self.tasks.pop_front() {
            self.is_busy = true;
            let (entries, limit) = match &task {
                PieceTask::PutTogether(key) => {
                    (self.gathering.entries(key), self.gathering.limit(key))
                }
                _ => (Vec::new(), 0),
            };
            ctx.when(async move { parts.carry_out(task, entries, limit).await }, Self::carried_out);
        } else if !self.stored.is_empty() {
            self.is_busy = true;
            let stored = std::mem::take(&mut self.stored);
            ctx.when(async move { parts.read(stored).await }, Self::learn);
        }
    }

    /// Takes in pieces that were read.
    fn learn(&mut self, found: Option<Vec<Learned>>, ctx: &mut Ctx<Self>) {
        self.is_busy = false;
        match found {
            Some(found) => found.into_iter().for_each(|learned| self.add(learned)),
            None => ctx.after(RETRY, Self::look_again),
        }
        self.go_on(ctx);
    }

    fn add(&mut self, Learned { key, piece }: Learned) {
        if self.parts.channels.gathering_for(&key.channel, &key.host).is_none() {
            return self
                .tasks
                .push_back(PieceTask::PassOn(vec![piece.entry], PassedOn::NotGathered));
        }
        match self.gathering.add(key, &piece, now_ms()) {
            Decision::Wait | Decision::Known => {}
            Decision::PassOn(entries, why) => self.tasks.push_back(PieceTask::PassOn(entries, why)),
            Decision::Compare { known } => {
                self.tasks.push_back(PieceTask::Compare { known, new: piece.entry });
            }
            Decision::PutTogether(key) => self.tasks.push_back(PieceTask::PutTogether(key)),
        }
    }

    fn carried_out(&mut self, done: Done, ctx: &mut Ctx<Self>) {
        self.is_busy = false;
        match done {
            Done::All => {}
            Done::PutTogether(key, PutTogether::Made) => {
                self.gathering.end(&key, now_ms());
            }
            Done::PutTogether(key, PutTogether::Unfinished) => {
                self.gathering.end(&key, now_ms());
                ctx.after(RETRY, Self::look_again);
            }
            Done::PutTogether(_, PutTogether::Gone(entries)) => {
                for entry in entries {
                    self.gathering.forget(entry);
                }
            }
            Done::PutTogether(key, PutTogether::Never(why)) => {
                let entries = self.gathering.end(&key, now_ms());
                self.tasks.push_back(PieceTask::PassOn(entries, why));
            }
            Done::PutTogether(key, PutTogether::Later) => {
                Self::once_more(PieceTask::PutTogether(key), ctx);
            }
            Done::Replace { gone, new } => {
                self.gathering.forget(gone);
                self.stored.push(((new.id, new.entry), new.place));
            }
            Done::Later(task) => Self::once_more(task, ctx),
        }
        self.go_on(ctx);
    }

    fn once_more(task: PieceTask, ctx: &mut Ctx<Self>) {
        ctx.after(RETRY, |its, ctx| {
            its.tasks.push_back(task);
            its.go_on(ctx);
        });
    }

    fn look_again(&mut self, ctx: &mut Ctx<Self>) {
        self.has_to_look = true;
        self.go_on(ctx);
    }

    fn tick(&mut self, ctx: &mut Ctx<Self>) {
        let late = self.gathering.expire(now_ms());
        if !late.is_empty() {
            self.tasks.push_back(PieceTask::PassOn(late, PassedOn::Late));
        }
        let (messages, pieces) = self.gathering.waiting();
        let meter = &self.parts.metrics.defragment;
        meter.messages.set(metrics::level(messages));
        meter.pieces.set(metrics::level(pieces));
        self.go_on(ctx);
    }
}

impl DefragmenterParts {
    async fn carry_out(self, task: PieceTask, entries: Vec<EntryKey>, limit: u64) -> Done {
        match task {
            PieceTask::PassOn(entries, why) => match self.pass_on(&entries, why).await {
                Ok(()) => Done::All,
                Err(error) => {
                    warn!(%error, %why, "pieces of a message cannot pass on yet");
                    Done::Later(PieceTask::PassOn(entries, why))
                }
            },
            PieceTask::Compare { known, new } => match self.compare(known, new).await {
                Ok(Some(new)) => Done::Replace { gone: known, new },
                Ok(None) => Done::All,
                Err(error) => {
                    warn!(id = %new.0, %error, "a piece of a message cannot be compared yet");
                    Done::Later(PieceTask::Compare { known, new })
                }
            },
            // It has passed on meanwhile, or lost a piece.
            PieceTask::PutTogether(_) if entries.is_empty() => Done::All,
            PieceTask::PutTogether(key) => match self.put_together(&entries, limit).await {
                Ok(result) => Done::PutTogether(key, result),
                Err(error) => {
                    warn!(id = %entries[0].0, %error, "a message cannot be put together yet");
                    Done::PutTogether(key, PutTogether::Later)
                }
            },
        }
    }
}

impl Actor for Defragmenter {
    const NAME: &'static str = "defragmenter";

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        for why in PassedOn::ALL {
            self.parts.metrics.defragment.announce(why.name());
        }
        ctx.every(TICK, Self::tick);
        self.go_on(ctx);
    }
}

impl Handle<PieceStored> for Defragmenter {
    fn handle(&mut self, PieceStored { entry, place }: PieceStored, ctx: &mut Ctx<Self>) {
        if self.stored.len() < MAX_UNREAD {
            self.stored.push((entry, place));
        } else if !self.has_to_look {
            info!("more pieces of messages come than are read: they are looked for on the disk");
            self.has_to_look = true;
        }
        self.go_on(ctx);
    }
}

impl Handle<DescribePiece> for Defragmenter {
    fn handle(&mut self, DescribePiece(entry): DescribePiece, _: &mut Ctx<Self>) -> Option<Waits> {
        self.gathering.waits(entry)
    }
}

impl Handle<Adopt<Arc<Channels>>> for Defragmenter {
    fn handle(&mut self, Adopt(channels): Adopt<Arc<Channels>>, ctx: &mut Ctx<Self>) {
        self.parts.channels = channels;
        // Times and channels may be others.
        self.look_again(ctx);
    }
}

/// How often it is looked for what is late.
const TICK: Duration = Duration::from_secs(1);
/// After a failure of the disk.
const RETRY: Duration = Duration::from_secs(10);
/// Pieces that were stored, and have yet to be read.
const MAX_UNREAD: usize = 100_000;
