//! A script, compiled.

use crate::{
    capability::{Capabilities, Capability},
    compile,
    limits::Limits,
    mistake::{Mistake, MistakeKind},
    program::{Command, Step},
    run::{self, Delivery, RunError, TraceStep},
    syntax,
    verdict::Verdict,
};

/// A compiled script. Cheap to keep behind an `Arc`, and the same for all messages.
#[derive(Debug)]
pub struct Script {
    steps: Box<[Step]>,
    capabilities: Capabilities,
    variables: usize,
    uses_body: bool,
}

impl Script {
    /// Compiles a script: UTF-8, its lines ended by CRLF or LF. All its mistakes, at most 100.
    pub fn compile(text: &[u8], limits: &Limits) -> Result<Self, Vec<Mistake>> {
        let text = readable(text, limits).map_err(|mistake| vec![mistake])?;
        let mut mistakes = Vec::new();
        let nodes = syntax::parse(text, limits, &mut mistakes);
        let compiled = compile::compile(nodes, mistakes, limits);
        if !compiled.mistakes.is_empty() {
            let mut mistakes = compiled.mistakes;
            mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
            return Err(mistakes);
        }
        Ok(Self {
            steps: compiled.steps,
            capabilities: compiled.capabilities,
            variables: compiled.variables,
            uses_body: compiled.uses_body,
        })
    }

    /// Whether the script requires an extension, or asks for it with `ihave`.
    pub fn uses(&self, capability: Capability) -> bool {
        self.capabilities.has(capability)
    }

    /// Whether a test looks at the body of the message.
    pub fn uses_body(&self) -> bool {
        self.uses_body
    }

    /// Whether flags (RFC 5232) are all that it changes: for a relay that has no use for them it does nothing.
    pub fn only_sets_flags(&self) -> bool {
        let effects = Effects::of(&self.steps);
        effects.flags && !effects.others
    }
}

/// Effects that commands may have.
#[derive(Clone, Copy, Default)]
struct Effects {
    flags: bool,
    others: bool,
}

impl Effects {
    fn of(steps: &[Step]) -> Self {
        let all = steps.iter().map(|step| match &step.command {
            Command::If { branches, otherwise } => {
                let blocks = branches.iter().map(|(_, block)| block).chain([otherwise]);
                blocks.map(|block| Self::of(block)).fold(Self::default(), Self::and)
            }
            Command::Keep { flags } => Self { flags: flags.is_some(), others: false },
            Command::Flags { .. } => Self { flags: true, others: false },
            Command::Stop | Command::Set { .. } => Self::default(),
            _ => Self { flags: false, others: true },
        });
        all.fold(Self::default(), Self::and)
    }

    fn and(self, other: Self) -> Self {
        Self { flags: self.flags || other.flags, others: self.others || other.others }
    }
}

/// Runs the scripts of a user, in their order.
///
/// Each script has its own variables. The next one runs as long as the one before keeps the message
/// in the INBOX, be it implicitly. On an error the caller keeps the message in the INBOX.
pub fn run(
    scripts: &[&Script],
    delivery: &mut Delivery<'_>,
    limits: &Limits,
) -> Result<Verdict, RunError> {
    let programs = scripts.iter().map(|script| (&*script.steps, script.variables));
    run::run_all(programs, delivery, limits, false).0
}

/// Runs like [`run()`], and tells each step that was taken: each test with its result, each command.
pub fn run_traced(
    scripts: &[&Script],
    delivery: &mut Delivery<'_>,
    limits: &Limits,
) -> (Result<Verdict, RunError>, Vec<TraceStep>) {
    let programs = scripts.iter().map(|script| (&*script.steps, script.variables));
    run::run_all(programs, delivery, limits, true)
}

/// The text of a script that can be read at all.
fn readable<'t>(text: &'t [u8], limits: &Limits) -> Result<&'t str, Mistake> {
    if text.len() > limits.script_octets {
        let kind = MistakeKind::TooLong(limits.script_octets);
        return Err(Mistake { line: 1, column: 1, kind });
    }
    let (good, is_text) = match std::str::from_utf8(text) {
        Ok(good) => (good, !good.contains('\0')),
        Err(error) => {
            (std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(), false)
        }
    };
    if is_text {
        return Ok(good.strip_prefix('\u{feff}').unwrap_or(good));
    }
    let good = good.split('\0').next().unwrap_or_default();
    let line = good.matches('\n').count() + 1;
    let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Err(Mistake { line: line as u32, column: column as u32, kind: MistakeKind::NotText })
}
