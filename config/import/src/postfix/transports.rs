//! `transport_maps`, and the tables that list the users of domains: the entries of `transport`.
//!
//! In Postfix the one says where mail goes and the other who is there. Here both are entries of one table,
//! of which the narrowest counts: each user who is listed has the way that transport(5) finds for the
//! address, and everybody else of the domain the refusal.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    maps::{MapEntry, MapForm},
    patterns::KeyForm,
    tables::{Classes, PERHAPS, PostfixFiles, left_out, parents},
    ways::{LOCAL, WAITS, Way, Ways},
};
use crate::{
    report::{Fate, Findings},
    ron::Entry,
    source::ImportError,
};

/// The class of a domain, whose transport counts where `transport_maps` say none.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum AddressClass {
    Local,
    Mailbox,
    Relay,
    Other,
}

/// Entries of `transport` while they are made.
pub(super) struct Transports<'a> {
    files: &'a PostfixFiles<'a>,
    classes: &'a Classes,
    sets: [HashSet<&'a str>; 3],
    /// Domains below relay domains are relay domains.
    is_below: bool,
    rows: TransportRows,
    /// The way of each class; `None`: it has none.
    relay: Option<String>,
    mailbox: String,
    /// Ways by class and value of a row.
    resolved: HashMap<(AddressClass, String), String>,
    /// Domains whose users are listed, with a dot where all below are meant; yes: all of them are there.
    listed: BTreeMap<String, bool>,
    pub(super) made: Vec<Entry>,
    /// Keys of `made`.
    keys: HashSet<String>,
    /// Recipients who have a way and are not ours.
    pub(super) strangers: Vec<String>,
}

/// The rows of `transport_maps`.
#[derive(Debug, Default)]
struct TransportRows {
    entries: Vec<MapEntry>,
    by_key: HashMap<String, usize>,
    /// Rows about an address with an extension, by that address without it.
    extended: HashMap<String, Vec<usize>>,
    delimiters: String,
}

impl TransportRows {
    fn new(entries: Vec<MapEntry>, delimiters: String) -> Self {
        let by_key = entries.iter().enumerate().map(|(n, its)| (its.key.clone(), n)).collect();
        let mut rows = Self { entries, by_key, extended: HashMap::new(), delimiters };
        for (n, entry) in rows.entries.iter().enumerate() {
            if let Some(plain) = plain(&entry.key, &rows.delimiters) {
                rows.extended.entry(plain).or_default().push(n);
            }
        }
        rows
    }

    /// The row that counts for an address or a domain.
    fn of(&self, name: &str) -> Option<&MapEntry> {
        let domain = name.rsplit_once('@').map_or(name, |(_, domain)| domain);
        let plain = plain(name, &self.delimiters);
        let whole = std::iter::once(name).chain(plain.as_deref()).chain([domain]);
        let parents = domain.match_indices('.').map(|(at, _)| &domain[at..]);
        let mut keys = whole.chain(parents).chain(["*"]);
        keys.find_map(|key| self.by_key.get(key)).map(|n| &self.entries[*n])
    }
}

/// An address without its extension; `None`: it has none.
pub(super) fn plain(address: &str, delimiters: &str) -> Option<String> {
    let (user, domain) = address.rsplit_once('@')?;
    let (at, _) = user.char_indices().skip(1).find(|(_, c)| delimiters.contains(*c))?;
    Some(format!("{}@{domain}", &user[..at]))
}

impl<'a> Transports<'a> {
    pub(super) fn new(
        files: &'a PostfixFiles<'a>,
        classes: &'a Classes,
        (relay, ways): (Option<String>, &mut Ways),
        findings: &mut Findings,
    ) -> Result<Self, ImportError> {
        let keys = KeyForm::Transports;
        let rows = files.entries("transport_maps", MapForm::Plain, keys, findings)?;
        let mut mailbox = WAITS.to_owned();
        if !classes.mailbox.is_empty() {
            let (place, known) = (files.place("virtual_transport"), (files.main, files.services));
            let way = ways.of(&files.main.get("virtual_transport"), known, (&place, findings));
            mailbox = written(way);
        }
        Ok(Self {
            sets: [&classes.local, &classes.mailbox, &classes.relay]
                .map(|domains| domains.iter().map(String::as_str).collect()),
            is_below: files.matches_below("relay_domains"),
            rows: TransportRows::new(rows, files.main.get("recipient_delimiter")),
            files,
            classes,
            relay,
            mailbox,
            resolved: HashMap::new(),
            listed: BTreeMap::new(),
            made: Vec::new(),
            keys: HashSet::new(),
            strangers: Vec::new(),
        })
    }

    /// Makes all entries.
    pub(super) fn make(
        &mut self,
        ways: &mut Ways,
        findings: &mut Findings,
    ) -> Result<(), ImportError> {
        let relays = self.listed_of(AddressClass::Relay, findings)?;
        let boxes = self.listed_of(AddressClass::Mailbox, findings)?;
        for (class, list) in [(AddressClass::Relay, relays), (AddressClass::Mailbox, boxes)] {
            let before = self.made.len();
            self.users(class, &list, (ways, findings));
            if class == AddressClass::Mailbox
                && let Some(first) = self.made.get_mut(before)
            {
                first.comments.insert(0, self.files.said("virtual_mailbox_domains"));
                first.comments.insert(1, self.files.said("virtual_transport"));
            }
        }
        self.rows_of_all(ways, findings);
        self.domains_of_classes(ways, findings);
        Ok(())
    }

    /// The class of the domain of an address.
    fn class(&self, name: &str) -> AddressClass {
        let domain = name.rsplit_once('@').map_or(name, |(_, domain)| domain);
        let classes = [AddressClass::Local, AddressClass::Mailbox, AddressClass::Relay];
        for (class, set) in classes.into_iter().zip(&self.sets) {
            let is_below = class == AddressClass::Relay && self.is_below;
            // A key for all below a domain is of its class where the domains below are.
            let is_parent = |parent: &str| {
                set.contains(format!(".{parent}").as_str()) || is_below && set.contains(parent)
            };
            let has = match domain.strip_prefix('.') {
                Some(bare) => is_parent(bare) || parents(bare).any(is_parent),
                None => set.contains(domain) || parents(domain).any(is_parent),
            };
            if has {
                return class;
            }
        }
        AddressClass::Other
    }

    /// The table of users of a class, and the reply to everybody else.
    fn listed_of(
        &mut self,
        class: AddressClass,
        findings: &mut Findings,
    ) -> Result<Listed, ImportError> {
        let (name, domains, unknown) = match class {
            AddressClass::Relay => ("relay_recipient_maps", &self.classes.relay, RELAY_UNKNOWN),
            _ => ("virtual_mailbox_maps", &self.classes.mailbox, MAILBOX_UNKNOWN),
        };
        if domains.is_empty() {
            return Ok(Listed::default());
        }
        let before = left_out(findings);
        let keys = KeyForm::Addresses(&[]);
        let entries = self.files.entries(name, MapForm::Plain, keys, findings)?;
        // Users of a part of the table that is not read are not refused for good.
        let is_whole = left_out(findings) == before;
        if !entries.is_empty() {
            self.list(class, domains, &entries);
            if !is_whole {
                findings.missing(&self.files.place(name), name, PARTLY);
            }
        }
        let unknown = if is_whole { unknown } else { PERHAPS };
        Ok(Listed { entries, unknown })
    }

    /// Keeps whose users are listed, and whether all of them are there.
    fn list(&mut self, class: AddressClass, domains: &[String], entries: &[MapEntry]) {
        self.listed.extend(domains.iter().map(|domain| (domain.clone(), false)));
        if class == AddressClass::Relay && self.is_below {
            self.listed.extend(domains.iter().map(|domain| (format!(".{domain}"), false)));
        }
        let keys = entries.iter().chain(&self.rows.entries).map(|entry| {
            entry.key.rsplit_once('@').map_or(entry.key.as_str(), |(_, domain)| domain)
        });
        let of_class: BTreeSet<_> = keys.filter(|domain| self.class(domain) == class).collect();
        let of_class: Vec<_> = of_class.into_iter().map(|name| (name.to_owned(), false)).collect();
        self.listed.extend(of_class);
        for domain in entries.iter().filter_map(|entry| entry.key.strip_prefix('@')) {
            if let Some(is_open) = self.listed.get_mut(domain) {
                *is_open = true;
            }
        }
    }

    /// Entries of listed users, and of everybody else of their domains.
    fn users(
        &mut self,
        class: AddressClass,
        list: &Listed,
        (ways, findings): (&mut Ways, &mut Findings),
    ) {
        let mut by_domain: BTreeMap<String, Vec<&MapEntry>> = BTreeMap::new();
        for entry in &list.entries {
            if let Some((user, domain)) = entry.key.rsplit_once('@')
                && !user.is_empty()
            {
                by_domain.entry(domain.to_owned()).or_default().push(entry);
            }
        }
        let domains: Vec<_> =
            self.listed.iter().map(|(name, open)| (name.clone(), *open)).collect();
        for (domain, is_open) in domains {
            if self.class(&domain) != class {
                continue;
            }
            for entry in by_domain.remove(&domain).unwrap_or_default() {
                self.user(class, entry, (ways, findings));
            }
            // The rule of the domain says as much, and leaves `FORWARD` its say.
            let is_ruled = class == AddressClass::Relay
                && self.relay.is_some()
                && self.rows.of(&domain).is_none()
                && !domain
                    .match_indices('.')
                    .any(|(at, _)| self.listed.contains_key(&domain[at..]));
            if is_open && is_ruled {
                continue;
            }
            if is_open {
                let way = self.way(class, &domain, (ways, findings));
                self.push(Entry::text(&domain, &way.0).said_all(way.1));
            } else {
                self.push(Entry::text(&domain, list.unknown));
            }
        }
    }

    /// The entry of a listed user, and those for extensions that have a way of their own.
    fn user(
        &mut self,
        class: AddressClass,
        entry: &MapEntry,
        (ways, findings): (&mut Ways, &mut Findings),
    ) {
        let (way, comment) = self.way(class, &entry.key, (ways, findings));
        let made = Entry::text(&entry.key, &way).said(entry.line.comment());
        self.push(made.said_all(comment));
        for n in self.rows.extended.get(&entry.key).cloned().unwrap_or_default() {
            let key = self.rows.entries[n].key.clone();
            let (way, comment) = self.way(class, &key, (ways, findings));
            self.push(Entry::text(&key, &way).said_all(comment));
        }
    }

    /// The way that transport(5) finds for an address or a domain, and where it stands.
    fn way(
        &mut self,
        class: AddressClass,
        name: &str,
        (ways, findings): (&mut Ways, &mut Findings),
    ) -> (String, Option<String>) {
        let Some(row) = self.rows.of(name).cloned() else { return (self.of_class(class), None) };
        (self.resolved(class, &row, (ways, findings)), Some(row.line.comment()))
    }

    fn of_class(&self, class: AddressClass) -> String {
        match class {
            AddressClass::Local => LOCAL.to_owned(),
            AddressClass::Mailbox => self.mailbox.clone(),
            AddressClass::Relay => self.relay.clone().unwrap_or_else(|| WAITS.to_owned()),
            AddressClass::Other => ":".to_owned(),
        }
    }

    /// The way that a row is for an address of a class: what the row leaves out is as the class has it.
    fn resolved(
        &mut self,
        class: AddressClass,
        row: &MapEntry,
        (ways, findings): (&mut Ways, &mut Findings),
    ) -> String {
        let MapEntry { line, value, .. } = row;
        let key = (class, value.clone());
        if let Some(known) = self.resolved.get(&key) {
            return known.clone();
        }
        let (name, hop) = value.split_once(':').unwrap_or((value, ""));
        let known = (self.files.main, self.files.services);
        let text = if !name.is_empty() {
            written(ways.of(value, known, (&line.place, findings)))
        } else if hop.trim().is_empty() {
            self.of_class(class)
        } else {
            let setting = match class {
                AddressClass::Local => "local_transport",
                AddressClass::Mailbox => "virtual_transport",
                AddressClass::Relay => "relay_transport",
                AddressClass::Other => "default_transport",
            };
            let transport = self.files.main.get(setting);
            let name = transport.split(':').next().unwrap_or_default();
            let value = format!("{name}:{}", hop.trim());
            written(ways.of(&value, known, (&line.place, findings)))
        };
        self.resolved.insert(key, text.clone());
        text
    }

    /// Entries of the rows themselves, but those that tables of users decide.
    fn rows_of_all(&mut self, ways: &mut Ways, findings: &mut Findings) {
        let is_ours = self.classes.ours();
        for row in self.rows.entries.clone() {
            let MapEntry { line, key, .. } = &row;
            let domain = key.rsplit_once('@').map_or(key.as_str(), |(_, domain)| domain);
            let class = self.class(domain);
            let text = self.resolved(class, &row, (ways, findings));
            let is_refused = self.listed.get(domain) == Some(&false);
            if is_refused && key.contains('@') && !self.keys.contains(key) {
                findings.tell(&line.place, &line.text, Fate::NotNeeded, UNLISTED);
                continue;
            }
            if text != WAITS {
                findings.carried(&line.place, &line.text);
            }
            if self.keys.contains(key) {
                continue;
            }
            if key != "*" && !is_ours(domain.trim_start_matches('.')) {
                self.strangers.extend(self.files.strangers(key));
            }
            self.push(Entry::text(key, &text).said(line.comment()));
        }
    }

    /// Entries of domains for which no key of the table says all: those of virtual mailboxes, of relay
    /// domains that nothing takes, and those where the row that counts leaves the transport to the class.
    fn domains_of_classes(&mut self, ways: &mut Ways, findings: &mut Findings) {
        let below = self.classes.relay.iter().filter(|_| self.is_below);
        let below = below.map(|domain| format!(".{domain}"));
        let all = self.classes.mailbox.iter().chain(&self.classes.relay).chain(&self.classes.local);
        let all: Vec<_> = all.cloned().chain(below).collect();
        let mut is_first = true;
        for domain in all {
            let class = self.class(&domain);
            if self.keys.contains(&domain) {
                continue;
            }
            let row = self.rows.of(&domain);
            let leaves_out = row.is_some_and(|row| {
                let (name, hop) = row.value.split_once(':').unwrap_or((&row.value, ""));
                name.is_empty() && !hop.trim().is_empty() && self.class(&row.key) != class
            });
            let is_needed = class == AddressClass::Mailbox
                || class == AddressClass::Relay && self.relay.is_none() && row.is_none();
            if !is_needed && !leaves_out {
                continue;
            }
            let (way, comment) = self.way(class, &domain, (ways, findings));
            let mut entry = Entry::text(&domain, &way);
            if std::mem::take(&mut is_first) && class == AddressClass::Mailbox {
                entry = entry
                    .said(self.files.said("virtual_mailbox_domains"))
                    .said(self.files.said("virtual_transport"));
            }
            self.push(entry.said_all(comment));
        }
    }

    /// Adds an entry, unless one has its key.
    fn push(&mut self, entry: Entry) {
        if self.keys.insert(entry.name.clone()) {
            self.made.push(entry);
        }
    }
}

/// A table of users, and the reply to everybody else.
#[derive(Debug, Default)]
struct Listed {
    entries: Vec<MapEntry>,
    unknown: &'static str,
}

/// As an entry of `transport` has it.
fn written(way: Way) -> String {
    match way {
        Way::To(text) => text,
        Way::Local => LOCAL.to_owned(),
        Way::Nowhere => WAITS.to_owned(),
    }
}

const UNLISTED: &str = "the table of the domain's users does not list the address: it is refused";
const RELAY_UNKNOWN: &str = "error:5.1.1 User unknown in relay recipient table";
const MAILBOX_UNKNOWN: &str = "error:5.1.1 User unknown in virtual mailbox table";
const PARTLY: &str =
    "a part of it is not read: mail for whoever the rest does not list waits (450)";
