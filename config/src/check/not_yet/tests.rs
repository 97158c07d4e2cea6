//! Whether every field is either in force or named.

use std::collections::BTreeSet;

use super::*;
use crate::file::{document::Document, form::print_section};

/// Every section there is.
const FULL: &str = r#"(
    host: "a.example", data: "/d", default_domain: "a.example",
    dispatcher: (services: {"S": (program: Smtp, channel: "c", ports: [25])}),
    tls: (certificate: "c", key: "k", more_certificates: [(certificate: "d", key: "l")]),
    dkim: (keys: [(domain: "a.example", selector: "s", key: "k")]),
    events: (file: "events.jsonl", webhook: "http://127.0.0.1:1/", traces: "http://127.0.0.1:2/"),
    srs: (domain: "a.example", secrets: "s"),
    channels: [(name: "c", tag: "t", program: Smtp, tls: (policies: {"a.test": ()})),
        (name: "x", tag: "x", program: Conversion)],
    job_controller: (pools: {"P": ()}),
    directory: DIRECTORY,
    delivery_options: ["*mailbox=$M@t"],
    store: (path: "s", partitions: {"two": "t"}, duplicates: ()),
    native: (path: "n"),
    programs: {"p": (command: ["/p"])},
    tls_reports: (sender: "a@a.example"),
    milters: {"m": (socket: "unix:/m")},
    conversions: [()],
)"#;

fn walk(path: &str, document: &Document, found: &mut BTreeSet<String>) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match document {
        Document::Section(fields) => {
            for (name, value) in fields {
                walk(&below(name), value, found);
            }
        }
        Document::Variant(_, inner) => walk(path, inner, found),
        Document::List(items)
            if [
                "channels",
                "tls.more_certificates",
                "dkim.keys",
                "conversions",
                "events.webhook",
            ]
            .contains(&path) =>
        {
            for item in items {
                walk(path, item, found);
            }
        }
        Document::Map(items)
            if ["services", "pools", "programs", "policies", "milters"]
                .iter()
                .any(|its| path.ends_with(its)) =>
        {
            for (_, item) in items {
                walk(path, item, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn every_field_is_in_force_or_named() {
    let mut found = BTreeSet::new();
    for directory in ["Ldif()", r#"Ldap(servers: ["ldap://x"], user_base: "o=x")"#] {
        let (config, _) = Config::parse("full", &FULL.replace("DIRECTORY", directory)).unwrap();
        walk("", &print_section(&config), &mut found);
    }
    // A section that is not there yet has one row for all of it.
    let row = |field: &String| {
        let mut around = field.as_str();
        loop {
            if NEEDS.iter().any(|(path, _)| *path == around) {
                return true;
            }
            let Some(end) = around.rfind('.') else { return false };
            around = &around[..end];
            let whole = NEEDS.iter().find(|(path, _)| *path == around);
            if !matches!(whole, Some((_, Need::Behaviour(_)))) {
                return false;
            }
        }
    };
    let without: Vec<_> = found.iter().filter(|field| !row(field)).collect();
    assert!(without.is_empty(), "no table says what these need: {without:?}");
    let part_of = |path: &str| {
        found.iter().any(|field| field == path || field.starts_with(&format!("{path}.")))
    };
    let gone: Vec<_> = NEEDS.iter().map(|(path, _)| path).filter(|p| !part_of(p)).collect();
    assert!(gone.is_empty(), "there is no such field: {gone:?}");
}

/// An engine with a queue or without, with more sections, and with more of one channel.
fn engine(queue: bool, sections: &str, channel: &str, more: &str) -> String {
    let smtp = r#""S": (program: Smtp, channel: "in", ports: [25]), "#;
    let rules = r#"rewrite_rules: [("$*", "$U%$H@out")],"#;
    let channels: Vec<String> = [
        ("l", "Local"),
        ("in", "Smtp"),
        ("out", "Lmtp"),
        ("store", "Lmtp"),
        ("process", "Process"),
        ("reprocess", "Reprocess"),
        ("hold", "Hold"),
    ]
    .iter()
    .map(|(name, program)| {
        let more = if *name == channel { more } else { "" };
        format!("(name: {name:?}, tag: {name:?}, program: {program}, {more})")
    })
    .collect();
    let own_rules = queue && !sections.contains("rewrite_rules");
    let jobs = queue && !sections.contains("job_controller");
    let own_store = !sections.contains("store: (");
    format!(
        r#"(host: "a.example", default_domain: "a.example", data: "/d",
        dispatcher: (services: {{ {}"L": (program: Lmtp, channel: "store", ports: [24]) }}),
        channels: [{}], {} {} {} {sections})"#,
        if queue { smtp } else { "" },
        channels.join(", "),
        if own_rules { rules } else { "" },
        if jobs { "job_controller: ()," } else { "" },
        if own_store { r#"store: (path: "s"),"# } else { "" },
    )
}

fn said(text: &str) -> Vec<(String, String)> {
    let report = crate::check("f.ron", text);
    let mistakes = report.mistakes.into_iter().map(|said| (said.field, said.message));
    let warnings = report.warnings.into_iter().map(|said| (said.field, said.message));
    mistakes.chain(warnings).collect()
}

/// Whether `text` is told of `field`, and `before`, which does not have it, is not.
#[track_caller]
fn is_named(field: &str, before: &str, text: &str, want: bool) {
    let name = field.rsplit('.').next().unwrap();
    let section = field.split('.').next().unwrap();
    let (known, said) = (said(before), said(text));
    let news: Vec<_> = said.iter().filter(|said| !known.contains(said)).collect();
    let named = |(place, message): &&&(String, String)| {
        place.rsplit('.').next() == Some(name)
            || place.split('[').next() == Some(section) && !place.starts_with("channels")
            || message.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == name)
    };
    let right = if want { news.iter().any(|said| named(&said)) } else { news.is_empty() };
    assert!(right, "{field}, to be named: {want}: {news:#?}\n{text}");
}

/// Channels for which it does something, and for which it does not.
fn cases(role: Role) -> (&'static [&'static str], &'static [&'static str]) {
    match role {
        Role::Source => (&["in", "store"], &["out", "hold"]),
        Role::SmtpSource | Role::Switching => (&["in"], &["store", "out"]),
        Role::Rewriting => (&["in", "process", "hold", "l"], &["store", "out"]),
        Role::RewritingOrDestination => (&["in", "process", "l", "out"], &["store"]),
        Role::LmtpSource => (&["store"], &["in", "out"]),
        Role::Destination => (&["out"], &["store", "process", "l"]),
        Role::DestinationOrLocal => (&["out", "l"], &["store", "process"]),
        Role::Connecting => (&["out"], &["hold", "process", "reprocess", "l"]),
        Role::Delivering => (&["out"], &["hold", "in", "store"]),
        Role::SmtpDelivering => (&["in"], &["hold", "out", "store"]),
        Role::SourceOrDelivering => (&["in", "out", "store"], &["hold", "process"]),
        Role::Served => (&["out", "hold", "reprocess"], &["process", "in", "l"]),
        Role::Local => (&["l"], &["out", "hold"]),
    }
}

/// An engine with this value of a field in a channel, or without, and with what the field wants
/// beside it.
fn with_beside(field: &str, (queue, channel): (bool, &str), value: &str) -> String {
    let beside = BESIDE.iter().find(|(name, ..)| *name == field);
    let (beside, sections) = beside.map_or(("", ""), |(_, beside, sections)| (beside, sections));
    let own =
        |name: &str| if value.is_empty() { String::new() } else { format!("{name}: {value}") };
    let more = field.strip_prefix("channels.").map(|name| match name.split_once('.') {
        Some((part, name)) => format!("{part}: ({beside} {})", own(name)),
        None => format!("{beside} {}", own(name)),
    });
    engine(queue, sections, channel, more.as_deref().unwrap_or_default())
}

#[test]
fn options_are_applied_later_where_a_channel_does_it() {
    let options = r#"directory: Ldif(), delivery_options: ["*mailbox=$M@out", "&OPTION=*"],"#;
    for (option, is_flagged) in [("members", false), ("@members", true), ("$members", true)] {
        let with = engine(true, &options.replace("OPTION", option), "", "");
        let gone = r#"(name: "process", tag: "process", program: Process, )"#;
        let again = r#"(name: "reprocess", tag: "reprocess", program: Reprocess, )"#;
        assert!(with.contains(gone) && with.contains(again));
        let other = |name: &str| format!(r#"(name: "{name}", tag: "{name}", program: Hold)"#);
        let without = with.replace(gone, &other("p")).replace(again, &other("r"));
        for (text, want) in [(with, false), (without, is_flagged)] {
            let told = said(&text);
            let named = told.iter().any(|(field, _)| field == "delivery_options[1]");
            assert_eq!(named, want, "{option}: {told:#?}");
        }
    }
}

#[test]
fn pieces_wait_where_a_channel_gathers_them_and_nowhere_else() {
    let told = |channel: &str, more: &str| {
        let rules = r#"rewrite_rules: [("$*", "U%H@out")],"#;
        let text = if channel == "conversion" {
            let sections = format!("{rules} conversions: [(action: Hold)],");
            engine(true, &sections, "hold", more).replace("program: Hold", "program: Conversion")
        } else {
            engine(true, rules, channel, more)
        };
        let told = said(&text);
        let idle = told.into_iter().filter(|(field, _)| field.contains(".defragment"));
        idle.map(|(field, _)| field).collect::<Vec<_>>()
    };
    let rows: &[(&str, &str, &str)] = &[
        ("out", "defragment: true,", ""),
        ("out", "defragment: true, defragment_for: \"1h\",", ""),
        ("out", "defragment_for: \"1h\",", "defragment_for"),
        ("hold", "defragment: true,", "defragment"),
        ("reprocess", "defragment: true, defragment_for: \"1h\",", "defragment"),
        ("conversion", "defragment: true,", "defragment"),
    ];
    for (channel, more, want) in rows {
        let told = told(channel, more);
        let names: Vec<_> = told.iter().filter_map(|its| its.rsplit('.').next()).collect();
        assert_eq!(names.join(" "), *want, "{channel} {more}");
    }
}

#[test]
fn settings_of_names_are_told_of_where_no_name_is_looked_up() {
    let rules = r#"rewrite_rules: [("$*", "$U%$H@in")],"#;
    let told = |more: &str| {
        let told = said(&engine(true, rules, "in", more));
        let idle = told.into_iter().filter(|(field, _)| field.starts_with("channels[1]."));
        idle.map(|(field, _)| field).collect::<Vec<_>>().join(" ")
    };
    let both = r#"nameservers: ["127.0.0.1:53"], private_addresses: true"#;
    let rows = [
        ("", ""),
        ("mx: NoDns,", "channels[1].nameservers channels[1].private_addresses"),
        ("daemon: \"hub.example\",", "channels[1].private_addresses"),
        ("daemon: \"hub.example\", multigate: true,", "channels[1].daemon"),
        ("daemon: \"[127.0.0.1]\", lastresort: \"x.example\",", "channels[1].private_addresses"),
    ];
    for (beside, want) in rows {
        assert_eq!(told(&format!("{beside} {both}")), want, "{beside}");
    }
}

#[test]
fn a_field_is_silent_where_it_has_an_effect_and_named_where_it_has_none() {
    for (field, need) in NEEDS.iter() {
        if ALWAYS.contains(field) {
            assert!(matches!(need, Need::Nothing), "{field}");
            continue;
        }
        let value = VALUES.iter().find(|(name, _)| name == field);
        let Some((_, value)) = value else { panic!("no value for {field}") };
        let with = |queue, channel: &str, value: &str| with_beside(field, (queue, channel), value);
        let in_channel = |queue, channel: &str, want| {
            is_named(field, &with(queue, channel, ""), &with(queue, channel, value), want);
        };
        match need {
            Need::Role(role) => {
                let (works, idles) = cases(*role);
                let pairs = works.iter().map(|c| (c, false)).chain(idles.iter().map(|c| (c, true)));
                for (channel, want) in pairs {
                    in_channel(true, channel, want);
                }
                if !matches!(role, Role::Source | Role::LmtpSource | Role::SourceOrDelivering) {
                    let channel = works[0];
                    in_channel(false, channel, true);
                }
            }
            Need::Behaviour(_) if field.starts_with("channels.") => {
                for channel in ["in", "out", "hold", "l"] {
                    in_channel(true, channel, true);
                }
            }
            Need::Behaviour(_) if field.starts_with("dispatcher.") => {
                let before = engine(true, "", "", "");
                let text = before.replacen("ports: [25]", &format!("ports: [25], {value}"), 1);
                is_named(field, &before, &text, true);
            }
            Need::Behaviour(_) => {
                is_named(field, &engine(true, "", "", ""), &engine(true, value, "", ""), true);
            }
            Need::Queue => {
                is_named(field, &engine(true, "", "", ""), &engine(true, value, "", ""), false);
                is_named(field, &engine(false, "", "", ""), &engine(false, value, "", ""), true);
            }
            Need::Nothing => {
                let (_, works, before, idles) =
                    IDLE.iter().find(|(name, ..)| name == field).unwrap_or_else(|| {
                        panic!("where has {field} no effect? it is neither in ALWAYS nor in IDLE")
                    });
                let edit = |edits: Edits, value: &str| {
                    edits.iter().fold(engine(true, "", "", ""), |text, (from, to)| {
                        assert!(text.contains(from), "{from}: {text}");
                        text.replacen(from, &to.replace("VALUE", value), 1)
                    })
                };
                if !works.is_empty() {
                    is_named(field, &edit(works, ""), &edit(works, value), false);
                }
                is_named(field, &edit(before, ""), &edit(idles, value), true);
            }
        }
    }
}

#[test]
fn a_table_of_destinations_is_told_of_where_it_is_idle() {
    let with = |channel: &str, entry: &str| {
        let table = format!("tls: (policies: {{\"a.test\": ({entry})}})");
        let told = said(&engine(true, "", channel, &table));
        let of_table = |(_, message): &&(String, String)| message.contains("nothing comes of");
        told.iter().filter(of_table).map(|(_, message)| message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(with("out", "level: Encrypt"), [""; 0]);
    assert_eq!(with("out", "level: Verify, names: [\"b.test\"], ca: \"c\""), [""; 0]);
    let rows = [
        (
            "out",
            "level: May, names: [\"b.test\"]",
            "only level: Verify looks at it: nothing comes of names",
        ),
        ("out", "level: May, ca: \"c\"", "only level: Verify looks at it: nothing comes of ca"),
        ("out", "level: May, dane: true", "level stands above it: nothing comes of dane"),
        ("out", "level: May, mta_sts: true", "level stands above it: nothing comes of mta_sts"),
        (
            "hold",
            "level: May",
            "a channel of program Hold connects to no host: nothing comes of policies",
        ),
    ];
    for (channel, entry, want) in rows {
        assert_eq!(with(channel, entry), [want], "{channel} {entry}");
    }
}

/// Fields that have an effect in any file that has no mistake.
const ALWAYS: &[&str] = &[
    "events.file.path",
    "events.file.kinds",
    "events.file.size",
    "events.file.keep",
    "events.webhook.url",
    "events.webhook.name",
    "events.webhook.kinds",
    "events.webhook.batch",
    "events.webhook.wait",
    "events.webhook.timeout",
    "events.webhook.token_file",
    "events.webhook.secret_file",
    "events.webhook.ca",
    "events.webhook.size",
    "events.webhook.give_up",
    "events.traces.url",
    "events.traces.batch",
    "events.traces.wait",
    "events.traces.timeout",
    "events.traces.token_file",
    "events.traces.ca",
    "events.traces.size",
    "events.traces.give_up",
    "history.days",
    "history.size",
    "history.path",
    "history.stores",
    "conversions.in_channel",
    "conversions.out_channel",
    "conversions.in_type",
    "conversions.in_subtype",
    "conversions.in_parameters",
    "conversions.in_disposition",
    "conversions.in_dparameters",
    "conversions.in_filename",
    "conversions.part_maximum_size",
    "conversions.part_maximum_blocks",
    "conversions.signed",
    "conversions.action",
    "conversions.text",
    "conversions.program",
    "conversions.out_type",
    "conversions.out_subtype",
    "conversions.out_parameters",
    "conversions.out_disposition",
    "conversions.out_dparameters",
    "conversions.output_size",
    "conversions.memory",
    "conversions.keep_status",
    "conversions.delete_status",
    "conversions.bounce_status",
    "conversions.hold_status",
    "conversions.options",
    "conversions.go_on",
    "host",
    "data",
    "default_domain",
    "dispatcher.services.program",
    "dispatcher.services.channel",
    "dispatcher.services.interface_address",
    "dispatcher.services.ports",
    "dispatcher.services.tls_ports",
    "dispatcher.services.socket",
    "dispatcher.services.min_procs",
    "dispatcher.services.max_procs",
    "dispatcher.services.min_conns",
    "dispatcher.services.max_conns",
    "dispatcher.services.max_shutdown",
    "dispatcher.services.max_life_time",
    "dispatcher.services.max_life_conns",
    "dispatcher.services.max_idle_time",
    "dispatcher.services.historical_time",
    "dispatcher.services.backlog",
    "dispatcher.services.stress",
    "dispatcher.services.max_handoffs",
    "dispatcher.services.enable",
    "channels.name",
    "channels.tag",
    "channels.program",
    "max_shutdown",
    "admin.listen",
    "admin.recent",
    "admin.audit",
    "watch",
    "dns.servers",
    // Of an entry as a whole something is told: a_table_of_destinations_is_told_of_where_it_is_idle.
    "channels.tls.policies.level",
    "channels.tls.policies.dane",
    "channels.tls.policies.mta_sts",
    "channels.tls.policies.names",
    "channels.tls.policies.ca",
    "channels.tls.policies.min_version",
];

/// Replacements in a file: from, to.
type Edits = &'static [(&'static str, &'static str)];

/// Of fields of other sections: where they have an effect, and what makes them idle, without
/// them and with them.
const IDLE: &[(&str, Edits, Edits, Edits)] = &[
    (
        "dispatcher.services.socket_mode",
        &[("ports: [25]", "socket: \"/s\", VALUE")],
        &[],
        &[("ports: [25]", "ports: [25], VALUE")],
    ),
    (
        "dispatcher.services.socket_owner",
        &[("ports: [25]", "socket: \"/s\", VALUE")],
        &[],
        &[("ports: [25]", "ports: [25], VALUE")],
    ),
    (
        "dispatcher.services.socket_group",
        &[("ports: [25]", "socket: \"/s\", socket_mode: \"0660\", VALUE")],
        &[],
        &[("ports: [25]", "ports: [25], VALUE")],
    ),
    ("dispatcher.services.proxy_protocol", AT_PORT, SOCKET, AT_SOCKET),
    ("dispatcher.services.xclient", AT_PORT, SOCKET, AT_SOCKET),
    ("dispatcher.services.client_conns", AT_PORT, SOCKET, AT_SOCKET),
    ("dispatcher.services.prefix_conns", AT_PORT, SOCKET, AT_SOCKET),
    ("dispatcher.services.prefix_ipv4", AT_PORT, SOCKET, AT_SOCKET),
    ("dispatcher.services.prefix_ipv6", AT_PORT, SOCKET, AT_SOCKET),
    ("dispatcher.services.unlimited_clients", AT_PORT, SOCKET, AT_SOCKET),
    ("dispatcher.services.dns_verify_domain", AT_PORT, SOCKET, AT_SOCKET),
    ("dispatcher.services.dns_verify_time", AT_PORT, SOCKET, AT_SOCKET),
    ("mappings", &[], &[], &[("store: (", "VALUE, store: (")]),
    ("general", &[], &[], &[("store: (", "VALUE, store: (")]),
    (
        "admin.names",
        &[("store: (", "admin: (listen: \"127.0.0.1:1\", VALUE), store: (")],
        &[],
        &[("store: (", "admin: (VALUE), store: (")],
    ),
    (
        "admin.audit_size",
        &[("store: (", "admin: (VALUE), store: (")],
        &[],
        &[("store: (", "admin: (audit: Off, VALUE), store: (")],
    ),
    (
        "admin.audit_files",
        &[("store: (", "admin: (VALUE), store: (")],
        &[],
        &[("store: (", "admin: (audit: Off, VALUE), store: (")],
    ),
    (
        "admin.tls",
        &[(
            "store: (",
            "tls: (certificate: \"c\", key: \"k\"), admin: (listen: \"127.0.0.1:1\", VALUE), store: (",
        )],
        &[],
        &[("store: (", "tls: (certificate: \"c\", key: \"k\"), admin: (VALUE), store: (")],
    ),
    (
        "admin.token_file",
        &[(
            "store: (",
            "tls: (certificate: \"c\", key: \"k\"), admin: (listen: \"127.0.0.1:1\", tls: true, VALUE), store: (",
        )],
        &[],
        &[("store: (", "admin: (listen: \"127.0.0.1:1\", VALUE), store: (")],
    ),
    (
        "accounts",
        &[
            ("program: Local, ", "program: Local, mailbox_transport: \"out:\", "),
            ("store: (", "VALUE store: ("),
        ],
        &[],
        &[("store: (", "VALUE store: (")],
    ),
    ("programs.command", &[], &[], &[("store: (", "programs: {\"x\": (VALUE)}, store: (")]),
    ("programs.user", RUNS, &[], RUNS_NONE),
    ("programs.group", RUNS, &[], RUNS_NONE),
    ("programs.directory", RUNS, &[], RUNS_NONE),
    ("programs.timeout", RUNS, &[], RUNS_NONE),
    ("programs.output", RUNS, &[], RUNS_NONE),
    ("programs.from_line", RUNS, &[], RUNS_NONE),
    ("programs.return_path", RUNS, &[], RUNS_NONE),
    ("programs.delivered_to", RUNS, &[], RUNS_NONE),
    ("programs.crlf", RUNS, &[], RUNS_NONE),
    ("milters.socket", &[], &[], &[("store: (", "milters: {\"m\": (VALUE)}, store: (")]),
    ("milters.on_error", ASKS, &[], ASKS_NONE),
    ("milters.connect_time", ASKS, &[], ASKS_NONE),
    ("milters.command_time", ASKS, &[], ASKS_NONE),
    ("milters.content_time", ASKS, &[], ASKS_NONE),
    ("milters.macros", ASKS, &[], ASKS_NONE),
    (
        "dispatcher.services.milters",
        &[
            ("ports: [25]", "ports: [25], VALUE"),
            ("store: (", "milters: {\"m\": (socket: \"unix:/m\")}, store: ("),
        ],
        &[("store: (", "milters: {\"m\": (socket: \"unix:/m\")}, store: (")],
        &[
            ("ports: [24]", "ports: [24], VALUE"),
            ("store: (", "milters: {\"m\": (socket: \"unix:/m\")}, store: ("),
        ],
    ),
    ("srs.domain", &[], &[], SRS_UNUSED),
    ("srs.secrets", &[], &[], SRS_UNUSED),
    ("srs.max_age", SRS, &[], SRS_UNUSED),
    ("srs.own_domains", SRS, &[], SRS_UNUSED),
    ("srs.addresses", SRS, &[], SRS_UNUSED),
    ("dkim.keys.domain", &[], &[], DKIM_UNUSED),
    ("dkim.keys.selector", &[], &[], DKIM_UNUSED),
    ("dkim.keys.key", &[], &[], DKIM_UNUSED),
    ("dkim.keys.subdomains", &[], &[], DKIM_UNUSED),
    ("dkim.headers", DKIM, &[], DKIM_UNUSED),
    ("dkim.oversign", DKIM, &[], DKIM_UNUSED),
    ("dkim.header_form", DKIM, &[], DKIM_UNUSED),
    ("dkim.body_form", DKIM, &[], DKIM_UNUSED),
    ("dkim.expire", DKIM, &[], DKIM_UNUSED),
    ("tls.certificate", &[], &[], TLS_UNUSED),
    ("tls.key", &[], &[], TLS_UNUSED),
    ("tls.more_certificates.certificate", &[], &[], TLS_UNUSED),
    ("tls.more_certificates.key", &[], &[], TLS_UNUSED),
    ("tls.min_version", TLS, &[], TLS_UNUSED),
    ("tls.session_tickets", TLS, &[], TLS_UNUSED),
    ("tls.handshake_time", TLS, &[], TLS_UNUSED),
    ("tls.client_ca", TLS, &[], TLS_UNUSED),
    ("dns.trust_anchor", DANE, &[], DANE_UNUSED),
    ("mta_sts.ca", MTA_STS, &[], DANE_UNUSED),
    ("mta_sts.private_addresses", MTA_STS, &[], DANE_UNUSED),
    ("authentication.failure_time", AUTH, &[], AUTH_UNUSED),
    ("authentication.max_failures", AUTH, &[], AUTH_UNUSED),
    ("authentication.max_user_failures", AUTH, &[], AUTH_UNUSED),
    ("authentication.failure_window", AUTH, &[], AUTH_UNUSED),
    ("native.path", &[], NO_LOCAL, NATIVE_UNUSED),
    ("native.files.folders", NATIVE, NO_LOCAL, NATIVE_UNUSED),
    (
        "native.files.user",
        &[("store: (", "native: (path: \"n\", files: (folders: [\"/f\"], VALUE)), store: (")],
        &[],
        &[("store: (", "native: (path: \"n\", files: (VALUE)), store: (")],
    ),
    ("store.path", &[], NO_STORE, STORE_UNUSED),
    ("store.autocreate", &[("path: \"s\"", "path: \"s\", VALUE")], NO_STORE, STORE_UNUSED),
    ("store.default_quota.size", &[("path: \"s\"", "path: \"s\", VALUE")], NO_STORE, STORE_UNUSED),
    ("store.partitions", &[("path: \"s\"", "path: \"s\", VALUE")], NO_STORE, STORE_UNUSED),
    ("store.stress_at", &[("path: \"s\"", "path: \"s\", VALUE")], NO_STORE, STORE_UNUSED),
    ("store.duplicates.window", &[("path: \"s\"", "path: \"s\", VALUE")], NO_STORE, STORE_UNUSED),
    ("store.duplicates.most", &[("path: \"s\"", "path: \"s\", VALUE")], NO_STORE, STORE_UNUSED),
    (
        "store.default_quota.messages",
        &[("path: \"s\"", "path: \"s\", VALUE")],
        NO_STORE,
        STORE_UNUSED,
    ),
    ("store.quota_grace", &[("path: \"s\"", "path: \"s\", VALUE")], NO_STORE, STORE_UNUSED),
];
const AT_PORT: Edits = &[("ports: [25]", "ports: [25], VALUE")];
const SOCKET: Edits = &[("ports: [25]", "socket: \"/s\"")];
const AT_SOCKET: Edits = &[("ports: [25]", "socket: \"/s\", VALUE")];
/// A certificate that a client of port 465 is shown.
/// A program that some mail goes to.
const RUNS: Edits = &[
    ("channels: [", "channels: [(name: \"p\", tag: \"p\", program: Pipe), "),
    ("store: (", "programs: {\"x\": (command: [\"/x\"], VALUE)}, store: ("),
];
const RUNS_NONE: Edits = &[("store: (", "programs: {\"x\": (command: [\"/x\"], VALUE)}, store: (")];
/// A filter that some mail meets.
const ASKS: Edits = &[
    ("ports: [25]", "ports: [25], milters: [\"m\"]"),
    ("store: (", "milters: {\"m\": (socket: \"unix:/m\", VALUE)}, store: ("),
];
const ASKS_NONE: Edits =
    &[("store: (", "milters: {\"m\": (socket: \"unix:/m\", VALUE)}, store: (")];
const TLS: Edits = &[
    ("ports: [25]", "ports: [25], tls_ports: [465]"),
    ("store: (", "tls: (certificate: \"c\", key: \"k\", VALUE), store: ("),
];
const TLS_UNUSED: Edits = &[(
    "store: (",
    "tls: (certificate: \"c\", key: \"k\", more_certificates: [(certificate: \"d\", key: \"l\")], \
     VALUE), store: (",
)];
/// Senders become addresses of ours.
const SRS: Edits = &[
    ("name: \"out\", tag: \"out\",", "name: \"out\", tag: \"out\", srs: Needed,"),
    ("store: (", "srs: (domain: \"a.example\", secrets: \"s\", VALUE), store: ("),
];
const SRS_UNUSED: Edits =
    &[("store: (", "srs: (domain: \"a.example\", secrets: \"s\", VALUE), store: (")];
/// Mail that leaves is signed.
const DKIM: Edits = &[
    ("name: \"out\", tag: \"out\",", "name: \"out\", tag: \"out\", dkim_sign: true,"),
    (
        "store: (",
        "dkim: (keys: [(domain: \"a.example\", selector: \"s\", key: \"k\")], VALUE), store: (",
    ),
];
const DKIM_UNUSED: Edits = &[(
    "store: (",
    "dkim: (keys: [(domain: \"a.example\", selector: \"s\", key: \"k\")], VALUE), store: (",
)];
const DANE: Edits = &[
    ("tag: \"out\", program: Lmtp, ", "tag: \"out\", program: Lmtp, tls: (dane: true), "),
    ("store: (", "VALUE, store: ("),
];
const MTA_STS: Edits = &[
    ("tag: \"out\", program: Lmtp, ", "tag: \"out\", program: Smtp, tls: (mta_sts: true), "),
    ("store: (", "VALUE, store: ("),
];
const DANE_UNUSED: Edits = &[("store: (", "VALUE, store: (")];
/// Somebody may log in.
const AUTH: Edits = &[
    ("ports: [25]", "tls_ports: [465]"),
    (
        "name: \"in\", tag: \"in\", program: Smtp,",
        "name: \"in\", tag: \"in\", program: Smtp, sasl: (server: May),",
    ),
    (
        "store: (",
        "tls: (certificate: \"c\", key: \"k\"), VALUE, directory: Ldif(), delivery_options: [\"*mailbox=$M@out\"], store: (",
    ),
];
const AUTH_UNUSED: Edits = &[("store: (", "VALUE, store: (")];
const NATIVE: Edits = &[("store: (", "native: (path: \"n\", VALUE), store: (")];
const NO_LOCAL: Edits = &[("program: Local", "program: Hold")];
const NATIVE_UNUSED: Edits =
    &[("program: Local", "program: Hold"), ("store: (", "native: (path: \"n\", VALUE), store: (")];
const NO_STORE: Edits =
    &[(LMTP, ""), ("store: (path: \"s\"),", ""), ("name: \"store\"", "name: \"in2\"")];
const STORE_UNUSED: Edits =
    &[(LMTP, ""), ("path: \"s\"", "path: \"s\", VALUE"), ("name: \"store\"", "name: \"in2\"")];
const LMTP: &str = "\"L\": (program: Lmtp, channel: \"store\", ports: [24])";

/// Fields that want others beside them: these, and sections.
const BESIDE: &[(&str, &str, &str)] = &[
    ("channels.private_addresses", "", r#"rewrite_rules: [("$*", "$U%$H@in")],"#),
    ("channels.chunking", "", r#"rewrite_rules: [("$*", "$U%$H@in")],"#),
    ("channels.sasl.scram", "server: May,", ""),
    ("channels.sasl.client", r#"credentials: "c","#, ""),
    ("channels.sasl.credentials", "client: May,", ""),
    ("channels.sasl.clear_passwords", r#"client: May, credentials: "c","#, ""),
    ("channels.tls.mta_sts", "", r#"rewrite_rules: [("$*", "$U%$H@in")],"#),
    ("channels.sasl.token_file", r#"client: May, credentials: "c","#, ""),
    ("channels.sasl.token_command", r#"client: May, credentials: "c","#, ""),
    ("channels.sasl.token_time", r#"client: May, credentials: "c", token_command: ["/t"],"#, ""),
    (
        "channels.dkim_sign",
        "",
        r#"dkim: (keys: [(domain: "a.example", selector: "s", key: "k")]),"#,
    ),
    ("channels.srs", "", r#"srs: (domain: "a.example", secrets: "s"),"#),
    ("channels.tls.implicit", "client: Must,", ""),
    ("channels.tls.verify", "client: Must,", ""),
    ("channels.tls.names", "client: Must,", ""),
    ("channels.tls.ca", "client: Must,", ""),
    ("channels.tls.certificate", r#"client: Must, key: "k","#, ""),
    ("channels.tls.key", r#"client: Must, certificate: "c","#, ""),
    ("channels.sender_must_match", "submit: true,", ""),
    ("channels.defragment_for", "defragment: true,", ""),
    ("channels.milters", "", r#"milters: {"m": (socket: "unix:/m")},"#),
    ("channels.tlsswitchchannel", "tls: (server: May),", r#"tls: (certificate: "c", key: "k"),"#),
    ("channels.saslswitchchannel", "sasl: (server: May),", ""),
    ("channels.user_messages_per_hour", "sasl: (server: May),", ""),
    ("channels.user_recipients_per_hour", "sasl: (server: May),", ""),
    ("channels.beyond_rates", "client_messages_per_hour: 9,", ""),
    ("channels.reverse", "", "reverse: (directory: true),"),
    ("channels.inner", "header_rules: true,", ""),
    ("channels.rewrite_signed", "header_rules: true,", ""),
];

/// Texts that are written for a field: its value for one of a channel, else the field and the
/// section that it stands in.
const VALUES: &[(&str, &str)] = &[
    ("channels.port", "2225"),
    ("channels.dkim_sign", "true"),
    ("channels.srs", "Needed"),
    ("srs.domain", ""),
    ("srs.secrets", ""),
    ("srs.max_age", "max_age: \"30d\""),
    ("srs.own_domains", "own_domains: [\"b.example\"]"),
    ("srs.addresses", "addresses: [\"192.0.2.1\"]"),
    ("channels.verify.spf", "Record"),
    ("channels.verify.dkim", "true"),
    ("channels.verify.dmarc", "Record"),
    ("channels.verify.max_signatures", "3"),
    ("channels.verify.time", r#""3s""#),
    ("channels.verify.keep_results", "true"),
    ("dkim.keys.domain", ""),
    ("dkim.keys.selector", ""),
    ("dkim.keys.key", ""),
    ("dkim.keys.subdomains", ""),
    ("dkim.headers", "headers: [\"From\"]"),
    ("dkim.oversign", "oversign: []"),
    ("dkim.header_form", "header_form: Simple"),
    ("dkim.body_form", "body_form: Simple"),
    ("dkim.expire", "expire: \"7d\""),
    ("programs.command", "command: [\"/p\"]"),
    ("programs.user", "user: \"mail\""),
    ("programs.group", "group: \"mail\""),
    ("programs.directory", "directory: \"/tmp\""),
    ("programs.timeout", "timeout: \"1m\""),
    ("programs.output", "output: 1"),
    ("programs.from_line", "from_line: true"),
    ("programs.return_path", "return_path: false"),
    ("programs.delivered_to", "delivered_to: false"),
    ("programs.crlf", "crlf: true"),
    ("milters.socket", "socket: \"unix:/m\""),
    ("milters.on_error", "on_error: Accept"),
    ("milters.connect_time", "connect_time: \"5s\""),
    ("milters.command_time", "command_time: \"5s\""),
    ("milters.content_time", "content_time: \"5s\""),
    ("milters.macros", "macros: {\"{daemon_name}\": \"x\"}"),
    ("dispatcher.services.milters", "milters: [\"m\"]"),
    ("channels.milters", r#"["m"]"#),
    ("channels.daemon", r#""[127.0.0.1]""#),
    ("channels.multigate", "true"),
    ("channels.connectcanonical", "true"),
    ("channels.dequeue_removeroute", "true"),
    ("channels.route_style", "Percents"),
    ("channels.private", "true"),
    ("channels.mx", "NoMx"),
    ("channels.nameservers", r#"["127.0.0.1:53"]"#),
    ("channels.interface_address", r#"["127.0.0.1"]"#),
    ("channels.private_addresses", "true"),
    ("channels.lastresort", r#""[127.0.0.1]""#),
    ("channels.copies", "Multiple"),
    ("channels.addrsperfile", "3"),
    ("channels.subdirs", "20"),
    ("channels.max_rcpt", "3"),
    ("channels.maxjobs", "3"),
    ("channels.threaddepth", "3"),
    ("channels.pool", r#""DEFAULT""#),
    ("channels.mailbox_busy_fast_retry", "true"),
    ("channels.max_client_threads", "3"),
    ("channels.filesperjob", "3"),
    ("channels.max_life_time", r#""1h""#),
    ("channels.max_life_conns", "3"),
    ("channels.sendpost", "Copy"),
    ("channels.warnpost", "Copy"),
    ("channels.viaaliasrequired", "true"),
    ("channels.aliaswild", "true"),
    ("channels.bangoverpercent", "true"),
    ("channels.percentonly", "true"),
    ("channels.routelocal", "true"),
    ("channels.rules", "false"),
    ("channels.flagtransfer", "true"),
    ("channels.trace", "true"),
    ("channels.defragment", "true"),
    ("channels.defragment_for", r#""1h""#),
    ("channels.fileinto", r#""$U+$S@$D""#),
    ("channels.sourcefilter", r#""a.sieve""#),
    ("channels.destinationfilter", r#""a.sieve""#),
    ("channels.destinations.scope", "Site"),
    ("channels.destinations.connections", "3"),
    ("channels.destinations.rate", r#""10/1m""#),
    ("channels.destinations.limits", r#"{"a.test": (messages: 1)}"#),
    ("channels.destinations.replies", r#"[(pattern: "421", suspend: "1m")]"#),
    ("channels.tls.server", "No"),
    ("channels.tls.client", "May"),
    ("channels.tls.implicit", "true"),
    ("channels.tls.verify", "false"),
    ("channels.tls.names", r#"["store.example"]"#),
    ("channels.tls.ca", r#""ca.crt""#),
    ("channels.tls.certificate", r#""c""#),
    ("channels.tls.key", r#""k""#),
    ("channels.proxy_header", "true"),
    ("channels.greeting_time", r#""1m""#),
    ("channels.data_transmit_time", r#""1m""#),
    ("channels.transaction_time", r#""1m""#),
    ("channels.connection_time", r#""1m""#),
    ("channels.connection_messages", "9"),
    ("channels.sasl.server", "No"),
    ("channels.sasl.without_tls", "false"),
    ("channels.sasl.scram", "true"),
    ("channels.sasl.client", "May"),
    ("channels.sasl.clear_passwords", "false"),
    ("channels.sasl.credentials", r#""c""#),
    ("channels.sasl.token_file", r#""t""#),
    ("channels.sasl.token_command", r#"["/t"]"#),
    ("channels.sasl.token_time", r#""9s""#),
    ("channels.sender_must_match", "false"),
    ("channels.submit", "true"),
    ("channels.switchchannel", "No"),
    ("channels.directory_away", "Queue"),
    ("channels.tlsswitchchannel", r#""in""#),
    ("channels.saslswitchchannel", r#""in""#),
    ("channels.remotehost", "true"),
    ("channels.defaulthost", r#""a.example""#),
    ("channels.asterisk_8bit", "false"),
    ("channels.reverse", "true"),
    ("channels.header_rules", "true"),
    ("channels.inner", "true"),
    ("channels.rewrite_signed", "true"),
    ("channels.mailbox_transport", r#""out:""#),
    ("channels.local_transport", r#""out:""#),
    ("channels.fallback_transport", r#""out:""#),
    ("channels.recipient_delimiter", r#""-""#),
    ("channels.subaddress", "Exact"),
    ("channels.sourceblocklimit", r#""1MiB""#),
    ("channels.holdlimit", "3"),
    ("channels.recipientlimit", "3"),
    ("channels.strict_envelopes", "true"),
    ("channels.forbid_unauth_pipelining", "true"),
    ("channels.commandlinelimit", "1024"),
    ("channels.max_line", "2048"),
    ("channels.downgrade", "Bounce"),
    ("channels.chunking", "Never"),
    ("channels.recipientcutoff", "9"),
    ("channels.deferralrejectlimit", "9"),
    ("channels.transactionlimit", "9"),
    ("channels.disconnecttransactionlimit", "9"),
    ("channels.disconnectrecipientlimit", "9"),
    ("channels.disconnectrejectlimit", "9"),
    ("channels.min_data_rate", "9"),
    ("channels.min_data_rate_time", r#""1m""#),
    ("channels.session_time", r#""1m""#),
    ("channels.session_size", r#""1MiB""#),
    ("channels.client_messages_per_hour", "9"),
    ("channels.client_recipients_per_hour", "9"),
    ("channels.user_messages_per_hour", "9"),
    ("channels.user_recipients_per_hour", "9"),
    ("channels.beyond_rates", "Hold"),
    ("channels.headersizelimit", "4096"),
    ("channels.headerfieldlimit", "30"),
    ("channels.forbid_nul", "false"),
    ("channels.disconnectcommandlimit", "3"),
    ("channels.disconnectbadcommandlimit", "3"),
    ("channels.command_receive_time", r#""1m""#),
    ("channels.data_receive_time", r#""1m""#),
    ("channels.connect_time", r#""1m""#),
    ("channels.command_transmit_time", r#""1m""#),
    ("channels.status_data_receive_time", r#""1m""#),
    ("channels.idle_time", r#""1m""#),
    ("channels.backoff", r#"["10m"]"#),
    ("channels.notices", r#"["1d"]"#),
    ("channels.urgentbackoff", r#"["10m"]"#),
    ("channels.urgentnotices", r#"["1d"]"#),
    ("channels.normalbackoff", r#"["10m"]"#),
    ("channels.normalnotices", r#"["1d"]"#),
    ("channels.nonurgentbackoff", r#"["10m"]"#),
    ("channels.nonurgentnotices", r#"["1d"]"#),
    ("channels.urgentblocklimit", "4096"),
    ("channels.normalblocklimit", "4096"),
    ("channels.nonurgentblocklimit", "4096"),
    ("dispatcher.services.socket_mode", r#"socket_mode: "0600""#),
    ("dispatcher.services.socket_owner", r#"socket_owner: "root""#),
    ("dispatcher.services.socket_group", r#"socket_group: "mail""#),
    ("dispatcher.services.proxy_protocol", r#"proxy_protocol: ["192.0.2.0/24"]"#),
    ("dispatcher.services.xclient", r#"xclient: ["192.0.2.0/24"]"#),
    ("dispatcher.services.client_conns", "client_conns: 9"),
    ("dispatcher.services.prefix_conns", "prefix_conns: 9"),
    ("dispatcher.services.prefix_ipv4", "prefix_ipv4: 16"),
    ("dispatcher.services.prefix_ipv6", "prefix_ipv6: 64"),
    ("dispatcher.services.unlimited_clients", r#"unlimited_clients: ["192.0.2.0/24"]"#),
    ("dispatcher.services.dns_verify_domain", r#"dns_verify_domain: ["bl.example"]"#),
    ("dispatcher.services.dns_verify_time", r#"dns_verify_time: "1s""#),
    ("tls.certificate", ""),
    ("tls.key", ""),
    ("tls.more_certificates.certificate", ""),
    ("tls.more_certificates.key", ""),
    ("tls.min_version", "min_version: Tls13"),
    ("tls.session_tickets", "session_tickets: 0"),
    ("tls.handshake_time", r#"handshake_time: "5s""#),
    ("tls.client_ca", r#"client_ca: "ca.crt""#),
    ("tls_reports.sender", r#"tls_reports: (sender: "a@a.example")"#),
    ("tls_reports.organization", r#"tls_reports: (sender: "a@a.example", organization: "A")"#),
    ("tls_reports.contact", r#"tls_reports: (sender: "a@a.example", contact: "b@a.example")"#),
    ("dns.trust_anchor", r#"dns: (trust_anchor: "k")"#),
    ("mta_sts.ca", r#"mta_sts: (ca: "ca.crt")"#),
    ("mta_sts.private_addresses", "mta_sts: (private_addresses: true)"),
    ("channels.tls.dane", "true"),
    ("channels.tls.mta_sts", "true"),
    ("authentication.failure_time", r#"authentication: (failure_time: "2s")"#),
    ("authentication.max_failures", "authentication: (max_failures: 9)"),
    ("authentication.max_user_failures", "authentication: (max_user_failures: 9)"),
    ("authentication.failure_window", r#"authentication: (failure_window: "5m")"#),
    ("mappings", r#"mappings: {"X": []}"#),
    ("general", r#"general: {"x": "y"}"#),
    ("rewrite_rules", r#"rewrite_rules: [("$*", "$U%$H@out")],"#),
    ("job_controller.max_messages", "job_controller: (max_messages: 50),"),
    ("job_controller.rebuild_parallel_channels", "job_controller: (rebuild_parallel_channels: 2),"),
    ("job_controller.keep_last_slot", "job_controller: (keep_last_slot: false),"),
    ("job_controller.pools.job_limit", r#"job_controller: (pools: {"DEFAULT": (job_limit: 3)}),"#),
    (
        "job_controller.pools.keep_last_slot",
        r#"job_controller: (pools: {"DEFAULT": (keep_last_slot: false)}),"#,
    ),
    ("directory.file", r#"directory: Ldif(file: "x"), delivery_options: ["*mailbox=$M@out"],"#),
    (
        "directory.servers",
        r#"directory: Ldap(user_base: "o=x", servers: ["ldap://y"]), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.starttls",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", starttls: true), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.ca",
        r#"directory: Ldap(user_base: "o=x", servers: ["ldaps://y"], ca: "c"), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.bind_dn",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", bind_dn: "cn=x", bind_password_file: "p"), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.bind_password_file",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", bind_dn: "cn=x", bind_password_file: "p"), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.user_base",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=y"), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.schema",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", schema: Schema1), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.domain_base",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", domain_base: "o=z"), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.domain_filter",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", domain_filter: "(o=$D)"), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.domains",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", schema: Mail, domains: ["x.example"]), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.alias_urls",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", alias_urls: ["ldap:///$B??sub?(mail=$A)"]), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.address_attributes",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", address_attributes: ["mail"]), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.login_filter",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", login_filter: "(cn=$U)"), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.user_classes",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", user_classes: ["person"]), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.group_classes",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", group_classes: ["group"]), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.attributes",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", attributes: {"uid": "cn"}), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.timeout",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", timeout: "3s"), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.max_connections",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", max_connections: 2), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.cache.entries",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", cache: (entries: 3)), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.cache.ttl",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", cache: (ttl: "3s")), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.max_answer",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", max_answer: "1MiB"), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.domain_uplevel",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", domain_uplevel: 3), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.domain_match_url",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", domain_match_url: "ldap:///$B??sub?(a=$D)"), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.url_cache.entries",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", url_cache: (entries: 3)), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.url_cache.ttl",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", url_cache: (ttl: "3s")), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.url_cache.negative_ttl",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", url_cache: (negative_ttl: "3s")), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    (
        "directory.cache.negative_ttl",
        r#"directory: Ldap(servers: ["ldap://localhost"], user_base: "o=x", cache: (negative_ttl: "3s")), delivery_options: ["*mailbox=$M@out"],"#,
    ),
    ("delivery_options", r#"directory: Ldif(), delivery_options: ["*mailbox=$M@out"],"#),
    ("spare_attributes", r#"spare_attributes: ["l"],"#),
    ("transport", r#"transport: {"x": "out:"},"#),
    ("virtual_alias", r#"virtual_alias: {"x@y": ["z@y"]},"#),
    ("aliases", r#"aliases: {"x": ["y@a.example"]},"#),
    ("aliases_first", "aliases_first: true,"),
    ("domain_database", r#"domain_database: {"x.example": "$U@y.example@out"},"#),
    ("reverse.database", r#"reverse: (database: {"x@y.example": "z@y.example"}),"#),
    ("reverse.directory", "reverse: (directory: true),"),
    ("reverse.channels", "reverse: (channels: true),"),
    ("reverse.envelope", "reverse: (envelope: false),"),
    ("reverse.all", "reverse: (all: false),"),
    ("forward.database", r#"forward: (database: {"x@y.example": "z@y.example"}),"#),
    ("forward.senders", "forward: (senders: true),"),
    ("accounts", r#"accounts: "/x","#),
    ("notary.postmaster", r#"notary: (postmaster: "x@a.example"),"#),
    ("notary.language", r#"notary: (language: "de"),"#),
    ("notary.templates", r#"notary: (templates: "t"),"#),
    ("notary.double_bounces", "notary: (double_bounces: Log),"),
    ("notary.content_return_limit", "notary: (content_return_limit: 4096),"),
    ("autoreply.max_per_hour", "autoreply: (max_per_hour: 7),"),
    ("sieve.users", "sieve: (users: false),"),
    (
        "sieve.files",
        r#"directory: Ldif(), delivery_options: ["*mailbox=$M@out"], sieve: (files: "s/$U"),"#,
    ),
    ("sieve.before", r#"sieve: (before: "b.sieve"),"#),
    ("sieve.after", r#"sieve: (after: "a.sieve"),"#),
    ("sieve.max_script_size", r#"sieve: (max_script_size: "8KiB"),"#),
    ("sieve.memory", r#"sieve: (memory: "64MiB"),"#),
    ("sieve.max_body", r#"sieve: (max_body: "8KiB"),"#),
    ("sieve.max_time", r#"sieve: (max_time: "20ms"),"#),
    ("sieve.max_redirects", "sieve: (max_redirects: 7),"),
    ("max_received_lines", "max_received_lines: 7,"),
    ("max_local_received_lines", "max_local_received_lines: 7,"),
    ("spool.segment_size", r#"spool: (segment_size: "8MiB"),"#),
    ("spool.large_message", r#"spool: (large_message: "1MiB"),"#),
    ("spool.min_free", r#"spool: (min_free: "1GiB"),"#),
    ("admin.names", r#"names: ["x.example"]"#),
    ("admin.audit_size", r#"audit_size: "1MiB""#),
    ("admin.audit_files", "audit_files: 3"),
    ("admin.tls", "tls: true"),
    ("admin.token_file", r#"token_file: "token""#),
    ("native.path", ""),
    ("native.files.folders", r#"files: (folders: ["/f"])"#),
    ("native.files.user", r#"user: "nobody""#),
    ("store.path", ""),
    ("store.autocreate", "autocreate: Inbox"),
    ("store.partitions", r#"partitions: {"two": "t"}"#),
    ("store.stress_at", r#"stress_at: "2s""#),
    ("store.duplicates.window", r#"duplicates: (window: "1h")"#),
    ("store.duplicates.most", "duplicates: (most: 10)"),
    ("store.default_quota.size", r#"default_quota: (size: "1GiB")"#),
    ("store.default_quota.messages", "default_quota: (messages: 10)"),
    ("store.quota_grace", r#"quota_grace: "2d""#),
];
