//! The transport table, in the look-up order of Postfix's transport(5).

use relais_channels::mail::Address;
use relais_config::{
    grammar::{Transport, folded},
    rewrite::ErrorText,
};

use super::{accounts::user_of, tables::TransportTable};

/// An entry that holds for an address.
#[derive(Debug)]
pub(super) struct TransportEntry {
    pub(super) pattern: String,
    pub(super) transport: Transport,
}

impl TransportEntry {
    /// The first of `user+detail@domain`, `user@domain`, `domain`, `.parent`, ... and `*`. An address
    /// with a route of its own goes by that.
    pub(super) fn find(table: &TransportTable, address: &Address, delimiter: &str) -> Option<Self> {
        if table.is_empty() || address.route().next().is_some() {
            return None;
        }
        let local = folded(address.local());
        let domain = address.domain()?.trim_end_matches('.').to_ascii_lowercase();
        let name = user_of(&local, delimiter).map(|name| format!("{name}@{domain}"));
        let parents = domain.match_indices('.').map(|(at, _)| domain[at..].to_owned());
        let mut patterns = [Some(format!("{local}@{domain}")), name, Some(domain.clone())]
            .into_iter()
            .flatten()
            .chain(parents)
            .chain([CATCH_ALL.to_owned()]);
        patterns
            .find_map(|pattern| table.get(&pattern).map(|transport| Self { pattern, transport }))
    }

    /// Whether the entry makes the domain ours: the one for everybody does not.
    pub(super) fn claims(&self) -> bool {
        self.pattern != CATCH_ALL
    }
}

/// The words of `error:text` and `retry:text`: an enhanced code may stand before them.
pub(super) fn words(text: &str, class: u8) -> ErrorText {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let parts: Vec<u16> = first.split('.').filter_map(|part| part.parse().ok()).collect();
    let (subject, detail, text) = match parts[..] {
        [its, subject, detail] if its == u16::from(class) => (subject, detail, rest),
        _ => (0, 0, text),
    };
    let text = if text.is_empty() { "no mail is taken for this address" } else { text };
    ErrorText { code: (class, subject, detail), text: text.to_owned() }
}

/// The pattern for whatever has no other.
const CATCH_ALL: &str = "*";
