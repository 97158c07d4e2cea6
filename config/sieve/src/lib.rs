//! Sieve, the language of mail filters: RFC 5228 and its extensions.
//!
//! A script is compiled once ([`Script::compile`]), a message parsed once for all its recipients
//! ([`Message::of`]), and a run ([`run()`]) gives a [`Verdict`]: plain data that a relay acts upon
//! without knowing the language. Nothing here does I/O; what only the caller knows (seen messages,
//! folders that are there) it is asked for.
//!
//! Scripts and messages are hostile. Every loop is linear in them or spends steps, which are bounded
//! ([`Limits`]); recursion follows the nesting of a script, which is bounded, too.
//!
//! The rooms:
//!
//! | room | knows |
//! | --- | --- |
//! | `join` | syntax |
//! | [`script`] | run, compile, syntax, program, verdict, capability, limits, mistake |
//! | `run` | program, message, matching, address, text, verdict, limits |
//! | [`compile`] | syntax, program, address, matching, text, verdict, capability, limits, mistake |
//! | [`syntax`] | limits, mistake |
//! | [`address`] | message |
//! | [`program`] | matching, text, verdict |
//! | [`message`] | matching, limits |
//! | [`matching`] | limits |
//! | [`text`] | — |
//! | [`verdict`] | — |
//! | [`capability`] | — |
//! | [`limits`] | — |
//! | [`mistake`] | — |

mod address;
mod capability;
mod compile;
mod join;
mod limits;
mod matching;
mod message;
mod mistake;
mod program;
mod run;
mod script;
mod syntax;
mod text;
mod verdict;

pub use capability::Capability;
pub use join::join;
pub use limits::{Bound, Limits};
pub use message::Message;
pub use mistake::{MOST_MISTAKES, Mistake, MistakeKind};
pub use run::{Delivery, Environment, RunError, RunErrorKind, TraceStep, Traced};
pub use script::{Script, run, run_traced};
pub use verdict::{
    DuplicateQuery, Filed, HeaderEdit, Redirect, Refusal, RefusalKind, VacationReply, Verdict,
};
