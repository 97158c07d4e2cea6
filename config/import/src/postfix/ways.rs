//! Transports of Postfix, and the channels that they need.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

use relais_config::grammar::Transport;

use super::{
    main_cf::MainCf,
    master_cf::MasterService,
    parameters::{self, Counterpart, ValueForm},
};
use crate::{
    report::{Findings, Place},
    ron::{Entry, Value},
};

/// Where mail goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// In the words of the new file: `lmtp:unix:/path`, `error:5.1.1 gone`.
    To(String),
    /// To the local channel.
    Local,
    /// Nothing takes its place: in the new file the mail waits.
    Nowhere,
}

/// Channels for transports that are used, by the names of the new file.
#[derive(Debug, Default)]
pub(super) struct Ways {
    channels: BTreeMap<String, UsedTransport>,
    /// Programs by label.
    pub(super) programs: BTreeMap<String, Entry>,
    /// Commands of aliases that are among them.
    pub(super) commands: HashSet<String>,
    /// A way leads to where mail is thrown away.
    pub(super) discards: bool,
}

/// Settings of all channels that mail leaves by.
#[derive(Debug)]
pub(super) struct SharedSettings {
    /// When mail is tried again, and when its sender hears of it.
    pub(super) patience: Vec<Entry>,
    /// By destination, for channels of smtp(8).
    pub(super) tls_policies: Vec<Entry>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct UsedTransport {
    /// The entry of `master.cf`.
    service: String,
    /// The next hop of all its mail.
    daemon: Option<String>,
    is_direct: bool,
}

impl Ways {
    /// A transport as the new file writes it; what it needs is kept.
    pub(super) fn of(
        &mut self,
        text: &str,
        (main, services): (&MainCf, &[MasterService]),
        (place, findings): (&Place, &mut Findings),
    ) -> Way {
        let (name, hop) = text.split_once(':').unwrap_or((text, ""));
        let mut lost = |why: &str| {
            findings.missing(place, text, why);
            Way::Nowhere
        };
        match name {
            "local" => return Way::Local,
            "error" | "retry" | "discard" => {
                let whole = format!("{name}:{hop}");
                return match whole.parse::<Transport>() {
                    Ok(_) => {
                        self.discards |= name == "discard";
                        Way::To(whole)
                    }
                    Err(_) => lost("its reply has a code of the other kind"),
                };
            }
            "" => return if hop.is_empty() { Way::To(":".to_owned()) } else { lost(NO_CHANNEL) },
            _ => {}
        }
        let service = services.iter().find(|its| its.name == name && its.kind == "unix");
        let Some(service) = service else { return lost("no entry of master.cf has this name") };
        match service.program.as_str() {
            "smtp" | "lmtp" => {
                let is_smtp = service.program == "smtp";
                let Some((hop, is_direct)) = next_hop(hop, is_smtp, main) else {
                    return lost("no next hop that a channel has");
                };
                let channel = self.channel(service, is_direct, None);
                Way::To(format!("{channel}:{hop}"))
            }
            "pipe" => match program(service) {
                Some(entry) => {
                    self.programs.insert(entry.name.clone(), entry.clone());
                    Way::To(format!("pipe:{}", entry.name))
                }
                None => lost("its command has what no program of relais is given"),
            },
            "virtual" => lost(
                "virtual(8) has mailboxes of its own: those of `store` and `native` are others",
            ),
            _ => lost("no channel does what this program does"),
        }
    }

    /// The channel for a class of domains: of its transport, with a next hop of all its mail.
    pub(super) fn class(
        &mut self,
        (transport, relayhost): (&str, &str),
        known: (&MainCf, &[MasterService]),
        told: (&Place, &mut Findings),
    ) -> Option<String> {
        let (name, hop) = transport.split_once(':').unwrap_or((transport, ""));
        let hop = if hop.is_empty() { relayhost } else { hop };
        let service = known.1.iter().find(|its| its.name == name && its.kind == "unix")?;
        if service.program != "smtp" && service.program != "lmtp" {
            let Way::To(way) = self.of(transport, known, told) else { return None };
            return way.starts_with("pipe:").then(|| "pipe".to_owned());
        }
        if hop.is_empty() {
            return Some(self.channel(service, false, None));
        }
        let (hop, is_direct) = next_hop(hop, service.program == "smtp", known.0)?;
        Some(self.channel(service, is_direct, Some(&hop)))
    }

    fn channel(
        &mut self,
        service: &MasterService,
        is_direct: bool,
        daemon: Option<&str>,
    ) -> String {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-$".contains(c);
        let plain: String = service
            .name
            .to_ascii_lowercase()
            .chars()
            .map(|c| if fits(c) { c } else { '_' })
            .collect();
        let plain: String = plain.chars().take(20).collect();
        let used = UsedTransport {
            service: service.name.clone(),
            daemon: daemon.map(str::to_owned),
            is_direct,
        };
        let end = if daemon.is_some() {
            "_out"
        } else if is_direct {
            "_host"
        } else {
            ""
        };
        // Each next hop of a transport has a channel of its own.
        let names = (1..).map(|n| match n {
            1 => format!("{plain}{end}"),
            n => format!("{plain}{end}{n}"),
        });
        let mut free = names.filter(|name| self.channels.get(name).is_none_or(|its| *its == used));
        let name = free.next().unwrap_or_default();
        self.channels.insert(name.clone(), used);
        name
    }

    /// The channels of the new file.
    pub(super) fn entries(
        &self,
        main: &MainCf,
        services: &[MasterService],
        shared: &SharedSettings,
    ) -> Vec<Entry> {
        let one = |(name, used): (&String, &UsedTransport)| {
            let service =
                services.iter().find(|its| its.name == used.service && its.kind == "unix")?;
            let is_smtp = service.program == "smtp";
            let mut fields = vec![
                Entry::text("name", name),
                Entry::text("tag", &tag(name)),
                Entry::word("program", if is_smtp { "Smtp" } else { "Lmtp" }),
            ];
            if is_smtp {
                fields.push(Entry::word("mx", if used.is_direct { "NoMx" } else { "Mx" }));
            }
            fields.extend(used.daemon.iter().map(|daemon| Entry::text("daemon", daemon)));
            fields.extend(client(main, service, &shared.tls_policies));
            fields.extend(destinations(main, service));
            fields.extend(shared.patience.iter().cloned());
            if let Some(pool) = ProcessLimit::of(main, service) {
                fields.extend(pool.channel(&service.name));
            }
            let has_clear = |its: &Entry| match &its.value {
                Value::Section(_, inner) => inner.iter().any(|its| its.name == "clear_passwords"),
                _ => false,
            };
            let is_clear = fields.iter().any(has_clear);
            let mut entry = Entry::new("", Value::Section("", fields)).said(service.line.comment());
            entry.comments.extend(comments(main, service));
            entry.comments.extend(is_clear.then(|| CLEAR_PASSWORDS.to_owned()));
            Some(entry)
        };
        self.channels.iter().filter_map(one).collect()
    }
}

impl Ways {
    /// Whether a channel is of this entry of `master.cf`.
    pub(super) fn uses(&self, service: &MasterService) -> bool {
        self.channels.values().any(|used| used.service == service.name)
    }

    /// Pools of transports with a bound of their own, which holds for all of their channels together.
    pub(super) fn pools(&self, main: &MainCf, services: &[MasterService]) -> Vec<Entry> {
        let used = services.iter().filter(|its| its.kind == "unix" && self.uses(its));
        let pool = |service: &MasterService| {
            let limit = ProcessLimit::of(main, service)?;
            let fields = vec![
                Entry::word("job_limit", &limit.jobs.to_string()),
                Entry::word("keep_last_slot", "false"),
            ];
            Some(Entry::new(&pool_of(&service.name), Value::Section("", fields)))
        };
        used.filter_map(pool).collect()
    }

    /// Programs at once: the least that an entry of pipe(8) which mail leads to allows.
    pub(super) fn programs_at_once(
        &self,
        main: &MainCf,
        services: &[MasterService],
    ) -> Option<(ProcessLimit, usize)> {
        let is_used =
            |its: &&MasterService| its.program == "pipe" && self.programs.contains_key(&its.name);
        let limits = services.iter().filter(is_used).map(|its| ProcessLimit::of(main, its));
        let limits: Vec<_> = limits.collect();
        let least = limits.iter().flatten().copied().min_by_key(|its| its.jobs * its.each)?;
        Some((least, limits.len()))
    }
}

/// The column `maxproc` of `master.cf`: each process has one connection, or one program.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessLimit {
    jobs: usize,
    /// Connections of a job.
    each: usize,
}

impl ProcessLimit {
    /// `None`: as many as channels have by themselves.
    fn of(main: &MainCf, service: &MasterService) -> Option<Self> {
        let text = match service.most.as_str() {
            "-" => main.line("default_process_limit").map(|_| main.get("default_process_limit"))?,
            own => own.to_owned(),
        };
        let most = text.parse::<usize>().ok().filter(|most| *most > 0)?;
        let (jobs, each) = if most <= 100 { (most, 1) } else { (most / 10, 10) };
        (most != USUAL_PROCESSES).then_some(Self { jobs: jobs.min(10_000), each })
    }

    /// Of a channel that runs its jobs in the pool of its transport.
    fn channel(self, service: &str) -> Vec<Entry> {
        let mut fields = vec![Entry::text("pool", &pool_of(service))];
        fields.extend(self.bounds());
        fields
    }

    pub(super) fn bounds(self) -> [Entry; 2] {
        [
            Entry::word("maxjobs", &self.jobs.to_string()),
            Entry::word("max_client_threads", &self.each.to_string()),
        ]
    }
}

fn pool_of(service: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name: String = service
        .chars()
        .take(20)
        .map(|c| if fits(c) { c.to_ascii_uppercase() } else { '_' })
        .collect();
    format!("{name}_POOL")
}

/// `smtp_fallback_relay` as `lastresort`; `None`: no next hop that a channel has.
pub(super) fn last_resort(main: &MainCf, text: &str) -> Option<String> {
    let hops = text.split([',', ' ']).filter(|hop| !hop.is_empty());
    // Which names have MX records asked for is the channel's own.
    let hops: Option<Vec<_>> = hops.map(|hop| Some(next_hop(hop, true, main)?.0)).collect();
    hops.map(|hops| hops.join(", ")).filter(|text| !text.is_empty())
}

/// Tag by the name of a channel.
pub(super) fn tag(name: &str) -> String {
    format!("{}-daemon", name.replace(['_', '$'], "-"))
}

/// A next hop of the new file, and whether MX records are passed by.
fn next_hop(hop: &str, is_smtp: bool, main: &MainCf) -> Option<(String, bool)> {
    if let Some(path) = hop.strip_prefix("unix:") {
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}/{path}", main.get("queue_directory"))
        };
        return Some((format!("unix:{path}"), false));
    }
    let (mut hops, mut directs) = (Vec::new(), Vec::new());
    for hop in hop.split([',', ' ']).filter(|hop| !hop.is_empty()) {
        let inet = hop.strip_prefix("inet:");
        let bare = inet.unwrap_or(hop);
        let bracketed = bare.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, is_direct) = match bracketed {
            Some((host, port)) if is_address(host) => (format!("[{host}]{port}"), true),
            Some((host, port)) => (format!("{host}{port}"), true),
            None => (bare.to_owned(), inet.is_some()),
        };
        hops.push(host);
        directs.push(is_direct);
    }
    let is_direct = directs.iter().any(|its| *its);
    // Of one channel either all hosts are looked up by MX records or none is.
    let is_mixed = is_smtp && is_direct && !directs.iter().all(|its| *its);
    let text = hops.join(", ");
    let is_known = text.is_empty() || text.parse::<relais_config::grammar::NextHops>().is_ok();
    (!is_mixed && is_known).then_some((text, is_smtp && is_direct))
}

fn is_address(host: &str) -> bool {
    let host = host.strip_prefix("ipv6:").or_else(|| host.strip_prefix("IPv6:")).unwrap_or(host);
    host.parse::<IpAddr>().is_ok()
}

/// A parameter of a service: what its entry says, else the file.
pub(super) fn of_service(main: &MainCf, service: &MasterService, name: &str) -> Option<String> {
    let overridden = service.overridden(name).map(|value| main.expand(value));
    overridden.or_else(|| main.line(name).map(|_| main.get(name)))
}

/// Settings of a client.
fn client(main: &MainCf, service: &MasterService, tls_policies: &[Entry]) -> Vec<Entry> {
    let prefix = if service.program == "smtp" { "smtp_" } else { "lmtp_" };
    let mut made: Vec<(&'static str, Value)> = Vec::new();
    let names = main.own.keys().map(String::as_str);
    let names = names.chain(service.overrides.iter().map(|(name, _)| name.as_str()));
    for name in names.filter(|name| name.starts_with(prefix)) {
        let Some(Counterpart::Client(path, form)) = parameters::find(name) else { continue };
        let value = of_service(main, service, name).unwrap_or_default();
        let value = if path == "lastresort" {
            last_resort(main, &value).unwrap_or_default()
        } else {
            value
        };
        if let Some(value) =
            form.of(&value).filter(|_| !made.iter().any(|(known, _)| *known == path))
        {
            made.push((path, value));
        }
    }
    let of = |name: &str| of_service(main, service, &format!("{prefix}{name}")).unwrap_or_default();
    let level = match of("tls_security_level").as_str() {
        "" if of("enforce_tls") == "yes" => Some(("Must", true)),
        "" if of("use_tls") == "yes" => Some(("May", true)),
        // Postfix speaks TLS as a client when it is told to; relais does so by itself.
        "" | "none" => Some(("No", true)),
        "may" | "dane" => Some(("May", true)),
        "encrypt" => Some(("Must", false)),
        "verify" | "secure" | "dane-only" => Some(("Must", true)),
        _ => None,
    };
    if let Some((level, verifies)) = level {
        made.push(("tls.client", Value::Word(level.to_owned())));
        if !verifies {
            made.push(("tls.verify", Value::Word("false".to_owned())));
        }
    }
    if of("tls_security_level").starts_with("dane") {
        made.push(("tls.dane", Value::Word("true".to_owned())));
    }
    if service.program == "smtp" && !tls_policies.is_empty() {
        made.push(("tls.policies", Value::Map(tls_policies.to_vec())));
    }
    let passwords = of("sasl_password_maps");
    if of("sasl_auth_enable") == "yes"
        && let Some((_, file)) = passwords.split_once(':')
    {
        made.push(("sasl.client", Value::Word("May".to_owned())));
        made.push(("sasl.credentials", Value::text(file)));
        if sends_passwords_to_anyone(&of) {
            made.push(("sasl.clear_passwords", Value::Word("true".to_owned())));
        }
    }
    grouped(made)
}

/// Whether PLAIN and LOGIN are used with servers whose certificate nobody vouches for. Without TLS they are
/// only where `sasl_security_options` says so, and behind TLS that is a must also by its sibling.
fn sends_passwords_to_anyone(of: &impl Fn(&str) -> String) -> bool {
    let options = of("sasl_security_options");
    let of_tls = of("sasl_tls_security_options");
    let takes_plain = |options: &str| {
        !options.is_empty() && !options.split([',', ' ']).any(|its| its == "noplaintext")
    };
    let level = of("tls_security_level");
    let is_behind_tls = ["encrypt", "verify", "secure", "dane-only"].contains(&&*level);
    takes_plain(&options) || is_behind_tls && takes_plain(&of_tls)
}

/// `a.b` as a section `a` with a field `b`.
pub(super) fn grouped(made: Vec<(&str, Value)>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (path, value) in made {
        let Some((outer, inner)) = path.split_once('.') else {
            entries.push(Entry::new(path, value));
            continue;
        };
        let inner = Entry::new(inner, value);
        let known = entries.iter_mut().find(|entry| entry.name == outer);
        match known.map(|entry| &mut entry.value) {
            Some(Value::Section(_, within)) => within.push(inner),
            _ => entries.push(Entry::new(outer, Value::Section("", vec![inner]))),
        }
    }
    entries
}

/// How much a destination gets of a transport.
fn destinations(main: &MainCf, service: &MasterService) -> Vec<Entry> {
    let limit = |end: &str| {
        let own = format!("{}_destination_{end}", service.name);
        let default = format!("default_destination_{end}");
        let name = if main.line(&own).is_some() { own } else { default };
        main.line(&name)
            .map(|_| main.get(&name))
            .or_else(|| (end != "rate_delay").then(|| main.get(&name)))
    };
    let number = |text: String| {
        ValueForm::Number
            .of(&text)
            .filter(|value| !matches!(value, Value::Word(word) if word == "0"))
    };
    let mut fields = Vec::new();
    fields
        .extend(limit("concurrency_limit").and_then(number).map(|n| Entry::new("connections", n)));
    let delay = limit("rate_delay").and_then(|text| parameters::time(&text, 's'));
    if let Some(delay) = delay.filter(|delay| delay != "0s") {
        fields.push(Entry::text("rate", &format!("1/{delay}")));
    }
    let mut entries = vec![Entry::new("destinations", Value::Section("", fields))];
    entries.extend(limit("recipient_limit").and_then(number).map(|n| Entry::new("max_rcpt", n)));
    entries
}

/// The lines of `main.cf` that settings of a client come from.
fn comments(main: &MainCf, service: &MasterService) -> Vec<String> {
    let prefix = format!("{}_", service.program);
    let own = format!("{}_destination_", service.name);
    let is_of = |name: &String| {
        let carried =
            matches!(parameters::find(name), Some(Counterpart::Client(..) | Counterpart::Read));
        carried
            && (name.starts_with(&prefix)
                || name.starts_with(&own)
                || name.starts_with("default_destination_"))
    };
    main.own.iter().filter(|(name, _)| is_of(name)).map(|(_, its)| its.line.comment()).collect()
}

/// A program of pipe(8); `None`: its command has a macro that is not known here, or runs a shell.
fn program(service: &MasterService) -> Option<Entry> {
    let of = |name: &str| service.arguments.iter().find_map(|word| word.strip_prefix(name));
    let at = service.arguments.iter().position(|word| word.starts_with("argv="))?;
    let mut words = service.arguments[at..].iter().map(String::as_str);
    let first = words.next()?.strip_prefix("argv=")?;
    if !first.starts_with('/') {
        return None;
    }
    let words: Vec<String> =
        std::iter::once(first).chain(words).map(argument).collect::<Option<_>>()?;
    let user = of("user=").map(|user| user.split(':').next().unwrap_or(user));
    let flags = of("flags=").unwrap_or_default();
    let mut fields = vec![Entry::new("command", Value::texts(words.iter().map(String::as_str)))];
    fields.extend(user.map(|user| Entry::text("user", user)));
    let flag = |name: &str, is_on: bool| Entry::word(name, if is_on { "true" } else { "false" });
    fields.push(flag("from_line", flags.contains('F')));
    fields.push(flag("return_path", flags.contains('R')));
    fields.push(flag("delivered_to", flags.contains('D')));
    Some(Entry::new(&service.name, Value::Section("", fields)).said(service.line.comment()))
}

/// An argument of pipe(8) with our names of its macros.
fn argument(word: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), word);
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        let name;
        (name, rest) = if let Some(braced) = rest.strip_prefix('{') {
            braced.split_once('}')?
        } else {
            rest.split_at(
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len()),
            )
        };
        out += match name {
            "recipient" | "original_recipient" => "${address}",
            "user" => "${user}",
            "extension" => "${subaddress}",
            "domain" | "nexthop" => "${domain}",
            "sender" => "${sender}",
            "queue_id" => "${id}",
            _ => return None,
        };
    }
    Some(out + rest)
}

const CLEAR_PASSWORDS: &str = "clear_passwords: as in Postfix the password goes to servers whose certificate nobody \
                               vouches for; where it is good, tls: (client: Must) alone keeps it from others";
const NO_CHANNEL: &str = "a next hop alone says no channel";
/// Processes of a transport where `master.cf` does not say how many, and connections of a channel.
const USUAL_PROCESSES: usize = 100;
/// Mail waits until the operator says more.
pub(super) const WAITS: &str = "retry:4.3.5 this address is not served yet";
/// To the local channel.
pub(super) const LOCAL: &str = "l:";
