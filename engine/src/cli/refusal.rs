//! Why a command does not end well, and the exit status that says so.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use relais_config::grammar::escaped;

use crate::{admin::client::ClientError, show::Look};

/// Why a command does not end well.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The answer is "no", and is already on standard output.
    No,
    /// The answer is "no"; this says why.
    Because(String),
    /// The answer is "no": there is no such thing, as this says.
    NotFound(String),
    /// No engine answers where one was looked for.
    NotRunning(String),
    /// The command is wrong; this says why.
    WrongUse(String),
    /// Standard output.
    Output(io::Error),
}

impl Refusal {
    /// Says why; the exit status.
    pub(super) fn tell(self) -> ExitCode {
        let (code, why) = match self {
            Self::No => return ExitCode::from(NO),
            // The reader has seen enough: `relais queue list | head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Output(error) => (NO, format!("cannot write the answer: {error}")),
            Self::Because(why) | Self::NotFound(why) | Self::NotRunning(why) => (NO, why),
            Self::WrongUse(why) => (WRONG_USE, why),
        };
        complain(&why);
        ExitCode::from(code)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { code: 400, error } => Self::WrongUse(error),
            ClientError::Refused { code: 409, error } => Self::Because(error),
            ClientError::NotFound(error) => Self::NotFound(error),
            error @ ClientError::NotRunning { .. } => Self::NotRunning(error.to_string()),
            error => Self::Because(error.to_string()),
        }
    }
}

/// Writes to standard error, whatever characters strangers put into the text.
pub(super) fn complain(text: &str) {
    let lines: Vec<_> = text.trim_end().lines().map(escaped).collect();
    let text = Look::of_stderr().fit(&format!("relais: {}\n", lines.join("\n")));
    // Where standard error is closed, too, the exit status has to do.
    let _ = write!(io::stderr(), "{text}");
}

/// The exit status of a "no".
const NO: u8 = 1;
/// The exit status of a command that is wrong.
pub(super) const WRONG_USE: u8 = 2;
