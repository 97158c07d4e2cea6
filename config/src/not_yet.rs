//! Fields whose behaviour is not there yet.
//!
//! One row for each: a field that is given a value which would need it is warned about, never
//! ignored in silence. A row goes when the behaviour comes.

use std::collections::HashSet;

use crate::{
    Channel, Config, Directory, Service,
    channel::{Mx, Program, Switch},
    consistency::{KNOWN_TABLES, literal_tags, transports},
    dispatcher::{self, Limits},
    reader::Reader,
    tls::{Insist, Sides},
};

/// Warns about everything in `config` that will not be done.
pub(crate) fn warn(config: &Config, reader: &mut Reader<'_>) {
    for row in WHOLE {
        if (row.needed)(config) {
            reader.warning_at(row.field, row.message, row.blocks_run);
        }
    }
    for service in &config.dispatcher.services {
        let name = crate::source::shorten(&service.name);
        for row in SERVICES.iter().filter(|row| (row.needed)(service)) {
            let path = format!("dispatcher.services[{name:?}].{}", row.field);
            reader.warning_at(&path, row.message, row.blocks_run);
        }
    }
    let (tags, names) = routed(config);
    for (i, channel) in config.channels.iter().enumerate() {
        for row in CHANNELS.iter().filter(|row| (row.needed)(channel)) {
            reader.warning_at(&format!("channels[{i}].{}", row.field), row.message, row.blocks_run);
        }
        if let Some(message) = program_not_yet(channel.program)
            && (tags.contains(&channel.tag.to_ascii_lowercase())
                || names.contains(channel.name.as_str()))
        {
            reader.warning_at(&format!("channels[{i}].program"), message, false);
        }
    }
    warn_of_tables(config, reader);
    warn_of_aliases(config, reader);
}

/// A field and what to say when its value needs what is not there.
struct Row<T> {
    field: &'static str,
    needed: fn(&T) -> bool,
    message: &'static str,
    blocks_run: bool,
}

const fn row<T>(field: &'static str, needed: fn(&T) -> bool, message: &'static str) -> Row<T> {
    Row { field, needed, message, blocks_run: false }
}

const fn blocking<T>(field: &'static str, needed: fn(&T) -> bool, message: &'static str) -> Row<T> {
    Row { field, needed, message, blocks_run: true }
}

const WHOLE: &[Row<Config>] = &[
    row("tls", |c| c.tls.is_some(), "TLS is not there yet: the certificate is not used"),
    blocking(
        "directory",
        |c| matches!(c.directory, Some(Directory::Ldap(_))),
        "LDAP is not there yet: the engine will not start with it; Ldif(file: \"...\") works",
    ),
    row(
        "native",
        |c| c.native.is_some(),
        "UNIX mailboxes are not there yet: nothing is delivered to them",
    ),
    row(
        "transport",
        |c| !c.transport.is_empty(),
        "the transport map is not there yet: mail is routed by the rewrite rules alone",
    ),
    row(
        "virtual_alias",
        |c| !c.virtual_alias.is_empty(),
        "virtual aliases are not there yet: these addresses are not replaced",
    ),
];

const SERVICES: &[Row<Service>] = &[
    blocking(
        "program",
        |s| s.program == dispatcher::Program::LmtpNative,
        "LMTP into UNIX mailboxes is not there yet: the engine will not start with this service",
    ),
    row(
        "tls_ports",
        |s| !s.tls_ports.is_empty(),
        "TLS is not there yet: nothing listens on these ports",
    ),
    row(
        "max_shutdown",
        |s| s.limits.max_shutdown != Limits::default().max_shutdown,
        "replacing workers is not there yet: max_shutdown is not used",
    ),
    row(
        "max_life_time",
        |s| s.limits.max_life_time != Limits::default().max_life_time,
        "replacing workers is not there yet: they live as long as the engine",
    ),
    row(
        "max_life_conns",
        |s| s.limits.max_life_conns != Limits::default().max_life_conns,
        "replacing workers is not there yet: they take any number of sessions",
    ),
    row(
        "max_idle_time",
        |s| s.limits.max_idle_time != Limits::default().max_idle_time,
        "ending idle workers is not there yet: they live as long as the engine",
    ),
    row(
        "historical_time",
        |s| s.limits.historical_time != Limits::default().historical_time,
        "statistics of ended workers are not there yet: the time is not used",
    ),
];

const CHANNELS: &[Row<Channel>] = &[
    blocking(
        "tls",
        |c| insists(&c.tls),
        "TLS is not there yet: the engine will not start with a channel that insists on it",
    ),
    row(
        "tls",
        |c| c.tls != Sides::default() && !insists(&c.tls),
        "TLS is not there yet: connections of this channel stay in clear",
    ),
    blocking(
        "sasl",
        |c| insists(&c.sasl),
        "authentication is not there yet: the engine will not start with a channel that insists on it",
    ),
    row(
        "sasl",
        |c| c.sasl != Sides::default() && !insists(&c.sasl),
        "authentication is not there yet: it is neither offered nor tried",
    ),
    row(
        "submit",
        |c| c.submit,
        "message submission is not there yet: mail is taken as from any other host",
    ),
    row(
        "switchchannel",
        |c| c.switchchannel != Switch::Allow,
        "switching channels is not there yet: connections stay with the channel of their service",
    ),
    row(
        "saslswitchchannel",
        |c| c.saslswitchchannel.is_some(),
        "authentication is not there yet: nothing switches to this channel",
    ),
    row(
        "mx",
        |c| c.mx == Mx::Mx,
        "MX look-ups are not there yet: hosts are found by their address records",
    ),
    row(
        "defragment",
        |c| c.defragment,
        "defragmentation is not there yet: partial messages pass as they are",
    ),
    row(
        "fileinto",
        |c| c.fileinto.is_some(),
        "Sieve is not there yet: no filter files mail into folders by this address",
    ),
    row(
        "remotehost",
        |c| c.remotehost,
        "completing addresses is not there yet: an address without a domain stays as it is",
    ),
    row(
        "reverse",
        |c| !c.reverse,
        "address reversal is not there yet: no channel does it, whatever this says",
    ),
    row(
        "mailbox_transport",
        |c| c.mailbox_transport.is_some(),
        "mailbox_transport is not there yet: mail that would go to it is refused for now (451)",
    ),
    row(
        "local_transport",
        |c| c.local_transport.is_some(),
        "local_transport is not there yet: mail that would go to it is refused for now (451)",
    ),
    row(
        "fallback_transport",
        |c| c.fallback_transport.is_some(),
        "fallback_transport is not there yet: mail that would go to it is refused for now (451)",
    ),
];

/// Tables that are consulted; of the others that the original knows, each is warned about.
const CONSULTED: &[&str] = &["PORT_ACCESS", "INTERNAL_IP", "ORIG_SEND_ACCESS"];

fn insists(sides: &Sides) -> bool {
    sides.server == Insist::Must || sides.client == Insist::Must
}

/// The channels that rules, options or transports lead to: tags in lower case, and names.
fn routed(config: &Config) -> (HashSet<String>, HashSet<&str>) {
    let rules = config.rewrite_rules.iter().map(|rule| rule.template.as_str());
    let options = config.delivery_options.iter().map(|option| option.text.as_str());
    let tags = rules.chain(options).flat_map(literal_tags).map(str::to_ascii_lowercase).collect();
    let own = config.channels.iter().flat_map(transports).map(|(_, transport)| transport);
    let all = config.transport.values().map(String::as_str).chain(own);
    (tags, all.filter_map(|transport| transport.split(':').next()).collect())
}

fn program_not_yet(program: Program) -> Option<&'static str> {
    match program {
        Program::Smtp => {
            Some("outbound SMTP is not there yet: mail for this channel waits in the queue")
        }
        Program::Process | Program::Reprocess => {
            Some("reprocessing is not there yet: mail for this channel waits in the queue")
        }
        Program::Pipe => {
            Some("delivery to programs is not there yet: mail for this channel waits in the queue")
        }
        Program::Local | Program::Lmtp | Program::Hold | Program::Bitbucket => None,
    }
}

fn warn_of_tables(config: &Config, reader: &mut Reader<'_>) {
    for name in KNOWN_TABLES {
        if config.mappings.contains_key(*name) && !CONSULTED.contains(name) {
            let message = format!("{name} is not there yet: the table is not consulted");
            reader.warning_at(&format!("mappings[{name:?}]"), &message, false);
        }
    }
}

/// Plain addresses work; what names a command or a file does not.
fn warn_of_aliases(config: &Config, reader: &mut Reader<'_>) {
    for (name, values) in &config.aliases {
        let name = crate::source::shorten(name);
        for (i, value) in values.iter().enumerate() {
            let value = value.trim_start_matches([' ', '"']);
            let what = match value {
                _ if value.starts_with('|') => "commands",
                _ if value.starts_with('/') => "files",
                _ if value.starts_with(":include:") => "included lists",
                _ => continue,
            };
            let message = format!(
                "aliases to {what} are not there yet: mail for this name is refused for now (451)"
            );
            reader.warning_at(&format!("aliases[{name:?}][{i}]"), &message, false);
        }
    }
}
