//! Lists and tables that parameters name.

use std::collections::{BTreeSet, HashSet};

use super::{
    main_cf::{MainCf, words},
    maps::{MapEntry, MapForm, MapName, local_name},
    master_cf::MasterService,
    patterns::{self, KeyForm, MapRow, SortedRows, sorted},
};
use crate::{
    report::{Fate, Findings, Place},
    source::{Folder, ImportError},
};

/// The files of a Postfix while they are read.
pub(super) struct PostfixFiles<'a> {
    pub(super) folder: &'a Folder,
    pub(super) main: &'a MainCf,
    pub(super) services: &'a [MasterService],
}

/// Domains by their class.
#[derive(Debug, Default)]
pub(super) struct Classes {
    pub(super) local: Vec<String>,
    pub(super) relay: Vec<String>,
    pub(super) virtual_alias: Vec<String>,
    pub(super) mailbox: Vec<String>,
}

impl Classes {
    /// Domains that are ours, and those below them.
    pub(super) fn ours(&self) -> impl Fn(&str) -> bool + use<> {
        let all: HashSet<String> = self.all().into_iter().collect();
        move |domain| all.contains(domain) || parents(domain).any(|its| all.contains(its))
    }

    /// All domains that are ours.
    pub(super) fn all(&self) -> Vec<String> {
        let classes = [&self.local, &self.relay, &self.virtual_alias, &self.mailbox];
        classes.into_iter().flatten().cloned().collect()
    }
}

impl PostfixFiles<'_> {
    pub(super) fn place(&self, name: &str) -> Place {
        self.main.line(name).map_or_else(|| Place::of_file("main.cf"), |line| line.place.clone())
    }

    /// Where a setting stands, for a comment.
    pub(super) fn said(&self, name: &str) -> String {
        match self.main.line(name) {
            Some(line) => line.comment(),
            None => format!("{name} = {}, as Postfix has it by default", self.main.get(name)),
        }
    }

    /// Whether a domain in this list stands for those below it, too.
    pub(super) fn matches_below(&self, name: &str) -> bool {
        let names = self.main.list("parent_domain_matches_subdomains");
        names.iter().any(|its| its == name)
    }

    /// Relay domains that no class before theirs has.
    pub(super) fn relay_domains(
        &self,
        local: &[String],
        findings: &mut Findings,
    ) -> Result<Vec<String>, ImportError> {
        let local: HashSet<&String> = local.iter().collect();
        let mut domains = self.domains("relay_domains", findings)?;
        domains.retain(|domain| !local.contains(domain));
        Ok(domains)
    }

    /// The domains of a list: names, files, tables.
    pub(super) fn domains(
        &self,
        name: &str,
        findings: &mut Findings,
    ) -> Result<Vec<String>, ImportError> {
        let place = self.place(name);
        let mut domains = Vec::new();
        for word in words(&self.main.get(name)) {
            if word.starts_with('/') {
                let file = local_name(self.folder, &word);
                match self.folder.read(&file)? {
                    Some(text) => {
                        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
                        let firsts = lines.filter_map(|line| line.split_whitespace().next());
                        domains.extend(firsts.map(str::to_lowercase));
                    }
                    None => findings.missing(
                        &place,
                        &format!("{name}: {word}"),
                        "the file is not there",
                    ),
                }
            } else if let Some(map) = MapName::parse(&word) {
                let entries = map.entries(self.folder, MapForm::Plain, (&place, name, findings))?;
                domains.extend(entries.into_iter().map(|entry| entry.key));
            } else if word.starts_with(['!', '[']) {
                let why = "neither exceptions nor addresses are domains of a rule here";
                findings.missing(&place, &format!("{name}: {word}"), why);
            } else {
                domains.push(word.to_lowercase());
            }
        }
        domains.retain(|domain| {
            relais_config::grammar::is_domain_name(domain.trim_start_matches('.'))
        });
        // Of these lists that of relay domains alone has a notation for what is below a domain.
        let has_dots = name == "relay_domains" && !self.matches_below(name);
        for domain in domains.extract_if(.., |domain| !has_dots && domain.starts_with('.')) {
            findings.tell(&place, &format!("{name}: {domain}"), Fate::NotNeeded, NO_DOTS);
        }
        let mut known = BTreeSet::new();
        domains.retain(|domain| known.insert(domain.clone()));
        Ok(domains)
    }

    /// Virtual alias domains that a setting of their own names.
    pub(super) fn virtual_domains(
        &self,
        findings: &mut Findings,
    ) -> Result<Vec<String>, ImportError> {
        match self.main.line("virtual_alias_domains") {
            Some(_) => self.domains("virtual_alias_domains", findings),
            None => Ok(Vec::new()),
        }
    }

    /// All rows of the tables that a setting names, in order.
    pub(super) fn rows(
        &self,
        name: &str,
        form: MapForm,
        findings: &mut Findings,
    ) -> Result<Vec<MapRow>, ImportError> {
        let place = self.place(name);
        let mut all = Vec::new();
        for word in words(&self.main.get(name)) {
            match MapName::parse(&word) {
                Some(map) if name == "alias_maps" && map.kind == "nis" => {}
                Some(map) => all.extend(self.map_rows(&map, form, (&place, name, findings))?),
                None => findings.missing(&place, &format!("{name}: {word}"), "no table"),
            }
        }
        let is_address = |row: &MapRow| match row {
            MapRow::Pattern(row) => row.forms.iter().flatten().any(|its| its.literal().is_some()),
            MapRow::Entry(_) => false,
        };
        if !self.main.get("recipient_delimiter").is_empty() && all.iter().any(is_address) {
            findings.missing(&place, name, WHOLE);
        }
        Ok(all)
    }

    /// The rows of a table that is a text or has expressions, or stands in the setting itself; of another one
    /// nothing, and that is told.
    pub(super) fn map_rows(
        &self,
        map: &MapName,
        form: MapForm,
        (place, setting, findings): (&Place, &str, &mut Findings),
    ) -> Result<Vec<MapRow>, ImportError> {
        if !map.has_patterns() {
            let entries = map.entries(self.folder, form, (place, setting, findings))?;
            return Ok(entries.into_iter().map(MapRow::Entry).collect());
        }
        let rows = patterns::read(self.folder, map)?;
        if rows.is_none() {
            findings.missing(place, &map.of(setting), "the table is not there");
        }
        Ok(rows.unwrap_or_default().into_iter().map(MapRow::Pattern).collect())
    }

    /// The entries of tables whose keys say all of it; patterns that no key says are told of.
    pub(super) fn entries(
        &self,
        name: &str,
        form: MapForm,
        keys: KeyForm<'_>,
        findings: &mut Findings,
    ) -> Result<Vec<MapEntry>, ImportError> {
        let rows = self.rows(name, form, findings)?;
        let sorted = sorted(rows, keys, findings)?;
        sorted.tell_in_place(findings);
        let SortedRows { entries, patterns, .. } = sorted;
        for left in patterns {
            findings.missing(&left.line.place, &left.line.text, NO_KEY);
        }
        Ok(entries)
    }
}

/// How much of tables of addresses was left out so far.
pub(super) fn left_out(findings: &Findings) -> usize {
    let of_tables = |told: &&crate::Told| {
        told.fate == Fate::NoCounterpart
            && told.meaning != WHOLE
            && told.setting != "recipient_canonical_maps"
    };
    findings.told.iter().filter(of_tables).count()
}

/// The domains that a domain lies below.
pub(super) fn parents(domain: &str) -> impl Iterator<Item = &str> {
    domain.match_indices('.').map(|(at, _)| &domain[at + 1..])
}

/// Of addresses whose table is not read as a whole: nobody is refused for good whom the rest may have.
pub(super) const PERHAPS: &str = "retry:4.1.1 a part of the table of this domain is not here yet";
/// Said of a pattern that no key of a table stands for.
pub(super) const NO_KEY: &str = "no key of the table says this pattern: write its addresses out";
const WHOLE: &str = "its expressions see whole addresses: here an address that one of them names stands for \
                     its subaddresses, too";
const NO_DOTS: &str =
    "no domain matches it: the list has no notation for the domains below another";
