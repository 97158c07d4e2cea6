//! The shell between an actor and actix: the only handler of actix messages there is.
//!
//! [`Actor`] and [`Handle`] are what an actor is written against; [`Ctx`] is what it can ask for
//! while it handles a message.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use actix::{
    ActorContext, ActorFutureExt, AsyncContext, Context, Message,
    dev::{MessageResponse, OneshotSender},
    fut::wrap_future,
};
use tokio::sync::oneshot;

use super::meter::Meter;

/// A type that lives behind a mailbox.
pub trait Actor: Sized + Unpin + 'static {
    /// The label `actor` of its numbers; all actors of one type share them.
    const NAME: &'static str;

    /// Called once, before the first message.
    fn started(&mut self, _: &mut Ctx<Self>) {}
}

/// An actor's handler of messages of one type.
pub trait Handle<M: Message>: Actor {
    /// Returns the answer, or [`Later`] when it has to wait for it.
    fn handle(&mut self, message: M, ctx: &mut Ctx<Self>) -> impl Into<Answer<M::Result>>;
}

/// An answer that a handler has to wait for. The actor handles other messages meanwhile; time in
/// which the future is polled counts as busy.
pub struct Later<R>(Pin<Box<dyn Future<Output = Option<R>>>>);

/// The answer of a handler: a value, or [`Later`].
pub enum Answer<R> {
    /// Known at once.
    Now(R),
    /// Still to come.
    Later(Later<R>),
}

/// An answer, and where it is still to come the meter of the time that is spent on it.
pub(crate) enum Metered<R> {
    Now(R),
    Later(Later<R>, Meter),
}

impl<R> Later<R> {
    /// The answer that `future` comes to.
    pub fn new(future: impl Future<Output = R> + 'static) -> Self {
        Self(Box::pin(async move { Some(future.await) }))
    }
}

impl<R> From<R> for Answer<R> {
    fn from(answer: R) -> Self {
        Self::Now(answer)
    }
}

impl<R> From<Later<R>> for Answer<R> {
    fn from(later: Later<R>) -> Self {
        Self::Later(later)
    }
}

/// An actor on actix. It meters what the actor does, and tells the watch when the actor dies.
pub struct Shell<A: Actor> {
    actor: A,
    meter: Meter,
    _held: Held,
}

/// A value that is dropped when the actor is, by whatever way.
pub(super) type Held = Option<Box<dyn Any + Send>>;

/// A message on its way. It counts as waiting from the moment it is sent to the moment it is
/// handled, or thrown away with the mailbox of an actor that died.
pub(crate) struct Parcel<M> {
    message: M,
    sent: Instant,
    waiting: Waiting,
}

/// Counts as one waiting message until it is dropped.
struct Waiting(Meter);

/// The name under which the start of an actor is counted, beside its messages.
pub struct Begin;

/// The ground, as an actor can ask of it while it handles a message.
pub struct Ctx<'a, A: Actor> {
    context: &'a mut Context<Shell<A>>,
    meter: &'a Meter,
}

impl<A: Actor> Shell<A> {
    pub(super) fn new(actor: A, meter: Meter, held: Held) -> Self {
        Self { actor, meter, _held: held }
    }

    /// Lets the actor do something that no message asked for.
    fn act<R>(
        &mut self,
        context: &mut Context<Self>,
        act: impl FnOnce(&mut A, &mut Ctx<A>) -> R,
    ) -> R {
        let _busy = self.meter.busy();
        act(&mut self.actor, &mut Ctx { context, meter: &self.meter })
    }
}

impl<M> Parcel<M> {
    /// A message that is sent now, outside of actix, too.
    pub(crate) fn new(message: M, meter: &Meter) -> Self {
        meter.sent();
        Self { message, sent: Instant::now(), waiting: Waiting(meter.clone()) }
    }

    /// The message, which stops waiting `now`.
    pub(crate) fn open(self, now: Instant) -> M {
        self.waiting.0.waited(now.saturating_duration_since(self.sent));
        self.message
    }
}

impl<M: Message> Message for Parcel<M> {
    type Result = M::Result;
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.taken();
    }
}

impl<A: Actor> actix::Actor for Shell<A> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let _busy = self.meter.handling::<Begin>();
        self.actor.started(&mut Ctx { context, meter: &self.meter });
    }
}

impl<A, M> actix::Handler<Parcel<M>> for Shell<A>
where
    A: Handle<M>,
    M: actix::Message + 'static,
{
    type Result = Metered<M::Result>;

    fn handle(&mut self, parcel: Parcel<M>, context: &mut Self::Context) -> Self::Result {
        let busy = self.meter.handling::<M>();
        let message = parcel.open(busy.since());
        match self.actor.handle(message, &mut Ctx { context, meter: &self.meter }).into() {
            Answer::Now(answer) => Metered::Now(answer),
            Answer::Later(later) => Metered::Later(later, self.meter.clone()),
        }
    }
}

impl<A, M> MessageResponse<Shell<A>, Parcel<M>> for Metered<M::Result>
where
    A: Handle<M>,
    M: actix::Message + 'static,
{
    fn handle(self, _: &mut Context<Shell<A>>, asker: Option<OneshotSender<M::Result>>) {
        match self {
            Self::Now(answer) => {
                if let Some(asker) = asker {
                    // The asker may have gone away meanwhile.
                    let _ = asker.send(answer);
                }
            }
            Self::Later(later, meter) => {
                // Boxed, so that tasks of one type serve the messages of all types.
                let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
                    if let (Some(answer), Some(asker)) = (meter.timed(later.0).await, asker) {
                        let _ = asker.send(answer);
                    }
                });
                actix::spawn(task);
            }
        }
    }
}

impl<A: Actor> Ctx<'_, A> {
    /// The actor's own address.
    pub(super) fn address(&self) -> actix::Addr<Shell<A>> {
        self.context.address()
    }

    /// The meter of its kind.
    pub fn meter(&self) -> &Meter {
        self.meter
    }

    /// Ends the actor after this message.
    pub fn stop(&mut self) {
        self.context.stop();
    }

    /// Does something once, after a while.
    pub fn after(&mut self, wait: Duration, act: impl FnOnce(&mut A, &mut Ctx<A>) + 'static) {
        self.context.run_later(wait, move |shell, context| shell.act(context, act));
    }

    /// Does something again and again.
    pub fn every(&mut self, wait: Duration, mut act: impl FnMut(&mut A, &mut Ctx<A>) + 'static) {
        self.context
            .run_interval(wait, move |shell, context| shell.act(context, |a, ctx| act(a, ctx)));
    }

    /// Works on `future` as long as the actor lives.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) {
        self.when(future, |_, (), _| {});
    }

    /// Works on `future` as long as the actor lives, and hands it what comes of it.
    pub fn when<T: 'static>(
        &mut self,
        future: impl Future<Output = T> + 'static,
        act: impl FnOnce(&mut A, T, &mut Ctx<A>) + 'static,
    ) {
        let meter = self.meter.clone();
        let work = wrap_future::<_, Shell<A>>(async move { meter.timed(future).await });
        self.context.spawn(work.map(|output, shell, context| {
            shell.act(context, |actor, ctx| act(actor, output, ctx));
        }));
    }

    /// The answer that the actor gives when it has what comes of `future`.
    pub fn later<T: 'static, R: 'static>(
        &mut self,
        future: impl Future<Output = T> + 'static,
        act: impl FnOnce(&mut A, T, &mut Ctx<A>) -> R + 'static,
    ) -> Later<R> {
        let (tell, told) = oneshot::channel();
        self.when(future, |actor, output, ctx| {
            // The asker may have gone away meanwhile.
            let _ = tell.send(act(actor, output, ctx));
        });
        Later(Box::pin(async move { told.await.ok() }))
    }
}
