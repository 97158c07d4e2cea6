//! `relais sieve`: scripts checked, and tried on a message. No engine need run, and none is asked.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use jiff::Zoned;
use relais_actors::{
    forms::header_octets,
    sieve::{script_text, sieve_limits},
};
use relais_config::{Config, Mistake, Report, dispatcher::Program as Service};
use relais_sieve::{
    Delivery, Environment, Limits, Message, RunError, Script, TraceStep, Traced, run_traced,
};

use super::{
    arguments::{Route, SieveCommand, SieveTest},
    configuration::findings,
    exchange::json,
    refusal::Refusal,
};
use crate::{
    api::{RouteExplained, RouteResult, SieveStep, SieveTested},
    show::{self, Look},
};

pub(super) fn sieve(command: &SieveCommand, out: &mut dyn Write) -> Result<(), Refusal> {
    match command {
        SieveCommand::Check { files, json } => check(files, *json, out),
        SieveCommand::Test(test) => try_out(test, out),
    }
}

/// `relais sieve check`: mistakes of all files, in their order.
fn check(files: &[PathBuf], as_json: bool, out: &mut dyn Write) -> Result<(), Refusal> {
    let look = Look::of_stdout();
    let (mut all, mut is_good) = (Vec::new(), true);
    for file in files {
        let mistakes = compile(file, &read(file)?).err().unwrap_or_default();
        is_good &= mistakes.is_empty();
        let report = Report { mistakes, ..Report::default() };
        if as_json {
            all.extend(findings(&report));
            continue;
        }
        let count = report.mistakes.len();
        let s = if count == 1 { "" } else { "s" };
        write!(out, "{}", look.report(&report))?;
        write!(out, "{}", look.fit(&format!("{}: {count} mistake{s}\n", file.display())))?;
    }
    if as_json {
        json(&all, out)?;
    }
    if is_good { Ok(()) } else { Err(Refusal::No) }
}

/// `relais sieve test`.
fn try_out(test: &SieveTest, out: &mut dyn Write) -> Result<(), Refusal> {
    let files = test.before.iter().chain([&test.file]).chain(&test.after);
    let scripts = files.map(|file| Tried::load(file)).collect::<Result<Vec<_>, _>>()?;
    let content = with_crlf(&read(&test.message)?);
    let (header, _) = halves(&content);
    let bare = |address: &String| address.trim_matches(['<', '>']).to_owned();
    let first = |names: &[&str]| names.iter().find_map(|name| address_in(header, name));
    let from = test.from.as_ref().map(bare).or_else(|| first(&["return-path", "sender", "from"]));
    let to = test.to.as_ref().map(bare).or_else(|| first(&["envelope-to", "delivered-to", "to"]));
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_else(|| RECIPIENT.to_owned()));

    let names = (test.file.display().to_string(), test.message.display().to_string());
    let mail = TriedMail { content: &content, from: &from, to: &to, own_addresses: &[] };
    let tested = tried(&scripts, names, &mail, &Limits::default());
    if test.json {
        json(&tested, out)?;
    } else {
        out.write_all(show::sieve(&tested, Look::of_stdout()).as_bytes())?;
    }
    if tested.error.is_none() { Ok(()) } else { Err(Refusal::No) }
}

/// A message that scripts are tried on, and its envelope.
struct TriedMail<'a> {
    content: &'a [u8],
    from: &'a str,
    to: &'a str,
    own_addresses: &'a [&'a str],
}

/// The decision of these scripts. `names`: of script and message.
fn tried(
    scripts: &[Tried],
    (script, message): (String, String),
    mail: &TriedMail<'_>,
    limits: &Limits,
) -> SieveTested {
    let (header, body) = halves(mail.content);
    let parsed = Message::of(header, body, mail.content.len() as u64, limits);
    let mut delivery = Delivery {
        message: &parsed,
        from: mail.from,
        to: mail.to,
        recipient_delimiter: "+",
        now: Zoned::now(),
        environment: &environment(),
        own_addresses: mail.own_addresses,
        seen: &mut |_| false,
        has_folder: &mut |_| true,
    };
    let compiled: Vec<&Script> = scripts.iter().map(|its| &its.script).collect();
    let (verdict, trace) = run_traced(&compiled, &mut delivery, limits);
    let error = verdict.as_ref().err().map(|RunError { script, line, kind }| {
        format!("{}:{line}: {kind}", scripts.get(*script).map_or("", |its| &its.file))
    });
    let verdict = verdict.ok();
    SieveTested {
        script,
        message,
        steps: trace.iter().map(|step| told(scripts, step)).collect(),
        actions: verdict.as_ref().map(show::sieve_actions).unwrap_or_default(),
        outcome: show::sieve_outcome(verdict.as_ref()),
        from: mail.from.to_owned(),
        to: mail.to.to_owned(),
        error,
    }
}

/// A message for which `relais route` shows what scripts decide.
pub(super) struct SievedMessage {
    file: String,
    content: Vec<u8>,
    config: Config,
}

impl SievedMessage {
    /// Reads the message.
    pub(super) fn load(file: &Path, config: Config) -> Result<Self, Refusal> {
        let content = with_crlf(&read(file)?);
        Ok(Self { file: file.display().to_string(), content, config })
    }

    /// Adds what scripts of the system, of channels and of the user decide to each way of a route.
    pub(super) fn add_to(&self, route: &Route, explained: &mut RouteExplained) {
        let to = explained.input.clone();
        let from = route.from.clone().unwrap_or_default();
        for way in explained.ways_mut() {
            let (scripts, mistake) = self.scripts_of(route, way);
            if scripts.is_empty() && mistake.is_none() {
                continue;
            }
            let names = (format!("scripts on the way by {}", way.channel), self.file.clone());
            let own = [to.as_str()];
            let mail =
                TriedMail { content: &self.content, from: &from, to: &to, own_addresses: &own };
            let tested = tried(&scripts, names, &mail, &sieve_limits(&self.config));
            way.sieve = Some(SieveTested { error: tested.error.clone().or(mistake), ..tested });
        }
    }

    /// The scripts that see this way, in their order; and the first that does not work, which mail passes
    /// by.
    fn scripts_of(&self, route: &Route, way: &RouteResult) -> (Vec<Tried>, Option<String>) {
        let config = &self.config;
        let named = |name: &str| config.channels.iter().find(|its| its.name == name);
        let service = || config.dispatcher.enabled().find(|its| its.program == Service::Smtp);
        let source = route.channel.clone().or_else(|| Some(service()?.channel.clone()));
        let source = source.and_then(|name| named(&name)?.sourcefilter.clone());
        let own = (1..).zip(&way.scripts);
        let own = own.filter(|_| config.sieve.users);
        let own =
            own.map(|(n, text)| (format!("script {n} of the user"), Ok(text.clone().into_bytes())));
        let own_file = way.script_file.as_ref().filter(|_| config.sieve.users);
        let own_file = own_file.and_then(|name| {
            let text = script_text(Path::new(name), config.sieve.max_script_size)?;
            Some((name.clone(), text.map_err(|error| error.to_string())))
        });
        let file = |path: Option<&PathBuf>| {
            let path = config.data.join(path?);
            let text = fs::read(&path).map_err(|error| error.to_string());
            Some((path.display().to_string(), text))
        };
        let behind = named(&way.channel).and_then(|its| its.destinationfilter.as_ref());
        let all = file(config.sieve.before.as_ref())
            .into_iter()
            .chain(file(source.as_ref()))
            .chain(own)
            .chain(own_file)
            .chain(file(behind))
            .chain(file(config.sieve.after.as_ref()));
        let (mut scripts, mut mistake) = (Vec::new(), None);
        for (name, text) in all {
            let tried = text.and_then(|text| Tried::of(&name, &text, &sieve_limits(config)));
            match tried {
                Ok(tried) => scripts.push(tried),
                Err(why) => drop(mistake.get_or_insert_with(|| format!("{name}: {why}"))),
            }
        }
        (scripts, mistake)
    }
}

/// A script that is tried.
struct Tried {
    file: String,
    lines: Vec<String>,
    script: Script,
}

impl Tried {
    /// A script by its text; or its first mistake.
    fn of(name: &str, text: &[u8], limits: &Limits) -> Result<Self, String> {
        let script = Script::compile(text, limits);
        let script = script
            .map_err(|mistakes| mistakes.first().map(ToString::to_string).unwrap_or_default())?;
        Ok(Self { file: name.to_owned(), lines: lines_of(text), script })
    }

    fn load(file: &Path) -> Result<Self, Refusal> {
        let text = read(file)?;
        let script = compile(file, &text).map_err(|mistakes| broken(file, mistakes))?;
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
fn compile(file: &Path, text: &[u8]) -> Result<Script, Vec<Mistake>> {
    Script::compile(text, &Limits::default()).map_err(|mistakes| {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let told =
            mistakes.iter().map(|its| (place(its.line), place(its.column), its.kind.to_string()));
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

/// The place in which scripts run, as they are told (RFC 5183).
fn environment() -> Environment {
    let named = |text: &str| Some(text.to_owned());
    Environment {
        location: named("MTA"),
        phase: named("pre"),
        name: named("relais"),
        version: named(env!("CARGO_PKG_VERSION")),
        ..Environment::default()
    }
}

/// The recipient of a message that names none.
const RECIPIENT: &str = "user@localhost";
