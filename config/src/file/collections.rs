//! Kinds of values that hold other values: lists, maps, pairs, what may be absent.

use std::{
    collections::{BTreeMap, HashSet},
    marker::PhantomData,
    time::Duration,
};

use crate::file::{
    document::Document,
    form::{Kind, Section, print_section, read_into},
    kinds::{Age, Text, WAIT},
    names::LABEL,
    notation::Notation,
    pieces,
    reader::{Node, Reader},
    source::shorten,
};

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

    fn notation(&self) -> Notation {
        self.0.notation()
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

    fn notation(&self) -> Notation {
        let notation = self.0.notation();
        let many = notation.many.clone();
        notation.inside(format!("list of {many}"), format!("lists of {many}"))
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

    fn notation(&self) -> Notation {
        let notation = self.0.notation();
        let one = format!("{}, {} at most", notation.one, self.1);
        Notation { one, ..notation }
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

    fn notation(&self) -> Notation {
        Notation::of("pair of texts")
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
        let mut seen = HashSet::new();
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

impl<T, K: Kind<T>> Kind<BTreeMap<String, T>> for Table<K> {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<BTreeMap<String, T>> {
        let mut map = BTreeMap::new();
        Self::each(node, reader, |key, node, reader| {
            map.extend(self.0.read(node, reader).map(|value| (key, value)));
        })?;
        Some(map)
    }

    fn print(&self, value: &BTreeMap<String, T>) -> Document {
        let entries = value.iter().map(|(key, value)| (key.clone(), self.0.print(value)));
        Document::Map(entries.collect())
    }

    fn notation(&self) -> Notation {
        let notation = self.0.notation();
        let many = notation.many.clone();
        notation.inside(format!("map of {many}"), format!("maps of {many}"))
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

    fn notation(&self) -> Notation {
        let one = "map of sections, each by its name".to_owned();
        Notation { one, ..Notation::section::<S>() }
    }
}

/// Times, each later than the one before: `["1d", "2d"]`.
pub(crate) struct Series {
    /// Elements at most.
    pub(crate) most: usize,
    /// Whether two may be equal.
    pub(crate) repeats: bool,
    /// Whether a bare number is one of days.
    pub(crate) in_days: bool,
}

impl Kind<Vec<Duration>> for Series {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Vec<Duration>> {
        let times = if self.in_days {
            List(Age).read(node, reader)?
        } else {
            List(WAIT).read(node, reader)?
        };
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

    fn notation(&self) -> Notation {
        let order = if self.repeats { "not shorter" } else { "longer" };
        let days = if self.in_days { "; a bare number is one of days" } else { "" };
        let form = format!("1 to {} of them, each {order} than the one before{days}", self.most);
        Notation::formed("list of times", form)
    }
}

/// Octets of a value that is shown as part of a list.
const LONGEST_SHOWN: usize = 60;
