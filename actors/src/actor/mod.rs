//! What every actor is made of. Nothing here knows of mail.
//!
//! An actor is a plain type that says its name ([`Actor`]) and what it does with each message
//! ([`Handle`]). A [`Shell`] puts it on actix and meters every message by its type; a [`Mailbox`] or
//! an [`Outlet`] is the only way to send it one; the [`Ground`] starts it, and the [`Watch`] brings
//! it back, or ends the engine, when it dies.
//!
//! Two rules follow from actix. A handler that has to wait answers [`Later`]: the mailbox goes on
//! meanwhile. And a full mailbox holds up nobody: what must be bounded is bounded by the actor
//! itself, which refuses, or by whoever pulls.

mod ground;
mod lifeline;
mod mailbox;
mod meter;
mod outlet;
mod placement;
mod shell;
#[cfg(test)]
mod tests;
mod watch;

use std::{future::Future, pin::Pin};

use actix::Message;

pub use self::{
    ground::Ground,
    mailbox::{Gone, Mailbox, WeakMailbox},
    meter::{Busy, Meter, Meters, RestartCause},
    outlet::Outlet,
    placement::Placement,
    shell::{Begin, Ctx, Shell},
    watch::{Remedy, Watch},
};

/// A type that lives behind a mailbox.
pub trait Actor: Sized + Unpin + 'static {
    /// The label `actor` of its numbers; all actors of one type share them.
    const NAME: &'static str;

    /// Called once, before the first message.
    fn started(&mut self, _: &mut Ctx<Self>) {}
}

/// What an actor does with messages of one type.
pub trait Handle<M: Message>: Actor {
    /// Returns the answer, or [`Later`] when it has to wait for it.
    fn handle(&mut self, message: M, ctx: &mut Ctx<Self>) -> impl Into<Answer<M::Result>>;
}

/// An answer that a handler has to wait for. The actor handles other messages meanwhile; time in
/// which the future is polled counts as busy.
pub struct Later<R>(Pin<Box<dyn Future<Output = Option<R>>>>);

/// What a handler returns: a value, or [`Later`].
pub enum Answer<R> {
    /// Known at once.
    Now(R),
    /// Still to come.
    Later(Later<R>),
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
