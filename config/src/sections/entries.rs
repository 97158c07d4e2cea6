//! Tables that stand in the file itself, or in one of their own.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    path::PathBuf,
};

use crate::file::{
    collections::{Maybe, Table},
    document::Document,
    form::{Fields, Form, Kind},
    kinds,
    notation::Notation,
    reader::{Node, Reader},
    setting::Setting,
};

/// A table: entries by key, which a value of it gives at once, or the file that holds them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableOrFile<T> {
    /// Entries of the configuration itself.
    pub own: BTreeMap<String, T>,
    /// Holds the others, in lines of text.
    pub file: Option<PathBuf>,
}

impl<T> TableOrFile<T> {
    /// None at all.
    pub const fn none() -> Self {
        Self { own: BTreeMap::new(), file: None }
    }

    /// Whether there is nothing to look into, neither here nor in a file.
    pub fn is_absent(&self) -> bool {
        self.own.is_empty() && self.file.is_none()
    }
}

/// The entries of the configuration itself.
impl<T> Deref for TableOrFile<T> {
    type Target = BTreeMap<String, T>;

    fn deref(&self) -> &Self::Target {
        &self.own
    }
}

impl<T> DerefMut for TableOrFile<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.own
    }
}

/// `{"key": value, ...}`, or `(file: "...")`.
pub(crate) struct OrFile<K>(pub(crate) Table<K>);

impl<T, K> Kind<TableOrFile<T>> for OrFile<K>
where
    Table<K>: Kind<BTreeMap<String, T>>,
{
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<TableOrFile<T>> {
        if node.text.starts_with('(') {
            let mut file = None;
            let mut fields = Fields::open(node, reader)?;
            fields.field(FILE, Maybe(kinds::Path), &mut file);
            fields.finish();
            return Some(TableOrFile { own: BTreeMap::new(), file });
        }
        let own = self.0.read(node, reader)?;
        Some(TableOrFile { own, file: None })
    }

    fn print(&self, value: &TableOrFile<T>) -> Document {
        match &value.file {
            Some(file) => Document::Section(vec![("file".to_owned(), kinds::Path.print(file))]),
            None => self.0.print(&value.own),
        }
    }

    fn notation(&self) -> Notation {
        let table = self.0.notation();
        Notation { one: format!("{}, or `(file: \"...\")`", table.one), ..table }
    }
}

const FILE: &Setting = &Setting::new(
    "file",
    "A key and a value in each line, as postmap(1) reads them; of aliases as aliases(5) or the original has them.",
)
.example(r#""aliases""#);
