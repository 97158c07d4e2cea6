//! What is told to the person who wrote the file.
//!
//! All of it at once, in the order of the file. Texts from the file are shortened and free of
//! control characters, so that they may go to a terminal.

use std::fmt;

use serde::Serialize;

use crate::source::Spot;

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
    /// What would have been accepted.
    pub accepted: String,
    #[serde(skip)]
    pub(crate) spot: Spot,
}

/// Something in the file that loads but will not do what its writer may expect.
#[derive(Clone, Debug, Serialize)]
pub struct Warning {
    /// As named on the command line.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// `channels[3].tls`.
    pub field: String,
    /// A whole sentence.
    pub message: String,
    /// The engine would do harm or nothing at all with it, and refuses to start.
    pub blocks_run: bool,
    #[serde(skip)]
    pub(crate) spot: Spot,
}

/// Every mistake of one file; never empty.
#[derive(Clone, Debug)]
pub struct Mistakes(pub Vec<Mistake>);

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the file.
    pub mistakes: Vec<Mistake>,
    /// In the order of the file.
    pub warnings: Vec<Warning>,
}

impl Mistake {
    /// One that shows only when what `field` names is looked at: it has no place in the file.
    pub fn beyond(file: &str, field: &str, offending: &str, message: &str) -> Self {
        Self::new(file, Spot::default(), field, offending, message, "")
    }

    pub(crate) fn new(
        file: &str,
        spot: Spot,
        field: &str,
        offending: &str,
        message: &str,
        accepted: &str,
    ) -> Self {
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
            offending: crate::source::shorten(offending),
            accepted: accepted.to_owned(),
            spot,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, &self.file, &self.spot, "", &self.field, &self.message)
    }
}

impl Warning {
    /// One that shows only when what the configuration names is looked at: it has no place in the
    /// file.
    pub fn beyond(file: &str, field: &str, message: &str) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            field: field.to_owned(),
            message: message.to_owned(),
            blocks_run: false,
            spot: Spot::default(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, &self.file, &self.spot, "warning: ", &self.field, &self.message)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|mistake| mistake.fmt(f))
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mistakes.iter().try_for_each(|mistake| mistake.fmt(f))?;
        self.warnings.iter().try_for_each(|warning| warning.fmt(f))
    }
}

/// `file:line:column: field: message`, the line, and a mark below what is meant.
fn print(
    f: &mut fmt::Formatter<'_>,
    file: &str,
    spot: &Spot,
    kind: &str,
    field: &str,
    message: &str,
) -> fmt::Result {
    f.write_str(file)?;
    if spot.line > 0 {
        write!(f, ":{}:{}", spot.line, spot.column)?;
    }
    write!(f, ": {kind}")?;
    if !field.is_empty() {
        write!(f, "{field}: ")?;
    }
    writeln!(f, "{message}")?;
    if spot.line == 0 {
        return Ok(());
    }
    let gutter = spot.line.to_string();
    writeln!(f, " {gutter} | {}", spot.excerpt.trim_end())?;
    let (margin, indent) = (gutter.len(), spot.indent);
    writeln!(f, " {:margin$} | {:indent$}{}", "", "", "^".repeat(spot.width))
}
