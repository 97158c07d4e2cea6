//! The mailbox of an actor: the only place that sends.

use std::future::Future;

use actix::{Addr, Message, WeakAddr};

use super::{
    meter::Meter,
    shell::{Actor, Ctx, Handle, Parcel, Shell},
};

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

    /// A mailbox that does not keep the actor alive.
    pub fn downgrade(&self) -> WeakMailbox<A> {
        WeakMailbox { address: self.address.downgrade(), meter: self.meter.clone() }
    }
}

impl<A: Actor> Ctx<'_, A> {
    /// The actor's own mailbox.
    pub fn mailbox(&self) -> Mailbox<A> {
        Mailbox::new(self.address(), self.meter().clone())
    }
}

impl<A: Actor> WeakMailbox<A> {
    /// The mailbox, if the actor still lives.
    pub fn upgrade(&self) -> Option<Mailbox<A>> {
        Some(Mailbox::new(self.address.upgrade()?, self.meter.clone()))
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
