//! One question to a running engine, and how its answer is shown.

use std::{
    future::Future,
    io::{self, Write},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    refusal::{Refusal, complain},
    source::Source,
};
use crate::{admin::client::Client, api::MailboxesMissing, show::Look};

/// One object on one line.
pub(super) fn json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// Asks the engine for `path`, and shows the answer.
pub(super) fn answer<T: DeserializeOwned>(
    source: &Source,
    path: &str,
    as_json: bool,
    show: fn(&T, Look) -> String,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let client = Client::new(&source.data()?);
    if as_json {
        // As the engine wrote it: keys that this program does not know are passed on.
        let value: serde_json::Value = wait(client.get(path))??;
        return Ok(json(&value, out)?);
    }
    let value: T = wait(client.get(path))??;
    let look = Look::of_stdout();
    Ok(out.write_all(look.fit(&show(&value, look)).as_bytes())?)
}

/// Mailboxes of a partition are not in a list: the last of them ends the command.
pub(super) fn tell_missing(last: &mut Option<String>, missing: &MailboxesMissing) {
    if let Some(earlier) = last.replace(missing.to_string()) {
        note(Some(&earlier));
    }
}

/// Runs one exchange with the engine on this thread.
pub(super) fn wait<F: Future>(exchange: F) -> Result<F::Output, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Refusal::Because(format!("no runtime: {error}")))?;
    Ok(runtime.block_on(exchange))
}

/// An answer in a sentence.
pub(super) fn say(text: &str, out: &mut dyn Write) -> Result<(), Refusal> {
    Ok(out.write_all(Look::of_stdout().fit(&format!("{text}\n")).as_bytes())?)
}

/// The engine, for an order, and for what reason.
pub(super) fn engine(source: &Source, reason: Option<&str>) -> Result<Client, Refusal> {
    Ok(Client::new(&source.data()?).ordered(&operator(), reason))
}

/// The operator, of `sudo` the one before it; empty where nobody says.
pub(super) fn operator() -> String {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default()
}

/// Something worth knowing that is no part of the answer.
pub(super) fn note(text: Option<&str>) {
    if let Some(text) = text {
        complain(text);
    }
}
