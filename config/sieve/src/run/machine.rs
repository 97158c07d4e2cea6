//! Scripts, one after the other, and their commands.

use super::{
    actions::{Told, refusal_name},
    delivery::{Delivery, RunError, RunErrorKind},
    state::State,
    trace::{TraceStep, Traced},
};
use crate::{
    limits::Limits,
    program::{Command, FlagChange, Step, Test},
    verdict::Verdict,
};

/// A script as a run needs it: its commands, and how many variables it has.
pub(crate) type Program<'s> = (&'s [Step], usize);

/// Runs scripts; shows each step when asked to.
///
/// The next script runs when the one before kept the message, be it implicitly; what the last one
/// says of the INBOX holds.
pub(crate) fn run_all<'s>(
    programs: impl Iterator<Item = Program<'s>>,
    delivery: &mut Delivery<'_>,
    limits: &Limits,
    is_traced: bool,
) -> (Result<Verdict, RunError>, Vec<TraceStep>) {
    let mut state = State::new(delivery, limits, is_traced);
    let mut outcome = Ok(());
    for (script, (steps, variables)) in programs.enumerate() {
        state.begin(script, variables);
        outcome = state.block(steps).map(|_| ());
        if outcome.is_err() || !state.keeps() {
            break;
        }
    }
    let trace = state.trace.take().unwrap_or_default();
    let outcome = match outcome {
        Ok(()) => Ok(state.verdict()),
        Err(kind) => Err(RunError { script: state.script, line: state.line, kind }),
    };
    (outcome, trace)
}

/// Whether the script goes on.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Flow {
    On,
    Stop,
}

impl State<'_, '_> {
    /// Whether the next script runs: when this one kept the message.
    fn keeps(&self) -> bool {
        self.has_implicit_keep || self.has_explicit_keep
    }

    fn verdict(mut self) -> Verdict {
        if self.has_implicit_keep && self.verdict.keep.is_none() {
            // Flags of the internal variable apply to the implicit keep, too: RFC 5232 3.
            let flags = std::mem::take(&mut self.flags);
            self.keep_with(flags);
        }
        let verdict = &self.verdict;
        let is_gone = verdict.keep.is_none()
            && verdict.files.is_empty()
            && verdict.redirects.is_empty()
            && verdict.refusal.is_none();
        self.verdict.discarded = is_gone && self.discarded;
        self.verdict
    }

    fn block(&mut self, steps: &[Step]) -> Result<Flow, RunErrorKind> {
        for step in steps {
            self.line = step.line;
            self.fuel.spend(1)?;
            if self.step(step)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::On)
    }

    fn step(&mut self, step: &Step) -> Result<Flow, RunErrorKind> {
        let (name, told): (_, Told) = match &step.command {
            Command::If { branches, otherwise } => return self.branch(branches, otherwise),
            Command::Stop => {
                self.tell(step.line, "stop", String::new());
                return Ok(Flow::Stop);
            }
            Command::Keep { flags } => ("keep", self.keep(flags.as_deref())),
            Command::Discard => ("discard", self.discard()),
            Command::FileInto(file) => ("fileinto", self.file_into(file)),
            Command::Redirect { to, is_copy } => ("redirect", self.redirect(to, *is_copy)),
            Command::Reject { kind, reason } => (refusal_name(*kind), self.refuse(*kind, reason)),
            Command::Vacation(vacation) => ("vacation", self.vacation(vacation)),
            Command::Set { variable, value, modifiers } => {
                ("set", self.set(*variable, value, modifiers))
            }
            Command::Flags { change, variable, flags } => {
                let name = match change {
                    FlagChange::Set => "setflag",
                    FlagChange::Add => "addflag",
                    FlagChange::Remove => "removeflag",
                };
                (name, self.change_flags(*change, *variable, flags))
            }
            Command::AddHeader { name, value, is_last } => {
                ("addheader", self.add_header(name, value, *is_last))
            }
            Command::DeleteHeader(delete) => ("deleteheader", self.delete_header(delete)),
            Command::Error(message) => {
                let message = self.expand(message).map_err(RunErrorKind::from);
                ("error", message.and_then(|it| Err(RunErrorKind::Script(it.into_owned()))))
            }
            Command::Absent(name) => ("error", Err(RunErrorKind::Absent(name.to_string()))),
        };
        self.tell(step.line, name, told?);
        Ok(Flow::On)
    }

    /// Runs the block behind the first test that holds.
    fn branch(
        &mut self,
        branches: &[(Test, Box<[Step]>)],
        otherwise: &[Step],
    ) -> Result<Flow, RunErrorKind> {
        for (test, block) in branches {
            if self.test(test)? {
                return self.block(block);
            }
        }
        self.block(otherwise)
    }

    fn tell(&mut self, line: u32, name: &'static str, outcome: String) {
        if self.shows() {
            self.show(line, Traced::Command { name, outcome });
        }
    }
}
