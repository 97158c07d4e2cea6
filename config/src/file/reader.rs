//! Reading without stopping: every mistake is noted, and reading goes on behind it.

use std::collections::HashMap;

use crate::file::{
    mistake::{Complaint, Mistake, Places, Report, Warning},
    not_ron::first_slip,
    paths::{default_of, lies_in},
    pieces,
    source::{Source, Spot, shorten},
};

/// The file while it is read: what was wrong so far, and where each field stands.
pub(crate) struct Reader<'a> {
    source: Source<'a>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
    /// There was no room for all of them.
    has_more_warnings: bool,
    places: HashMap<String, &'a str>,
}

/// One value of the file.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    /// A slice of the file, without blanks and comments around it.
    pub(crate) text: &'a str,
    /// `channels[3].pool`.
    pub(crate) path: String,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            source: Source::new(file, text),
            mistakes: Vec::new(),
            warnings: Vec::new(),
            has_more_warnings: false,
            places: HashMap::new(),
        }
    }

    /// Notes that `text`, a slice of the file, is wrong.
    pub(crate) fn mistake(&mut self, text: &str, path: &str, message: &str, accepted: &str) {
        // Finding the place costs the length of its line.
        let full = self.mistakes.len() >= MOST;
        let spot = if full { Spot::default() } else { self.source.spot(text) };
        self.note(spot, Complaint { field: path, offending: text, message, accepted });
    }

    /// Notes that `node` is not what was expected of it.
    pub(crate) fn unfit(&mut self, node: &Node<'a>, expected: &str) {
        let message = format!("{} does not fit here", shorten(node.text));
        self.mistake(node.text, &node.path, &message, expected);
    }

    /// Notes that what begins `offset` octets into the second text of the pair at `path` is wrong.
    pub(crate) fn mistake_in_second(
        &mut self,
        path: &str,
        offset: usize,
        message: &str,
        accepted: &str,
    ) {
        if self.is_full() || !self.is_sound(path) {
            return;
        }
        let (path, text) = self.place(path);
        match pieces::pair(text) {
            Ok((_, text)) => self.mistake_inside(&Node { text, path }, offset, message, accepted),
            // The place of the pair itself was not kept.
            Err(_) => self.mistake(text, &path, message, accepted),
        }
    }

    /// Notes that what begins `offset` octets into the text of `node` is wrong.
    pub(crate) fn mistake_inside(
        &mut self,
        node: &Node<'a>,
        offset: usize,
        message: &str,
        accepted: &str,
    ) {
        self.mistake(node.inside(offset), &node.path, message, accepted);
    }

    /// Notes that the field at `path`, read before, is wrong; once, and not when something in
    /// it or around it is wrong already: then this may be no more than the consequence.
    pub(crate) fn mistake_at(&mut self, path: &str, message: &str, accepted: &str) {
        if self.is_full() || !self.is_sound(path) {
            return;
        }
        let (path, text) = self.place(path);
        // A default that is wrong for many is wrong once.
        if self.is_sound(&path) {
            let spot = self.spot_of(text);
            self.note(spot, Complaint { field: &path, offending: text, message, accepted });
        }
    }

    /// Notes that the field at `path`, read before, will not do what one may expect.
    pub(crate) fn warning_at(&mut self, path: &str, message: &str, blocks_run: bool) {
        // One that keeps the engine from starting is told in any case.
        if !blocks_run && self.has_warned_enough() {
            return;
        }
        let (field, text) = self.place(path);
        let spot = self.spot_of(text);
        let (file, message) = (self.source.file.to_owned(), message.to_owned());
        let (line, column) = (spot.line, spot.column);
        let known = |w: &Warning| (w.line, w.column) == (line, column) && w.message == message;
        if !self.warnings.iter().any(known) {
            self.warnings.push(Warning { file, line, column, field, message, blocks_run, spot });
        }
    }

    /// A text that is not RON: the slip that may have been made, or else the parser's words.
    pub(crate) fn not_ron(&mut self, error: &ron::error::SpannedError) {
        if let Some(slip) = first_slip(self.source.text) {
            return self.mistake(slip.place, "", &slip.message, &slip.accepted);
        }
        let start = error.span.end;
        let spot = self.source.spot_of_position(start.line, start.col);
        let message = format!("this is not RON: {}", sentence(&error.code.to_string()));
        let seen = spot.excerpt.chars().skip(spot.indent).collect::<String>();
        let complaint = Complaint { offending: &seen, message: &message, ..Complaint::default() };
        self.note(spot, complaint);
    }

    /// The line of a field that was read before.
    pub(crate) fn line_of(&self, path: &str) -> usize {
        let (_, text) = self.place(path);
        self.spot_of(text).line
    }

    /// The line of a value that is being read.
    pub(crate) fn line_at(&self, node: &Node<'_>) -> usize {
        self.source.line_of(node.text)
    }

    /// Whether `path` was read, and nothing in it or around it is wrong.
    pub(crate) fn is_sound(&self, path: &str) -> bool {
        !self.mistakes.iter().any(|m| lies_in(path, &m.field) || lies_in(&m.field, path))
    }

    /// Whether each element of a list and its field `name` could be read.
    pub(crate) fn are_sound(&self, list: &str, name: &str) -> bool {
        let breaks = |field: &str| {
            field == list
                || field
                    .strip_prefix(list)
                    .and_then(|rest| rest.strip_prefix('['))
                    .and_then(|rest| rest.split_once(']'))
                    .is_some_and(|(_, rest)| rest.is_empty() || rest[1..] == *name)
        };
        !self.mistakes.iter().any(|mistake| breaks(&mistake.field))
    }

    /// Whether nothing was wrong so far.
    pub(crate) fn is_free_of_mistakes(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// Whether the file gives this field, and not only a default for it.
    pub(crate) fn is_given_itself(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// Whether the file gives this field, or a default for it.
    pub(crate) fn is_given(&self, path: &str) -> bool {
        let given = |path: &str| self.places.contains_key(path);
        given(path) || default_of(path).is_some_and(|path| given(&path))
    }

    /// Everything noted, in the order of the file; and where the fields stand, for what shows only
    /// later.
    pub(crate) fn into_findings(mut self) -> (Report, Places) {
        let services = "dispatcher.services[";
        let listed = ["aliases[", "tls."];
        // Files and addresses are looked at when the file is read.
        let looked_at = [".ca", ".certificate", ".credentials", ".interface_address", ".key"];
        let late = |path: &str| {
            !path.contains('[')
                || listed.iter().any(|list| path.starts_with(list))
                || looked_at.iter().any(|name| path.ends_with(name))
        };
        let of_services = self.places.iter().filter(|(path, _)| path.starts_with(services));
        let others = self.places.iter().filter(|(path, _)| late(path)).take(MOST_LATE);
        // There are few services, and what they ask for shows late more often than anything else.
        let spots = of_services.take(MOST_LATE).chain(others);
        let spots = spots.map(|(path, text)| (path.clone(), self.spot_of(text))).collect();
        let places = Places { file: self.source.file.to_owned(), spots };
        if self.has_more_warnings {
            let message = "there are more warnings than these";
            self.warnings.push(Warning::of_file(&places.file, message));
        }
        let mut report = Report { mistakes: self.mistakes, warnings: self.warnings };
        report.sort();
        (report, places)
    }

    /// Whether there is no room for another warning, which the report says then: finding the words for one
    /// has its cost.
    pub(crate) fn has_warned_enough(&mut self) -> bool {
        self.has_more_warnings |= self.warnings.len() >= MOST;
        self.has_more_warnings
    }

    /// Whether there is no room for another mistake.
    pub(crate) fn is_full(&self) -> bool {
        self.mistakes.len() > MOST
    }

    /// Remembers where `node` stands.
    pub(crate) fn record(&mut self, node: &Node<'a>) {
        // Beyond that a place is told by what it is a part of.
        if self.places.len() < MOST_PLACES {
            self.places.insert(node.path.clone(), node.text);
        }
    }

    /// The place of `path`: where it is given, else the default that stands for it, else what it
    /// would be a part of.
    fn place(&self, path: &str) -> (String, &'a str) {
        let given = |path: String| self.places.get(&path).map(|text| (path, *text));
        if let Some(found) = given(path.to_owned()).or_else(|| given(default_of(path)?)) {
            return found;
        }
        let mut around = path;
        while let Some(end) = around.rfind(['.', '[']) {
            around = &around[..end];
            if let Some(text) = self.places.get(around) {
                return (path.to_owned(), text);
            }
        }
        (path.to_owned(), self.places.get("").copied().unwrap_or_default())
    }

    /// A section of many lines is marked by its first character.
    pub(crate) fn spot_of(&self, text: &str) -> Spot {
        let mut spot = self.source.spot(text);
        if text.contains('\n') {
            spot.width = 1;
        }
        spot
    }

    pub(crate) fn note(&mut self, spot: Spot, complaint: Complaint<'_>) {
        let full = self.mistakes.len() == MOST;
        if self.is_full() {
            return;
        }
        let file = self.source.file;
        self.mistakes.push(if full {
            let message = "there are more mistakes than these";
            Mistake::new(file, Spot::default(), Complaint { message, ..Complaint::default() })
        } else {
            Mistake::new(file, spot, complaint)
        });
    }
}

impl<'a> Node<'a> {
    /// A part of this value, called `name`.
    pub(crate) fn field(&self, name: &str, text: &'a str) -> Self {
        let path =
            if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { text, path }
    }

    /// An element of this list.
    pub(crate) fn item(&self, index: usize, text: &'a str) -> Self {
        Self { text, path: format!("{}[{index}]", self.path) }
    }

    /// An entry of this map.
    pub(crate) fn entry(&self, key: &str, text: &'a str) -> Self {
        Self { text, path: format!("{}[{:?}]", self.path, shorten(key)) }
    }

    /// The part of a quoted text that begins `offset` octets into its contents; all of it when
    /// escapes hide where that is.
    pub(crate) fn inside(&self, offset: usize) -> &'a str {
        let raw = self.text.starts_with('r');
        let quote = self.text.find('"').filter(|_| raw || !self.text.contains('\\'));
        let rest = quote.and_then(|quote| self.text.get(quote + 1 + offset..));
        let first = rest.and_then(|rest| rest.get(..rest.chars().next()?.len_utf8()));
        first.unwrap_or(self.text)
    }
}

/// `did you mean pool? the fields here are pool, port, ...`, the most similar first.
pub fn suggest(wrong: &str, known: &[&str], introduction: &str) -> String {
    // The distance costs the product of both lengths.
    let wrong: String = wrong.chars().take(100).map(|c| c.to_ascii_lowercase()).collect();
    let distance = |name: &&str| strsim::damerau_levenshtein(&wrong, &name.to_ascii_lowercase());
    let mut sorted: Vec<&str> = known.iter().copied().take(MOST_COMPARED).collect();
    sorted.sort_by_cached_key(distance);
    let more = if known.len() > MOST_NAMED { ", ..." } else { "" };
    let named = format!("{}{more}", sorted[..sorted.len().min(MOST_NAMED)].join(", "));
    match sorted.first() {
        None => format!("{introduction} none"),
        Some(nearest) if distance(nearest) <= nearest.len().min(6) / 2 => {
            format!("did you mean {nearest}? {introduction} {named}")
        }
        Some(_) => format!("{introduction} {named}"),
    }
}

/// The parser's words as part of a sentence.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Fields whose place is kept when the text is gone.
const MOST_LATE: usize = 10_000;
/// Names in a sentence.
const MOST_NAMED: usize = 8;
/// Names that are compared with one that is wrong.
const MOST_COMPARED: usize = 500;
/// Mistakes, and warnings, kept at most.
const MOST: usize = 1_000;
/// Places kept at most: a file of the largest size has millions of elements.
const MOST_PLACES: usize = 300_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_inside_a_text_is_found_unless_escapes_hide_it() {
        // text as in the file, octets into its contents, what is marked
        let rows = [
            ("\"$U$z\"", 2, "$"),
            ("\"$Ué\"", 2, "é"),
            ("\"$U\"", 2, "\""),
            ("r\"$\\z\"", 1, "\\"),
            ("r#\"a\"b\"#", 2, "b"),
            ("\"a\\tb\"", 2, "\"a\\tb\""),
            ("\"a\"", 99, "\"a\""),
        ];
        for (text, offset, want) in rows {
            assert_eq!(Node { text, path: String::new() }.inside(offset), want, "{text}");
        }
    }

    #[test]
    fn suggestions_begin_with_the_nearest() {
        let names = ["port", "pool", "private"];
        let rows = [
            ("prot", "did you mean port? there are port, pool, private"),
            ("POOL", "did you mean pool? there are pool, port, private"),
            ("xyzzy", "there are port, pool, private"),
        ];
        let many: Vec<String> = (0..2_000).map(|n| format!("channel{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let said = suggest("chanel7", &many, "there are");
        assert!(said.starts_with("did you mean channel7? there are channel7, "), "{said}");
        assert!(said.ends_with(", ...") && said.matches(", ").count() == 8, "{said}");
        for (wrong, want) in rows {
            assert_eq!(suggest(wrong, &names, "there are"), want, "{wrong}");
        }
    }
}
