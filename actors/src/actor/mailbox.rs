//! The mailbox of an actor: the only place that sends.
//!
//! Each message is put into a [`Parcel`], which counts it as waiting from the moment it is sent
//! to the moment it is handled, or thrown away with the mailbox of an actor that died.

use std::{future::Future, time::Instant};

use actix::{Addr, Message, WeakAddr};

use super::{Actor, Handle, Meter, Outlet, Shell};

/// Sends to one actor. Cheap to clone; the actor lives as long as one of these does.
pub struct Mailbox<A: Actor> {
    address: Addr<Shell<A>>,
    meter: Meter,
}

/// A mailbox that does not keep its actor alive.
pub struct WeakMailbox<A: Actor> {
    address: WeakAddr<Shell<A>>,
    meter: Meter,
}

/// The actor has died, and with it the question.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the {0} is gone")]
pub struct Gone(pub &'static str);

/// A message on its way.
pub struct Parcel<M> {
    message: M,
    sent: Instant,
    waiting: Waiting,
}

/// Counts as one waiting message until it is dropped.
struct Waiting(Meter);

impl<A: Actor> Mailbox<A> {
    pub(super) fn new(address: Addr<Shell<A>>, meter: Meter) -> Self {
        Self { address, meter }
    }

    /// Sends a message and asks for no answer. It is lost when the actor is dead.
    pub fn tell<M>(&self, message: M)
    where
        A: Handle<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.address.do_send(Parcel::new(message, &self.meter));
    }

    /// Sends a message at once; the future is the answer.
    pub fn ask<M>(
        &self,
        message: M,
    ) -> impl Future<Output = Result<M::Result, Gone>> + Send + use<A, M>
    where
        A: Handle<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let request = self.address.send(Parcel::new(message, &self.meter));
        async move { request.await.map_err(|_| Gone(A::NAME)) }
    }

    /// Whether the actor lives.
    pub fn connected(&self) -> bool {
        self.address.connected()
    }

    /// A sender of one type of message, for whoever need not know who reads it.
    pub fn outlet<M>(&self) -> Outlet<M>
    where
        A: Handle<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Outlet::new(self.clone())
    }

    /// A mailbox that does not keep the actor alive.
    pub fn downgrade(&self) -> WeakMailbox<A> {
        WeakMailbox { address: self.address.downgrade(), meter: self.meter.clone() }
    }
}

impl<A: Actor> WeakMailbox<A> {
    /// The mailbox, if the actor still lives.
    pub fn upgrade(&self) -> Option<Mailbox<A>> {
        Some(Mailbox::new(self.address.upgrade()?, self.meter.clone()))
    }

    /// A sender that does not keep the actor alive.
    pub fn outlet<M>(&self) -> Outlet<M>
    where
        A: Handle<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Outlet::new(self.clone())
    }
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), meter: self.meter.clone() }
    }
}

impl<A: Actor> Clone for WeakMailbox<A> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), meter: self.meter.clone() }
    }
}

impl<A: Actor> std::fmt::Debug for Mailbox<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({})", A::NAME)
    }
}

impl<M> Parcel<M> {
    fn new(message: M, meter: &Meter) -> Self {
        meter.sent();
        Self { message, sent: Instant::now(), waiting: Waiting(meter.clone()) }
    }

    /// The message, which stops waiting `now`.
    pub(super) fn open(self, now: Instant) -> M {
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
