//! `imta.cnf`: rewrite rules above the first blank line behind them, channel blocks below it.

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
    /// Lines that are neither.
    pub(super) odd: Vec<Line>,
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
            match line.text.trim().split_once(char::is_whitespace) {
                Some((pattern, template)) if !template.trim().contains(char::is_whitespace) => {
                    let (pattern, template) = (pattern.to_owned(), template.trim().to_owned());
                    self.rules.push(ImtaRule { line: line.clone(), pattern, template });
                }
                _ => self.odd.push(line.clone()),
            }
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
