//! Files of addresses or logins that may or may not post to a list of the alias table.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use relais_channels::mail::Address;
use relais_config::{Config, alias_list::without_colon, text_table::addresses};

use super::list_files::{INCLUDE, entry_lines, read_list};
use crate::directory::PosterList;

/// Reads them.
pub(super) struct PosterFiles<'a> {
    pub(super) config: &'a Config,
    pub(super) kind: PosterKind<'a>,
    /// Files that were read, or should have been.
    pub(super) files: &'a mut Vec<PathBuf>,
}

/// The kind of names that a file holds.
#[derive(Clone, Copy)]
pub(super) enum PosterKind<'a> {
    /// Addresses; bare ones are of one of these domains.
    Addresses(&'a [String]),
    /// Names of users who have logged in.
    Logins,
}

impl PosterFiles<'_> {
    /// Adds the names of a file, and of those that it names by `:include:`. `Err`: one cannot be read,
    /// or has a line that names nobody: a list would be open to those whom that is to keep out.
    pub(super) fn read(&mut self, name: &str, list: &mut PosterList) -> Result<(), String> {
        let mut pending = vec![name.to_owned()];
        let mut known = HashSet::new();
        while let Some(name) = pending.pop() {
            if !known.insert(name.clone()) {
                continue;
            }
            if known.len() > MOST_FILES {
                return Err(format!("{name}: there are more than {MOST_FILES} files"));
            }
            let file = self.config.path(Path::new(&name));
            self.files.push(file.clone());
            let text = read_list(&file).map_err(|error| format!("{name}: {error}"))?;
            for (line, text) in entry_lines(&text) {
                let mut add = |name: &str| self.kind.add(list, name);
                let added = match self.kind {
                    PosterKind::Logins => add(text).map(|()| Vec::new()),
                    PosterKind::Addresses(_) => add_all(text, &mut add),
                };
                let included = added.map_err(|why| format!("{name}: line {line}: {why}"))?;
                pending.extend(included);
            }
        }
        Ok(())
    }
}

impl PosterKind<'_> {
    /// Adds a name.
    pub(super) fn add(self, list: &mut PosterList, name: &str) -> Result<(), String> {
        let shown: String = name.chars().take(80).collect();
        if name.starts_with('#') {
            return Err("a comment has a line of its own".to_owned());
        }
        if name.contains('*') {
            // As addresses are compared: without quotes that need not be, and a final dot.
            let name = name.trim_end_matches('.');
            let is_whole = matches!(self, Self::Logins) || name.contains('@');
            if !is_whole || name.contains(|c: char| c.is_whitespace() || c == '"') {
                return Err(format!("{shown:?} is no pattern of addresses such as *@example.org"));
            }
            if list.patterns() == MOST_PATTERNS {
                return Err(format!("there are more than {MOST_PATTERNS} patterns"));
            }
            list.add_name(name);
            return Ok(());
        }
        let Self::Addresses(domains) = self else {
            list.add_name(name);
            return Ok(());
        };
        let name = name.strip_prefix('\\').unwrap_or(name);
        let address = Address::parse(name).map_err(|error| format!("{shown:?}: {error}"))?;
        if address.domain().is_some() {
            list.add_address(&address);
            return Ok(());
        }
        for domain in domains {
            let completed = address.completed(domain);
            list.add_address(&completed.ok_or_else(|| format!("{shown:?} is no address"))?);
        }
        Ok(())
    }
}

/// Adds the addresses of a line, but for commands and files, which send nothing; other files that it
/// names are told.
fn add_all(
    line: &str,
    add: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<Vec<String>, String> {
    let mut included = Vec::new();
    for address in addresses(line) {
        let address = without_colon(address);
        match address.strip_prefix(INCLUDE) {
            Some(file) => included.push(file.to_owned()),
            None if address.starts_with(['|', '/']) => {}
            None => add(&address)?,
        }
    }
    Ok(included)
}

/// Files that one parameter leads to.
const MOST_FILES: usize = 100;
/// Patterns of one parameter: each costs a comparison.
const MOST_PATTERNS: usize = 1_000;
