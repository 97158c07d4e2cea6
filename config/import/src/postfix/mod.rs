//! Postfix: `main.cf`, `master.cf` and the tables that they name.

mod access;
mod addresses;
mod checks;
mod defaults;
mod expression;
mod incoming;
mod main_cf;
mod maps;
mod master_cf;
mod networks;
mod parameters;
mod patterns;
mod restrictions;
mod routing;
mod tables;
#[cfg(test)]
mod tests;
mod tls_policies;
mod transports;
mod ways;

use std::path::Path;

use self::{
    access::AccessRows,
    main_cf::MainCf,
    master_cf::MasterService,
    parameters::{Counterpart, ValueForm, time},
    tables::PostfixFiles,
    ways::{SharedSettings, Way, Ways, grouped},
};
use crate::{
    report::{Fate, Findings, Imported, Place},
    ron::{Entry, Value},
    source::{Folder, ImportError},
};

/// Reads the files of a folder, `main.cf` among them, and writes one of relais.
pub fn import(root: &Path) -> Result<Imported, ImportError> {
    let folder = Folder::new(root);
    let mut findings = Findings::default();
    let main = MainCf::read(&folder, &mut findings)?;
    let services = master_cf::read(&folder, &mut findings)?;
    let files = PostfixFiles { folder: &folder, main: &main, services: &services };
    let text = write(&files, &mut findings)?;
    Ok(Imported { text, told: findings.told })
}

fn write(files: &PostfixFiles<'_>, findings: &mut Findings) -> Result<String, ImportError> {
    let PostfixFiles { main, services, folder } = files;
    let host = main.get("myhostname");
    let origin = origin(files, &host, findings)?;
    // A name without a domain is completed by the tag of the local channel, as Postfix does by myorigin.
    let destinations = main.list("mydestination");
    let is_ours = destinations.iter().any(|its| its.eq_ignore_ascii_case(&origin));
    let local_tag = if is_ours { origin.clone() } else { NO_ORIGIN.to_owned() };
    let mut ways = Ways::default();
    let local = local(files, &local_tag, &mut ways, findings);
    let routing = files.routing(&mut ways, (&origin, &local_tag), findings)?;
    let incoming = incoming::incoming(main, services, findings);
    let mut top = vec![
        said(main, Entry::text("host", &host), "myhostname"),
        Entry::text("data", "/var/lib/relais"),
        said(main, Entry::text("default_domain", &origin), "myorigin"),
        Entry::new(
            "dispatcher",
            Value::Section("", vec![Entry::new("services", Value::Map(incoming.services))]),
        ),
    ];
    top.extend(incoming.tls);
    let networks = networks::patterns(folder, main, findings)?;
    let access = files.access(&incoming.checks, &networks, findings)?;
    ways.discards |= access.values().flatten().any(access::throws_away);
    let relaying = relaying(main, &networks, &incoming.relaying, findings);
    let mut mappings = mappings(main, relaying, &routing.strangers, access);
    let tables = [("FORWARD", routing.forward), ("REVERSE", routing.reversal.rows)];
    let tables = tables.into_iter().filter(|(_, rows)| !rows.is_empty());
    mappings.extend(tables.map(|(name, rows)| Entry::new(name, Value::List(rows))));
    top.push(Entry::new("mappings", Value::Map(mappings)));
    top.push(Entry::new("rewrite_rules", Value::List(routing.rules)));
    let policies = files.tls_policies(findings)?;
    let channels = channels(files, local, incoming.channels, &ways, policies);
    top.push(Entry::new("channels", Value::List(channels)));
    top.push(Entry::new("transport", Value::Map(routing.transport)));
    top.push(Entry::new("virtual_alias", Value::Map(routing.virtual_alias)));
    top.push(Entry::new("aliases", Value::Map(routing.aliases)));
    top.extend(routing.reversal.section);
    top.push(Entry::new("programs", Value::Map(ways.programs.values().cloned().collect())));
    top.push(Entry::new("milters", Value::Map(incoming.milters)));
    top.extend(settings(main));
    let mut pools =
        vec![Entry::new("DEFAULT", Value::Section("", vec![Entry::word("job_limit", "10")]))];
    pools.extend(ways.pools(main, services));
    top.push(Entry::new(
        "job_controller",
        Value::Section("", vec![Entry::new("pools", Value::Map(pools))]),
    ));
    top.extend(native(main, &routing.folders, findings));
    top.push(Entry::new(
        "admin",
        Value::Section("", vec![Entry::text("listen", "127.0.0.1:9225")]),
    ));
    files.checks(findings)?;
    tell(main, services, &ways, findings);
    let head = [format!("made by `relais import postfix {}`", folder.root().display())];
    Ok(findings.file(&head, &top))
}

fn said(main: &MainCf, entry: Entry, name: &str) -> Entry {
    entry.said_all(main.line(name).map(crate::source::Line::comment))
}

/// `myorigin`, which may be a file such as `/etc/mailname`.
fn origin(
    files: &PostfixFiles<'_>,
    host: &str,
    findings: &mut Findings,
) -> Result<String, ImportError> {
    let origin = files.main.get("myorigin");
    if !origin.starts_with('/') {
        return Ok(if origin.is_empty() { host.to_owned() } else { origin });
    }
    let text = files.folder.read(&maps::local_name(files.folder, &origin))?;
    let first = text.as_deref().and_then(|text| text.split_whitespace().next()).map(str::to_owned);
    if first.is_none() {
        let place = files.main.line("myorigin").map(|line| line.place.clone()).unwrap_or_default();
        findings.missing(&place, "myorigin", "the file is not there: myhostname is taken");
    }
    Ok(first.unwrap_or_else(|| host.to_owned()))
}

/// The local channel.
fn local(files: &PostfixFiles<'_>, tag: &str, ways: &mut Ways, findings: &mut Findings) -> Entry {
    let main = files.main;
    let mut fields =
        vec![Entry::text("name", "l"), Entry::text("tag", tag), Entry::word("program", "Local")];
    let mut comments = Vec::new();
    for name in ["mailbox_transport", "local_transport", "fallback_transport"] {
        let value = main.get(name);
        if value.is_empty() || value.starts_with("local:") || value == "local" {
            continue;
        }
        let place = main.line(name).map(|line| line.place.clone()).unwrap_or_default();
        if let Way::To(way) = ways.of(&value, (main, files.services), (&place, findings)) {
            fields.push(Entry::text(name, &way));
            comments.extend(main.line(name).map(crate::source::Line::comment));
        }
    }
    let has_end = ["mailbox_transport", "local_transport", "fallback_transport"]
        .iter()
        .any(|name| fields.iter().any(|field| field.name == *name));
    if has_other_mailboxes(main) && !has_end {
        // With it mail for accounts waits (451) where `native` has no mailbox of theirs.
        fields.push(Entry::text("fallback_transport", UNKNOWN_USER));
        let of = ["home_mailbox", "mailbox_command"].into_iter().filter_map(|name| main.line(name));
        comments.extend(of.map(crate::source::Line::comment));
    }
    let delimiter = delimiter(main, findings);
    comments.push(match main.line("recipient_delimiter") {
        Some(line) => line.comment(),
        None => "recipient_delimiter is empty, as Postfix has it by default".to_owned(),
    });
    fields.push(Entry::text("recipient_delimiter", &delimiter));
    Entry::new("", Value::Section("", fields)).said_all(comments)
}

/// The delimiter of subaddresses: here several characters are one.
fn delimiter(main: &MainCf, findings: &mut Findings) -> String {
    let all = main.get("recipient_delimiter");
    let usual = all.find('+').and_then(|at| all[at..].chars().next());
    let Some(one) = usual.or_else(|| all.chars().next()) else { return all };
    if all.chars().any(|its| its != one)
        && let Some(line) = main.line("recipient_delimiter")
    {
        let why =
            format!("one of them counts, `{one}`: addresses with another one are other users");
        findings.missing(&line.place, &line.text, &why);
    }
    one.to_string()
}

/// Whether accounts have mailboxes that are neither those of `native` nor of `store`.
fn has_other_mailboxes(main: &MainCf) -> bool {
    ["home_mailbox", "mailbox_command"].iter().any(|name| !main.get(name).is_empty())
}

/// All channels, in the order in which mail meets them.
fn channels(
    files: &PostfixFiles<'_>,
    local: Entry,
    incoming: Vec<Entry>,
    ways: &Ways,
    tls_policies: Vec<Entry>,
) -> Vec<Entry> {
    let mut channels = vec![local];
    channels.extend(incoming);
    let shared = SharedSettings { patience: patience(files.main), tls_policies };
    channels.extend(ways.entries(files.main, files.services, &shared));
    if !ways.programs.is_empty() {
        let mut pipe = plain("pipe", "Pipe");
        let limit = ways.programs_at_once(files.main, files.services);
        if let (Value::Section(_, fields), Some((limit, programs))) = (&mut pipe.value, limit) {
            fields.extend(limit.bounds());
            let of = if programs > 1 { " of all programs together" } else { "" };
            pipe.comments.push(format!("master.cf: maxproc{of}"));
        }
        channels.push(pipe);
    }
    if ways.discards {
        channels.push(plain("bitbucket", "Bitbucket"));
    }
    channels.push(plain("process", "Process"));
    channels.push(plain("reprocess", "Reprocess"));
    channels.push(plain("hold", "Hold"));
    channels
}

fn plain(name: &str, program: &str) -> Entry {
    let fields = vec![
        Entry::text("name", name),
        Entry::text("tag", &ways::tag(name)),
        Entry::word("program", program),
    ];
    Entry::new("", Value::Section("", fields))
}

/// When mail is tried again, and when its sender hears of it.
fn patience(main: &MainCf) -> Vec<Entry> {
    let seconds = |name: &str| {
        let text = time(&main.get(name), 's')?;
        relais_config::units::parse_duration(&text).ok().map(|time| time.as_secs())
    };
    let (least, most) = (
        seconds("minimal_backoff_time").unwrap_or(300),
        seconds("maximal_backoff_time").unwrap_or(4_000),
    );
    // Postfix waits for as long as the message is old, within these bounds.
    let mut waits = Vec::new();
    let mut wait = least.clamp(1, 2_592_000);
    while waits.len() < 8 {
        waits.push(wait.min(most.max(1)));
        if wait >= most {
            break;
        }
        wait = wait.saturating_mul(2);
    }
    let waits = waits.iter().map(|wait| Entry::text("", &format!("{wait}s")).value);
    let waits = waits.map(|value| Entry::new("", value)).collect();
    let mut ages = Vec::new();
    let warning = time(&main.get("delay_warning_time"), 'h').filter(|time| time != "0s");
    let end = time(&main.get("maximal_queue_lifetime"), 'd').filter(|time| time != "0s");
    ages.extend(warning.map(|age| Entry::text("", &age)));
    ages.push(Entry::text("", end.as_deref().unwrap_or("1h")));
    vec![Entry::new("backoff", Value::List(waits)), Entry::new("notices", Value::List(ages))]
}

/// Networks whose clients may relay, as the restrictions of the services say.
fn relaying<'a>(
    main: &MainCf,
    networks: &'a [String],
    (may, may_not): &(Vec<String>, Vec<String>),
    findings: &mut Findings,
) -> &'a [String] {
    let place = main.line("mynetworks").map(|line| line.place.clone()).unwrap_or_default();
    for service in may_not.iter().filter(|_| !may.is_empty()) {
        let of = format!("{service}: mynetworks");
        findings.missing(&place, &of, "they may relay by this service, too");
    }
    if may.is_empty() && !may_not.is_empty() {
        let why =
            "no service has permit_mynetworks before it refuses other domains: nobody is ours";
        findings.tell(&place, "mynetworks", Fate::Carried, why);
        return &[];
    }
    networks
}

/// Clients that may relay, access tables, and recipients whom strangers may not send to though a table
/// leads there.
fn mappings(
    main: &MainCf,
    networks: &[String],
    strangers: &[String],
    mut access: AccessRows,
) -> Vec<Entry> {
    let mut mappings = vec![networks::internal(main, networks)];
    let refused = strangers_refused(networks, strangers);
    if !refused.is_empty() {
        // A stranger to whom an access table says OK may not relay either.
        access.entry("ORIG_MAIL_ACCESS").or_default().splice(0..0, refused);
    }
    let tables = access.into_iter().filter(|(_, rows)| !rows.is_empty());
    mappings.extend(tables.map(|(name, rows)| Entry::new(name, Value::List(rows))));
    mappings
}

/// Rows of `ORIG_MAIL_ACCESS` about recipients whom tables lead to domains that are not ours.
fn strangers_refused(networks: &[String], strangers: &[String]) -> Vec<Entry> {
    if strangers.is_empty() {
        return Vec::new();
    }
    let mut entries = Vec::new();
    // Each field is matched by itself: no word of a client's stands for its address.
    let from = |pattern: &str| format!("TCP|$[^|]*|$[^|]*|{pattern}|*");
    for pattern in networks {
        match pattern.strip_prefix('!') {
            Some(pattern) => {
                let refused = |place: &String| format!("{}{place}", from(pattern));
                entries
                    .extend(strangers.iter().map(|place| Entry::pair(&refused(place), NO_RELAY)));
            }
            None => entries.push(Entry::pair(&from(pattern), "ours")),
        }
    }
    entries.extend(strangers.iter().map(|place| Entry::pair(&format!("TCP|*{place}"), NO_RELAY)));
    let why = "tables lead to domains that are not ours: strangers may not send there";
    entries[0].comments.push(why.to_owned());
    entries
}

/// Settings at the top of the file, and in sections of their own.
fn settings(main: &MainCf) -> Vec<Entry> {
    let made = main.own.iter().filter_map(|(name, its)| {
        let Some(Counterpart::Top(path, form)) = parameters::find(name) else { return None };
        let value = form.of(&main.get(name))?;
        Some((path, value, its.line.comment()))
    });
    let mut entries = Vec::new();
    for (path, value, comment) in made {
        entries.extend(
            grouped(vec![(path, value)]).into_iter().map(|entry| entry.said(comment.clone())),
        );
    }
    entries
}

/// UNIX mailboxes, and the folders that aliases may append to.
fn native(
    main: &MainCf,
    folders: &std::collections::BTreeSet<String>,
    findings: &mut Findings,
) -> Option<Entry> {
    let takes_all = ["mailbox_transport", "local_transport"].iter().any(|name| {
        let value = main.get(name);
        !value.is_empty() && !value.starts_with("local")
    });
    if has_other_mailboxes(main) && !folders.is_empty() {
        let place = Place::of_file("main.cf");
        findings.missing(&place, "aliases that append to files", NO_FILES);
    }
    if has_other_mailboxes(main) || takes_all && folders.is_empty() {
        return None;
    }
    let path = main.get("mail_spool_directory");
    let mut fields = vec![Entry::text("path", path.trim_end_matches('/'))];
    if !folders.is_empty() {
        let files = vec![
            Entry::new("folders", Value::texts(folders.iter().map(String::as_str))),
            Entry::text("user", "nobody").said("default_privs"),
        ];
        fields.push(Entry::new("files", Value::Section("", files)));
    }
    if path.ends_with('/') {
        let place = main.line("mail_spool_directory").map(|line| line.place.clone());
        findings.missing(
            &place.unwrap_or_default(),
            "mail_spool_directory",
            "UNIX mailboxes are mbox files, not maildirs",
        );
    }
    let entry = Entry::new("native", Value::Section("", fields));
    Some(said(main, entry, "mail_spool_directory"))
}

/// Tells of every parameter and every entry of `master.cf`.
fn tell(main: &MainCf, services: &[MasterService], ways: &Ways, findings: &mut Findings) {
    for (name, its) in &main.own {
        parameter(name, &main.get(name), main, (&its.line.place, &its.line.text), findings);
    }
    for service in services {
        let place = &service.line.place;
        let is_read = match service.program.as_str() {
            "smtpd" | "postscreen" => true,
            "smtp" | "lmtp" => service.kind == "unix" && ways.uses(service),
            "pipe" => ways.programs.contains_key(&service.name),
            _ => false,
        };
        if is_read {
            findings.carried(place, &service.line.text);
        } else {
            let why = if ["pipe", "smtp", "lmtp"].contains(&service.program.as_str()) {
                "no address leads there"
            } else {
                "a part of Postfix itself"
            };
            findings.tell(place, &service.name, Fate::NotNeeded, why);
        }
        for (name, value) in &service.overrides {
            let text = format!("{}: {name}={value}", service.name);
            parameter(name, &main.expand(value), main, (place, &text), findings);
        }
    }
}

fn parameter(
    name: &str,
    value: &str,
    main: &MainCf,
    (place, text): (&Place, &str),
    findings: &mut Findings,
) {
    let is_unfit = |form: ValueForm| form.of(value).is_none();
    let class =
        [("virtual_transport", "virtual_mailbox_domains"), ("relay_transport", "relay_domains")];
    if class.iter().any(|(its, domains)| *its == name && main.get(domains).is_empty()) {
        return findings.tell(place, text, Fate::NotNeeded, "no address leads there");
    }
    if name.ends_with("fallback_relay") && !value.is_empty() {
        return match ways::last_resort(main, value) {
            Some(_) if value.contains('[') => findings.missing(place, text, FALLBACK),
            Some(_) => findings.carried(place, text),
            None => findings.missing(place, text, "no next hop that a channel has"),
        };
    }
    match parameters::find(name) {
        Some(Counterpart::Read) => findings.carried(place, text),
        Some(
            Counterpart::Source(_, form) | Counterpart::Client(_, form) | Counterpart::Top(_, form),
        ) => {
            if is_unfit(form) {
                findings.missing(place, text, "its value has no form that is known here");
            } else {
                findings.carried(place, text);
            }
        }
        Some(Counterpart::Same) => findings.tell(place, text, Fate::SameByDefault, ""),
        Some(Counterpart::NotNeeded(why)) => findings.tell(place, text, Fate::NotNeeded, why),
        Some(Counterpart::Missing(why)) if value.is_empty() => {
            findings.tell(place, text, Fate::SameByDefault, why);
        }
        Some(Counterpart::Missing(why)) => findings.missing(place, text, why),
        None if main.asked.contains(name) => {
            findings.tell(place, text, Fate::Carried, "other parameters ask for it");
        }
        None => findings.missing(place, text, "no parameter that is known here"),
    }
}

const FALLBACK: &str =
    "it is `lastresort`, in spite of the brackets with the use of MX records of its channel";
const NO_FILES: &str = "their mail waits (451): with `native` accounts would have UNIX mailboxes";
const UNKNOWN_USER: &str = "error:5.1.1 User unknown in local recipient table";
/// The tag of the local channel where `myorigin` is no domain of it.
const NO_ORIGIN: &str = "local-daemon";
const NO_RELAY: &str = "$NRelay$ access$ denied";
