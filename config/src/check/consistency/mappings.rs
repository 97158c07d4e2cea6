//! Mapping tables: whether anything consults them, and whether their entries are ever reached.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashSet},
    net::{IpAddr, Ipv6Addr},
};

use super::rules::Sources;
use crate::{
    check::{
        known::list,
        roles::{Roles, takes_mail},
    },
    file::reader::Reader,
    language::{
        delivery_option::DeliveryOption,
        mapping::{Calls, Field, FlagPlace, MappingTable},
        rewrite::{Chunk, Condition, RewritePiece, RewriteTemplate},
    },
    sections::{
        channel::Program,
        config::Config,
        dispatcher::{self, Service},
    },
};

/// How a text is written in a probe, in lower case; `None`: it never stands there.
type Written = fn(&str) -> Option<String>;

/// A field of a probe: its name, and the texts that it can be.
type ProbeField = (&'static str, Written);

/// The probes of a table: how they look.
struct Probe {
    /// The table that is probed with it.
    table: &'static str,
    fields: &'static [ProbeField],
    /// The last field can hold bars.
    open: bool,
    /// Flags that whoever probes it asks for.
    flags: &'static str,
}

const TCP: ProbeField = ("TCP", |text| (text == "tcp").then(|| text.to_owned()));
const NOTHING: ProbeField = ("nothing", |text| text.is_empty().then(String::new));
const SERVER: ProbeField = ("server", address);
const PORT: ProbeField = ("port", port);
const CLIENT: ProbeField = ("client", address);
const CLIENT_PORT: ProbeField = ("client port", port);
const APPLICATION: ProbeField = ("SMTP/name", application);
const SUBMIT: ProbeField = ("MAIL", |text| (text == "mail").then(|| text.to_owned()));
const SOURCE: ProbeField = ("source channel", anything);
const CHANNEL: ProbeField = ("channel", anything);
const INDEX: ProbeField = ("index", number);
const COUNT: ProbeField = ("count", number);
const HOST: ProbeField = ("host", anything);
const SENDER: ProbeField = ("sender", anything);
const DESTINATION: ProbeField = ("destination channel", anything);
const RECIPIENT: ProbeField = ("recipient", anything);
const ADDRESS: ProbeField = ("address", anything);
/// The channels of mail, and what is asked of it.
const CHANNELS: ProbeField = ("IN-CHAN=channel;OUT-CHAN=channel;...", |text| {
    let is_asked = text.to_ascii_lowercase().starts_with("in-chan=");
    is_asked.then(|| text.to_owned())
});
const AUTHOR: ProbeField = ("domain of From:", anything);
const SPF: ProbeField = ("result of SPF", result);
const DKIM: ProbeField = ("result of DKIM", result);
const DMARC: ProbeField = ("result of DMARC", result);
const POLICY: ProbeField = ("policy of DMARC", |text| {
    ["", "none", "quarantine", "reject"].contains(&text).then(|| text.to_owned())
});
const LOGIN: ProbeField = ("authenticated sender", anything);

const OF_PORT: &[ProbeField] = &[TCP, SERVER, PORT, CLIENT, CLIENT_PORT];
const OF_CONNECT: &[ProbeField] = &[CHANNEL, INDEX, COUNT, SERVER, HOST];
const OF_ORIGIN: &[ProbeField] = &[SOURCE, SENDER, AUTHOR, SPF, DKIM, DMARC, POLICY];
const OF_SEND: &[ProbeField] = &[SOURCE, SENDER, DESTINATION, RECIPIENT];
const OF_MAIL: &[ProbeField] = &[
    TCP,
    SERVER,
    PORT,
    CLIENT,
    CLIENT_PORT,
    APPLICATION,
    SUBMIT,
    SOURCE,
    SENDER,
    DESTINATION,
    RECIPIENT,
];
/// Of mail that no client brought, or one by a UNIX socket.
const OF_LOCAL_MAIL: &[ProbeField] =
    &[NOTHING, APPLICATION, SUBMIT, SOURCE, SENDER, DESTINATION, RECIPIENT];
const OF_FROM: &[ProbeField] =
    &[TCP, SERVER, PORT, CLIENT, CLIENT_PORT, APPLICATION, SUBMIT, SOURCE, SENDER, LOGIN];
const OF_LOCAL_FROM: &[ProbeField] = &[NOTHING, APPLICATION, SUBMIT, SOURCE, SENDER, LOGIN];

/// Tables that are consulted, and with what; a table of several rows with any of them.
const PROBES: &[Probe] = &[
    Probe { table: PORT_ACCESS, fields: OF_PORT, open: false, flags: "YNFT<>" },
    Probe { table: IP_ACCESS, fields: OF_CONNECT, open: false, flags: "YNFIA" },
    Probe { table: ORIGIN_ACCESS, fields: OF_ORIGIN, open: false, flags: "YNFHQ<>" },
    Probe { table: INTERNAL_IP, fields: &[CLIENT], open: false, flags: "YNF" },
    Probe { table: ORIG_SEND_ACCESS, fields: OF_SEND, open: true, flags: OF_ACCESS },
    Probe { table: SEND_ACCESS, fields: OF_SEND, open: true, flags: OF_ACCESS },
    Probe { table: ORIG_MAIL_ACCESS, fields: OF_MAIL, open: true, flags: OF_ACCESS },
    Probe { table: ORIG_MAIL_ACCESS, fields: OF_LOCAL_MAIL, open: true, flags: OF_ACCESS },
    Probe { table: MAIL_ACCESS, fields: OF_MAIL, open: true, flags: OF_ACCESS },
    Probe { table: MAIL_ACCESS, fields: OF_LOCAL_MAIL, open: true, flags: OF_ACCESS },
    Probe { table: FROM_ACCESS, fields: OF_FROM, open: true, flags: OF_ACCESS },
    Probe { table: FROM_ACCESS, fields: OF_LOCAL_FROM, open: true, flags: OF_ACCESS },
    Probe { table: REVERSE, fields: &[ADDRESS], open: true, flags: "YND" },
    Probe { table: REVERSE, fields: &[SOURCE, DESTINATION, ADDRESS], open: true, flags: "YND" },
    Probe { table: FORWARD, fields: &[ADDRESS], open: true, flags: "YN" },
    Probe { table: FORWARD, fields: &[SOURCE, SENDER, ADDRESS], open: true, flags: "YN" },
    Probe { table: CONVERSIONS, fields: &[CHANNELS], open: false, flags: "YN" },
    Probe { table: CHARSET_CONVERSION, fields: &[CHANNELS], open: false, flags: "YN" },
];

impl Probe {
    /// Why no probe matches a pattern of these fields, and how many of them would do.
    fn mismatch(&self, fields: &[Field]) -> Option<(usize, String)> {
        let (has, wants) = (fields.len(), self.fields.len());
        // A long probe is seldom written out.
        let open_end = fields.last().is_some_and(Field::spans)
            || wants > OF_PORT.len() && fields.iter().any(Field::spans);
        if has < wants && !open_end || has > wants && !self.open {
            let s = if has == 1 { "" } else { "s" };
            let message = format!(
                "this pattern has {has} field{s} instead of {wants}: it does not match what it \
                 seems to"
            );
            return Some((0, message));
        }
        let mut pairs = self.placed(fields).iter().zip(self.fields).enumerate();
        pairs.find_map(|(n, (field, (name, written)))| {
            let fit = n;
            let n = n + 1;
            let message = match field {
                Field::Text(text) => {
                    let shown = crate::file::source::shorten(text);
                    match written(text) {
                        Some(written) if written == *text => None,
                        Some(written) => Some(format!(
                            "field {n} of this pattern is matched with {name}, letter by letter: \
                             {shown:?} is always written {written:?} there"
                        )),
                        None => Some(format!(
                            "field {n} of this pattern is matched with {name}: {shown:?} is none"
                        )),
                    }
                }
                Field::V6 { net, mask } if *mask >> 32 == u128::MAX >> 32 => {
                    let v4 = Ipv6Addr::from(*net).to_ipv4_mapped()?;
                    let bits = mask.count_ones().saturating_sub(96);
                    Some(format!(
                        "field {n} of this pattern is matched with {name}: addresses of IPv4 are \
                         written as such, and $({v4}/{bits}) finds these"
                    ))
                }
                _ => None,
            };
            Some((fit, message?))
        })
    }

    /// The fields that have a place of their own: behind a wildcard that may stand for several
    /// none has.
    fn placed<'a>(&self, fields: &'a [Field]) -> &'a [Field] {
        let fixed = match fields.iter().position(Field::spans) {
            Some(spans) if fields.len() < self.fields.len() => spans,
            _ => fields.len(),
        };
        &fields[..fixed.min(self.fields.len())]
    }

    fn shown(&self) -> String {
        self.fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("|")
    }
}

fn address(text: &str) -> Option<String> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical().to_string())
}

fn port(text: &str) -> Option<String> {
    text.parse::<u16>().ok().map(|port| port.to_string())
}

fn number(text: &str) -> Option<String> {
    text.parse::<usize>().ok().map(|number| number.to_string())
}

fn application(text: &str) -> Option<String> {
    text.starts_with("smtp/").then(|| text.to_owned())
}

/// A result of a check (RFC 8601 section 2.7), or nothing where it was not made.
fn result(text: &str) -> Option<String> {
    let all =
        ["", "none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror"];
    all.contains(&text).then(|| text.to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of several")]
fn anything(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// An entry that no probe can match protects nobody, and the table lets pass what it was to stop.
pub(crate) fn check(config: &Config, reader: &mut Reader<'_>) {
    let called = called(config);
    for (name, table) in &config.mappings {
        let probes: Vec<_> =
            PROBES.iter().filter(|probe| probe.table.eq_ignore_ascii_case(name)).collect();
        if !probes.is_empty() || called.contains(&name.to_ascii_uppercase()) {
            let heeded = probes.first().map_or(FLAGS_OF_CALLED, |probe| probe.flags);
            check_flags(name, table, heeded, reader);
            check_discards(config, (name, table), reader);
            check_facts((name, table), reader);
            check_diversions(config, (name, table), reader);
        }
        for (i, shape) in table.shapes().enumerate() {
            let mismatches: Option<Vec<_>> = probes
                .iter()
                .map(|probe| Some((probe.mismatch(&shape.fields)?, probe.shown())))
                .collect();
            // The one that comes closest is meant, and of equals the first.
            let near = |((n, _), _): &((usize, String), String)| Reverse(*n);
            let closest = mismatches.and_then(|all| all.into_iter().min_by_key(near));
            if let Some(((_, message), shown)) = closest {
                let accepted = format!("it is probed with {shown}");
                reader.mistake_at(&format!("mappings[{name:?}][{i}]"), &message, &accepted);
            }
        }
    }
}

/// A flag that nobody asks for is a mistake: what the entry is to do would not be done.
fn check_flags(name: &str, table: &MappingTable, heeded: &str, reader: &mut Reader<'_>) {
    let set: BTreeSet<char> =
        table.flags().flatten().filter(|flag| !flag.is_asked).map(|flag| flag.letter).collect();
    for (i, flags) in table.flags().enumerate() {
        for FlagPlace { letter, offset, is_asked } in flags {
            let (message, accepted) = if *is_asked {
                if set.contains(letter) {
                    continue;
                }
                (
                    format!("nothing sets the flag {letter} that this asks for"),
                    "a flag that another entry sets".to_owned(),
                )
            } else {
                if heeded.contains(*letter) {
                    continue;
                }
                let heeded: Vec<_> = heeded.chars().map(|flag| format!("${flag}")).collect();
                let shown = crate::file::source::shorten(name);
                (
                    format!("${letter} means nothing in {shown}, or is not there yet"),
                    format!("accepted: {}", heeded.join(" ")),
                )
            };
            let path = format!("mappings[{name:?}][{i}]");
            reader.mistake_in_second(&path, *offset, &message, &accepted);
        }
    }
}

/// Mail is moved to channels that it leaves by as it is.
fn check_diversions(
    config: &Config,
    (name, table): (&str, &MappingTable),
    reader: &mut Reader<'_>,
) {
    if !name.eq_ignore_ascii_case(ORIGIN_ACCESS) {
        return;
    }
    let fit = || config.channels.iter().filter(|its| its.program.takes_diverted());
    for (i, channel) in table.diversions() {
        let Some(channel) = channel.filter(|name| !fit().any(|its| its.name == *name)) else {
            continue;
        };
        let shown = crate::file::source::shorten(channel);
        let message = format!(
            "$Q moves mail to a channel of program Hold, Smtp, Lmtp or Bitbucket, and {shown:?} is none"
        );
        let names = list(channel, fit().map(|its| its.name.as_str()));
        reader.mistake_at(&format!("mappings[{name:?}][{i}]"), &message, &names);
    }
}

/// A table that is asked when no client has named a sender never knows a result of SPF.
fn check_facts((name, table): (&str, &MappingTable), reader: &mut Reader<'_>) {
    let upper = name.to_ascii_uppercase();
    if ![PORT_ACCESS, INTERNAL_IP, IP_ACCESS, REVERSE].contains(&upper.as_str()) {
        return;
    }
    let asking = table.facts_asked().enumerate().filter(|(_, asks)| *asks);
    for (i, _) in asking {
        let message = format!("results of SPF are never known where {upper} is asked");
        let accepted = "they are in rules, and in the tables that are asked at MAIL, at RCPT and \
                        behind the content";
        reader.mistake_at(&format!("mappings[{name:?}][{i}]"), &message, accepted);
    }
}

/// Mail that an entry throws away needs a channel that does so.
fn check_discards(config: &Config, (name, table): (&str, &MappingTable), reader: &mut Reader<'_>) {
    if config.channels.iter().any(|channel| channel.program == Program::Bitbucket) {
        return;
    }
    for (i, flags) in table.flags().enumerate() {
        let mut discards = flags.iter().filter(|flag| !flag.is_asked && "VZ".contains(flag.letter));
        if let Some(flag) = discards.next() {
            let message = format!(
                "${} throws mail away by the channel of program Bitbucket, and there is none",
                flag.letter
            );
            let accepted =
                "(name: \"bitbucket\", tag: \"bitbucket\", program: Bitbucket) is such a channel";
            let path = format!("mappings[{name:?}][{i}]");
            reader.mistake_in_second(&path, flag.offset, &message, accepted);
        }
    }
}

/// Warns of entries that are legal and do nothing.
pub(crate) fn warn(config: &Config, reader: &mut Reader<'_>) {
    let called = called(config);
    let mut seen = HashSet::new();
    for (name, table) in &config.mappings {
        let upper = name.to_ascii_uppercase();
        let path = format!("mappings[{name:?}]");
        let consulted = PROBES.iter().any(|probe| probe.table == upper) || called.contains(&upper);
        let for_queue = consulted && upper != PORT_ACCESS;
        let idle = for_queue && !takes_mail(config) && !called.contains(&upper);
        if idle && reader.is_free_of_mistakes() {
            let message = "no service of program Smtp takes mail in: the table is not consulted";
            reader.warning_at(&path, message, false);
        } else if !consulted {
            let message = unconsulted(&upper);
            reader.warning_at(&path, &message, false);
        } else if !seen.insert(upper.clone()) {
            let message = "there is a table of this name already, spelled otherwise: it alone is \
                           consulted";
            reader.warning_at(&path, message, false);
        } else if reader.is_free_of_mistakes() {
            match upper.as_str() {
                PORT_ACCESS => warn_of_places(config, table, &path, reader),
                ORIG_SEND_ACCESS | SEND_ACCESS => {
                    warn_of_channels(config, table, &path, reader);
                }
                ORIGIN_ACCESS if !config.channels.iter().any(|its| its.verify.is_on()) => {
                    let message = "no channel checks the origin of mail (verify): the table is not \
                                   consulted";
                    reader.warning_at(&path, message, false);
                }
                FROM_ACCESS | ORIG_MAIL_ACCESS | MAIL_ACCESS => {
                    warn_of_local_patterns(config, (&upper, table), &path, reader);
                }
                _ => {}
            }
        }
        warn_of_entries(table, &path, reader);
        warn_of_networks(table, &path, reader);
        if [REVERSE, FORWARD].contains(&upper.as_str()) {
            warn_of_no_yes(table, &path, reader);
        }
        if [INTERNAL_IP, ORIG_SEND_ACCESS, ORIG_MAIL_ACCESS].contains(&upper.as_str()) {
            warn_of_open_relay(table, &path, reader);
        }
    }
    warn_of_calls(config, reader);
    warn_of_general(config, reader);
}

/// Results of these tables count with `$Y` alone, which a table that they call may set.
fn warn_of_no_yes(table: &MappingTable, path: &str, reader: &mut Reader<'_>) {
    let says_yes = table.flags().any(|flags| {
        flags.iter().any(|flag| !flag.is_asked && flag.letter.eq_ignore_ascii_case(&'Y'))
    });
    if !says_yes && table.calls().all(|calls| calls.tables.is_empty()) {
        let message = "no entry says $Y: the table changes no address";
        reader.warning_at(path, message, false);
    }
}

/// An entry that accepts whatever comes lets anybody send anywhere.
fn warn_of_open_relay(table: &MappingTable, path: &str, reader: &mut Reader<'_>) {
    for (i, (shape, flags)) in table.shapes().zip(table.flags()).enumerate() {
        let sets = |letters: &str| {
            flags.iter().any(|flag| !flag.is_asked && letters.contains(flag.letter))
        };
        let anything = |field: &Field| matches!(field, Field::Anything);
        if shape.fields.iter().all(anything) && sets("Y") && !sets("NF") {
            let message = "the entry accepts mail from anybody for anybody: this is an open relay; \
                           an entry that objects to nothing needs no $Y";
            reader.warning_at(&format!("{path}[{i}]"), message, false);
        }
    }
}

/// Entries of `PORT_ACCESS` for places where no service listens.
fn warn_of_places(config: &Config, table: &MappingTable, path: &str, reader: &mut Reader<'_>) {
    let Some(probe) = PROBES.iter().find(|probe| probe.table == PORT_ACCESS) else { return };
    let services = &config.dispatcher.services;
    let at_sockets = |service: &Service| service.ports.is_empty() && service.tls_ports.is_empty();
    if !services.is_empty() && services.iter().all(at_sockets) {
        let message = "no service listens on a port, and nobody is asked at a socket who he is: the \
                       table is not consulted";
        return reader.warning_at(path, message, false);
    }
    for (i, shape) in table.shapes().enumerate() {
        let [_, server, rest @ ..] = probe.placed(&shape.fields) else { continue };
        let text = |field: Option<&Field>| match field {
            Some(Field::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let server = text(Some(server)).and_then(|text| text.parse::<IpAddr>().ok());
        let port = text(rest.first()).and_then(|text| text.parse::<u16>().ok());
        let is_there = |service: &Service| {
            let own = service.interface_address.filter(|own| !own.is_unspecified());
            let mut ports = service.ports.iter().chain(&service.tls_ports);
            let there = |own: IpAddr, server: IpAddr| own.to_canonical() == server;
            (own.is_none() || server.is_none() || own.zip(server).is_some_and(|(a, b)| there(a, b)))
                && port.is_none_or(|port| ports.any(|own| *own == port || *own == 0))
        };
        if server.is_none() && port.is_none() || services.iter().any(is_there) {
            continue;
        }
        let place = match (server, port) {
            (Some(server), Some(port)) => format!("port {port} of {server}"),
            (Some(server), None) => server.to_string(),
            (None, port) => format!("port {}", port.unwrap_or_default()),
        };
        let message = format!("the entry never applies: no service listens at {place}");
        reader.warning_at(&format!("{path}[{i}]"), &message, false);
    }
}

/// Entries that no client over TCP is ever asked about, where mail comes in by nothing else. Mail
/// that a channel of program Process routes again has no connection either.
fn warn_of_local_patterns(
    config: &Config,
    (name, table): (&str, &MappingTable),
    path: &str,
    reader: &mut Reader<'_>,
) {
    let Some(probe) = PROBES.iter().find(|probe| probe.table == name) else { return };
    let is_local = |service: &Service| {
        service.program == dispatcher::Program::Smtp && service.socket.is_some()
    };
    if config.dispatcher.enabled().any(is_local) {
        return;
    }
    let rerouted = |field: &Field| match field {
        Field::Text(text) => config.channels.iter().any(|channel| {
            channel.program == Program::Process && channel.name.eq_ignore_ascii_case(text)
        }),
        _ => false,
    };
    for (i, shape) in table.shapes().enumerate() {
        let source = probe_source(&shape.fields);
        if probe.mismatch(&shape.fields).is_some() && !source.is_some_and(rerouted) {
            let message = format!(
                "the entry never matches what comes over TCP, and no service of program Smtp has a \
                 socket: over TCP the table is probed with {}",
                probe.shown()
            );
            reader.warning_at(&format!("{path}[{i}]"), &message, false);
        }
    }
}

/// The source channel in a pattern for mail without a connection: no wildcard before it spans bars.
fn probe_source(fields: &[Field]) -> Option<&Field> {
    let [connection, _, submit, source, ..] = fields else { return None };
    (!connection.spans() && !submit.spans()).then_some(source)
}

/// Entries of `ORIG_SEND_ACCESS` for channels by which no mail comes or goes.
fn warn_of_channels(config: &Config, table: &MappingTable, path: &str, reader: &mut Reader<'_>) {
    let Some(probe) = PROBES.iter().find(|probe| probe.table == ORIG_SEND_ACCESS) else { return };
    let (sources, roles) = (Sources::of(config), Roles::of(config));
    let names = || config.channels.iter().map(|channel| channel.name.as_str());
    for (i, shape) in table.shapes().enumerate() {
        let fields = probe.placed(&shape.fields);
        let text = |n: usize| match fields.get(n) {
            Some(Field::Text(text)) => Some(text),
            _ => None,
        };
        let is_known = |name: &str| names().position(|known| known.eq_ignore_ascii_case(name));
        let unknown =
            [text(0), text(2)].into_iter().flatten().find(|name| is_known(name).is_none());
        let why = if let Some(name) = unknown {
            let shown = crate::file::source::shorten(name);
            Some(format!("no channel is called {shown:?}; {}", list(name, names())))
        } else if let Some(why) = text(0).and_then(|name| sources.silent(name)) {
            Some(why)
        } else {
            let unreached =
                |name: &String| is_known(name).is_some_and(|channel| !roles.is_reached(channel));
            text(2)
                .filter(|name| unreached(name))
                .map(|name| format!("nothing leads to the channel {name:?}"))
        };
        if let Some(why) = why {
            let message = format!("the entry never applies: {why}");
            reader.warning_at(&format!("{path}[{i}]"), &message, false);
        }
    }
}

fn unconsulted(name: &str) -> String {
    if NOT_YET.contains(&name) {
        return format!("{name} is not there yet: the table is not consulted");
    }
    let known: Vec<_> =
        PROBES.iter().map(|probe| probe.table).chain(NOT_YET.iter().copied()).collect();
    let close = |known: &&&str| strsim::damerau_levenshtein(name, known) <= 2;
    match known.iter().find(close).filter(|_| name.len() <= 64) {
        Some(known) => format!("nothing consults a table of this name; did you mean {known}?"),
        None => {
            "nothing consults a table of this name: no rule and no other table calls it".to_owned()
        }
    }
}

fn warn_of_entries(table: &MappingTable, path: &str, reader: &mut Reader<'_>) {
    let mut settled: Option<usize> = None;
    let mut patterns: HashSet<&str> = HashSet::new();
    let mut wide: Vec<(usize, Vec<Field>)> = Vec::new();
    for (i, ((pattern, _), shape)) in table.entries.iter().zip(table.shapes()).enumerate() {
        let here = format!("{path}[{i}]");
        let covering = || wide.iter().find(|(_, fields)| Field::all_cover(fields, &shape.fields));
        if let Some(before) = settled {
            let message =
                format!("the entry is never reached: entry {} takes everything", before + 1);
            reader.warning_at(&here, &message, false);
        } else if patterns.contains(pattern.as_str()) {
            let message = "the entry is never reached: one before it has the same pattern";
            reader.warning_at(&here, message, false);
        } else if let Some((before, _)) = covering() {
            let message = format!(
                "the entry is never reached: entry {} takes whatever it would take",
                before + 1
            );
            reader.warning_at(&here, &message, false);
        }
        if !shape.ends {
            // Patterns behind it may see another text.
            patterns.clear();
            wide.clear();
            continue;
        }
        patterns.insert(pattern);
        if shape.takes_all {
            settled = settled.or(Some(i));
        }
        let is_wide = shape.fields.iter().any(|field| !matches!(field, Field::Text(_)));
        if is_wide && wide.len() < MOST_WIDE {
            wide.push((i, shape.fields));
        }
    }
}

/// A network with bits of a host: whoever meant that host lets many in.
fn warn_of_networks(table: &MappingTable, path: &str, reader: &mut Reader<'_>) {
    for (i, networks) in table.loose_networks().enumerate() {
        for meant in networks {
            let message = format!(
                "the bits behind the prefix are ignored: this stands for the whole of {meant}"
            );
            reader.warning_at(&format!("{path}[{i}]"), &message, false);
        }
    }
}

/// Once one mail host is marked as one that takes LMTP, those without a mark take none.
fn warn_of_marks(config: &Config, reader: &mut Reader<'_>) {
    if !config.delivery_options.iter().any(DeliveryOption::names_mail_host) {
        return;
    }
    let mut marked = config.general.iter().filter(|(_, value)| value.eq_ignore_ascii_case("lmtp"));
    let host = &config.host;
    let own = |key: &str| key.eq_ignore_ascii_case(host);
    if let Some((first, _)) = marked.next()
        && config.store.is_some()
        && !own(first)
        && !marked.any(|(key, _)| own(key))
    {
        let message = format!(
            "only mail hosts that are marked \"lmtp\" here take mail by LMTP, and {host} is not: \
             mail for users whose mailHost is this one is refused (554 5.4.6); {host:?}: \"lmtp\" \
             lets it in"
        );
        reader.warning_at(&format!("general[{first:?}]"), &message, false);
    }
}

/// Tables that rules or other tables call, in upper case.
fn called(config: &Config) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rule in &config.rewrite_rules {
        each_piece(&rule.parsed, &mut |piece| {
            if let RewritePiece::Mapping { table, .. } = piece {
                names.insert(table.to_ascii_uppercase());
            }
        });
    }
    for Calls { tables, .. } in config.mappings.values().flat_map(MappingTable::calls) {
        names.extend(tables.into_iter().map(|name| name.to_ascii_uppercase()));
    }
    names
}

/// A call of a table that is not there fails.
fn warn_of_calls(config: &Config, reader: &mut Reader<'_>) {
    let known: HashSet<String> =
        config.mappings.keys().map(|name| name.to_ascii_uppercase()).collect();
    let missing = |name: &str| !known.contains(&name.to_ascii_uppercase());
    let mut warn = |path: String, table: &str, consequence: &str| {
        if reader.has_warned_enough() {
            return;
        }
        let tables = list(table, config.mappings.keys().map(String::as_str));
        let table = crate::file::source::shorten(table);
        let message = format!("{consequence}: there is no mapping table {table:?}; {tables}");
        reader.warning_at(&path, &message, false);
    };
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        each_piece(&rule.parsed, &mut |piece| {
            if let RewritePiece::Mapping { table, .. } = piece
                && missing(table)
            {
                warn(format!("rewrite_rules[{i}]"), table, "the rule never applies");
            }
        });
    }
    for (name, table) in &config.mappings {
        for (i, Calls { tables, .. }) in table.calls().enumerate() {
            for called in tables.iter().filter(|called| missing(called)) {
                warn(format!("mappings[{name:?}][{i}]"), called, "the entry never applies");
            }
        }
    }
}

/// Calls `each` for every piece of a template, arguments included.
pub(super) fn each_piece(template: &RewriteTemplate, each: &mut impl FnMut(&RewritePiece)) {
    fn pieces(list: &[RewritePiece], each: &mut impl FnMut(&RewritePiece)) {
        for piece in list {
            each(piece);
            if let RewritePiece::Mapping { argument, .. } = piece {
                pieces(argument, each);
            }
        }
    }
    match template {
        RewriteTemplate::General(chunks) => {
            for chunk in chunks {
                match chunk {
                    Chunk::Key(key) => pieces(key, each),
                    // Text outside of the keys is parsed with them; a call is told by its
                    // beginning.
                    Chunk::Raw(text) => {
                        for (at, _) in text.match_indices("${") {
                            let table = text[at + 2..].split([',', '}']).next().unwrap_or_default();
                            let table = table.to_owned();
                            each(&RewritePiece::Mapping { table, argument: Vec::new() });
                        }
                    }
                }
            }
        }
        RewriteTemplate::Plain(rewriting) => {
            rewriting.outcome.parts().for_each(|list| pieces(list, each));
            for condition in &rewriting.conditions {
                if let Condition::Local(list) | Condition::NotLocal(list) = condition {
                    pieces(list, each);
                }
            }
        }
    }
}

/// Keys of the general database that nothing asks for.
fn warn_of_general(config: &Config, reader: &mut Reader<'_>) {
    let mut asked: HashSet<String> = HashSet::new();
    let mut open = false;
    let mut ask = |key: Option<String>| match key {
        Some(key) => {
            asked.insert(key.to_ascii_lowercase());
        }
        None => open = true,
    };
    for rule in &config.rewrite_rules {
        let RewriteTemplate::General(chunks) = &rule.parsed else { continue };
        for chunk in chunks {
            let Chunk::Key(pieces) = chunk else { continue };
            ask(match pieces.as_slice() {
                [RewritePiece::Text(text)] => Some(text.clone()),
                _ => None,
            });
        }
    }
    for table in config.mappings.values() {
        table.calls().flat_map(|calls| calls.keys).for_each(&mut ask);
    }
    warn_of_marks(config, reader);
    if open {
        return;
    }
    let by_host = config.delivery_options.iter().any(DeliveryOption::names_mail_host);
    for (key, value) in config.general.iter() {
        let marks_store = by_host && value.eq_ignore_ascii_case("lmtp");
        if !marks_store && !asked.contains(&key.to_ascii_lowercase()) {
            let message = "nothing asks for this key: no rule and no table has it, and it does \
                           not mark a mail host of delivery_options as one that takes LMTP";
            reader.warning_at(&format!("general[{key:?}]"), message, false);
        }
    }
}

/// Of tables that only rules and other tables call.
const FLAGS_OF_CALLED: &str = "YNFT";
const PORT_ACCESS: &str = "PORT_ACCESS";
const IP_ACCESS: &str = "IP_ACCESS";
const ORIGIN_ACCESS: &str = "ORIGIN_ACCESS";
const INTERNAL_IP: &str = "INTERNAL_IP";
const ORIG_SEND_ACCESS: &str = "ORIG_SEND_ACCESS";
const SEND_ACCESS: &str = "SEND_ACCESS";
const ORIG_MAIL_ACCESS: &str = "ORIG_MAIL_ACCESS";
const MAIL_ACCESS: &str = "MAIL_ACCESS";
const FROM_ACCESS: &str = "FROM_ACCESS";
const REVERSE: &str = "REVERSE";
const FORWARD: &str = "FORWARD";
const CONVERSIONS: &str = "CONVERSIONS";
const CHARSET_CONVERSION: &str = "CHARSET-CONVERSION";
/// Of tables that are asked about mail.
const OF_ACCESS: &str = "YNFHVZ<>";
/// Entries with wildcards that those behind them are compared with.
const MOST_WIDE: usize = 1_000;
/// Tables that the original consults by itself, and that are not consulted here yet.
const NOT_YET: &[&str] =
    &["AUTH_ACCESS", "AUTH_REWRITE", "DEQUEUE_ACCESS", "LOG_ACTION", "PERSONAL_NAMES"];
