//! The kinds of values that the file knows.

use std::{
    fmt::Display, marker::PhantomData, num::NonZeroUsize, ops::RangeInclusive, path::PathBuf,
    str::FromStr, time::Duration,
};

use crate::{
    document::Document,
    names::LABEL,
    pieces,
    reader::{Node, Reader, suggest},
    section::{Kind, Section, print_section, read_into},
    source::shorten,
    units::{
        DURATION_FORMS, SIZE_FORMS, UnitError, format_duration, format_size, parse_duration,
        parse_size,
    },
};

/// Any text.
pub(crate) struct Text;

impl Kind<String> for Text {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<String> {
        let text = ron::from_str(node.text);
        if text.is_err() {
            let expected = match pieces::variant(node.text) {
                Some((name, "")) => format!("a text in double quotes is expected: \"{name}\""),
                _ => "a text in double quotes is expected".to_owned(),
            };
            reader.unfit(node, &expected);
        }
        text.ok()
    }

    fn print(&self, value: &String) -> Document {
        Document::text(value)
    }
}

/// A text of a certain form.
pub(crate) struct Formed {
    /// Whether a text has the form.
    pub(crate) is: fn(&str) -> bool,
    /// `a domain name is expected, such as ...`.
    pub(crate) expected: &'static str,
}

impl Kind<String> for Formed {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<String> {
        let text = Text.read(node, reader)?;
        if (self.is)(&text) {
            return Some(text);
        }
        // Blanks around it, the dot of the DNS, capitals.
        let plain = text.trim().trim_end_matches('.');
        let meant = [plain.to_owned(), plain.to_ascii_lowercase()];
        let meant = meant.iter().find(|meant| (self.is)(meant));
        let hint = meant.map_or_else(String::new, |meant| format!("did you mean {meant:?}? "));
        reader.unfit(node, &format!("{hint}{}", self.expected));
        None
    }

    fn print(&self, value: &String) -> Document {
        Document::text(value)
    }
}

/// A file or folder; a relative one lies below `data`.
pub(crate) struct Path;

impl Kind<PathBuf> for Path {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<PathBuf> {
        let form = Formed {
            is: |text| !text.is_empty() && !text.contains('\0'),
            expected: "a path is expected, absolute or below data",
        };
        form.read(node, reader).map(PathBuf::from)
    }

    fn print(&self, value: &PathBuf) -> Document {
        // It came from a text; what came from elsewhere may lose what is not Unicode.
        Document::text(&value.to_string_lossy())
    }
}

/// An address of the network, in quotes.
pub(crate) struct Parsed {
    /// `an IP address is expected, such as ...`.
    pub(crate) expected: &'static str,
}

impl<T: FromStr + Display> Kind<T> for Parsed {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<T> {
        let text: Option<String> = ron::from_str(node.text).ok();
        let value = text.and_then(|text| text.parse().ok());
        if value.is_none() {
            reader.unfit(node, self.expected);
        }
        value
    }

    fn print(&self, value: &T) -> Document {
        Document::text(&value.to_string())
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl Kind<bool> for Flag {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<bool> {
        let value = ron::from_str(node.text).ok();
        if value.is_none() {
            let said = bare(node.text).to_ascii_lowercase();
            let meant = match said.as_str() {
                "true" | "yes" | "on" | "1" => "true is expected, without quotes",
                "false" | "no" | "off" | "0" => "false is expected, without quotes",
                _ => "true or false is expected",
            };
            reader.unfit(node, meant);
        }
        value
    }

    fn print(&self, value: &bool) -> Document {
        Document::Atom(value.to_string())
    }
}

/// Permissions of a file, in octal and in quotes: `"0660"`.
pub(crate) struct Mode;

impl Kind<u32> for Mode {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<u32> {
        let expected = "octal permissions in quotes are expected, such as \"0660\"";
        if !node.text.starts_with(['"', 'r']) {
            reader.unfit(node, expected);
            return None;
        }
        let text = Text.read(node, reader)?;
        let octal = text.len() <= 4 && text.bytes().all(|c| (b'0'..=b'7').contains(&c));
        let mode = octal.then(|| u32::from_str_radix(&text, 8).ok()).flatten();
        let mode = mode.filter(|mode| *mode <= 0o777);
        if mode.is_none() {
            reader.unfit(node, expected);
        }
        mode
    }

    fn print(&self, value: &u32) -> Document {
        Document::text(&format!("{value:04o}"))
    }
}

/// A whole number.
pub(crate) struct Count(pub(crate) RangeInclusive<u64>);

/// What a [`Count`] can be.
pub(crate) trait Number: Copy {
    fn from_count(count: u64) -> Option<Self>;
    fn to_count(self) -> u64;
}

impl<N: Number> Kind<N> for Count {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<N> {
        let count = ron::from_str(node.text).ok().filter(|count| self.0.contains(count));
        let number = count.and_then(N::from_count);
        if number.is_none() {
            let (least, most) = (self.0.start(), self.0.end());
            let said = bare(node.text);
            let fits = said.parse().is_ok_and(|count| self.0.contains(&count));
            let meant = if fits { format!(": {said}") } else { String::new() };
            reader
                .unfit(node, &format!("a whole number from {least} to {most} is expected{meant}"));
        }
        number
    }

    fn print(&self, value: &N) -> Document {
        Document::Atom(value.to_count().to_string())
    }
}

/// Octets.
pub(crate) struct Size(pub(crate) RangeInclusive<u64>);

impl Kind<u64> for Size {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<u64> {
        let octets = match ron::from_str::<u64>(node.text) {
            Ok(octets) => Ok(octets),
            Err(_) if node.text.starts_with(['"', 'r']) => parse_size(&Text.read(node, reader)?),
            Err(_) => Err(UnitError::Size(String::new())),
        };
        let (least, most) = (*self.0.start(), *self.0.end());
        let range = || format!("{} to {} are allowed", format_size(least), format_size(most));
        match octets {
            Ok(octets) if self.0.contains(&octets) => return Some(octets),
            Ok(_) | Err(UnitError::TooLarge(_)) => reader.unfit(node, &range()),
            Err(_) => reader.unfit(node, SIZE_FORMS),
        }
        None
    }

    fn print(&self, value: &u64) -> Document {
        sized(*value)
    }
}

impl Kind<usize> for Size {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<usize> {
        Kind::<u64>::read(self, node, reader).and_then(|octets| octets.try_into().ok())
    }

    fn print(&self, value: &usize) -> Document {
        sized(*value as u64)
    }
}

/// How long something takes.
pub(crate) struct Time(pub(crate) RangeInclusive<Duration>);

impl Kind<Duration> for Time {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Duration> {
        if !node.text.starts_with(['"', 'r']) {
            reader.unfit(node, DURATION_FORMS);
            return None;
        }
        let (least, most) = (*self.0.start(), *self.0.end());
        let range =
            || format!("{} to {} are allowed", format_duration(least), format_duration(most));
        let text = Text.read(node, reader)?;
        match parse_duration(&text) {
            Ok(duration) if self.0.contains(&duration) => {
                let iso = text.trim_start().starts_with(['P', 'p']);
                let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
                if words.any(|word| word == "M") && !iso {
                    let plain = format_duration(duration);
                    let message = format!("M stands for minutes in a time: this is {plain}");
                    reader.warning_at(&node.path, &message, false);
                }
                return Some(duration);
            }
            Ok(_) | Err(UnitError::TooLarge(_)) => reader.unfit(node, &range()),
            Err(_) => reader.unfit(node, DURATION_FORMS),
        }
        None
    }

    fn print(&self, value: &Duration) -> Document {
        Document::text(&format_duration(*value))
    }
}

/// Times, each later than the one before: `["1d", "2d"]`.
pub(crate) struct Series {
    /// Elements at most.
    pub(crate) most: usize,
    /// Whether two may be equal.
    pub(crate) repeats: bool,
}

impl Kind<Vec<Duration>> for Series {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Vec<Duration>> {
        let times = List(WAIT).read(node, reader)?;
        let falls = |pair: &[Duration]| pair[1] < pair[0] || pair[1] == pair[0] && !self.repeats;
        if times.is_empty() || times.len() > self.most {
            let most = self.most;
            reader.unfit(node, &format!("a list of 1 to {most} times is expected"));
            return None;
        }
        if times.windows(2).any(falls) {
            let order = if self.repeats { "not shorter" } else { "longer" };
            reader.unfit(node, &format!("each time must be {order} than the one before"));
            return None;
        }
        Some(times)
    }

    fn print(&self, value: &Vec<Duration>) -> Document {
        List(WAIT).print(value)
    }
}

/// One of several names.
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind<T> for Choice<T> {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<T> {
        let found = self.0.iter().find(|(name, _)| *name == node.text);
        if found.is_none() {
            let names: Vec<_> = self.0.iter().map(|(name, _)| *name).collect();
            let wrong = node.text.trim_matches('"');
            reader
                .unfit(node, &suggest(wrong, &names, "one of these is expected, without quotes:"));
        }
        found.map(|(_, value)| *value)
    }

    fn print(&self, value: &T) -> Document {
        let name = self.0.iter().find(|(_, known)| known == value).map(|(name, _)| *name);
        Document::Atom(name.unwrap_or_default().to_owned())
    }
}

/// A value or `None`.
pub(crate) struct Maybe<K>(pub(crate) K);

impl<T, K: Kind<T>> Kind<Option<T>> for Maybe<K> {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Option<T>> {
        match pieces::option(node.text) {
            None => Some(None),
            Some(text) => self.0.read(&Node { text, path: node.path.clone() }, reader).map(Some),
        }
    }

    fn print(&self, value: &Option<T>) -> Document {
        let none = || Document::Atom("None".to_owned());
        value.as_ref().map_or_else(none, |value| self.0.print(value))
    }
}

/// `[value, ...]`.
pub(crate) struct List<K>(pub(crate) K);

impl<T, K: Kind<T>> Kind<Vec<T>> for List<K> {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Vec<T>> {
        let Ok(items) = pieces::items(node.text) else {
            let one = node.text.len() <= LONGEST_SHOWN && !node.text.starts_with(['(', '{', '[']);
            let example = if one { node.text } else { "value, ..." };
            reader.unfit(node, &format!("a list is expected: [{example}]"));
            return None;
        };
        let mut values = Vec::with_capacity(items.len());
        for (i, text) in items.into_iter().enumerate() {
            let item = node.item(i, text);
            reader.record(&item);
            values.extend(self.0.read(&item, reader));
        }
        Some(values)
    }

    fn print(&self, value: &Vec<T>) -> Document {
        Document::List(value.iter().map(|value| self.0.print(value)).collect())
    }
}

/// A list of so many elements at most.
pub(crate) struct Few<K>(pub(crate) List<K>, pub(crate) usize);

impl<T, K: Kind<T>> Kind<Vec<T>> for Few<K> {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Vec<T>> {
        if pieces::items(node.text).is_ok_and(|items| items.len() > self.1) {
            reader.unfit(node, &format!("a list of {} at most is expected", self.1));
            return None;
        }
        self.0.read(node, reader)
    }

    fn print(&self, value: &Vec<T>) -> Document {
        self.0.print(value)
    }
}

/// `("first", "second")`.
pub(crate) struct Pair;

impl Kind<(String, String)> for Pair {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<(String, String)> {
        let Ok((first, second)) = pieces::pair(node.text) else {
            reader.unfit(node, "a pair of texts is expected: (\"pattern\", \"template\")");
            return None;
        };
        let mut half = |text| Text.read(&Node { text, path: node.path.clone() }, reader);
        let (first, second) = (half(first), half(second));
        Some((first?, second?))
    }

    fn print(&self, (first, second): &(String, String)) -> Document {
        Document::Pair(Box::new([Document::text(first), Document::text(second)]))
    }
}

/// `{"key": value, ...}`: into a map, or whatever can be made of keys and values and taken apart
/// into them.
pub(crate) struct Table<K>(pub(crate) K);

impl<K> Table<K> {
    /// Reads keys and values with `read`; twice the same key is a mistake.
    fn each<'a>(
        node: &Node<'a>,
        reader: &mut Reader<'a>,
        mut read: impl FnMut(String, &Node<'a>, &mut Reader<'a>),
    ) -> Option<()> {
        let Ok(entries) = pieces::entries(node.text) else {
            reader.unfit(node, "a map is expected: {\"name\": value, ...}");
            return None;
        };
        let mut seen = std::collections::HashSet::new();
        for (key_text, text) in entries {
            let key_node = node.entry(key_text.trim_matches('"'), key_text);
            let Some(key) = Text.read(&key_node, reader) else { continue };
            let value = node.entry(&key, text);
            if seen.contains(&key) {
                let message = format!("{} is given twice", shorten(key_text));
                reader.mistake(key_text, &value.path, &message, "once is enough");
                continue;
            }
            // A text is found by itself, everything larger by its key.
            let shown = if text.starts_with('"') { text } else { key_text };
            reader.record(&Node { text: shown, path: value.path.clone() });
            read(key.clone(), &value, reader);
            seen.insert(key);
        }
        Some(())
    }
}

impl<T, K: Kind<T>> Kind<std::collections::BTreeMap<String, T>> for Table<K> {
    fn read<'a>(
        &self,
        node: &Node<'a>,
        reader: &mut Reader<'a>,
    ) -> Option<std::collections::BTreeMap<String, T>> {
        let mut map = std::collections::BTreeMap::new();
        Self::each(node, reader, |key, node, reader| {
            map.extend(self.0.read(node, reader).map(|value| (key, value)));
        })?;
        Some(map)
    }

    fn print(&self, value: &std::collections::BTreeMap<String, T>) -> Document {
        let entries = value.iter().map(|(key, value)| (key.clone(), self.0.print(value)));
        Document::Map(entries.collect())
    }
}

/// `{"NAME": (...), ...}`: sections that carry their key as their name, in name order.
pub(crate) struct Named<S, B> {
    blank: B,
    name: fn(&S) -> &String,
    section: PhantomData<S>,
}

impl<S, B: Fn(String) -> S> Named<S, B> {
    /// `blank` makes a section of the given name with every default.
    pub(crate) fn new(blank: B, name: fn(&S) -> &String) -> Self {
        Self { blank, name, section: PhantomData }
    }
}

impl<S: Section + Clone, B: Fn(String) -> S> Kind<Vec<S>> for Named<S, B> {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Vec<S>> {
        let mut sections = Vec::new();
        Table::<()>::each(node, reader, |key, node, reader| {
            if !(LABEL.is)(&key) {
                // It is the label of metrics and the key of `relais set`.
                let message = format!("{:?} is not a name", shorten(&key));
                reader.mistake_at(&node.path, &message, LABEL.expected);
            }
            let mut section = (self.blank)(key);
            // Kept even when it cannot be read: others may speak of its name.
            read_into(node, reader, &mut section);
            sections.push(section);
        })?;
        sections.sort_by(|a, b| (self.name)(a).cmp((self.name)(b)));
        Some(sections)
    }

    fn print(&self, value: &Vec<S>) -> Document {
        let entry = |section| (String::clone((self.name)(section)), print_section(section));
        Document::Map(value.iter().map(entry).collect())
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn from_count(count: u64) -> Option<Self> {
                count.try_into().ok()
            }

            fn to_count(self) -> u64 {
                self as u64
            }
        }
    )*};
}

#[allow(clippy::cast_lossless)]
mod numbers {
    use super::Number;

    numbers!(u16, u32, u64, usize);
}

impl Number for NonZeroUsize {
    fn from_count(count: u64) -> Option<Self> {
        Self::new(count.try_into().ok()?)
    }

    fn to_count(self) -> u64 {
        self.get() as u64
    }
}

/// Without quotes around it, and without `Some`.
fn bare(text: &str) -> &str {
    let inner = text.strip_prefix("Some(").and_then(|text| text.strip_suffix(')'));
    inner.unwrap_or(text).trim().trim_matches('"').trim()
}

fn sized(octets: u64) -> Document {
    let text = format_size(octets);
    match text.parse::<u64>() {
        Ok(_) => Document::Atom(text),
        Err(_) => Document::text(&text),
    }
}

/// Octets of a value that is shown as part of a list.
const LONGEST_SHOWN: usize = 60;

/// Waiting for something that may take up to months.
pub(crate) const WAIT: Time =
    Time(Duration::from_millis(1)..=Duration::from_secs(366 * 24 * 60 * 60));

/// Waiting for a peer.
pub(crate) const PATIENCE: Time =
    Time(Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60));
