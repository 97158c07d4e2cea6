//! A job ("master program"): a number of couriers for the hosts of one channel.
//!
//! The actor is the container: it starts couriers, each a task of its own on an arbiter of its own
//! choice, so that a panic in one ends its connection and nothing else. A job whose life is over
//! takes no more connections: those it has end at their next message boundary, and the next one
//! that is started begins the life of its successor in the same slot.

use std::sync::Arc;

use actix::Message;
use tracing::Instrument;

use super::{courier::Courier, life::Life, parts::JobParts, presence::Presence};
use crate::{
    actor::{Actor, Ctx, Handle},
    channel_table::LiveTimes,
    ids::ChannelId,
    in_hand::with_hand,
};

/// One more connection.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RunConnection(pub Presence);

/// Takes no more connections; those that run end between two messages, idle ones now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EndJob;

/// The actor. It stops when its pool forgets it.
pub struct Job {
    parts: JobParts,
    channel: ChannelId,
    life: Arc<Life>,
}

impl Job {
    /// A job of `channel` without a connection.
    pub fn new(channel: ChannelId, parts: JobParts) -> Self {
        let life = Arc::new(life_of(&parts, channel));
        Self { parts, channel, life }
    }
}

fn life_of(parts: &JobParts, channel: ChannelId) -> Life {
    let time = parts.channels.time(channel, LiveTimes::MaxLifeTime);
    Life::of(parts.channels.channel(channel), time)
}

impl Actor for Job {
    const NAME: &'static str = "job";
}

impl Handle<RunConnection> for Job {
    fn handle(&mut self, RunConnection(presence): RunConnection, ctx: &mut Ctx<Self>) {
        if self.life.is_over() {
            self.life.end();
            self.life = Arc::new(life_of(&self.parts, self.channel));
        }
        let (parts, life) = (self.parts.clone(), self.life.clone());
        let meter = ctx.meter().clone();
        // Where the arbiter is gone the presence is dropped with the task, and says so.
        self.parts.placement.of_jobs().spawn_fn(move || {
            actix::spawn(async move {
                let courier = Courier::new(&presence, life, parts);
                let span = courier.span();
                meter.timed(Box::pin(with_hand(courier.run()).instrument(span))).await;
                presence.finish();
            });
        });
    }
}

impl Handle<EndJob> for Job {
    fn handle(&mut self, _: EndJob, _: &mut Ctx<Self>) {
        self.life.end();
    }
}
