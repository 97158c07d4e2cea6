//! Sieve as relais has it: a script and a message to a verdict, and a verdict in Pigeonhole's words.

use relais_sieve::{
    Delivery, Environment, Filed, Limits, Message, RunError, Script, VacationReply, Verdict,
};

/// A message and its envelope.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its lines end with CR LF.
    pub(crate) message: Vec<u8>,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Folders that the user has.
    pub(crate) folders: Vec<String>,
}

impl Default for Asked {
    fn default() -> Self {
        let (from, to) = ("sender@example.com".to_owned(), "recipient@example.com".to_owned());
        Self { message: Vec::new(), from, to, folders: Vec::new() }
    }
}

/// Compiles; all mistakes in one text.
pub(crate) fn compile(script: &[u8]) -> Result<Script, String> {
    Script::compile(script, &limits()).map_err(|mistakes| {
        let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        told.join("\n")
    })
}

/// Compiles and runs.
pub(crate) fn run(script: &[u8], asked: &Asked) -> Result<Verdict, String> {
    let message = parsed(&asked.message);
    decide(&compile(script)?, &message, asked).map_err(|error| error.to_string())
}

/// Reads a message.
pub(crate) fn parsed(message: &[u8]) -> Message<'_> {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    let (header, body) = match end {
        _ if message.starts_with(b"\r\n") => message.split_at(2),
        Some(end) => message.split_at(end + 4),
        None => (message, &b""[..]),
    };
    Message::of(header, body, message.len() as u64, &limits())
}

/// Runs, with the envelope and the folders of `asked`.
pub(crate) fn decide(
    script: &Script,
    message: &Message,
    asked: &Asked,
) -> Result<Verdict, RunError> {
    let named = |text: &str| Some(text.to_owned());
    let environment = Environment {
        name: named("Pigeonhole Sieve"),
        location: named("MS"),
        phase: named("post"),
        host: named("host.example"),
        domain: named("example"),
        version: named("1"),
        ..Environment::default()
    };
    let mut delivery = Delivery {
        message,
        from: &asked.from,
        to: &asked.to,
        recipient_delimiter: "+",
        now: jiff::Zoned::now(),
        environment: &environment,
        own_addresses: &[],
        seen: &mut |_| false,
        has_folder: &mut |folder| asked.folders.iter().any(|its| its == folder),
    };
    relais_sieve::run(&[script], &mut delivery, &limits())
}

/// As the operator of a machine that is busy with other tests.
fn limits() -> Limits {
    Limits { time: std::time::Duration::from_secs(20), ..Limits::default() }
}

/// Actions in the words of [`relais_tests::Pigeonhole`], sorted.
pub(crate) fn actions(verdict: &Verdict) -> Vec<String> {
    let Verdict { keep, files, redirects, refusal, vacation, .. } = verdict;
    let mut told: Vec<String> = keep.iter().chain(files).map(filed).collect();
    told.extend(redirects.iter().map(|redirect| format!("redirect <{}>", redirect.to)));
    told.extend(
        refusal.iter().map(|refusal| format!("reject {}", printable(&refusal.reason).trim_end())),
    );
    told.extend(vacation.iter().map(reply));
    told.sort();
    told
}

fn filed(filed: &Filed) -> String {
    let mut flags: Vec<_> = filed.flags.iter().map(|flag| flag.to_lowercase()).collect();
    flags.sort();
    let flags = if flags.is_empty() { String::new() } else { format!(" [{}]", flags.join(" ")) };
    let create = if filed.create { " create" } else { "" };
    format!("file {}{create}{flags}", filed.folder)
}

fn reply(reply: &VacationReply) -> String {
    let from = reply.from.as_ref().map(|from| format!(" from={from}")).unwrap_or_default();
    format!("vacation seconds={}{from}; {}", reply.seconds, reply.reason.trim_end())
}

/// Pigeonhole shows control characters as marks.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
