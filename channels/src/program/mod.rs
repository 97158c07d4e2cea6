//! Hands messages to programs of this machine: content on standard input, and what became of it by
//! the exit status.
//!
//! An [`Invocation`] is what a message makes of the command that an operator listed; [`Runner`] runs
//! it. There is no shell, no inherited environment and no inherited descriptor. A program runs in a
//! process group of its own, which ends with it or with its time; whoever wants to outlive it calls
//! setsid(2).
//!
//! [`Runner::convert`] runs one over a part of a message, and keeps what it prints.
//!
//! A program has a message when it has exited with 0, and not before: after a crash of ours it is run
//! once more.

mod convert;
mod feed;
mod invocation;
mod run;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use self::run::{Group, PATH};
pub use self::{
    convert::{ConvertedPart, PartForProgram, Unconverted},
    invocation::{Invocation, Piped, Unfit},
    run::{RunAs, Runner},
};
