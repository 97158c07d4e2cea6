//! Hosts that operators suspend and let go on, and what replies of theirs have led to.

use std::sync::Arc;

use actix::Message;
use tokio::time::Instant;
use tracing::info;

use super::{
    JobController, TuneError,
    host_orders::{HostSuspension, HostsMeant},
};
use crate::{
    actor::{Ctx, Handle},
    delivery::throttle::PlaceFreed,
    events::Printable,
    ids::Destination,
    queue::{Denial, MakeRoom},
    timestamp::Timestamp,
};

/// The hosts that an order is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostName {
    /// As the queue names it, in lower case; with a dot in front, all below it.
    pub name: String,
    /// A channel by its name; `None`: all channels.
    pub channel: Option<String>,
}

/// Mail for these hosts waits until then; answers with the end of the order in whose place this one is.
/// Their connections end at their next message boundary, idle ones at once.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Option<Timestamp>, TuneError>")]
pub struct SuspendHost {
    /// Which.
    pub host: HostName,
    /// When the order was given.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// The operator who gave it, and why.
    pub reason: Arc<str>,
}

/// Mail for these hosts goes again; answers whether an operator had suspended them.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<bool, TuneError>")]
pub struct ResumeHost(pub HostName);

/// Forgets what replies of these hosts have led to; answers whether there was anything.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<bool, TuneError>")]
pub struct LiftReplies(pub HostName);

/// An order, for whoever asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SuspendedHost {
    /// The hosts.
    pub host: HostName,
    /// The order.
    pub order: HostSuspension,
}

impl JobController {
    fn which(&self, host: &HostName) -> Result<HostsMeant, TuneError> {
        let channel = host.channel.as_deref().map(|name| self.find(name)).transpose()?;
        Ok((channel, host.name.as_str().into()))
    }

    pub(super) fn shown(&self, (which, order): (&HostsMeant, &HostSuspension)) -> SuspendedHost {
        let (channel, name) = which;
        let channel = channel.map(|id| self.channels.channel(id).name.clone());
        SuspendedHost { host: HostName { name: name.to_string(), channel }, order: order.clone() }
    }

    /// Mail for hosts that an operator has suspended makes room for that of others.
    pub(super) fn make_room_for_others<'d>(
        &self,
        destinations: impl Iterator<Item = &'d Destination>,
    ) {
        let suspended = destinations.filter(|its| self.schedule.order_of(its).is_some());
        let suspended: Vec<Destination> = suspended.cloned().collect();
        if !suspended.is_empty() {
            self.queue.make_room.tell(MakeRoom(suspended));
        }
    }

    /// Orders whose time is over.
    pub(super) fn end_orders(&mut self, now: Instant) {
        for (which, order) in self.schedule.end_orders(now) {
            let shown = self.shown((&which, &order));
            let HostName { name, channel } = shown.host;
            let channel = channel.as_deref().unwrap_or(ALL);
            info!(host = %Printable(&name), channel, "mail for a host goes again: its suspension has ended");
        }
    }
}

impl Handle<SuspendHost> for JobController {
    fn handle(
        &mut self,
        suspend: SuspendHost,
        ctx: &mut Ctx<Self>,
    ) -> Result<Option<Timestamp>, TuneError> {
        let SuspendHost { host, since, until, reason } = suspend;
        let which = self.which(&host)?;
        let ends = Instant::now() + Timestamp::now().until(until);
        let order = HostSuspension { since, until, ends, reason: Arc::clone(&reason) };
        let suspended = self.schedule.suspend(which, order);
        let (before, suspended) = suspended.map_err(|_| TuneError::TooManySuspended)?;
        self.make_room_for_others(suspended.iter());
        let HostName { name, channel } = &host;
        let channel = channel.as_deref().unwrap_or(ALL);
        let (host, reason) = (Printable(name), Printable(&*reason));
        info!(%host, channel, %until, %reason, "mail for a host waits: an operator has suspended it");
        self.carry_out(ctx);
        Ok(before.map(|order| order.until))
    }
}

impl Handle<ResumeHost> for JobController {
    fn handle(
        &mut self,
        ResumeHost(host): ResumeHost,
        ctx: &mut Ctx<Self>,
    ) -> Result<bool, TuneError> {
        let which = self.which(&host)?;
        let was = self.schedule.resume(&which, Instant::now()).is_some();
        if was {
            let HostName { name, channel } = &host;
            let channel = channel.as_deref().unwrap_or(ALL);
            info!(host = %Printable(name), channel, "mail for a host goes again: an operator wants it so");
        }
        self.carry_out(ctx);
        Ok(was)
    }
}

impl Handle<LiftReplies> for JobController {
    fn handle(
        &mut self,
        LiftReplies(host): LiftReplies,
        ctx: &mut Ctx<Self>,
    ) -> Result<bool, TuneError> {
        let (channel, name) = self.which(&host)?;
        let channels = self.channels.by_number().map(|(id, _)| id);
        let channels: Vec<_> = channels.filter(|id| channel.is_none_or(|it| it == *id)).collect();
        let lifted =
            channels.into_iter().map(|channel| Destination { channel, host: (*name).into() });
        let lifted: Vec<Destination> = lifted.filter(|its| self.throttles.lift(its)).collect();
        for counted in &lifted {
            info!(host = %Printable(name.as_ref()), channel = self.name(counted), "what replies of a host led to is forgotten");
        }
        // Destinations that rest for it may be called otherwise.
        let by_reply = |limit: &Denial| matches!(limit, Denial::SlowedDown(_) | Denial::Stopped(_));
        let resting: Vec<Destination> = self
            .schedule
            .rests()
            .filter(|(_, rest)| *rest.denied.counted == *name && by_reply(&rest.denied.limit))
            .map(|(destination, _)| destination.clone())
            .collect();
        for destination in resting {
            self.schedule.freed(&destination, Instant::now());
        }
        self.carry_out(ctx);
        Ok(!lifted.is_empty())
    }
}

impl Handle<PlaceFreed> for JobController {
    fn handle(&mut self, PlaceFreed(destination): PlaceFreed, ctx: &mut Ctx<Self>) {
        self.schedule.freed(&destination, Instant::now());
        self.carry_out(ctx);
    }
}

/// In the log, of an order for every channel.
const ALL: &str = "all";
