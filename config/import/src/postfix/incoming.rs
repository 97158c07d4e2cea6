//! Services of `smtpd`, and the channels that mail comes in by.

use super::{
    access::{AccessCheck, AccessSubject, Spared},
    main_cf::{MainCf, words},
    master_cf::MasterService,
    parameters::{self, Counterpart},
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
    fields.extend(block_lists(main, rules, (&channel, port), (new, findings)));
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

/// DNS block lists of the restrictions.
fn block_lists(
    main: &MainCf,
    rules: &MasterService,
    (channel, port): (&str, u16),
    (new, findings): (&mut Incoming, &mut Findings),
) -> Option<Entry> {
    let mut lists = Vec::new();
    for name in RESTRICTIONS {
        let value = of_service(main, rules, name).unwrap_or_default();
        let place = main.line(name).map_or(&rules.line.place, |line| &line.place);
        let words = words(&value);
        let mut words = words.iter();
        let mut spares = Spared::default();
        while let Some(word) = words.next() {
            spares.networks |= word == "permit_mynetworks";
            spares.users |= word == "permit_sasl_authenticated";
            if let Some(subject) = AccessSubject::of(word)
                && let Some(table) = words.as_slice().first().filter(|its| its.contains(':'))
            {
                let (place, channel) = (place.clone(), channel.to_owned());
                let table = table.clone();
                new.checks.push(AccessCheck {
                    subject,
                    table,
                    list: name,
                    place,
                    channel,
                    port,
                    spares,
                });
                continue;
            }
            match word.as_str() {
                "reject_rbl_client" => {
                    let list = words.next().map_or("", String::as_str);
                    let domain = list.split('=').next().unwrap_or_default();
                    if list.contains('=') {
                        let why = "any answer of the list counts";
                        findings.missing(place, &format!("{name}: {word} {list}"), why);
                    }
                    if lists.len() < 5 && !lists.contains(&domain.to_owned()) {
                        lists.push(domain.to_owned());
                    }
                }
                word => restriction(word, words.as_slice().first(), (name, place), findings),
            }
        }
    }
    (!lists.is_empty())
        .then(|| Entry::new("dns_verify_domain", Value::texts(lists.iter().map(String::as_str))))
}

/// Tells of a restriction.
fn restriction(
    word: &str,
    next: Option<&String>,
    (name, place): (&str, &Place),
    findings: &mut Findings,
) {
    let of = match next.filter(|_| word.starts_with("check_")) {
        Some(next) => format!("{name}: {word} {next}"),
        None => format!("{name}: {word}"),
    };
    let why = match word {
        "permit_mynetworks"
        | "permit_sasl_authenticated"
        | "reject_unauth_destination"
        | "defer_unauth_destination"
        | "permit_auth_destination"
        | "permit"
        | "reject"
        | "reject_unlisted_recipient"
        | "reject_unauth_pipelining" => {
            return findings.tell(place, &of, crate::report::Fate::SameByDefault, "");
        }
        "check_client_access" => {
            "the mapping PORT_ACCESS: (\"TCP|*|25|192.0.2.7|*\", \"$N550$ no\")"
        }
        "check_sender_access" => {
            "the mapping FROM_ACCESS: (\"*|SMTP/*|MAIL|*|*@example.org|*\", \"$N no\")"
        }
        "check_recipient_access" => {
            "the mapping ORIG_SEND_ACCESS: (\"*|*|*|user@example.org\", \"$N no\")"
        }
        "check_helo_access" => "the mapping FROM_ACCESS sees the name behind SMTP/",
        "check_policy_service" => "no policy service is asked; a milter sees as much",
        word if word.starts_with("reject_rhsbl") => "no name is looked for in a block list",
        word if word.starts_with("reject_unknown") || word.starts_with("reject_unverified") => {
            "nothing is looked up about clients and senders; verify (spf, dkim, dmarc) judges them"
        }
        word if word.starts_with("reject_non_fqdn") || word.starts_with("reject_invalid") => {
            "names are taken as they are, but for what no envelope may have"
        }
        word if word.contains(':') => return,
        _ => "no restriction that is known here",
    };
    findings.missing(place, &of, why);
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
        let inner =
            word.trim_matches(['{', '}']).split(',').next().unwrap_or_default().trim().to_owned();
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
            let action = match main.get("milter_default_action").as_str() {
                "accept" => "Accept",
                "reject" => "Reject",
                _ => "Tempfail",
            };
            fields.push(Entry::word("on_error", action));
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

const RESTRICTIONS: [&str; 8] = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
    "smtpd_etrn_restrictions",
];
