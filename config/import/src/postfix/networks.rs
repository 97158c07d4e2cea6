//! `mynetworks` and who else may send to all the world: the mapping `INTERNAL_IP`.

use relais_config::grammar::Network;

use super::{main_cf::MainCf, maps};
use crate::{
    report::{Fate, Findings},
    ron::{Entry, Value},
    source::{Folder, ImportError, Line},
};

/// The mapping, the first pattern that fits as they stand.
pub(super) fn internal(main: &MainCf, patterns: &[String]) -> Entry {
    let entry = |pattern: &String| match pattern.strip_prefix('!') {
        Some(pattern) => Entry::pair(pattern, "$N"),
        None => Entry::pair(pattern, "$Y"),
    };
    let mut entries: Vec<_> = patterns.iter().map(entry).collect();
    entries.push(Entry::pair("*", "$N"));
    let line = main.line("mynetworks").filter(|_| !patterns.is_empty());
    let comment = line.map_or_else(|| "mynetworks".to_owned(), Line::comment);
    entries[0].comments.push(comment);
    Entry::new("INTERNAL_IP", Value::List(entries))
}

/// Patterns for an address, those behind `!` with it; of files and CIDR tables, too.
pub(super) fn patterns(
    folder: &Folder,
    main: &MainCf,
    findings: &mut Findings,
) -> Result<Vec<String>, ImportError> {
    let line = main.line("mynetworks").cloned().unwrap_or_default();
    let mut words = main.list("mynetworks");
    let mut patterns = Vec::new();
    words.reverse();
    let mut files = 0;
    while let Some(word) = words.pop() {
        let (sign, bare) = word.strip_prefix('!').map_or(("", &*word), |bare| ("!", bare));
        let table = bare.strip_prefix("cidr:");
        if let Some(file) = table.or_else(|| bare.starts_with('/').then_some(bare)) {
            files += 1;
            let name = maps::local_name(folder, file);
            let text = if files > 20 { None } else { folder.read(&name)? };
            let Some(text) = text else {
                findings.missing(
                    &line.place,
                    &format!("mynetworks: {word}"),
                    "the file is not there",
                );
                continue;
            };
            let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            let firsts = lines.filter_map(|line| {
                let mut words = line.split_whitespace();
                let (network, answer) = (words.next()?, words.next().unwrap_or_default());
                let no = table.is_some() && answer.eq_ignore_ascii_case("reject");
                Some(format!("{sign}{}{network}", if no { "!" } else { "" }))
            });
            let more: Vec<_> = firsts.collect();
            words.extend(more.into_iter().rev());
            continue;
        }
        if bare.to_ascii_lowercase().starts_with("[::ffff:") {
            let why = "addresses of IPv4 are seen as such";
            findings.tell(&line.place, &format!("mynetworks: {word}"), Fate::SameByDefault, why);
            continue;
        }
        if let Some(pattern) = pattern(bare) {
            patterns.push(format!("{sign}{pattern}"));
        } else {
            let why = "no network: INTERNAL_IP has networks and addresses";
            findings.missing(&line.place, &format!("mynetworks: {word}"), why);
        }
    }
    Ok(patterns)
}

/// A network as mappings have it.
pub(super) fn pattern(text: &str) -> Option<String> {
    let text = text.replace(['[', ']'], "");
    text.parse::<Network>().ok()?;
    let (address, bits) = text.split_once('/').unwrap_or((&text, ""));
    Some(match (address.contains(':'), bits) {
        (_, "") | (false, "32") | (true, "128") => address.to_owned(),
        (false, bits) => format!("$({address}/{bits})"),
        (true, bits) => format!("${{{address}/{bits}}}"),
    })
}
