//! Access tables of restrictions (`check_client_access` and its kin): mappings that are asked at the same
//! step of a session.

use std::collections::{BTreeMap, HashSet};

use relais_config::grammar::Network;

use super::{
    expression::Form,
    maps::{MapEntry, MapForm, MapName},
    networks,
    patterns::{self, MapRow, PatternRow},
    tables::PostfixFiles,
};
use crate::{
    report::{Findings, Place},
    ron::Entry,
    source::{ImportError, Line},
};

/// A restriction that asks a table.
#[derive(Clone, Debug)]
pub(super) struct AccessCheck {
    pub(super) subject: AccessSubject,
    pub(super) table: String,
    /// The list of restrictions, and where it stands.
    pub(super) list: &'static str,
    pub(super) place: Place,
    /// The service's channel and port.
    pub(super) channel: String,
    pub(super) port: u16,
    /// `permit_mynetworks` and `permit_sasl_authenticated` stand before it.
    pub(super) spares: Spared,
    /// An OK of it lets send to domains that are not ours.
    pub(super) grants_relay: bool,
}

/// Clients that a restriction is not about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Spared {
    pub(super) networks: bool,
    pub(super) users: bool,
}

/// The subject of a table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum AccessSubject {
    Client,
    Sender,
    Recipient,
}

/// Rows of the mappings by name.
pub(super) type AccessRows = BTreeMap<&'static str, Vec<Entry>>;

impl AccessSubject {
    pub(super) fn of(restriction: &str) -> Option<Self> {
        Some(match restriction {
            "check_client_access" => Self::Client,
            "check_sender_access" => Self::Sender,
            "check_recipient_access" => Self::Recipient,
            _ => return None,
        })
    }
}

impl AccessCheck {
    /// The mapping, its fields before the subject and those behind it.
    fn mapping(&self) -> (&'static str, String, String) {
        let Self { channel, port, .. } = self;
        let from = format!("TCP|{ANY}|{ANY}|{ANY}|{ANY}|SMTP/{ANY}|MAIL|{channel}");
        match self.subject {
            AccessSubject::Client => {
                ("PORT_ACCESS", format!("TCP|{ANY}|{port}|"), format!("|{ANY}"))
            }
            AccessSubject::Sender => ("FROM_ACCESS", from + "|", format!("|{ANY}")),
            AccessSubject::Recipient if self.spares == Spared::default() => {
                ("ORIG_SEND_ACCESS", format!("{channel}|{ANY}|{ANY}|"), String::new())
            }
            AccessSubject::Recipient => {
                ("ORIG_MAIL_ACCESS", format!("{from}|{ANY}|{ANY}|"), String::new())
            }
        }
    }

    /// Rows for those whom the restriction is not about.
    fn spared(&self, networks: &[String]) -> Vec<Entry> {
        let Self { channel, port, spares, .. } = self;
        let rest = match self.subject {
            AccessSubject::Client => format!("|{ANY}"),
            AccessSubject::Sender | AccessSubject::Recipient => {
                format!("|{ANY}|SMTP/{ANY}|MAIL|{channel}|*")
            }
        };
        let port =
            if self.subject == AccessSubject::Client { port.to_string() } else { ANY.into() };
        let of = |net: &String| Entry::pair(&format!("TCP|{ANY}|{port}|{net}{rest}"), "ours");
        let mut rows: Vec<_> = networks.iter().filter(|_| spares.networks).map(of).collect();
        if spares.users && self.subject == AccessSubject::Sender {
            let (_, before, _) = self.mapping();
            rows.push(Entry::pair(&format!("{before}{ANY}|$[^|]%{ANY}"), "a user"));
        }
        if let Some(first) = rows.first_mut() {
            first.comments.push(format!(
                "{}: {}: those before it are not asked about",
                self.place, self.list
            ));
        }
        rows
    }
}

impl AccessCheck {
    /// Rows for clients who may send to domains that are not ours.
    fn relayers(&self, clients: &[String], line: &Line) -> Vec<Entry> {
        let of = |client: &String| {
            let probe =
                format!("TCP|{ANY}|{ANY}|{client}|{ANY}|SMTP/{ANY}|MAIL|{}|*", self.channel);
            Entry::pair(&probe, "$Y").said(line.comment())
        };
        clients.iter().map(of).collect()
    }
}

impl PostfixFiles<'_> {
    /// The mappings of all restrictions that ask tables.
    pub(super) fn access(
        &self,
        checks: &[AccessCheck],
        networks: &[String],
        findings: &mut Findings,
    ) -> Result<AccessRows, ImportError> {
        let mut made = AccessRows::new();
        // Of a mapping and a channel: whom it spares, and whether a row of it ends the mapping.
        let mut earlier: BTreeMap<(&str, &str), (Spared, bool)> = BTreeMap::new();
        for check in checks {
            let (mapping, before, behind) = check.mapping();
            let of = format!("{}: {}", check.list, check.table);
            let key = (mapping, check.channel.as_str());
            let why = match earlier.get(&key) {
                Some((spares, _)) if *spares != Spared::default() && *spares != check.spares => {
                    Some(OTHERS)
                }
                Some((_, true)) => Some(ENDS),
                _ if check.spares.networks && networks.iter().any(|net| net.starts_with('!')) => {
                    Some(EXCEPTIONS)
                }
                _ if check.spares.users && check.subject == AccessSubject::Recipient => Some(USERS),
                _ => None,
            };
            if let Some(why) = why {
                findings.missing(&check.place, &of, why);
                continue;
            }
            let Some(table) = self.check_rows(check, findings)? else { continue };
            let rows = made.entry(mapping).or_default();
            // Rows before these refuse, and spare nobody.
            if earlier.get(&key).is_none_or(|its| its.0 == Spared::default()) {
                rows.extend(check.spared(networks));
            }
            let mut relayers = Vec::new();
            let mut ends = false;
            for CheckRow { line, subjects, action } in table {
                let Some(mut template) = template(&action) else {
                    findings.missing(&line.place, &line.text, ACTIONS);
                    continue;
                };
                if check.grants_relay && template == TAKEN && is_ok(&action) {
                    match check.subject {
                        AccessSubject::Recipient => "$Y".clone_into(&mut template),
                        AccessSubject::Client => relayers.extend(check.relayers(&subjects, &line)),
                        AccessSubject::Sender => {
                            findings.missing(&line.place, &line.text, RELAY_BY_SENDER);
                        }
                    }
                }
                ends |= !template.starts_with('$');
                findings.carried(&line.place, &line.text);
                rows.extend(subjects.iter().enumerate().map(|(n, subject)| {
                    let entry = Entry::pair(&format!("{before}{subject}{behind}"), &template);
                    entry.said_all((n == 0).then(|| line.comment()))
                }));
            }
            let known = earlier.entry(key).or_insert((check.spares, false));
            *known = (check.spares, known.1 || ends);
            // Clients that may relay come before others who are refused.
            made.entry("ORIG_MAIL_ACCESS").or_default().splice(0..0, relayers);
        }
        made.retain(|_, rows| !rows.is_empty());
        Ok(made)
    }

    /// The rows of a table, the narrowest first; `None`: there is no such table, and that is told.
    fn check_rows(
        &self,
        check: &AccessCheck,
        findings: &mut Findings,
    ) -> Result<Option<Vec<CheckRow>>, ImportError> {
        let Some(map) = MapName::parse(&check.table) else {
            findings.missing(&check.place, &format!("{}: {}", check.list, check.table), "no table");
            return Ok(None);
        };
        let told = (&check.place, check.list, &mut *findings);
        if map.kind == "static" {
            let line =
                Line { place: check.place.clone(), text: format!("{}: {}", check.list, map.name) };
            let subjects = vec![ANY.to_owned()];
            return Ok(Some(vec![CheckRow { line, subjects, action: map.name }]));
        }
        if check.subject == AccessSubject::Client && map.kind == "cidr" {
            let entries = map.text_entries(self.folder, told)?;
            return Ok(Some(rows(entries, cidr, findings)));
        }
        let parts = self.map_rows(&map, MapForm::Plain, told)?;
        let (mut entries, mut made) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                MapRow::Entry(entry) => entries.push(entry),
                MapRow::Pattern(row) => made.extend(pattern(row, check.subject, findings)),
            }
        }
        let matches_below = self.main.list("parent_domain_matches_subdomains");
        let is_below = matches_below.iter().any(|name| name == "smtpd_access_maps");
        let mut known = HashSet::new();
        entries.retain(|entry| known.insert(entry.key.clone()));
        entries.sort_by_key(|entry| width(&entry.key));
        let subject = check.subject;
        made.extend(rows(
            entries,
            |key| match subject {
                AccessSubject::Client => address(key).map(|pattern| vec![pattern]),
                AccessSubject::Sender | AccessSubject::Recipient => Some(mailboxes(key, is_below)),
            },
            findings,
        ));
        Ok(Some(made))
    }
}

/// A row: patterns of its subject, and what is done.
struct CheckRow {
    line: Line,
    subjects: Vec<String>,
    action: String,
}

fn rows(
    entries: Vec<MapEntry>,
    subjects: impl Fn(&str) -> Option<Vec<String>>,
    findings: &mut Findings,
) -> Vec<CheckRow> {
    let mut made = Vec::new();
    for MapEntry { line, key, value } in entries {
        match subjects(&key) {
            Some(subjects) => made.push(CheckRow { line, subjects, action: value }),
            None => findings.missing(&line.place, &line.text, NAMES),
        }
    }
    made
}

fn pattern(row: PatternRow, subject: AccessSubject, findings: &mut Findings) -> Option<CheckRow> {
    let PatternRow { line, result, forms, .. } = row;
    let subjects = match forms {
        _ if subject == AccessSubject::Client => Err(NAMES),
        _ if result.contains('$') => Err("its answer has a part of the address"),
        Ok(forms) => forms.iter().map(Form::field).collect::<Result<Vec<_>, _>>(),
        Err(why) => Err(why),
    };
    match subjects {
        Ok(subjects) => Some(CheckRow { line, subjects, action: result }),
        Err(why) => {
            findings.missing(&line.place, &line.text, &format!("{why}: {}", patterns::BY_HAND));
            None
        }
    }
}

/// The order in which keys are asked: addresses, domains from the longest, users.
fn width(key: &str) -> (u8, usize, bool) {
    match key.split_once('@') {
        Some((_, "")) => (2, 0, false),
        Some(_) => (0, 0, false),
        None if key == "<>" => (0, 0, false),
        None => {
            let bare = key.trim_start_matches('.');
            let labels = bare.split(['.', ':']).count();
            (1, usize::MAX - labels, bare.len() < key.len())
        }
    }
}

/// The patterns of a key of senders or recipients.
fn mailboxes(key: &str, is_below: bool) -> Vec<String> {
    let plain = |text: &str| {
        text.replace('$', "$$").replace('*', "$*").replace('%', "$%").replace('|', "%7C")
    };
    match key.split_once('@') {
        Some((user, "")) => vec![format!("{}@{ANY}", plain(user))],
        Some(_) => vec![plain(key)],
        None if key == "<>" => vec![String::new()],
        None => match key.strip_prefix('.') {
            Some(domain) => vec![format!("{ANY}@{ANY}.{domain}")],
            None if is_below => vec![format!("{ANY}@{key}"), format!("{ANY}@{ANY}.{key}")],
            None => vec![format!("{ANY}@{key}")],
        },
    }
}

/// A client by its address, or by the numbers that it begins with.
fn address(key: &str) -> Option<String> {
    if key.parse::<std::net::IpAddr>().is_ok() {
        return Some(key.to_owned());
    }
    let numbers: Vec<&str> = key.split('.').collect();
    let is_part = numbers.len() < 4 && numbers.iter().all(|part| part.parse::<u8>().is_ok());
    if !is_part {
        return None;
    }
    let whole = [numbers.as_slice(), &["0", "0", "0"]].concat()[..4].join(".");
    Some(format!("$({whole}/{})", 8 * numbers.len()))
}

fn cidr(key: &str) -> Option<Vec<String>> {
    key.parse::<Network>().ok()?;
    networks::pattern(key).map(|pattern| vec![pattern])
}

/// Whether a row throws mail away.
pub(super) fn throws_away(row: &Entry) -> bool {
    matches!(&row.value, crate::ron::Value::Word(word) if word.ends_with(r#""$V")"#))
}

/// The template of an action; `None`: no flag does it.
fn template(action: &str) -> Option<String> {
    let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((action, ""));
    let rest = rest.trim();
    let text = |code: &str, usual: &str| {
        let text = if rest.is_empty() { usual } else { rest };
        let text = format!("{code}{text}").replace('$', "$$").replace(' ', "$ ");
        format!("$N{text}")
    };
    let code: Option<u16> = word.parse().ok();
    Some(match word.to_ascii_uppercase().as_str() {
        "OK" | "DUNNO" | "PERMIT" => TAKEN.to_owned(),
        "REJECT" => text("", DENIED),
        "DEFER" | "DEFER_IF_PERMIT" | "DEFER_IF_REJECT" => text("450 ", DENIED),
        "HOLD" => "$H".to_owned(),
        "DISCARD" => "$V".to_owned(),
        _ if code.is_some_and(|code| (400..600).contains(&code)) => {
            text(&format!("{word} "), DENIED)
        }
        word if !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit()) => TAKEN.to_owned(),
        _ => return None,
    })
}

/// Whether an action lets pass, and does not leave it to what is asked later.
fn is_ok(action: &str) -> bool {
    !action.trim().to_ascii_uppercase().starts_with("DUNNO")
}

/// The template of an entry that lets pass.
const TAKEN: &str = "taken";
/// One field of a probe.
const ANY: &str = "$[^|]*";
const DENIED: &str = "Access denied";
const OTHERS: &str =
    "a table before it spares other clients: write its rows into the mapping by hand";
const ENDS: &str = "a table before it says OK or DUNNO, which ends the mapping: write its rows before these by hand";
const EXCEPTIONS: &str = "mynetworks has exceptions: write its rows into the mapping by hand";
const USERS: &str = "permit_sasl_authenticated stands before it, and the mapping sees no user: SEND_ACCESS, by channel";
const RELAY_BY_SENDER: &str =
    "the sender alone lets nobody relay: INTERNAL_IP has clients, and users log in";
const ACTIONS: &str = "no flag of a mapping does this: $N refuses, $H holds, $V discards";
const NAMES: &str = "clients are known by their addresses alone";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_and_keys_are_read() {
        for (action, want) in [
            ("REJECT", Some("$NAccess$ denied")),
            ("reject go away", Some("$Ngo$ away")),
            ("450 4.7.1 later", Some("$N450$ 4.7.1$ later")),
            ("DEFER later", Some("$N450$ later")),
            ("OK", Some("taken")),
            ("1", Some("taken")),
            ("HOLD", Some("$H")),
            ("FILTER x:y", None),
            ("permit_mynetworks", None),
        ] {
            assert_eq!(template(action).as_deref(), want, "{action}");
        }
        assert_eq!(address("10.9").as_deref(), Some("$(10.9.0.0/16)"));
        assert_eq!(address("host.test"), None);
        let mut keys = ["u@", "b.a.test", "a.test", "x@a.test", ".a.test", "<>"];
        keys.sort_by_key(|key| width(key));
        assert_eq!(keys, ["x@a.test", "<>", "b.a.test", "a.test", ".a.test", "u@"]);
    }
}
