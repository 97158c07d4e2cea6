//! One description of each section, for reading and for printing.
//!
//! A [`Section`] names its fields once, each with its [`Kind`]; the reader and the printer are two
//! [`Form`]s that go through the same list. What can be read is printed, and the other way round.

use std::{collections::HashSet, marker::PhantomData};

use crate::file::{
    document::Document,
    mistake::Complaint,
    notation::{Notation, Row, SectionNotation},
    pieces,
    reader::{Node, Reader, suggest},
    setting::Setting,
    source::shorten,
};

/// A part of the configuration that is a section of the file.
pub(crate) trait Section: Sized {
    /// The section in a sentence.
    const ABOUT: &'static str;

    /// One that says nothing: every default, and nothing where there is none.
    fn blank() -> Self;

    /// Names every field.
    fn fields(&mut self, form: &mut impl Form);
}

/// A visitor of the fields of a section.
pub(crate) trait Form {
    /// A field; one that is not given keeps its value.
    fn field<T>(&mut self, setting: &'static Setting, kind: impl Kind<T>, slot: &mut T);

    /// Fields that exist in the file only: elsewhere they have gone into other values.
    fn read_only(&mut self, section: &mut impl Section);
}

/// How one kind of value is written.
pub(crate) trait Kind<T> {
    /// Reads `node`, or tells the reader what is wrong with it.
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<T>;

    /// The same value as a document.
    fn print(&self, value: &T) -> Document;

    /// The values that may be written.
    fn notation(&self) -> Notation;
}

/// A section inside a section.
pub(crate) struct Nested<S>(PhantomData<S>);

impl<S> Nested<S> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S: Section + Clone> Kind<S> for Nested<S> {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<S> {
        let mut section = S::blank();
        read_into(node, reader, &mut section)?;
        Some(section)
    }

    fn print(&self, value: &S) -> Document {
        print_section(value)
    }

    fn notation(&self) -> Notation {
        Notation::section::<S>()
    }
}

/// Reads the fields of `node` over what `section` holds; gives the names of those that stand in
/// the file.
pub(crate) fn read_into<'a>(
    node: &Node<'a>,
    reader: &mut Reader<'a>,
    section: &mut impl Section,
) -> Option<Vec<&'static str>> {
    let mut fields = Fields::open(node, reader)?;
    section.fields(&mut fields);
    Some(fields.finish())
}

/// Prints every field of `section`.
pub(crate) fn print_section<S: Section + Clone>(section: &S) -> Document {
    let mut printed = Printed(Vec::new());
    section.clone().fields(&mut printed);
    Document::Section(printed.0)
}

/// The form that prints.
struct Printed(Vec<(String, Document)>);

impl Form for Printed {
    fn field<T>(&mut self, setting: &'static Setting, kind: impl Kind<T>, slot: &mut T) {
        self.0.push((setting.name.to_owned(), kind.print(slot)));
    }

    fn read_only(&mut self, _: &mut impl Section) {}
}

/// The fields of one section, handed out by name.
pub(crate) struct Fields<'r, 'a> {
    reader: &'r mut Reader<'a>,
    node: Node<'a>,
    given: Vec<(&'a str, &'a str)>,
    known: Vec<&'static str>,
    /// Fields that need not be given because they are settled already.
    settled: &'r [&'static str],
    /// Nothing need be given.
    is_lenient: bool,
}

impl<'r, 'a> Fields<'r, 'a> {
    /// Opens `( ... )`.
    pub(crate) fn open(node: &Node<'a>, reader: &'r mut Reader<'a>) -> Option<Self> {
        let Ok(pieces) = pieces::fields(node.text) else {
            reader.unfit(node, "a section is expected: (field: value, ...)");
            return None;
        };
        let mut seen = HashSet::new();
        let mut given = Vec::with_capacity(pieces.len());
        for (name, text) in pieces {
            if seen.insert(name) {
                given.push((name, text));
            } else {
                let path = node.field(name, text).path;
                reader.mistake(name, &path, "this field is given twice", "once is enough");
            }
        }
        Some(Self {
            reader,
            node: node.clone(),
            given,
            known: Vec::new(),
            settled: &[],
            is_lenient: false,
        })
    }

    /// Names fields that need not be given.
    pub(crate) fn settled(mut self, names: &'r [&'static str]) -> Self {
        self.settled = names;
        self
    }

    /// Nothing need be given.
    pub(crate) fn without_required(self) -> Self {
        Self { is_lenient: true, ..self }
    }

    /// Complains of fields that nobody asked for; gives the names of those that were taken.
    pub(crate) fn finish(self) -> Vec<&'static str> {
        for (name, _) in &self.given {
            if !self.known.contains(name) && !self.reader.is_full() {
                let path = self.node.field(name, name).path;
                let message = format!("there is no field {}", shorten(name));
                let accepted = suggest(name, &self.known, "the fields here are");
                self.reader.mistake(name, &path, &message, &accepted);
            }
        }
        let given = |name: &&&'static str| self.given.iter().any(|(given, _)| given == *name);
        self.known.iter().filter(given).copied().collect()
    }

    fn take(&mut self, name: &'static str) -> Option<Node<'a>> {
        self.known.push(name);
        let (_, text) = self.given.iter().find(|(given, _)| *given == name)?;
        let node = self.node.field(name, text);
        self.reader.record(&node);
        Some(node)
    }
}

impl Form for Fields<'_, '_> {
    fn field<T>(&mut self, setting: &'static Setting, kind: impl Kind<T>, slot: &mut T) {
        let name = setting.name;
        let given = self.take(name);
        if given.is_none()
            && let Some(example) = setting.example
            && !self.is_lenient
            && !self.settled.contains(&name)
        {
            let Node { path, .. } = self.node.field(name, "");
            let section = self.reader.spot_of(self.node.text);
            let message = format!("the field {name} is missing");
            let accepted = format!("it has no default; {name}: {example} is an example");
            let complaint = Complaint {
                field: &path,
                offending: self.node.text,
                message: &message,
                accepted: &accepted,
            };
            self.reader.note(section, complaint);
        }
        if let Some(value) = given.and_then(|node| kind.read(&node, self.reader)) {
            *slot = value;
        }
    }

    fn read_only(&mut self, section: &mut impl Section) {
        section.fields(self);
    }
}

impl Notation {
    /// A value that is the section `S`.
    pub(crate) fn section<S: Section>() -> Self {
        Self { parts: vec![SectionNotation::of::<S>(None)], ..Self::of("section") }
    }
}

impl SectionNotation {
    /// The section `S`, behind a name or not.
    pub(crate) fn of<S: Section>(variant: Option<&'static str>) -> Self {
        let mut table = Listed { rows: Vec::new(), is_shared: false };
        S::blank().fields(&mut table);
        Self { variant, about: S::ABOUT, rows: table.rows }
    }
}

/// The form that lists the settings themselves.
struct Listed {
    rows: Vec<Row>,
    is_shared: bool,
}

impl Form for Listed {
    fn field<T>(&mut self, setting: &'static Setting, kind: impl Kind<T>, slot: &mut T) {
        let (notation, default) = (kind.notation(), kind.print(slot));
        self.rows.push(Row { setting, notation, default, is_shared: self.is_shared });
    }

    fn read_only(&mut self, section: &mut impl Section) {
        let outside = std::mem::replace(&mut self.is_shared, true);
        section.fields(self);
        self.is_shared = outside;
    }
}
