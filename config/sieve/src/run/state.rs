//! The state of a run.

use std::borrow::Cow;

use super::{
    delivery::{Delivery, RunErrorKind},
    trace::{TraceStep, Traced},
};
use crate::{
    limits::{Bound, Fuel, Limits},
    matching::{Captures, Kind, PatternError, Prepared, Value},
    message::Field,
    program::{Key, Keys},
    text::{Piece, Text},
    verdict::Verdict,
};

/// Flags of a message.
const FLAGS: usize = 128;

/// The state of a run: of all its scripts, and of the one that runs.
pub(super) struct State<'r, 'd> {
    pub(super) delivery: &'r mut Delivery<'d>,
    pub(super) limits: &'r Limits,
    pub(super) fuel: Fuel,
    pub(super) verdict: Verdict,
    /// The header once it was edited.
    pub(super) edited: Option<Vec<Field<'d>>>,
    /// `Some`: the run is shown.
    pub(super) trace: Option<Vec<TraceStep>>,
    /// Octets of the message, as the edits so far left it.
    pub(super) size: u64,
    /// Actions so far.
    pub(super) actions: usize,
    /// Whether `discard` was executed.
    pub(super) discarded: bool,
    pub(super) script: usize,
    pub(super) line: u32,
    /// Of this script.
    pub(super) variables: Vec<String>,
    /// Of this script.
    pub(super) captures: Captures,
    /// The internal variable of RFC 5232 2, of this script.
    pub(super) flags: Vec<String>,
    /// Whether this script keeps the message without being told.
    pub(super) has_implicit_keep: bool,
    /// Whether this script said `keep`.
    pub(super) has_explicit_keep: bool,
    /// The script that answers the message.
    pub(super) answered_by: Option<usize>,
}

impl<'r, 'd> State<'r, 'd> {
    pub(super) fn new(delivery: &'r mut Delivery<'d>, limits: &'r Limits, is_traced: bool) -> Self {
        let size = delivery.message.size;
        Self {
            delivery,
            limits,
            fuel: Fuel::new(limits),
            verdict: Verdict::default(),
            edited: None,
            trace: is_traced.then(Vec::new),
            size,
            actions: 0,
            discarded: false,
            script: 0,
            line: 0,
            variables: Vec::new(),
            captures: Vec::new(),
            flags: Vec::new(),
            has_implicit_keep: true,
            has_explicit_keep: false,
            answered_by: None,
        }
    }

    /// Begins with a script.
    pub(super) fn begin(&mut self, script: usize, variables: usize) {
        self.script = script;
        self.line = 1;
        self.variables.clear();
        self.variables.resize_with(variables, String::new);
        self.captures.clear();
        self.flags.clear();
        self.has_implicit_keep = true;
        self.has_explicit_keep = false;
    }

    /// Whether a script before this one answers the message.
    pub(super) fn is_answered(&self) -> bool {
        self.answered_by.is_some_and(|script| script != self.script)
    }

    /// The text of a string of the script.
    pub(super) fn expand<'t>(&mut self, text: &'t Text) -> Result<Cow<'t, str>, Bound> {
        let pieces = match text {
            Text::Fixed(text) => return Ok(Cow::Borrowed(text)),
            Text::Open(pieces) => pieces,
        };
        let mut expanded = String::new();
        for piece in pieces {
            let piece = match piece {
                Piece::Fixed(text) => text,
                Piece::Variable(number) => {
                    self.variables.get(usize::from(*number)).map_or("", String::as_str)
                }
                Piece::Match(number) => {
                    self.captures.get(usize::from(*number)).map_or("", String::as_str)
                }
            };
            self.fuel.hold(piece.len())?;
            expanded.push_str(piece);
        }
        Ok(Cow::Owned(expanded))
    }

    pub(super) fn expand_all<'t>(&mut self, texts: &'t [Text]) -> Result<Vec<Cow<'t, str>>, Bound> {
        texts.iter().map(|text| self.expand(text)).collect()
    }

    /// The fields of the header, as the edits so far left them.
    pub(super) fn fields(&self) -> &[Field<'d>] {
        self.edited.as_deref().unwrap_or(&self.delivery.message.fields)
    }

    /// Spends what it costs to look through the fields for a name.
    pub(super) fn look_through_fields(&mut self) -> Result<(), Bound> {
        let fields = self.fields().len();
        self.fuel.spend(1 + fields as u64 / 32)
    }

    /// Spends what it costs to read the addresses of a field for the first time: they take many
    /// times its octets.
    pub(super) fn read_addresses(&mut self, name: &str) -> Result<(), Bound> {
        let named = self.fields().iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let unread: u64 = named.map(Field::unread).sum();
        self.fuel.spend(unread / 16)
    }

    /// Adds the flags of a text, which blanks separate, each once and none that IMAP could not name.
    pub(super) fn add_flags(&mut self, flags: &mut Vec<String>, text: &str) -> Result<(), Bound> {
        for flag in text.split_ascii_whitespace() {
            self.fuel.spend(1 + flags.len() as u64 / 16)?;
            let atom = flag.strip_prefix('\\').unwrap_or(flag);
            let is_atom = !atom.is_empty()
                && atom.bytes().all(|c| c.is_ascii_graphic() && !b"(){%*\"\\]".contains(&c));
            let is_new = || !flags.iter().any(|it| it.eq_ignore_ascii_case(flag));
            if is_atom && flags.len() < FLAGS && is_new() {
                flags.push(flag.to_owned());
            }
        }
        Ok(())
    }

    /// The fields of the header, to be edited.
    pub(super) fn fields_mut(&mut self) -> Result<&mut Vec<Field<'d>>, Bound> {
        if self.edited.is_none() {
            let fields = &self.delivery.message.fields;
            self.fuel.hold(fields.len() * size_of::<Field<'_>>())?;
            self.edited = Some(fields.clone());
        }
        Ok(self.edited.get_or_insert_default())
    }

    pub(super) fn shows(&self) -> bool {
        self.trace.is_some()
    }

    pub(super) fn show(&mut self, line: u32, what: Traced) {
        let script = self.script;
        if let Some(trace) = &mut self.trace {
            trace.push(TraceStep { script, line, what });
        }
    }
}

/// Values and the keys that they are compared with, one after the other.
pub(super) struct Comparison<'k> {
    keys: &'k Keys,
    /// The keys that were made of variables, in their place.
    open: Vec<Option<Prepared>>,
}

impl<'k> Comparison<'k> {
    /// Makes the keys ready that come of variables.
    pub(super) fn new(keys: &'k Keys, state: &mut State<'_, '_>) -> Result<Self, RunErrorKind> {
        let mut open = Vec::new();
        let mut regex_octets = state.limits.regex_octets / 8;
        for (at, key) in keys.all.iter().enumerate() {
            let Key::Open(text) = key else { continue };
            let text = state.expand(text)?;
            let before = regex_octets;
            let is_regex = keys.matcher.kind == Kind::Regex;
            state.fuel.spend(if is_regex { 1_000 + text.len() as u64 } else { 1 })?;
            let ready = keys.matcher.prepare(&text, &mut regex_octets);
            let ready = ready.map_err(|error| match error {
                PatternError::Syntax(reason) => RunErrorKind::Regex(reason),
                PatternError::TooLarge => RunErrorKind::Bound(Bound::Regex),
            })?;
            // To compile an expression costs about as much as these steps.
            state.fuel.spend((before - regex_octets) as u64 / 5)?;
            open.resize_with(at + 1, || None);
            open[at] = Some(ready);
        }
        Ok(Self { keys, open })
    }

    /// Whether a value matches one of the keys.
    pub(super) fn matches(
        &self,
        value: &Value<'_>,
        fuel: &mut Fuel,
        captures: &mut Captures,
    ) -> Result<bool, Bound> {
        for (at, key) in self.keys.all.iter().enumerate() {
            let ready = match key {
                Key::Ready(ready) => ready,
                Key::Open(_) => match self.open.get(at) {
                    Some(Some(ready)) => ready,
                    _ => continue,
                },
            };
            if self.keys.matcher.matches(value, ready, fuel, captures)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
