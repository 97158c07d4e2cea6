//! Commands that need nothing but the configuration file.

use std::{fmt::Display, io::Write, path::Path, sync::Arc, time::SystemTime};

use relais_actors::{
    delivery::programs::{ProgramError, Programs},
    directory::{self, LdapError, OpenError},
    front::listening::{self, BindError},
    lint,
    metrics::ServerMeters,
    router::{TableError, TableFindings, TableProblem, TableRemark, look_into_tables},
};
use relais_channels::{
    authenticity::{KeyFileFault, Signers, Srs},
    client::{Credentials, Securities, is_of_this_machine},
    dsn::Templates,
    tls::{ServerTls, TlsError, towards_servers},
    tls_policy::TlsPolicies,
};
use relais_config::{
    Config, Directory, Places, Reading, Report, STANDALONE, Shown, Warning, tls::Insist,
};
use relais_events::{
    Format as PostFormat, HookSettings, Settings, read_secrets, read_token as read_hook_token,
};
use serde_json::json;

use super::{
    arguments::Print,
    exchange::{json as print_json, wait},
    refusal::Refusal,
    source::{FileRead, FileRefused, Source, USUAL, absolute},
};
use crate::{
    admin::{
        client::{Client, ClientError},
        read_token,
    },
    api::{LimitShown, LimitValue},
    show::Look,
    start::{
        notice_templates,
        obstacles::{self, Obstacle, Running},
    },
    state::{lock, permissions},
};

/// `relais check`.
pub(super) fn check(source: &Source, json: bool, out: &mut dyn Write) -> Result<(), Refusal> {
    let Reading { config, mut report, places } = source.read();
    if let Some(config) = config.filter(|_| report.mistakes.is_empty()) {
        look_into_files(&config, &places, &mut report);
        look_for_obstacles(&config, &places, &mut report)?;
        let mut found = lint::lint_files(&config);
        // A server is not asked: a check says the same wherever it is made.
        let is_remote = matches!(config.directory, Some(Directory::Ldap(_)));
        let source = (!is_remote)
            .then(|| directory::Source::open(&config, &ServerMeters::unregistered()).ok());
        if let Some(source) = source.flatten() {
            found.extend(wait(lint::lint(&config, &source))?);
        }
        let warnings = found.iter().map(|found| places.warning(&found.field, &found.message));
        report.warnings.extend(warnings);
    }
    report.sort();
    let fallback = format!(
        "no file was named, and there is neither {} nor {}: this is the built-in default",
        USUAL[0], USUAL[1]
    );
    if json {
        print_json(&findings(&report), out)?;
        if source.is_built_in() {
            eprintln!("relais: {fallback}");
        }
    } else {
        let look = Look::of_stdout();
        write!(out, "{}", look.report(&report))?;
        if source.is_built_in() {
            write!(out, "{}", look.fit(&format!("{fallback}\n")))?;
        }
        let blocking = report.warnings.iter().filter(|warning| warning.blocks_run).count();
        let (m, w) = (report.mistakes.len(), report.warnings.len() - blocking);
        let s = |n: usize| if n == 1 { "" } else { "s" };
        let refused = match blocking {
            0 => String::new(),
            n => format!(", {n} setting{} with which the engine will not start", s(n)),
        };
        let name = source.name();
        let summary = format!("{name}: {m} mistake{}{refused}, {w} warning{}\n", s(m), s(w));
        write!(out, "{}", look.fit(&summary))?;
    }
    if report.lets_run() { Ok(()) } else { Err(Refusal::No) }
}

/// Everything that was found, for programs, in the order of the file: `error` is what `run`
/// refuses.
pub(super) fn findings(report: &Report) -> Vec<serde_json::Value> {
    let severity = |value: serde_json::Result<serde_json::Value>, severity: &str| {
        let mut value = value.unwrap_or_default();
        value["severity"] = severity.into();
        value
    };
    let mistakes = report.mistakes.iter().map(|m| severity(serde_json::to_value(m), "error"));
    let of = |w: &Warning| if w.blocks_run { "error" } else { "warning" };
    let warnings = report.warnings.iter().map(|w| severity(serde_json::to_value(w), of(w)));
    let mut all: Vec<_> = mistakes.chain(warnings).collect();
    let place = |value: &serde_json::Value, key: &str| value[key].as_u64().unwrap_or_default();
    all.sort_by_key(|value| {
        let line = place(value, "line");
        (line == 0, line, place(value, "column"))
    });
    all
}

/// Looks into the files that the configuration names: without some of them the engine does not
/// start.
fn look_into_files(config: &Config, places: &Places, report: &mut Report) {
    let shown = |file: Option<&Path>| file.map(|f| config.path(f).display().to_string());
    look_at_directory(config, places, report);
    match notice_templates(config) {
        Err(error) => {
            let folder = shown(config.notary.templates.as_deref()).unwrap_or_default();
            let accepted = "a folder is expected that holds a folder of texts for each language";
            let mistake = places.mistake("notary.templates", &folder, &error.to_string(), accepted);
            report.mistakes.push(mistake);
        }
        Ok(words) => report.warnings.extend(unspoken_language(config, &words, places)),
    }
    look_at_certificates(config, places, report);
    look_at_token(config, places, report);
    look_at_events(config, places, report);
    look_at_clients(config, places, report);
    look_at_signing_keys(config, places, report);
    look_at_tables(config, places, report);
    look_at_programs(config, places, report);
    for service in &config.dispatcher.services {
        if let Err(error @ BindError::NoAccount { kind, name }) = &listening::accounts(service) {
            let field = if *kind == "user" { "socket_owner" } else { "socket_group" };
            let field = format!("dispatcher.services[{:?}].{field}", service.name);
            let accepted = "the name or number of an account of this machine is expected";
            let mistake = places.mistake(&field, name, &error.to_string(), accepted);
            report.mistakes.push(mistake);
        }
    }
    let open = permissions::told(config).into_iter();
    report.warnings.extend(open.map(|(field, message)| places.warning(field, &message)));
}

/// Reads the files of the directory.
fn look_at_directory(config: &Config, places: &Places, report: &mut Report) {
    let Err(error) = directory::Source::open(config, &ServerMeters::unregistered()) else { return };
    // The file is right, but not for this machine as it is now.
    let mut blocks = |field: &str, message: &str| {
        let mut warning = places.warning(field, message);
        warning.blocks_run = true;
        report.warnings.push(warning);
    };
    if let OpenError::Ldap(error) = &error {
        let field = match error {
            LdapError::Password { .. } => "directory.bind_password_file",
            LdapError::Authorities(_) => "directory.ca",
        };
        return blocks(field, &error.to_string());
    }
    let accepted = "a file of LDIF records (RFC 2849) is expected, absolute or below data";
    if let OpenError::Unreadable { .. } = &error {
        return blocks("directory.file", &format!("{error}; {accepted}"));
    }
    let file = match &config.directory {
        Some(Directory::Ldif { file: Some(file) }) => config.path(file).display().to_string(),
        _ => String::new(),
    };
    let mistake = places.mistake("directory.file", &file, &error.to_string(), accepted);
    report.mistakes.push(mistake);
}

/// Looks up the accounts that programs run as, and looks for the programs.
fn look_at_programs(config: &Config, places: &Places, report: &mut Report) {
    match Programs::open(config) {
        Err(ProgramError { program, field, why }) => {
            let field = format!("programs[{program:?}].{field}");
            // The file is right, but not for this machine as it is now.
            let mut warning = places.warning(&field, &why.to_string());
            warning.blocks_run = true;
            report.warnings.push(warning);
        }
        Ok(programs) => {
            if let Some(account) = programs.own_account() {
                let message = format!("programs run as {account}, the engine's own account");
                report.warnings.push(places.warning("programs", &message));
            }
        }
    }
    for program in &config.programs {
        let file = Path::new(program.file());
        let is_file = std::fs::metadata(file).is_ok_and(|meta| meta.is_file());
        if !is_file || rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_err() {
            let field = format!("programs[{:?}].command", program.name);
            let message =
                format!("{} is nothing that can be run: mail for it waits", program.file());
            report.warnings.push(places.warning(&field, &message));
        }
    }
}

/// The setting that names the file of a table.
fn setting_of(table: &str) -> String {
    if table == "accounts" { table.to_owned() } else { format!("{table}.file") }
}

/// Reads aliases, transports and the like, as far as they stand in files.
fn look_at_tables(config: &Config, places: &Places, report: &mut Report) {
    match look_into_tables(config) {
        Ok(TableFindings { remarks, asked }) => {
            // The configuration itself does not know of lists in files, which ask a table, too.
            let is_asked =
                |field: &str| asked.iter().any(|name| field == format!("mappings[{name:?}]"));
            report.warnings.retain(|warning| !is_asked(&warning.field));
            let warning = |its: &TableRemark| places.warning(&its.field, &its.message);
            report.warnings.extend(remarks.iter().map(warning));
        }
        Err(TableError { error: TableProblem::Alias { name, problem }, .. }) => {
            let accepted = "addresses are expected, or a list with named parameters, each a text of \
                            its own";
            let field = format!("aliases[{name:?}]");
            report.mistakes.push(places.mistake(&field, "", &problem, accepted));
        }
        Err(TableError { field, file, error }) => {
            let accepted = "a file with a key and a value in each line is expected, absolute or \
                            below data";
            let (name, file) = (setting_of(field), file.display().to_string());
            report.mistakes.push(places.mistake(&name, &file, &error.to_string(), accepted));
        }
    }
}

/// Reads the token of the page.
fn look_at_token(config: &Config, places: &Places, report: &mut Report) {
    let Some(file) = config.admin.token_file.as_ref().map(|file| config.path(file)) else { return };
    if let Err(why) = read_token(&file) {
        let message = format!("{}: {why}: nobody can log in to the page", file.display());
        report.warnings.push(places.warning("admin.token_file", &message));
    }
}

/// Reads what webhooks need, and looks whether the file of events can be written.
fn look_at_events(config: &Config, places: &Places, report: &mut Report) {
    let Settings { file, hooks, min_free, .. } = Settings::of(config);
    if let Some(path) = file.map(|its| its.path)
        && let Some(why) = unwritable(&path).or_else(|| no_room(&path, min_free))
    {
        let message = format!("{}: {why}: events are lost", path.display());
        report.warnings.push(places.warning("events.file", &message));
    }
    let warn = |hook: &HookSettings, field: &str, file: &Path, why: &dyn Display| {
        let (name, file) = (&hook.name, file.display());
        let message = format!("{name}: {field} {file}: {why}: nothing is posted");
        let part =
            if hook.format == PostFormat::Spans { "events.traces" } else { "events.webhook" };
        places.warning(part, &message)
    };
    for hook in &hooks {
        let HookSettings { token_file, secret_file, ca, .. } = hook;
        if let Some(file) = token_file
            && let Err(why) = read_hook_token(file)
        {
            report.warnings.push(warn(hook, "token_file", file, &why));
        }
        if let Some(file) = secret_file
            && let Err(why) = read_secrets(file)
        {
            report.warnings.push(warn(hook, "secret_file", file, &why));
        }
        if let Some(file) = ca
            && let Err(why) = towards_servers(Some(file))
        {
            report.warnings.push(warn(hook, "ca", file, &why));
        }
    }
}

/// Why a file cannot be written, or made; as whoever asks.
fn unwritable(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| folder.exists());
    let (place, is_folder) = if path.exists() { (path, false) } else { (folder?, true) };
    if !is_folder && !path.is_file() {
        return Some("it is no regular file".to_owned());
    }
    rustix::fs::access(place, rustix::fs::Access::WRITE_OK).err().map(|why| why.to_string())
}

/// Whether a disk has less than others need.
fn no_room(path: &Path, min_free: u64) -> Option<String> {
    let disk = rustix::fs::statvfs(path.parent()?).ok()?;
    let is_short = disk.f_bavail.saturating_mul(disk.f_frsize) < min_free;
    is_short.then(|| "less than spool.min_free is free on its disk".to_owned())
}

/// Reads the certificates and keys, and says what clients will dislike about them.
fn look_at_certificates(config: &Config, places: &Places, report: &mut Report) {
    let certificates = match ServerTls::load(config.tls.as_ref(), &config.data) {
        Ok(tls) => tls.certificates(),
        Err(TlsError { field, file, why }) => {
            let accepted = "PEM files are expected, absolute or below data: the chain of the \
                            certificate, its own first, and the key that belongs to it";
            let file = file.display();
            // The file is right, but not for this machine as it is now.
            let mut warning = places.warning(&field, &format!("{file}: {why}; {accepted}"));
            warning.blocks_run = true;
            return report.warnings.push(warning);
        }
    };
    let now = SystemTime::now();
    let host = config.host.as_str();
    for certificate in &certificates {
        let remarks = certificate.remarks(now).into_iter();
        report.warnings.extend(remarks.map(|words| places.warning(&certificate.field, &words)));
    }
    if !certificates.is_empty() && !certificates.iter().any(|one| one.covers(host)) {
        let words = format!(
            "no certificate is for {host}, the host's own name: who asks for it by \
                             that name is shown another"
        );
        report.warnings.push(places.warning("tls.certificate", &words));
    }
}

/// Reads the keys that sign, and the secrets of SRS.
fn look_at_signing_keys(config: &Config, places: &Places, report: &mut Report) {
    let srs = Srs::load(config).map(drop);
    for fault in [Signers::load(config).map(drop), srs].into_iter().filter_map(Result::err) {
        let KeyFileFault { field, file, why } = fault;
        let mut warning = places.warning(&field, &format!("{}: {why}", file.display()));
        warning.blocks_run = true;
        report.warnings.push(warning);
    }
}

/// Reads what channels need as clients: certificates, and files of passwords.
fn look_at_clients(config: &Config, places: &Places, report: &mut Report) {
    let policies = TlsPolicies::of(config, &Arc::default()).map_err(|error| {
        let mut warning = places.warning(error.field(), &error.to_string());
        warning.blocks_run = true;
        report.warnings.push(warning);
    });
    let policies = Arc::new(policies.unwrap_or_default());
    if let Err(TlsError { field, file, why }) = Securities::load(config, &policies) {
        let mut warning = places.warning(&field, &format!("{}: {why}", file.display()));
        warning.blocks_run = true;
        report.warnings.push(warning);
    }
    for (place, channel) in config.channels.iter().enumerate() {
        for address in channel.interface_address.iter().filter(|its| !is_of_this_machine(**its)) {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!(
                "{address} is no address of this machine: as long as it is none, no server is connected \
                 to by {family}"
            );
            let field = format!("channels[{place}].interface_address");
            report.warnings.push(places.warning(&field, &message));
        }
        let used = channel.sasl.client != Insist::No;
        let Some(file) = channel.sasl.credentials.as_deref().filter(|_| used) else { continue };
        let file = config.path(file);
        let said = match Credentials::examine(&file) {
            Ok(None) => continue,
            Ok(Some(remark)) => remark,
            Err(error) => format!("{error}: mail for this channel waits until it can be used"),
        };
        let message = format!("{}: {said}", file.display());
        let field = format!("channels[{place}].sasl.credentials");
        report.warnings.push(places.warning(&field, &message));
    }
}

/// Looks at this machine: whatever is in the way of a start.
fn look_for_obstacles(
    config: &Config,
    places: &Places,
    report: &mut Report,
) -> Result<(), Refusal> {
    let running = if lock::is_hidden(&config.data) {
        Running::Engine(None)
    } else if lock::is_taken(&config.data) {
        let asked: Result<serde_json::Value, _> =
            wait(Client::new(&config.data).get("/api/v1/configuration"))?;
        let told = asked.ok().and_then(|answer| of_engine(&answer).ok());
        // The running engine's data directory is this one, whatever name it has there.
        Running::Engine(told.map(|told| Box::new(Config { data: config.data.clone(), ..told })))
    } else {
        Running::Nobody
    };
    let found = obstacles::find(config, &running).into_iter();
    report.warnings.extend(found.map(|Obstacle { field, why, accepted }| {
        // The file is right, but not for this machine as it is now.
        let mut warning = places.warning(&field, &format!("{why}; {accepted}"));
        warning.blocks_run = true;
        warning
    }));
    Ok(())
}

/// As the engine that runs tells it.
fn of_engine(answer: &serde_json::Value) -> Result<Config, relais_config::Mistakes> {
    let parsed = Config::parse("(running)", answer["ron"].as_str().unwrap_or_default());
    parsed.map(|(config, _)| config)
}

/// English stands in for a language without words, and somebody should know.
fn unspoken_language(config: &Config, words: &Templates, places: &Places) -> Option<Warning> {
    let language = &config.notary.language;
    let message = format!(
        "there are no words in {language:?}: notices are in English until notary.templates has \
         some; there are words in {}",
        words.languages().collect::<Vec<_>>().join(", ")
    );
    let warning = || places.warning("notary.language", &message);
    (!words.speaks(language)).then(warning)
}

/// The configuration, with the warnings that are told at start, unless a mistake forbids to run.
pub(super) fn load_to_run(source: &Source) -> Result<(Config, Vec<Warning>), Refusal> {
    load(source).map_err(|report| {
        let count = report.mistakes.len() + report.warnings.len();
        let s = if count == 1 { "" } else { "s" };
        let told = Look::of_stderr().report(&report);
        Refusal::Because(format!("{count} mistake{s} in {}\n{told}", source.name()))
    })
}

/// The same for an engine that runs: each mistake in words.
pub(super) fn load_again(source: &Source) -> Result<FileRead, FileRefused> {
    let (config, warnings) = load(source).map_err(|report| {
        let mistakes = report.mistakes.iter().map(ToString::to_string);
        let mistakes = mistakes.chain(report.warnings.iter().map(ToString::to_string)).collect();
        FileRefused { file: source.name(), mistakes }
    })?;
    Ok(FileRead { file: source.name(), config, warnings })
}

/// `Err`: the mistakes, and the warnings with which the engine does not run.
fn load(source: &Source) -> Result<(Config, Vec<Warning>), Report> {
    let Reading { config, mut report, places } = source.read();
    if let Some(config) = config.as_ref().filter(|_| report.mistakes.is_empty()) {
        look_into_files(config, &places, &mut report);
    }
    match config {
        Some(config) if report.lets_run() => Ok((config, report.warnings)),
        _ => {
            report.warnings.retain(|warning| warning.blocks_run);
            Err(report)
        }
    }
}

/// `relais config`.
pub(super) fn print(source: &Source, asked: &Print, out: &mut dyn Write) -> Result<(), Refusal> {
    if asked.default {
        return Ok(out.write_all(STANDALONE.as_bytes())?);
    }
    if asked.reference {
        let page = match &asked.key {
            Some(key) => relais_config::reference_of(key).map_err(Refusal::Because)?,
            None => relais_config::reference(),
        };
        return Ok(out.write_all(page.as_bytes())?);
    }
    let InForce { config, of, live } = in_force(source)?;
    if let Some(key) = &asked.key
        && let Some((limit, note)) = live.iter().find(|(limit, _)| limit.key == *key)
        && config.value(key).is_err()
    {
        // A limit of a host, of which the file says nothing.
        if asked.json {
            let live = as_live(limit);
            let one =
                json!({"asked": of, "key": key, "value": limit.value, "live": {live.0: live.1}});
            return Ok(print_json(&one, out)?);
        }
        let value = limit.value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        return Ok(writeln!(out, "{value} // {note}")?);
    }
    let shown = match &asked.key {
        Some(key) => config.value(key).map_err(Refusal::Because)?,
        None if asked.changed => config.changes(),
        None => config.shown(),
    };
    // Of one value only what was changed in it.
    let is_in = |(limit, _): &&(LimitShown, String)| {
        asked.key.is_none()
            || config.value(&limit.key).is_ok_and(|its| its.path().starts_with(shown.path()))
    };
    let live: Vec<_> = live.iter().filter(is_in).collect();
    if asked.json {
        return Ok(print_json(&as_json(asked, &of, &shown, &live), out)?);
    }
    let look = Look::of_stdout();
    let comment = |text: &str| look.fit_behind("// ", text);
    let text = shown.ron(look.width.unwrap_or(WIDTH));
    if asked.key.is_some() {
        let of_itself = |(limit, _): &&&(LimitShown, String)| {
            config.value(&limit.key).is_ok_and(|its| its.path() == shown.path())
        };
        let note = live.iter().find(of_itself).map(|(_, note)| note.as_str()).or(shown.idle());
        let below = live.iter().filter(|its| !of_itself(its));
        for (limit, note) in below {
            write!(out, "{}", comment(&format!("live: {} is {note}", limit.key)))?;
        }
        let Some(note) = note else { return Ok(writeln!(out, "{text}")?) };
        let flat = format!("{text} // {note}");
        let flat = if look.holds(&flat) { flat } else { format!("{}{text}", comment(note)) };
        return Ok(writeln!(out, "{flat}")?);
    }
    let what =
        if asked.changed { "what differs from the defaults" } else { "every default filled in" };
    write!(out, "{}", comment(&format!("{of}: {what}.")))?;
    for (limit, note) in &live {
        write!(out, "{}", comment(&format!("live: {} is {note}", limit.key)))?;
    }
    Ok(writeln!(out, "{text}")?)
}

/// The configuration in force, for programs.
fn as_json(
    asked: &Print,
    of: &str,
    shown: &Shown,
    live: &[&(LimitShown, String)],
) -> serde_json::Value {
    let live: serde_json::Map<_, _> = live.iter().map(|(limit, _)| as_live(limit)).collect();
    if asked.key.is_some() {
        let (key, idle) = (shown.path(), shown.idle());
        json!({"asked": of, "key": key, "value": shown, "idle": idle, "live": live})
    } else {
        json!({"asked": of, "configuration": shown, "live": live})
    }
}

fn as_live(limit: &LimitShown) -> (String, serde_json::Value) {
    let LimitShown { key, value, configured, saved } = limit;
    (key.clone(), json!({"value": value, "configured": configured, "saved": saved}))
}

/// The configuration that holds now.
struct InForce {
    config: Config,
    /// The source of `config` in words: the running engine, or the file.
    of: String,
    /// Limits that were changed since the start, and what to say about each.
    live: Vec<(LimitShown, String)>,
}

/// Of the engine that runs, live changes included; of the file where none runs.
fn in_force(source: &Source) -> Result<InForce, Refusal> {
    let data = source.data()?;
    let client = Client::new(&data);
    let asked: Result<serde_json::Value, _> = wait(client.get("/api/v1/configuration"))?;
    let answer = match asked {
        Ok(answer) => answer,
        Err(ClientError::NotRunning { .. }) => {
            let of = format!("{}, no engine runs on {}", source.name(), absolute(&data).display());
            return Ok(InForce { config: source.load()?.0, of, live: Vec::new() });
        }
        Err(error) => return Err(error.into()),
    };
    let unusable = |error| Refusal::Because(format!("the engine's answer is unusable: {error}"));
    let mut config = of_engine(&answer).map_err(unusable)?;
    let limits: Vec<LimitShown> = wait(client.get("/api/v1/limits"))??;
    let mut live = Vec::new();
    for limit in limits.into_iter().filter(|limit| limit.value != limit.configured) {
        let shown = |value: &Option<LimitValue>| {
            value.as_ref().map_or_else(|| "no limit".to_owned(), ToString::to_string)
        };
        let (now, was) = (shown(&limit.value), shown(&limit.configured));
        let kept = if limit.saved.is_some() { ", kept over restarts" } else { ", until it stops" };
        let note = format!("{now} by relais set{kept}; the file says {was}");
        match &limit.value {
            Some(LimitValue::Number(number)) => config.set_live(&limit.key, &number.to_string()),
            Some(LimitValue::Text(time)) => config.set_live(&limit.key, &format!("{time:?}")),
            None => {}
        }
        live.push((limit, note));
    }
    let of = format!("the engine that runs on {}", absolute(&data).display());
    Ok(InForce { config, of, live })
}

/// Columns of what is no terminal.
const WIDTH: usize = 110;
