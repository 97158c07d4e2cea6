//! Services of `smtpd`, and the channels that mail comes in by.

use super::{
    access::AccessCheck,
    main_cf::{MainCf, words},
    master_cf::MasterService,
    parameters::{self, Counterpart, ValueForm},
    restrictions::{self, Restrictions},
    ways::{grouped, of_service},
};
use crate::{
    report::{Findings, Place},
    ron::{Entry, Value},
};

/// Services, their channels, filters and certificate.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) services: Vec<Entry>,
    pub(super) channels: Vec<Entry>,
    pub(super) milters: Vec<Entry>,
    pub(super) tls: Option<Entry>,
    /// Restrictions that ask tables.
    pub(super) checks: Vec<AccessCheck>,
    /// Services whose restrictions let clients of `mynetworks` relay, and those whose do not.
    pub(super) relaying: (Vec<String>, Vec<String>),
}

pub(super) fn incoming(
    main: &MainCf,
    services: &[MasterService],
    findings: &mut Findings,
) -> Incoming {
    let mut new = Incoming::default();
    let screen = |its: &&MasterService| its.program == "postscreen" && its.kind == "inet";
    let behind = services.iter().find(|its| its.program == "smtpd" && its.kind == "pass");
    let mut needs_tls = false;
    for service in services {
        let is_screen = screen(&service);
        if !(is_screen || service.program == "smtpd" && service.kind == "inet") {
            continue;
        }
        if is_screen {
            let why = "there is no postscreen: its port is that of the service itself";
            findings.missing(&service.line.place, &service.name, why);
        }
        let rules = if is_screen { behind.unwrap_or(service) } else { service };
        needs_tls |= one(main, service, rules, &mut new, findings);
    }
    if needs_tls {
        new.tls = Some(tls(main, findings));
    }
    new
}

/// Adds a service and its channel; whether it speaks TLS.
fn one(
    main: &MainCf,
    service: &MasterService,
    rules: &MasterService,
    new: &mut Incoming,
    findings: &mut Findings,
) -> bool {
    let place = &service.line.place;
    let Some((address, port)) = listens(&service.name) else {
        findings.missing(place, &service.name, "no port that is known here");
        return false;
    };
    let label = if service.name == "smtp" { "SMTP".to_owned() } else { label(&service.name) };
    let is_first = new.channels.is_empty();
    let channel =
        if is_first { "smtpd".to_owned() } else { format!("smtpd_{}", label.to_ascii_lowercase()) };
    let of = |name: &str| of_service(main, rules, name).unwrap_or_default();
    let wraps = of("smtpd_tls_wrappermode") == "yes";
    let level = match of("smtpd_tls_security_level").as_str() {
        "may" => "May",
        "encrypt" => "Must",
        _ if of("smtpd_enforce_tls") == "yes" => "Must",
        _ if of("smtpd_use_tls") == "yes" => "May",
        _ => "No",
    };
    let asks_login = of("smtpd_sasl_auth_enable") == "yes";
    let mut fields = vec![Entry::word("program", "Smtp"), Entry::text("channel", &channel)];
    let address = address.or_else(|| interface(main, place, findings));
    fields.extend(address.map(|address| Entry::text("interface_address", &address)));
    let ports = Value::List(vec![Entry::word("", &port.to_string())]);
    fields.push(Entry::new(if wraps { "tls_ports" } else { "ports" }, ports));
    if port != 25 && asks_login {
        let why = "its users log in, and relais knows users by its directory: the service is off until there is one";
        findings.missing(place, &format!("{}: users", service.name), why);
        fields.push(Entry::word("enable", "false"));
    }
    if let Some(limit) = of_service(main, rules, "smtpd_client_connection_count_limit") {
        fields
            .extend(limit.parse::<u32>().ok().map(|n| Entry::word("client_conns", &n.to_string())));
    }
    fields.extend(proxies(main, rules, findings));
    let Restrictions { checks, block_lists, networks_relay } =
        restrictions::read(main, rules, (&channel, port), findings);
    new.checks.extend(checks);
    let of_relaying = if networks_relay { &mut new.relaying.0 } else { &mut new.relaying.1 };
    of_relaying.push(label.clone());
    let lists = Value::texts(block_lists.iter().map(String::as_str));
    fields.extend((!block_lists.is_empty()).then(|| Entry::new("dns_verify_domain", lists)));
    fields.extend(milters(main, rules, new, findings));
    let mut comments = vec![service.line.comment()];
    if service.line.place != rules.line.place {
        comments.push(rules.line.comment());
    }
    new.services.push(Entry::new(&label, Value::Section("", fields)).said_all(comments));
    let mut fields = vec![
        Entry::text("name", &channel),
        Entry::text("tag", &super::ways::tag(&channel)),
        Entry::word("program", "Smtp"),
    ];
    let (sources, mut comments) = source(main, rules);
    let mut made = sources;
    if level != "No" {
        made.push(("tls.server", Value::Word(level.to_owned())));
        comments.extend(main.line("smtpd_tls_security_level").map(crate::source::Line::comment));
    }
    fields.extend(grouped(made));
    new.channels.push(Entry::new("", Value::Section("", fields)).said_all(comments));
    wraps || level != "No"
}

/// Address and port of the first field of an entry.
fn listens(name: &str) -> Option<(Option<String>, u16)> {
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) => (Some(host.trim_matches(['[', ']']).to_owned()), port),
        None => (None, name),
    };
    let port = match port {
        "smtp" => 25,
        "submission" => 587,
        "smtps" | "submissions" | "urd" => 465,
        port => port.parse().ok()?,
    };
    let host = host.map(|host| if host == "localhost" { "127.0.0.1".to_owned() } else { host });
    match &host {
        Some(host) if host.parse::<std::net::IpAddr>().is_err() => None,
        _ => Some((host, port)),
    }
}

/// The one address of `inet_interfaces`.
fn interface(main: &MainCf, place: &Place, findings: &mut Findings) -> Option<String> {
    let words = main.list("inet_interfaces");
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["all"] | [] => None,
        ["loopback-only" | "localhost"] => Some("127.0.0.1".to_owned()),
        [one] if one.parse::<std::net::IpAddr>().is_ok() => Some(one.to_owned()),
        _ => {
            let why = "a service has one address or all: each further one is a service of its own";
            findings.missing(place, &format!("inet_interfaces = {}", words.join(" ")), why);
            None
        }
    }
}

fn label(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let plain = plain.trim_matches('_').to_ascii_uppercase();
    plain.chars().take(26).collect()
}

/// Settings of a source channel, and the lines that they come from.
fn source(main: &MainCf, rules: &MasterService) -> (Vec<(&'static str, Value)>, Vec<String>) {
    let (mut made, mut comments) = (Vec::new(), Vec::new());
    let limit = of_service(main, rules, "message_size_limit");
    let size = limit.unwrap_or_else(|| main.get("message_size_limit"));
    match size.parse::<u64>() {
        Ok(0) => made.push(("sourceblocklimit", Value::text("1TiB"))),
        Ok(n) => made.push(("sourceblocklimit", Value::Word(n.max(1_024).to_string()))),
        Err(_) => {}
    }
    comments.push(match main.line("message_size_limit") {
        Some(line) => line.comment(),
        None => format!("message_size_limit = {size}, as Postfix has it by default"),
    });
    let names = main.own.keys().map(String::as_str);
    for name in names.chain(rules.overrides.iter().map(|(name, _)| name.as_str())) {
        let Some(Counterpart::Source(path, form)) = parameters::find(name) else { continue };
        let value = of_service(main, rules, name).unwrap_or_default();
        if path == "client_conns" || made.iter().any(|(known, _)| *known == path) {
            continue;
        }
        if let Some(value) = form.of(&value) {
            made.push((path, value));
            comments.extend(main.line(name).map(crate::source::Line::comment));
        }
    }
    (made, comments)
}

/// Networks of `smtpd_authorized_xclient_hosts`.
fn proxies(main: &MainCf, rules: &MasterService, findings: &mut Findings) -> Option<Entry> {
    let name = "smtpd_authorized_xclient_hosts";
    let place = main.line(name).map_or(&rules.line.place, |line| &line.place);
    let mut networks = Vec::new();
    for word in words(&of_service(main, rules, name)?) {
        let bare = word.replace(['[', ']'], "");
        if bare.parse::<relais_config::grammar::Network>().is_ok() {
            networks.push(bare);
        } else {
            findings.missing(place, &format!("{name}: {word}"), "xclient lists networks alone");
        }
    }
    let networks = Value::texts(networks.iter().map(String::as_str));
    Some(
        Entry::new("xclient", networks).said_all(main.line(name).map(crate::source::Line::comment)),
    )
}

/// The filters of a service, by names of our own.
fn milters(
    main: &MainCf,
    rules: &MasterService,
    new: &mut Incoming,
    findings: &mut Findings,
) -> Option<Entry> {
    let value = of_service(main, rules, "smtpd_milters").unwrap_or_default();
    let place = main.line("smtpd_milters").map_or(&rules.line.place, |line| &line.place);
    let mut names = Vec::new();
    for word in words(&value) {
        let mut parts = words(word.trim_matches(['{', '}'])).into_iter();
        let inner = parts.next().unwrap_or_default();
        let options: Vec<String> = parts.collect();
        let socket = match inner.split_once(':') {
            Some(("unix" | "local", path)) if path.starts_with('/') => format!("unix:{path}"),
            Some(("unix" | "local", path)) => {
                format!("unix:{}/{path}", main.get("queue_directory"))
            }
            Some(("inet", rest)) => match rest.split_once('@') {
                Some((port, host)) => format!("inet:{host}:{port}"),
                None => format!("inet:{rest}"),
            },
            _ => {
                findings.missing(place, &format!("smtpd_milters: {word}"), "no socket of a filter");
                continue;
            }
        };
        let known = new.milters.iter().position(|its| {
            matches!(&its.value, Value::Section(_, fields) if fields.iter().any(|field| {
                matches!(&field.value, Value::Word(word) if *word == crate::ron::quoted(&socket))
            }))
        });
        let at = known.unwrap_or(new.milters.len());
        let name = format!("milter{}", at + 1);
        if known.is_none() {
            let mut fields = vec![Entry::text("socket", &socket)];
            fields.extend(milter_options(main, &options, (place, findings)));
            new.milters.push(
                Entry::new(&name, Value::Section("", fields))
                    .said(format!("{place}: smtpd_milters: {word}")),
            );
        }
        names.push(name);
    }
    (!names.is_empty())
        .then(|| Entry::new("milters", Value::texts(names.iter().map(String::as_str))))
}

/// Settings of one filter: its own, else those of all.
fn milter_options(
    main: &MainCf,
    options: &[String],
    (place, findings): (&Place, &mut Findings),
) -> Vec<Entry> {
    let mut own: Vec<(&str, &str)> = Vec::new();
    for option in options {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        if MILTER_TIMES.iter().any(|its| its.0 == name) || name == "default_action" {
            own.push((name, value.trim()));
        } else {
            let why = "no option of a filter that is known here";
            findings.missing(place, &format!("smtpd_milters: {option}"), why);
        }
    }
    let of = |name: &str| {
        let own = own.iter().find(|its| its.0 == name).map(|its| its.1.to_owned());
        let shared = format!("milter_{name}");
        own.or_else(|| main.line(&shared).map(|_| main.get(&shared)))
    };
    let action = match of("default_action").as_deref() {
        Some("accept") => "Accept",
        Some("reject") => "Reject",
        _ => "Tempfail",
    };
    let mut fields = vec![Entry::word("on_error", action)];
    for (name, path) in MILTER_TIMES {
        let value = of(name).and_then(|value| ValueForm::Time.of(&value));
        fields.extend(value.map(|value| Entry::new(path, value)));
    }
    fields
}

/// Certificate and key.
fn tls(main: &MainCf, findings: &mut Findings) -> Entry {
    let chains = main.list("smtpd_tls_chain_files");
    let (certificate, key) = match chains.first() {
        Some(file) => (file.clone(), file.clone()),
        None => (main.get("smtpd_tls_cert_file"), main.get("smtpd_tls_key_file")),
    };
    if chains.len() > 1 {
        let place = main.line("smtpd_tls_chain_files").map(|line| line.place.clone());
        let why = "further certificates belong into tls.more_certificates";
        findings.missing(&place.unwrap_or_default(), "smtpd_tls_chain_files", why);
    }
    let is_absent = certificate.is_empty() || certificate == "none";
    let (certificate, key) = if is_absent {
        let why = "TLS is offered without a certificate: relais needs one";
        findings.missing(&Place::of_file("main.cf"), "smtpd_tls_cert_file", why);
        ("/etc/relais/host.crt".to_owned(), "/etc/relais/host.key".to_owned())
    } else {
        (certificate, key)
    };
    let fields = vec![Entry::text("certificate", &certificate), Entry::text("key", &key)];
    let lines = ["smtpd_tls_chain_files", "smtpd_tls_cert_file", "smtpd_tls_key_file"];
    let comments =
        lines.iter().filter_map(|name| main.line(name)).map(crate::source::Line::comment);
    Entry::new("tls", Value::Section("", fields)).said_all(comments)
}

/// Times of a filter, and their names here.
const MILTER_TIMES: [(&str, &str); 3] = [
    ("connect_timeout", "connect_time"),
    ("command_timeout", "command_time"),
    ("content_timeout", "content_time"),
];
