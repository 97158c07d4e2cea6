//! An outlet: a sender of one type of message that does not know who reads it.
//!
//! Facts are announced through outlets, so that whoever announces need not know whoever listens;
//! and an actor can be tested alone, with outlets that a test has scripted.

use std::{future::Future, pin::Pin, sync::Arc};

use actix::Message;

use super::{
    mailbox::{Gone, Mailbox, WeakMailbox},
    shell::{Actor, Handle},
};

/// Sends messages of one type. Cheap to clone.
pub struct Outlet<M: Message>(Arc<dyn Post<M>>);

type Answering<R> = Pin<Box<dyn Future<Output = Result<R, Gone>> + Send>>;

/// An actor, or a function in its place, that takes messages of one type.
trait Post<M: Message>: Send + Sync {
    fn tell(&self, message: M);
    fn ask(&self, message: M) -> Answering<M::Result>;
}

/// A function in an actor's place.
#[cfg(test)]
struct Scripted<F>(F);

impl<M: Message> Outlet<M> {
    fn new(post: impl Post<M> + 'static) -> Self {
        Self(Arc::new(post))
    }

    /// An outlet that calls `answer` in place of an actor.
    #[cfg(test)]
    pub(crate) fn scripted(answer: impl Fn(M) -> M::Result + Send + Sync + 'static) -> Self
    where
        M: 'static,
        M::Result: Send,
    {
        Self::new(Scripted(answer))
    }

    /// Sends a message and asks for no answer. It is lost when the reader is dead.
    pub fn tell(&self, message: M) {
        self.0.tell(message);
    }

    /// Sends a message at once; the future is the answer.
    pub fn ask(&self, message: M) -> Answering<M::Result> {
        self.0.ask(message)
    }
}

impl<A: Actor> Mailbox<A> {
    /// A sender of one type of message, for whoever need not know who reads it.
    pub fn outlet<M>(&self) -> Outlet<M>
    where
        A: Handle<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Outlet::new(self.clone())
    }
}

impl<A: Actor> WeakMailbox<A> {
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

impl<M: Message> Clone for Outlet<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Message> std::fmt::Debug for Outlet<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outlet<{}>", std::any::type_name::<M>())
    }
}

impl<A, M> Post<M> for Mailbox<A>
where
    A: Handle<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn tell(&self, message: M) {
        Mailbox::tell(self, message);
    }

    fn ask(&self, message: M) -> Answering<M::Result> {
        Box::pin(Mailbox::ask(self, message))
    }
}

impl<A, M> Post<M> for WeakMailbox<A>
where
    A: Handle<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn tell(&self, message: M) {
        if let Some(mailbox) = self.upgrade() {
            mailbox.tell(message);
        }
    }

    fn ask(&self, message: M) -> Answering<M::Result> {
        match self.upgrade() {
            Some(mailbox) => Box::pin(mailbox.ask(message)),
            None => Box::pin(std::future::ready(Err(Gone(A::NAME)))),
        }
    }
}

#[cfg(test)]
impl<F, M> Post<M> for Scripted<F>
where
    F: Fn(M) -> M::Result + Send + Sync,
    M: Message,
    M::Result: Send,
{
    fn tell(&self, message: M) {
        (self.0)(message);
    }

    fn ask(&self, message: M) -> Answering<M::Result> {
        Box::pin(std::future::ready(Ok((self.0)(message))))
    }
}
