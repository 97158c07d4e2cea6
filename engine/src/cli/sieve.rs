//! `relais sieve`: scripts checked, and tried on a message, as the configuration bounds them. No engine
//! need run, and none is asked.

use std::{
    fs,
    io::{self, Read, Write},
    net::IpAddr,
    path::{Path, PathBuf},
};

use jiff::Zoned;
use relais_actors::{
    forms::header_octets,
    sieve::{NoFolder, ONLY_FLAGS, channel_mistake, environment, sieve_limits},
};
use relais_config::{Config, Mistake, Report, Warning};
use relais_sieve::{
    Delivery, Environment, Limits, MOST_MISTAKES, Message, MistakeKind, RunError, RunErrorKind,
    Script, TraceStep, Traced, Verdict, run_traced,
};

use super::{
    arguments::{SieveCommand, SieveTest},
    configuration::findings,
    exchange::json,
    refusal::Refusal,
    source::Source,
};
use crate::{
    api::{SieveStep, SieveTested},
    show::{self, Look},
};

pub(super) fn sieve(
    source: &Source,
    command: &SieveCommand,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let rules = ScriptRules::find(source)?;
    match command {
        SieveCommand::Check { files, json } => check(files, &rules, *json, out),
        SieveCommand::Test(test) => try_out(test, &rules, out),
    }
}

/// How scripts are run.
pub(super) struct ScriptRules {
    limits: Limits,
    delimiter: String,
    environment: Environment,
    /// The owner of the limits, in words.
    origin: String,
}

impl ScriptRules {
    /// As a configuration of this name says.
    pub(super) fn of(config: &Config, name: &str) -> Self {
        Self {
            limits: sieve_limits(config),
            delimiter: config.recipient_delimiter().to_owned(),
            environment: environment(Some(&config.host)),
            origin: format!("the limits are those of {name}"),
        }
    }

    /// Of mail that this client brings.
    pub(super) fn with_client(mut self, client: Option<IpAddr>) -> Self {
        self.environment.remote_ip = client.map(|client| client.to_string());
        self
    }

    /// As the file says that was named, or that is found and can be used; else as one that says nothing.
    fn find(source: &Source) -> Result<Self, Refusal> {
        let default = |why: &str| Self {
            limits: Limits::default(),
            delimiter: "+".to_owned(),
            environment: environment(None),
            origin: format!("the limits are the default ones, for {why}; --config names a file"),
        };
        if source.is_built_in() {
            return Ok(default("there is no configuration"));
        }
        match source.load() {
            Ok((config, _)) => Ok(Self::of(&config, &source.name())),
            Err(refusal) if source.is_named() => Err(refusal),
            // Users check their scripts who may not read it.
            Err(_) => Ok(default(&format!("{} cannot be used", source.name()))),
        }
    }
}

/// `relais sieve check`: mistakes of all files, in their order.
fn check(
    files: &[PathBuf],
    rules: &ScriptRules,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let look = Look::of_stdout();
    let (mut all, mut is_good) = (Vec::new(), true);
    for file in files {
        let mut report = Report::default();
        let name = file.display().to_string();
        match compile(file, &read(file)?, rules) {
            Ok(script) if script.only_sets_flags() => {
                report.warnings.push(Warning::of_file(&name, ONLY_FLAGS));
            }
            Ok(_) => {}
            Err(mistakes) => {
                if mistakes.len() >= MOST_MISTAKES {
                    report.warnings.push(Warning::of_file(&name, UNTOLD));
                }
                report.mistakes = mistakes;
            }
        }
        is_good &= report.mistakes.is_empty();
        if as_json {
            all.extend(findings(&report));
            continue;
        }
        let count = report.mistakes.len();
        let s = if count == 1 { "" } else { "s" };
        let warned = if report.warnings.is_empty() { "" } else { ", 1 warning" };
        write!(out, "{}", look.report(&report))?;
        write!(out, "{}", look.fit(&format!("{name}: {count} mistake{s}{warned}\n")))?;
    }
    if as_json {
        json(&all, out)?;
    }
    if is_good { Ok(()) } else { Err(Refusal::No) }
}

/// `relais sieve test`.
fn try_out(test: &SieveTest, rules: &ScriptRules, out: &mut dyn Write) -> Result<(), Refusal> {
    let files = test.before.iter().chain([&test.file]).chain(&test.after);
    let scripts = files.map(|file| Tried::load(file, rules)).collect::<Result<Vec<_>, _>>()?;
    let message = MessageFile::load(&test.message)?;
    let from = message.sender(test.from.as_deref());
    let to = message.recipient(test.to.as_deref());
    let names = (test.file.display().to_string(), message.name.clone());
    let mail = TriedMail { content: &message.content, from: &from, to: &to, own_addresses: &[] };
    let (mut tested, verdict) = tried(&scripts, names, &mail, rules);
    let folders = verdict.iter().flat_map(|verdict| &verdict.files).map(|filed| &filed.folder);
    tested.notes.extend(folders.filter_map(|folder| {
        let why = NoFolder::in_store(folder)?;
        Some(format!("in a store of ours mail for {folder:?} goes to the INBOX: {why}"))
    }));
    if test.json {
        json(&tested, out)?;
    } else {
        out.write_all(show::sieve(&tested, Look::of_stdout()).as_bytes())?;
    }
    if tested.error.is_none() { Ok(()) } else { Err(Refusal::No) }
}

/// A message in a file.
pub(super) struct MessageFile {
    /// The file.
    pub(super) name: String,
    /// With lines as they are on the wire.
    pub(super) content: Vec<u8>,
}

impl MessageFile {
    pub(super) fn load(file: &Path) -> Result<Self, Refusal> {
        let content = with_crlf(&read(file)?);
        Ok(Self { name: file.display().to_string(), content })
    }

    /// The sender of the envelope: the one that is given, else the one that the header names.
    pub(super) fn sender(&self, given: Option<&str>) -> String {
        self.address(given, &["return-path", "sender", "from"]).unwrap_or_default()
    }

    /// The recipient: the one that is given, else the one that the header names.
    fn recipient(&self, given: Option<&str>) -> String {
        let named = self.address(given, &["envelope-to", "delivered-to", "to"]);
        named.unwrap_or_else(|| RECIPIENT.to_owned())
    }

    fn address(&self, given: Option<&str>, fields: &[&str]) -> Option<String> {
        let (header, _) = halves(&self.content);
        let given = given.map(|address| address.trim_matches(['<', '>']).to_owned());
        given.or_else(|| fields.iter().find_map(|name| address_in(header, name)))
    }
}

/// A message that scripts are tried on, and its envelope.
pub(super) struct TriedMail<'a> {
    pub(super) content: &'a [u8],
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) own_addresses: &'a [&'a str],
}

/// The decision of these scripts; `None` where they end without one. `names`: of script and message.
pub(super) fn tried(
    scripts: &[Tried],
    (script, message): (String, String),
    mail: &TriedMail<'_>,
    rules: &ScriptRules,
) -> (SieveTested, Option<Verdict>) {
    let (header, body) = halves(mail.content);
    let parsed = Message::of(header, body, mail.content.len() as u64, &rules.limits);
    let (mut asks_memory, mut asks_folder) = (false, false);
    let mut delivery = Delivery {
        message: &parsed,
        from: mail.from,
        to: mail.to,
        recipient_delimiter: &rules.delimiter,
        now: Zoned::now(),
        environment: &rules.environment,
        own_addresses: mail.own_addresses,
        seen: &mut |_| {
            asks_memory = true;
            false
        },
        has_folder: &mut |_| {
            asks_folder = true;
            true
        },
    };
    let compiled: Vec<&Script> = scripts.iter().map(|its| &its.script).collect();
    let (verdict, trace) = run_traced(&compiled, &mut delivery, &rules.limits);
    let error = verdict.as_ref().err();
    let hits_bound = error.is_some_and(|its| matches!(its.kind, RunErrorKind::Bound(_)));
    let is_cut =
        body.len() > rules.limits.body_octets && compiled.iter().any(|script| script.uses_body());
    let cut =
        || format!("tests looked at the first {} octets of the body", rules.limits.body_octets);
    let asked = [(asks_memory, NO_MEMORY), (asks_folder, NO_FOLDERS)];
    let asked = asked.into_iter().filter(|(asks, _)| *asks).map(|(_, note)| note.to_owned());
    let notes = asked.chain(is_cut.then(cut));
    let error = error.map(|RunError { script, line, kind }| {
        format!("{}:{line}: {kind}", scripts.get(*script).map_or("", |its| &its.file))
    });
    let verdict = verdict.ok();
    let tested = SieveTested {
        script,
        message,
        steps: trace.iter().map(|step| told(scripts, step)).collect(),
        actions: verdict.as_ref().map(show::sieve_actions).unwrap_or_default(),
        outcome: show::sieve_outcome(verdict.as_ref()),
        from: mail.from.to_owned(),
        to: mail.to.to_owned(),
        error,
        notes: notes.chain((hits_bound || is_cut).then(|| rules.origin.clone())).collect(),
    };
    (tested, verdict)
}

/// Said where a script asks for duplicates.
const NO_MEMORY: &str =
    "duplicate: no message is taken for one here; the engine that runs remembers";
/// Said where a script asks for folders.
const NO_FOLDERS: &str = "mailboxexists: each folder is taken to be there, as on the relay";

/// A script that is tried.
pub(super) struct Tried {
    file: String,
    lines: Vec<String>,
    script: Script,
}

impl Tried {
    /// A script by its text; or its name and its first mistake.
    pub(super) fn of(name: &str, text: &[u8], rules: &ScriptRules) -> Result<Self, String> {
        let script = Script::compile(text, &rules.limits).map_err(|mistakes| {
            let first = mistakes.first().map(ToString::to_string);
            format!("{name}: {}", first.unwrap_or_default())
        })?;
        Ok(Self { file: name.to_owned(), lines: lines_of(text), script })
    }

    /// Why it cannot be the script of a channel.
    pub(super) fn channel_mistake(&self) -> Option<String> {
        channel_mistake(&self.script).map(|why| format!("{}: {why}", self.file))
    }

    fn load(file: &Path, rules: &ScriptRules) -> Result<Self, Refusal> {
        let text = read(file)?;
        let script = compile(file, &text, rules).map_err(|mistakes| broken(file, mistakes))?;
        Ok(Self { file: file.display().to_string(), lines: lines_of(&text), script })
    }
}

fn lines_of(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// A step, with its line of the script.
fn told(scripts: &[Tried], TraceStep { script, line, what }: &TraceStep) -> SieveStep {
    let (step, detail) = match what {
        Traced::Test { name, holds } => (*name, if *holds { "true" } else { "false" }),
        Traced::Command { name, outcome } => (*name, outcome.as_str()),
    };
    let script = scripts.get(*script);
    let number = usize::try_from(*line).unwrap_or(usize::MAX).saturating_sub(1);
    SieveStep {
        script: script.map(|its| its.file.clone()).unwrap_or_default(),
        line: *line,
        source: script.and_then(|its| its.lines.get(number).cloned()).unwrap_or_default(),
        step: step.to_owned(),
        detail: detail.to_owned(),
    }
}

/// A script that does not run at all, with its mistakes.
fn broken(file: &Path, mistakes: Vec<Mistake>) -> Refusal {
    let count = mistakes.len();
    let s = if count == 1 { "" } else { "s" };
    let report = Report { mistakes, ..Report::default() };
    let told = Look::of_stderr().report(&report);
    Refusal::Because(format!("{count} mistake{s} in {}\n{told}", file.display()))
}

/// The script, or its mistakes as they are shown.
fn compile(file: &Path, text: &[u8], rules: &ScriptRules) -> Result<Script, Vec<Mistake>> {
    Script::compile(text, &rules.limits).map_err(|mistakes| {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let words = |kind: &MistakeKind| match kind {
            MistakeKind::TooLong(_) => format!("{kind}; {}", rules.origin),
            kind => kind.to_string(),
        };
        let told =
            mistakes.iter().map(|its| (place(its.line), place(its.column), words(&its.kind)));
        Mistake::all_of(&file.display().to_string(), text, told)
    })
}

/// A file, or standard input.
fn read(file: &Path) -> Result<Vec<u8>, Refusal> {
    let mut text = Vec::new();
    let done = if file == Path::new("-") {
        io::stdin().read_to_end(&mut text).map(drop)
    } else {
        fs::read(file).map(|read| text = read)
    };
    done.map_err(|error| Refusal::WrongUse(format!("{}: {error}", file.display())))?;
    Ok(text)
}

/// Lines as they are on the wire.
fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(text.len() + text.len() / 32);
    for &octet in text {
        if octet == b'\n' && content.last() != Some(&b'\r') {
            content.push(b'\r');
        }
        content.push(octet);
    }
    content
}

/// The header with its empty line, and the body.
fn halves(content: &[u8]) -> (&[u8], &[u8]) {
    content.split_at(header_octets(content, 0).unwrap_or(content.len()))
}

/// The first address of the first field of this name, roughly: it stands in for an envelope.
fn address_in(header: &[u8], name: &str) -> Option<String> {
    let header = String::from_utf8_lossy(header);
    let value = header.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })?;
    let angle = value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|its| its.0);
    let address = angle.unwrap_or_else(|| value.split([',', ' ']).next().unwrap_or_default());
    (angle == Some("") || address.contains('@')).then(|| address.to_owned())
}

/// The recipient of a message that names none.
const UNTOLD: &str = "it has more mistakes than are told: behind these it has not been looked at";
const RECIPIENT: &str = "user@localhost";
