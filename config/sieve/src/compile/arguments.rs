//! Arguments of a command or a test: the tagged ones first, then the others (RFC 5228 2.6).

use std::{borrow::Cow, collections::VecDeque};

use super::{
    context::Context,
    shapes::{Tag, Takes},
};
use crate::{
    mistake::{MistakeKind, Place},
    program::Index,
    syntax::{Argument, Node, Strings},
    text::Text,
};

/// The arguments of a command or a test.
pub(super) struct Arguments<'t> {
    pub(super) of: Cow<'t, str>,
    pub(super) place: Place,
    tags: Vec<(&'static Tag, Place, Option<Argument<'t>>)>,
    rest: VecDeque<(Place, Argument<'t>)>,
}

impl<'t> Arguments<'t> {
    /// Takes the arguments of a node that has these tags.
    pub(super) fn of(
        node: &mut Node<'t>,
        known: &[&'static [Tag]],
        context: &mut Context<'_>,
    ) -> Self {
        let mut arguments = Self {
            of: node.name.clone(),
            place: node.place,
            tags: Vec::new(),
            rest: VecDeque::new(),
        };
        let mut given = VecDeque::from(std::mem::take(&mut node.arguments));
        while let Some((place, argument)) = given.pop_front() {
            let Argument::Tag(name) = argument else {
                arguments.rest.push_back((place, argument));
                continue;
            };
            if !arguments.rest.is_empty() {
                let of = arguments.of.to_string();
                let what = "tagged argument behind the others";
                context.tell(place, MistakeKind::Superfluous { of, what });
            }
            let tag = known.iter().flat_map(|it| it.iter()).find(|tag| tag.name == name);
            let Some(tag) = tag else {
                let of = arguments.of.to_string();
                context.tell(place, MistakeKind::UnknownTag { of, tag: name.into_owned() });
                continue;
            };
            arguments.tag(tag, place, &mut given, context);
        }
        arguments
    }

    fn tag(
        &mut self,
        tag: &'static Tag,
        place: Place,
        given: &mut VecDeque<(Place, Argument<'t>)>,
        context: &mut Context<'_>,
    ) {
        if let Some(capability) = tag.needs {
            context.needs(place, format_args!("\":{}\"", tag.name), capability);
        }
        if self.tags.iter().any(|(other, ..)| other.group == tag.group) {
            context.tell(place, MistakeKind::Excluded(tag.name.to_owned()));
        }
        let fits = |(_, argument): &(Place, Argument<'t>)| match (tag.takes, argument) {
            (Takes::Number, Argument::Number(_)) | (Takes::Texts, Argument::Strings(_)) => true,
            (Takes::Text, Argument::Strings(strings)) => !strings.is_list,
            _ => false,
        };
        let value = given.front().is_some_and(fits).then(|| given.pop_front()).flatten();
        if value.is_none() && tag.takes != Takes::Nothing {
            let what = match tag.takes {
                Takes::Number => "a number behind its tag",
                Takes::Text => "a string behind its tag",
                _ => "a string or a list behind its tag",
            };
            context.tell(place, MistakeKind::Missing { of: format!(":{}", tag.name), what });
        }
        self.tags.push((tag, place, value.map(|(_, value)| value)));
    }

    pub(super) fn has(&self, tag: &str) -> bool {
        self.tags.iter().any(|(it, ..)| it.name == tag)
    }

    /// The place of a tag that is there.
    pub(super) fn place_of(&self, tag: &str) -> Option<Place> {
        self.tags.iter().find(|(it, ..)| it.name == tag).map(|(_, place, _)| *place)
    }

    /// The tag of a group that is there.
    pub(super) fn of_group(&self, group: &str) -> Option<&'static str> {
        self.tags.iter().find(|(it, ..)| it.group == group).map(|(it, ..)| it.name)
    }

    fn value(&mut self, tag: &str) -> Option<Argument<'t>> {
        self.tags.iter_mut().find(|(it, ..)| it.name == tag).and_then(|(.., value)| value.take())
    }

    pub(super) fn tagged_number(&mut self, tag: &str) -> Option<u64> {
        match self.value(tag)? {
            Argument::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The string behind a tag, as it stands.
    pub(super) fn tagged_string(&mut self, tag: &str) -> Option<(Place, Cow<'t, str>)> {
        self.tagged_strings(tag)?.all.pop()
    }

    pub(super) fn tagged_text(&mut self, tag: &str, context: &mut Context<'_>) -> Option<Text> {
        let (place, text) = self.tagged_string(tag)?;
        Some(context.text(place, text))
    }

    pub(super) fn tagged_strings(&mut self, tag: &str) -> Option<Strings<'t>> {
        match self.value(tag)? {
            Argument::Strings(strings) => Some(strings),
            _ => None,
        }
    }

    pub(super) fn tagged_texts(
        &mut self,
        tag: &str,
        context: &mut Context<'_>,
    ) -> Option<Box<[Text]>> {
        self.tagged_strings(tag).map(|strings| context.texts(strings))
    }

    /// `:index` and `:last`: RFC 5260 6.
    pub(super) fn index(&mut self, context: &mut Context<'_>) -> Index {
        let number = self.tagged_number("index");
        let place = self.place_of("index").or(self.place_of("last"));
        match (number, place) {
            (Some(0), Some(place)) => {
                context.tell(place, MistakeKind::Value { value: "0".to_owned(), what: "index" });
            }
            (None, Some(place)) if self.has("last") => {
                let of = "\":last\"".to_owned();
                context.tell(place, MistakeKind::Missing { of, what: "\":index\"" });
            }
            _ => {}
        }
        Index { number: number.unwrap_or(0), is_last: self.has("last") }
    }

    /// How many arguments without tags are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    fn missing(&self, what: &'static str, context: &mut Context<'_>) {
        let place = self.rest.front().map_or(self.place, |(place, _)| *place);
        context.tell(place, MistakeKind::Missing { of: self.of.to_string(), what });
    }

    /// The next string, as it stands.
    pub(super) fn string(
        &mut self,
        what: &'static str,
        context: &mut Context<'_>,
    ) -> Option<(Place, Cow<'t, str>)> {
        match self.rest.front() {
            Some((_, Argument::Strings(strings))) if !strings.is_list => {
                self.strings(what, context)?.all.pop()
            }
            _ => {
                self.missing(what, context);
                None
            }
        }
    }

    pub(super) fn text(&mut self, what: &'static str, context: &mut Context<'_>) -> Option<Text> {
        let (place, text) = self.string(what, context)?;
        Some(context.text(place, text))
    }

    pub(super) fn strings(
        &mut self,
        what: &'static str,
        context: &mut Context<'_>,
    ) -> Option<Strings<'t>> {
        match self.rest.pop_front() {
            Some((_, Argument::Strings(strings))) => Some(strings),
            other => {
                self.rest.extend(other);
                self.missing(what, context);
                None
            }
        }
    }

    pub(super) fn texts(
        &mut self,
        what: &'static str,
        context: &mut Context<'_>,
    ) -> Option<Box<[Text]>> {
        self.strings(what, context).map(|strings| context.texts(strings))
    }

    pub(super) fn number(&mut self, what: &'static str, context: &mut Context<'_>) -> Option<u64> {
        let Some((_, Argument::Number(number))) = self.rest.front() else {
            self.missing(what, context);
            return None;
        };
        let number = *number;
        self.rest.pop_front();
        Some(number)
    }

    /// Tells a mistake when something is left.
    pub(super) fn finish(mut self, context: &mut Context<'_>) {
        if let Some((place, _)) = self.rest.pop_front() {
            let what = "further argument";
            context.tell(place, MistakeKind::Superfluous { of: self.of.into_owned(), what });
        }
    }
}

/// Tells a mistake when a node has a test or a block that it does not take.
pub(super) fn bare(
    node: &Node<'_>,
    takes_block: bool,
    takes_tests: bool,
    context: &mut Context<'_>,
) {
    if let Some(test) = node.tests.first().filter(|_| !takes_tests) {
        let of = node.name.to_string();
        context.tell(test.place, MistakeKind::Superfluous { of, what: "test" });
    }
    if node.block.is_some() && !takes_block {
        let of = node.name.to_string();
        context.tell(node.place, MistakeKind::Superfluous { of, what: "block" });
    }
}
