//! A script and a message in, a decision in one line out.

use relais_sieve::{
    Delivery, DuplicateQuery, Environment, HeaderEdit, Limits, Message, RefusalKind, RunError,
    Script, Verdict, run,
};

/// A delivery to try scripts on.
pub(crate) struct Case<'a> {
    pub(crate) message: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) seen: &'a [&'a str],
    pub(crate) folders: &'a [&'a str],
    pub(crate) delimiter: &'a str,
    pub(crate) limits: Limits,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            message: MESSAGE,
            from: "coyote@desert.example.org",
            to: "roadrunner+fast@acme.example.com",
            seen: &[],
            folders: &["Work"],
            delimiter: "+",
            limits: Limits::default(),
        }
    }
}

/// The message that most rows look at.
pub(crate) const MESSAGE: &str = "Received: from a by b; Tue, 1 Apr 1997 09:06:31 -0800 (PST)\r\n\
    Date: Tue, 1 Apr 1997 09:06:31 -0800 (PST)\r\n\
    From: coyote@desert.example.org\r\n\
    To: roadrunner@acme.example.com, \"Gate, Keeper\" <ken+sieve@example.org>\r\n\
    Subject: I have a present for you\r\n\
    X-Caffeine: C8H10N4O2\r\n\
    Message-ID: <42@desert.example.org>\r\n\
    \r\n\
    Look, I'm sorry about the whole anvil thing.\r\n";

impl Case<'_> {
    /// The verdict of some scripts.
    pub(crate) fn run(&self, scripts: &[&str]) -> Result<Verdict, RunError> {
        let compiled: Vec<_> = scripts
            .iter()
            .map(|text| {
                Script::compile(text.as_bytes(), &self.limits)
                    .unwrap_or_else(|mistakes| panic!("{text}\n{}", words(&mistakes)))
            })
            .collect();
        let (header, body) = self.message.split_once("\r\n\r\n").unwrap_or((self.message, ""));
        let size = self.message.len() as u64;
        let message = Message::of(header.as_bytes(), body.as_bytes(), size, &self.limits);
        let environment = Environment {
            domain: Some("example.org".to_owned()),
            name: Some("relais".to_owned()),
            remote_ip: Some("192.0.2.1".to_owned()),
            ..Environment::default()
        };
        let mut seen = |query: &DuplicateQuery| self.seen.contains(&&*query.id);
        let mut has_folder = |folder: &str| self.folders.contains(&folder);
        let mut delivery = Delivery {
            message: &message,
            from: self.from,
            to: self.to,
            recipient_delimiter: self.delimiter,
            now: "2026-11-30T15:04:05+01:00[+01:00]".parse().unwrap(),
            environment: &environment,
            own_addresses: &["roadrunner@acme.example.com"],
            seen: &mut seen,
            has_folder: &mut has_folder,
        };
        run(&compiled.iter().collect::<Vec<_>>(), &mut delivery, &self.limits)
    }

    /// The verdict in one line, or the error.
    pub(crate) fn decide(&self, scripts: &[&str]) -> String {
        self.run(scripts).map_or_else(|error| format!("error: {error}"), |it| line(&it))
    }
}

/// The mistakes of a script, each in a line.
pub(crate) fn mistakes(text: &str) -> String {
    match Script::compile(text.as_bytes(), &Limits::default()) {
        Ok(_) => "none".to_owned(),
        Err(mistakes) => words(&mistakes),
    }
}

fn words(mistakes: &[relais_sieve::Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A verdict in one line.
pub(crate) fn line(verdict: &Verdict) -> String {
    let mut words = Vec::new();
    for edit in &verdict.header_edits {
        words.push(match edit {
            HeaderEdit::Add { name, value, is_last } => {
                format!("{}add {name}: {value}", if *is_last { "last " } else { "" })
            }
            HeaderEdit::Delete { name, occurrence } => format!("delete {name} {occurrence}"),
        });
    }
    let flags =
        |flags: &[String]| flags.iter().fold(String::new(), |words, flag| words + " " + flag);
    words.extend(verdict.keep.iter().map(|it| format!("keep{}", flags(&it.flags))));
    for file in &verdict.files {
        let create = if file.create { " create" } else { "" };
        words.push(format!("file {}{}{create}", file.folder, flags(&file.flags)));
    }
    words.extend(verdict.redirects.iter().map(|it| format!("redirect {}", it.to)));
    words.extend(verdict.refusal.iter().map(|it| {
        let kind = if it.kind == RefusalKind::Reject { "reject" } else { "ereject" };
        format!("{kind} {}", it.reason.trim_end())
    }));
    words.extend(verdict.vacation.iter().map(|it| {
        let from = it.from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
        format!("vacation {:?} {}s{from} {:?}", it.subject, it.seconds, it.reason)
    }));
    if verdict.discarded {
        words.push("discard".to_owned());
    }
    words.join("; ")
}
