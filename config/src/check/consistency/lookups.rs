//! Look-ups by URL in rules and mapping tables: whether there is anybody to ask, and anybody who waits.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use super::mappings::each_piece;
use crate::{
    file::reader::Reader,
    language::{
        mapping::{Calls, MappingTable},
        rewrite::RewritePiece,
    },
    sections::{config::Config, directory::Directory},
};

pub(crate) fn check(config: &Config, reader: &mut Reader<'_>) {
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        let mut urls = Vec::new();
        each_piece(&rule.parsed, &mut |piece| {
            if let RewritePiece::Url(url) = piece {
                urls.push(url.is_for_servers_alone());
            }
        });
        tell(config, &format!("rewrite_rules[{i}]"), &urls, reader);
    }
    let waiting = at_once(config);
    for (name, table) in &config.mappings {
        for (i, Calls { urls, .. }) in
            table.calls().enumerate().filter(|(_, its)| !its.urls.is_empty())
        {
            let path = format!("mappings[{name:?}][{i}]");
            tell(config, &path, &urls, reader);
            if let Some(asked) = waiting.get(&name.to_ascii_uppercase()) {
                let by = if asked.eq_ignore_ascii_case(name) { "" } else { " (it calls this one)" };
                let message = format!(
                    "a look-up by URL waits for the directory, and {asked}{by} has to answer at once"
                );
                let accepted = "$]ldap:///...[ in rewrite rules, FROM_ACCESS, ORIG_SEND_ACCESS, \
                                SEND_ACCESS, ORIG_MAIL_ACCESS, MAIL_ACCESS and tables that these \
                                call is expected";
                reader.mistake_at(&path, &message, accepted);
            }
        }
    }
}

fn tell(config: &Config, path: &str, urls: &[bool], reader: &mut Reader<'_>) {
    let for_servers = urls.iter().any(|is_for_servers| *is_for_servers);
    let (message, accepted) = match &config.directory {
        None if !urls.is_empty() => {
            ("a look-up by URL, and no directory to ask", "directory: Ldap(...) is expected")
        }
        Some(Directory::Ldif { .. }) if for_servers => (
            "the filter compares by a rule (:=) that only an LDAP server knows",
            "=, >=, <= or ~= is expected where an LDIF file is the directory",
        ),
        _ => return,
    };
    reader.mistake_at(path, message, accepted);
}

/// Tables that are probed where nobody may wait, and those that they call, in upper case; and for
/// which of the former.
fn at_once(config: &Config) -> BTreeMap<String, &'static str> {
    let upper = |name: &String| name.to_ascii_uppercase();
    let calls: BTreeMap<String, BTreeSet<String>> = config
        .mappings
        .iter()
        .map(|(name, table)| {
            let called = table.calls().flat_map(|calls: Calls| calls.tables);
            (upper(name), called.map(|name| upper(&name)).collect())
        })
        .collect();
    if !config.mappings.values().any(MappingTable::asks_urls) {
        return BTreeMap::new();
    }
    let mut found = BTreeMap::new();
    for asked in AT_ONCE {
        let mut open = vec![asked.to_owned()];
        while let Some(name) = open.pop() {
            if let Entry::Vacant(place) = found.entry(name) {
                open.extend(calls.get(place.key()).into_iter().flatten().cloned());
                place.insert(asked);
            }
        }
    }
    found
}

/// Tables that answer where nobody waits for a directory: before the first octet, for each session, in
/// the middle of a message.
const AT_ONCE: [&str; 10] = [
    "ORIGIN_ACCESS",
    "PORT_ACCESS",
    "INTERNAL_IP",
    "IP_ACCESS",
    "REVERSE",
    "FORWARD",
    "COMMENT_STRINGS",
    "PERSONAL_NAMES",
    "CONVERSIONS",
    "CHARSET-CONVERSION",
];
