//! The command line: what operators type, and what they get to read.
//!
//! Exit status: 0 when all is well, 1 when the answer is "no" (a refused address, a mistake in
//! the file, no engine, no such message), 2 when the command itself is wrong. What was asked for
//! goes to standard output, everything else to standard error.

mod arguments;
mod ask;
mod configuration;
mod orders;
mod route;
mod run;
mod spool;
mod state;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use relais_config::Config;

use self::arguments::{Arguments, Command};
pub use self::run::{Engine, Listening};
use crate::api::RouteExplained;
use crate::{
    admin::{RouteQuestion, client::ClientError},
    show::Look,
};

/// Reads what the configuration names, to explain routes without a running engine.
pub type Explain = fn(&Config) -> Result<Explained, String>;

/// Explains a route by what was read.
pub type Explained = Box<dyn FnMut(&RouteQuestion) -> Result<RouteExplained, String>>;

/// Does what the arguments ask. `E` is the engine that `run` runs.
pub fn main<E: Engine>(
    arguments: impl IntoIterator<Item = OsString>,
    explain: Explain,
    out: &mut dyn Write,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way, too; the library knows what goes where.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USE));
        }
    };
    match perform::<E>(arguments, explain, out).and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => refusal.tell(),
    }
}

fn perform<E: Engine>(
    Arguments { config, data, command }: Arguments,
    explain: Explain,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let source = configuration::Source::find(config, data);
    let done = obey::<E>(&source, command, explain, out);
    done.map_err(|refusal| match refusal {
        Refusal::NotRunning(why) => Refusal::Because(format!("{why}; {}", source.looked_in())),
        refusal => refusal,
    })
}

fn obey<E: Engine>(
    source: &configuration::Source,
    command: Option<Command>,
    explain: Explain,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    match command.unwrap_or(Command::Run) {
        Command::Run => run::run::<E>(source, out),
        Command::Check { json } => configuration::check(source, json, out),
        Command::Config(asked) => configuration::print(source, &asked, out),
        Command::Route(route) => route::route(source, &route, explain, out),
        Command::Status { json } => ask::status(source, json, out),
        Command::Counters { json } => ask::counters(source, json, out),
        Command::Queue(queue) => ask::queue(source, queue, out),
        Command::Channel(channel) => orders::channel(source, channel, out),
        Command::Set { key, value, save, json } => {
            orders::set(source, key.as_deref(), value, save, json, out)
        }
        Command::Spool(spool) => spool::spool(source, &spool, out),
        Command::Stop { wait } => ask::stop(source, wait, out),
    }
}

/// Why a command does not end well.
#[derive(Debug)]
enum Refusal {
    /// The answer is "no", and is already on standard output.
    No,
    /// The answer is "no"; this says why.
    Because(String),
    /// No engine answers where one was looked for.
    NotRunning(String),
    /// The command is wrong; this says why.
    WrongUse(String),
    /// Standard output.
    Output(io::Error),
}

impl Refusal {
    fn tell(self) -> ExitCode {
        let (code, why) = match self {
            Self::No => return ExitCode::from(NO),
            // Whoever was reading has seen enough: `relais queue list | head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Output(error) => (NO, format!("cannot write the answer: {error}")),
            Self::Because(why) | Self::NotRunning(why) => (NO, why),
            Self::WrongUse(why) => (WRONG_USE, why),
        };
        // Where standard error is closed, too, the exit status has to do.
        let why = Look::of_stderr().fit(&format!("relais: {}\n", why.trim_end()));
        let _ = write!(io::stderr(), "{why}");
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
            error @ ClientError::NotRunning { .. } => Self::NotRunning(error.to_string()),
            error => Self::Because(error.to_string()),
        }
    }
}

const NO: u8 = 1;
const WRONG_USE: u8 = 2;

#[cfg(test)]
mod tests;
