//! The ground of every actor. Nothing here knows of mail.
//!
//! An actor is a plain type that says its name ([`Actor`]) and what it does with each message
//! ([`Handle`]). A [`Shell`] puts it on actix and meters every message by its type; a [`Mailbox`] or
//! an [`Outlet`] is the only way to send it one; the [`Ground`] starts it. When it dies the
//! [`Watch`] does what was agreed: ends the engine ([`Ground::start_vital`]), brings it back
//! ([`Ground::guard`]), or nothing, where its owner sees to that.
//!
//! Two rules follow from actix. A handler that has to wait answers [`Later`]: the mailbox goes on
//! meanwhile. And a full mailbox holds up nobody: what must be bounded is bounded by the actor
//! itself, which refuses, or by whoever pulls.

mod adopt;
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

pub(crate) use self::shell::Parcel;
pub use self::{
    adopt::Adopt,
    ground::Ground,
    mailbox::{Gone, Mailbox, WeakMailbox},
    meter::{Busy, Meter, Meters, RestartCause},
    outlet::Outlet,
    placement::Placement,
    shell::{Actor, Answer, Begin, Ctx, Handle, Later, Shell},
    watch::{Remedy, Watch},
};
