//! `imta.cnf`: rewrite rules above the first blank line behind them, channel blocks below it.

use std::collections::BTreeMap;

use super::keywords;
use crate::source::Line;

/// A rule.
#[derive(Clone, Debug)]
pub(super) struct ImtaRule {
    pub(super) line: Line,
    pub(super) pattern: String,
    pub(super) template: String,
}

/// A channel block, or one of `defaults` and `nodefaults`.
#[derive(Clone, Debug)]
pub(super) struct ImtaBlock {
    pub(super) line: Line,
    pub(super) name: String,
    /// The keywords and their arguments, as they stand.
    pub(super) words: Vec<String>,
    /// The official host name; `None`: the block has no second line.
    pub(super) tag: Option<String>,
    /// Lines behind the first: the host's, those of other hosts, and any that fit nowhere.
    pub(super) more: Vec<Line>,
}

/// Rules and blocks of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Imta {
    pub(super) rules: Vec<ImtaRule>,
    pub(super) blocks: Vec<ImtaBlock>,
}

impl Imta {
    pub(super) fn parse(lines: &[Line]) -> Self {
        let mut its = Self::default();
        let paragraphs = lines.split(|line| line.text.trim().is_empty());
        let mut has_blocks = false;
        for paragraph in paragraphs.filter(|lines| !lines.is_empty()) {
            // A file of channels alone has no rules above them.
            if !has_blocks && !is_block(paragraph) {
                its.rules(paragraph);
            } else {
                has_blocks = true;
                its.block(paragraph);
            }
        }
        its
    }

    fn rules(&mut self, lines: &[Line]) {
        for line in lines {
            let text = line.text.trim();
            let (pattern, template) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            // The text of `$?` has blanks; elsewhere they are a mistake, and told as such.
            let template = template.trim().replace(char::is_whitespace, " ");
            self.rules.push(ImtaRule { line: line.clone(), pattern: pattern.to_owned(), template });
        }
    }

    fn block(&mut self, lines: &[Line]) {
        let Some((first, more)) = lines.split_first() else { return };
        let mut words = words(&first.text).into_iter();
        let Some(name) = words.next() else { return };
        let name = name.to_ascii_lowercase();
        let is_host = |line: &&Line| {
            let word = line.text.split_whitespace().next().unwrap_or_default();
            !keywords::is_keyword(word)
        };
        let tag = more.first().filter(is_host);
        let tag = tag.and_then(|line| line.text.split_whitespace().next()).map(str::to_owned);
        self.blocks.push(ImtaBlock {
            line: first.clone(),
            name,
            words: words.collect(),
            tag,
            more: more.to_vec(),
        });
    }

    /// The channel table: the block of each official and each further host name, in lower case. Of
    /// blocks with the same name the first counts.
    pub(super) fn hosts(&self) -> BTreeMap<String, usize> {
        let mut hosts = BTreeMap::new();
        for (n, block) in self.blocks.iter().enumerate() {
            let names = block.tag.iter().map(String::as_str).chain(block.other_hosts());
            for name in names {
                hosts.entry(name.to_ascii_lowercase()).or_insert(n);
            }
        }
        hosts
    }
}

impl ImtaBlock {
    /// Names of hosts behind the official one.
    pub(super) fn other_hosts(&self) -> impl Iterator<Item = &str> {
        let lines = self.more.iter().skip(1).filter(|_| self.tag.is_some());
        lines.flat_map(|line| line.text.split_whitespace())
    }
}

/// Whether the first of these lines begins a channel block: it has a keyword, or a name alone.
fn is_block(lines: &[Line]) -> bool {
    let mut words = lines[0].text.split_whitespace();
    let name = words.next().unwrap_or_default().to_ascii_lowercase();
    let next = words.next();
    let is_name = relais_config::grammar::is_channel(&name);
    let is_of_block = |word: &str| keywords::is_keyword(word);
    name == "defaults" || name == "nodefaults" || is_name && next.is_none_or(is_of_block)
}

/// The words of a line; one in quotes is one.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            c if c.is_whitespace() && !is_quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
