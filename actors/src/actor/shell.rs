//! The shell between an actor and actix: the only handler of actix messages there is.

use std::{future::Future, time::Duration};

use actix::{
    ActorContext, ActorFutureExt, AsyncContext, Context,
    dev::{MessageResponse, OneshotSender},
    fut::wrap_future,
};
use tokio::sync::oneshot;

use super::{Actor, Answer, Handle, Later, Mailbox, Meter, lifeline::Lifeline, mailbox::Parcel};

/// An actor on actix. It meters what the actor does, and tells the watch when the actor dies.
pub struct Shell<A: Actor> {
    actor: A,
    meter: Meter,
    _lifeline: Option<Lifeline>,
}

/// The name under which the start of an actor is counted, beside its messages.
pub struct Begin;

/// What an actor can ask of the ground while it handles a message.
pub struct Ctx<'a, A: Actor> {
    context: &'a mut Context<Shell<A>>,
    meter: &'a Meter,
}

impl<A: Actor> Shell<A> {
    pub(super) fn new(actor: A, meter: Meter, lifeline: Option<Lifeline>) -> Self {
        Self { actor, meter, _lifeline: lifeline }
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
    type Result = Answer<M::Result>;

    fn handle(&mut self, parcel: Parcel<M>, context: &mut Self::Context) -> Self::Result {
        let busy = self.meter.handling::<M>();
        let message = parcel.open(busy.since());
        match self.actor.handle(message, &mut Ctx { context, meter: &self.meter }).into() {
            Answer::Later(later) => Answer::Later(later.metered(self.meter.clone())),
            now @ Answer::Now(_) => now,
        }
    }
}

impl<A, M> MessageResponse<Shell<A>, Parcel<M>> for Answer<M::Result>
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
            Self::Later(later) => {
                actix::spawn(async move {
                    if let (Some(answer), Some(asker)) = (later.0.await, asker) {
                        let _ = asker.send(answer);
                    }
                });
            }
        }
    }
}

impl<R: 'static> Later<R> {
    fn metered(self, meter: Meter) -> Self {
        Self(Box::pin(async move { meter.timed(self.0).await }))
    }
}

impl<A: Actor> Ctx<'_, A> {
    /// The actor's own mailbox.
    pub fn mailbox(&self) -> Mailbox<A> {
        Mailbox::new(self.context.address(), self.meter.clone())
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
