//! One description of each section, for reading and for printing.
//!
//! A [`Section`] names its fields once, each with its [`Kind`]; the reader and the printer are two
//! [`Form`]s that go through the same list. What can be read is printed, and the other way round.

use crate::{
    document::Document,
    reader::{Fields, Node, Reader},
};

/// A part of the configuration that is a section of the file.
pub(crate) trait Section {
    /// Names every field.
    fn fields(&mut self, form: &mut impl Form);
}

/// What goes through the fields of a section.
pub(crate) trait Form {
    /// A field that keeps its value when it is not given.
    fn field<T>(&mut self, name: &'static str, kind: impl Kind<T>, slot: &mut T);

    /// A field that must be given, and what it may look like.
    fn required<T>(
        &mut self,
        name: &'static str,
        example: &'static str,
        kind: impl Kind<T>,
        slot: &mut T,
    );

    /// Fields that exist in the file only: elsewhere they have gone into other values.
    fn read_only(&mut self, section: &mut impl Section);
}

/// How one kind of value is written.
pub(crate) trait Kind<T> {
    /// Reads `node`, or tells the reader what is wrong with it.
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<T>;

    /// The same value as a document.
    fn print(&self, value: &T) -> Document;
}

/// A section inside a section, made by the function when the file gives it.
pub(crate) struct Nested<S>(pub(crate) fn() -> S);

impl<S: Section + Clone> Kind<S> for Nested<S> {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<S> {
        let mut section = (self.0)();
        read_into(node, reader, &mut section)?;
        Some(section)
    }

    fn print(&self, value: &S) -> Document {
        print_section(value)
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
    fn field<T>(&mut self, name: &'static str, kind: impl Kind<T>, slot: &mut T) {
        self.0.push((name.to_owned(), kind.print(slot)));
    }

    fn required<T>(
        &mut self,
        name: &'static str,
        _: &'static str,
        kind: impl Kind<T>,
        slot: &mut T,
    ) {
        self.field(name, kind, slot);
    }

    fn read_only(&mut self, _: &mut impl Section) {}
}
