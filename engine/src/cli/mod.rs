//! The command line: what operators type, and what they get to read.
//!
//! Exit status: 0 when all is well, 1 when the answer is "no" (a refused address, a mistake in
//! the file, no engine, no such message), 2 when the command itself is wrong. What was asked for
//! goes to standard output, everything else to standard error.

mod arguments;
mod ask;
mod asked;
mod audit;
mod cert;
mod compare;
mod configuration;
mod control;
mod exchange;
mod handbook;
mod hosts;
mod import;
mod import_verify;
mod letter;
mod mailbox;
mod mailbox_files;
mod manual;
mod mapping;
mod metrics;
mod orders;
mod postfix_asked;
mod postfix_probe;
mod postfix_words;
mod refusal;
mod reload;
mod route;
mod route_dns;
mod route_sieve;
mod run;
mod send;
mod sendmail;
mod sieve;
mod source;
mod spool;
mod standing;
mod state;
mod test;
mod tls;
mod top;
mod trace;

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::Parser;
use relais_actors::front::control::ControlOrder;

use self::{
    arguments::{Arguments, Command},
    exchange::engine,
    refusal::{Refusal, WRONG_USE},
    source::Source,
};
pub use self::{
    asked::{Explained, ExplainedMany, Files, StagesExplained},
    run::{Listening, Runnable},
    source::{FileRead, FileRefused, Reread},
};

use crate::api::ReloadOrder;

/// Does what the arguments ask. `E` is the engine that `run` runs.
pub fn main<E: Runnable>(
    arguments: impl IntoIterator<Item = OsString>,
    files: Files,
    out: &mut dyn Write,
) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if sendmail::is_called(arguments.first()) {
        return sendmail::main(arguments.into_iter().skip(1));
    }
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way, too; the library knows what goes where.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USE));
        }
    };
    match perform::<E>(arguments, files, out).and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => refusal.tell(),
    }
}

fn perform<E: Runnable>(
    Arguments { config, data, command }: Arguments,
    files: Files,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let source = Source::find(config, data);
    let done = obey::<E>(&source, command, files, out);
    done.map_err(|refusal| match refusal {
        Refusal::NotRunning(why) => Refusal::Because(format!("{why}; {}", source.looked_in())),
        refusal => refusal,
    })
}

fn obey<E: Runnable>(
    source: &Source,
    command: Option<Command>,
    files: Files,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    match command.unwrap_or(Command::Run { take_over: false }) {
        Command::Run { take_over } => run::run::<E>(source, take_over, out),
        Command::Check { json } => configuration::check(source, json, out),
        Command::Config(asked) => configuration::print(source, &asked, out),
        Command::Route(route) if route.compare.is_some() => {
            compare::compare(source, &route, files.routes, out)
        }
        Command::Route(route) => route::route(source, &route, files.route, out),
        Command::Trace(question) => trace::trace(source, &question, out),
        Command::Mapping(question) => mapping::mapping(source, &question, files.mapping, out),
        Command::Test(command) => test::test(source, &command, files, out),
        Command::Sieve(command) => sieve::sieve(source, &command, out),
        Command::Import(command) => import::import(&command, files, out),
        Command::Status { workers: true, .. } => ask::workers(source, out),
        Command::Status { json, all, .. } => ask::status(source, json, all, out),
        Command::Audit(shown) => audit::audit(source, shown, out),
        Command::Metrics { dashboard: true, .. } => metrics::dashboard(out),
        Command::Metrics { alerts: true, .. } => metrics::alerts(out),
        Command::Metrics { .. } => metrics::metrics(source, out),
        Command::Top { once, json } => top::top(source, once, json, out),
        Command::Why { id, json } => top::why(source, id.as_deref(), json, out),
        Command::Counters { json } => ask::counters(source, json, out),
        Command::Cert { json } => cert::cert(source, json, out),
        Command::Tls(question) => tls::tls(source, &question, out),
        Command::Queue(queue) => ask::queue(source, queue, out),
        Command::Channel(channel) => orders::channel(source, channel, out),
        Command::Host(host) => hosts::host(source, host, out),
        Command::Order(command) => standing::order(source, command, out),
        Command::Mailbox(command) => mailbox::mailbox(source, command, files.route, out),
        Command::Completions { shell } => manual::completions(shell, out),
        Command::Man { folder } => manual::pages(&folder),
        Command::Help { words } => handbook::help(&words, out),
        Command::Send(order) => send::send(source, order, out),
        Command::Set(set) => orders::set(source, set, out),
        Command::Spool(spool) => spool::spool(source, &spool, out),
        Command::Reload { reroute, dry_run, json, why } => {
            let engine = engine(source, why.reason.as_deref())?;
            reload::reload(&engine, ReloadOrder { reroute, dry_run }, json, out)
        }
        Command::Stop { part: None, wait, why } => ask::stop(source, wait, &why, out),
        Command::Stop { part, why, .. } => {
            let engine = engine(source, why.reason.as_deref())?;
            control::order(&engine, ControlOrder::Stop, part.as_deref(), out)
        }
        Command::Start { part, why } => {
            let engine = engine(source, why.reason.as_deref())?;
            control::order(&engine, ControlOrder::Start, part.as_deref(), out)
        }
        Command::Restart { part, why } => {
            let engine = engine(source, why.reason.as_deref())?;
            control::order(&engine, ControlOrder::Restart, part.as_deref(), out)
        }
    }
}

#[cfg(test)]
mod tests;
