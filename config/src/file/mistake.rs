//! Mistakes and warnings, as they are told to the person who wrote the file.
//!
//! All of it at once, in the order of the file. Texts from the file are shortened, and shown with escapes
//! for what a terminal would take for something else, or not show at all.

use std::{collections::HashMap, fmt};

use serde::Serialize;

use crate::{
    file::{
        paths::default_of,
        source::{Source, Spot},
    },
    grammar::escaped,
};

/// Something in the file that must be changed before the engine runs.
#[derive(Clone, Debug, Serialize)]
pub struct Mistake {
    /// As named on the command line.
    pub file: String,
    /// From 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// In characters, from 1; 0 when the file as a whole is meant.
    pub column: usize,
    /// `channels[3].pool`; empty when the text is not RON at all.
    pub field: String,
    /// A whole sentence: what is wrong, and what would have been accepted.
    pub message: String,
    /// The text that is wrong, shortened.
    pub offending: String,
    /// A text that would have been accepted.
    pub accepted: String,
    #[serde(skip)]
    pub(crate) spot: Spot,
}

/// Something in the file that loads but will not do what its writer may expect.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Warning {
    /// As named on the command line.
    pub file: String,
    /// From 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// In characters, from 1; 0 when the file as a whole is meant.
    pub column: usize,
    /// `channels[3].tls`; empty when the file as a whole is meant.
    pub field: String,
    /// A whole sentence.
    pub message: String,
    /// The engine would do harm or nothing at all with it, and refuses to start.
    pub blocks_run: bool,
    #[serde(skip)]
    pub(crate) spot: Spot,
}

impl Warning {
    /// A warning about a file as a whole.
    pub fn of_file(file: &str, message: &str) -> Self {
        Self { file: file.to_owned(), message: message.to_owned(), ..Self::default() }
    }
}

/// Every mistake of one file; never empty.
#[derive(Clone, Debug)]
pub struct Mistakes(pub Vec<Mistake>);

/// The findings of a check.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the file.
    pub mistakes: Vec<Mistake>,
    /// In the order of the file.
    pub warnings: Vec<Warning>,
}

/// Where the fields of a file stand, for what shows only when what they name is looked at.
#[derive(Clone, Debug, Default)]
pub struct Places {
    pub(crate) file: String,
    /// Of fields that are not elements of lists or maps, of services and of aliases.
    pub(crate) spots: HashMap<String, Spot>,
}

impl Places {
    /// A mistake in what the field names.
    pub fn mistake(&self, field: &str, offending: &str, message: &str, accepted: &str) -> Mistake {
        Mistake::new(
            &self.file,
            self.spot(field),
            Complaint { field, offending, message, accepted },
        )
    }

    /// A warning about what the field names.
    pub fn warning(&self, field: &str, message: &str) -> Warning {
        let (spot, file, field) = (self.spot(field), self.file.clone(), field.to_owned());
        let (line, column, message) = (spot.line, spot.column, message.to_owned());
        Warning { file, line, column, field, message, blocks_run: false, spot }
    }

    /// Where the field or its default stands, or what it would be a part of.
    fn spot(&self, field: &str) -> Spot {
        if let Some(default) = default_of(field).filter(|_| !self.spots.contains_key(field))
            && let Some(spot) = self.spots.get(&default)
        {
            return spot.clone();
        }
        let mut around = field;
        loop {
            if let Some(spot) = self.spots.get(around) {
                return spot.clone();
            }
            match around.rfind(['.', '[']) {
                Some(end) => around = &around[..end],
                None => return self.spots.get("").cloned().unwrap_or_default(),
            }
        }
    }
}

impl Report {
    /// In the order of the file; what concerns the file as a whole comes last.
    pub fn sort(&mut self) {
        self.mistakes.sort_by_key(|m| (m.line == 0, m.line, m.column));
        self.warnings.sort_by_key(|w| (w.line == 0, w.line, w.column));
    }

    /// Whether the engine can run: there is no mistake, and no warning that forbids it.
    pub fn lets_run(&self) -> bool {
        self.mistakes.is_empty() && !self.warnings.iter().any(|warning| warning.blocks_run)
    }
}

/// A mistake in words, without its place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Complaint<'t> {
    /// `channels[3].pool`; empty for the file as a whole.
    pub(crate) field: &'t str,
    /// The text that is wrong.
    pub(crate) offending: &'t str,
    /// The first half of the sentence: what is wrong.
    pub(crate) message: &'t str,
    /// A text that would have been accepted; empty when that cannot be told.
    pub(crate) accepted: &'t str,
}

impl Mistake {
    /// Mistakes of another text than a configuration: a line and a column of each, in characters from 1,
    /// and what is wrong. A text beyond UTF-8 is shown as far as it is one.
    pub fn all_of(
        file: &str,
        text: &[u8],
        found: impl IntoIterator<Item = (usize, usize, String)>,
    ) -> Vec<Self> {
        let text = String::from_utf8_lossy(text);
        let source = Source::new(file, &text);
        let told = found.into_iter().map(|(line, column, message)| {
            let spot = source.spot_of_position(line, column);
            let complaint = Complaint { message: &message, ..Complaint::default() };
            Self::new(file, spot, complaint)
        });
        told.collect()
    }

    pub(crate) fn new(file: &str, spot: Spot, complaint: Complaint<'_>) -> Self {
        let Complaint { field, offending, message, accepted } = complaint;
        let message = match accepted {
            "" => message.to_owned(),
            accepted => format!("{message}; {accepted}"),
        };
        Self {
            file: file.to_owned(),
            line: spot.line,
            column: spot.column,
            field: field.to_owned(),
            message,
            offending: crate::file::source::shorten(offending),
            accepted: accepted.to_owned(),
            spot,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told(None).fmt(f)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told(None).fmt(f)
    }
}

impl Mistake {
    fn told(&self, width: Option<usize>) -> Told {
        Told::new(&self.file, &self.spot, &sentence(&self.field, &self.message), width)
    }
}

impl Warning {
    fn told(&self, width: Option<usize>) -> Told {
        let kind = if self.blocks_run { "" } else { "warning: " };
        let sentence = format!("{kind}{}", sentence(&self.field, &self.message));
        Told::new(&self.file, &self.spot, &sentence, width)
    }
}

/// Something that is to be told, as it is shown to people.
#[derive(Clone, Debug)]
pub struct Told {
    /// `file:line:column: field: message`.
    pub said: String,
    /// The line, or as much of it as there is room for, and a mark below what is meant; each with
    /// its end. Empty for the file as a whole.
    pub seen: String,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|mistake| mistake.fmt(f))
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told(None).try_for_each(|told| told.fmt(f))
    }
}

impl Report {
    /// Mistakes, then warnings, for a screen of so many columns.
    pub fn told(&self, width: Option<usize>) -> impl Iterator<Item = Told> {
        let mistakes = self.mistakes.iter().map(move |mistake| mistake.told(width));
        mistakes.chain(self.warnings.iter().map(move |warning| warning.told(width)))
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.said)?;
        f.write_str(&self.seen)
    }
}

impl Told {
    fn new(file: &str, spot: &Spot, sentence: &str, width: Option<usize>) -> Self {
        let place =
            if spot.line > 0 { format!(":{}:{}", spot.line, spot.column) } else { String::new() };
        let said = escaped(&format!("{file}{place}: {sentence}")).into_owned();
        if spot.line == 0 {
            return Self { said, seen: String::new() };
        }
        let gutter = spot.line.to_string();
        let room = width.map(|width| width.saturating_sub(gutter.len() + GUTTER).max(1));
        let Spot { excerpt, indent, width, .. } = &spot.within(room);
        let margin = gutter.len();
        let (line, mark) = (excerpt.trim_end(), "^".repeat(*width));
        let seen = format!(" {gutter} | {line}\n {:margin$} | {:indent$}{mark}\n", "", "");
        Self { said, seen }
    }
}

/// `field: message`, or the message alone.
fn sentence(field: &str, message: &str) -> String {
    let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
    format!("{field}{message}")
}

/// Columns beside the number of a line and the line.
const GUTTER: usize = 4;
