//! Notation of a setting: the words in which the reference page tells what may be written.

use std::ops::RangeInclusive;

use crate::file::{document::Document, setting::Setting};

/// The look of one kind of values.
#[derive(Debug, Default)]
pub(crate) struct Notation {
    /// `whole number`.
    pub(crate) one: String,
    /// `whole numbers`.
    pub(crate) many: String,
    /// The values of these that fit, in words; empty when all do.
    pub(crate) form: String,
    /// The numbers that fit; of a time in milliseconds.
    pub(crate) numbers: Option<RangeInclusive<u64>>,
    /// Whether the numbers are milliseconds.
    pub(crate) is_time: bool,
    /// Names to choose from, with what each means.
    pub(crate) choices: Vec<(&'static str, &'static str)>,
    /// The sections inside.
    pub(crate) parts: Vec<SectionNotation>,
}

/// A section inside a value.
#[derive(Debug)]
pub(crate) struct SectionNotation {
    /// `Ldap` of a value that begins with a name.
    pub(crate) variant: Option<&'static str>,
    /// The section in a sentence.
    pub(crate) about: &'static str,
    /// Its settings, in order.
    pub(crate) rows: Vec<Row>,
}

/// A setting with what may be written for it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) setting: &'static Setting,
    pub(crate) notation: Notation,
    /// The value where nothing is given.
    pub(crate) default: Document,
    /// It is a default for the elements of a list beside it, and printed there.
    pub(crate) is_shared: bool,
}

impl Notation {
    /// Values that are called `one`.
    pub(crate) fn of(one: &str) -> Self {
        Self { one: one.to_owned(), many: format!("{one}s"), ..Self::default() }
    }

    /// The same when only those of this form fit.
    pub(crate) fn formed(one: &str, form: impl Into<String>) -> Self {
        Self { form: form.into(), ..Self::of(one) }
    }

    /// Numbers of a range, each shown in its way.
    pub(crate) fn numbers(
        one: &str,
        range: &RangeInclusive<u64>,
        shown: &dyn Fn(u64) -> String,
    ) -> Self {
        let form = match (*range.start(), *range.end()) {
            (0, u64::MAX) => String::new(),
            (least, u64::MAX) => format!("from {}", shown(least)),
            (least, most) => format!("{} to {}", shown(least), shown(most)),
        };
        Self { numbers: Some(range.clone()), ..Self::formed(one, form) }
    }

    /// The same inside of something: a list of them, a map of them.
    pub(crate) fn inside(self, one: String, many: String) -> Self {
        let form = match (self.form.as_str(), self.choices.is_empty()) {
            ("", _) => String::new(),
            (form, _) => format!("each {form}"),
        };
        Self { one, many, form, numbers: None, ..self }
    }
}
