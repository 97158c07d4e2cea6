//! The tests of the language: RFC 5228 5 and those of the extensions.

use std::borrow::Cow;

use super::{
    arguments::{Arguments, bare},
    context::Context,
    matches::{keys, matcher, part},
    shapes::{BODY, DUPLICATE, INDEX, MATCH, ORIGINAL_ZONE, PART, SIZE, Tag, ZONE},
};
use crate::{
    capability::Capability,
    matching::Kind,
    mistake::MistakeKind,
    program::{BodyPart, Condition, DateTest, DuplicateId, DuplicateTest, Index, Keys, Test, Zone},
    syntax::{Node, Strings},
    text::Text,
};

/// Compiles a test. `None`: it is a mistake, which is told.
pub(super) fn test(mut node: Node<'_>, context: &mut Context<'_>) -> Option<Test> {
    let line = node.place.line;
    let before = context.mistakes.len();
    let what = condition(&mut node, context);
    if context.is_uncertain && context.mistakes.len() > before {
        context.mistakes.truncate(before);
        return Some(Test { line, what: Condition::Absent(node.name.into()) });
    }
    what.map(|what| Test { line, what })
}

fn condition(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Condition> {
    let takes_tests = matches!(&*node.name, "not" | "allof" | "anyof");
    bare(node, false, takes_tests, context);
    if let Some(capability) = capability(&node.name) {
        context.needs(node.place, format_args!("{:?}", node.name), capability);
    }
    match &*node.name {
        "true" | "false" => {
            let is_true = node.name == "true";
            take(node, &[], context).finish(context);
            Some(if is_true { Condition::True } else { Condition::False })
        }
        "not" | "allof" | "anyof" => nested(node, context),
        "header" => with_keys(node, &[MATCH, INDEX], context, |arguments, context, names, keys| {
            Condition::Header { names, index: arguments.index(context), keys }
        }),
        "address" => {
            with_keys(node, &[MATCH, PART, INDEX], context, |arguments, context, names, keys| {
                let (index, part) = (arguments.index(context), part(arguments));
                Condition::Address { names, part, index, keys }
            })
        }
        "envelope" => envelope(node, context),
        "string" => with_keys(node, &[MATCH], context, |_, _, source, keys| Condition::Text {
            source,
            keys,
        }),
        "exists" | "mailboxexists" => {
            let is_field = node.name == "exists";
            let mut arguments = take(node, &[], context);
            let names = arguments.texts("a string or a list", context)?;
            arguments.finish(context);
            Some(if is_field { Condition::Exists(names) } else { Condition::MailboxExists(names) })
        }
        "size" => size(node, context),
        "hasflag" => has_flag(node, context),
        "body" => body(node, context),
        "environment" => {
            let mut arguments = take(node, &[MATCH], context);
            let matcher = matcher(&mut arguments, context);
            let name = arguments.text("the name of an item", context)?;
            let strings = arguments.strings("a key or a list of keys", context)?;
            arguments.finish(context);
            Some(Condition::Environment { name, keys: keys(matcher, strings, context) })
        }
        "date" | "currentdate" => date(node, context),
        "duplicate" => duplicate(node, context),
        "ihave" => ihave(node, context),
        _ => {
            context.tell(node.place, MistakeKind::UnknownTest(node.name.to_string()));
            None
        }
    }
}

fn capability(test: &str) -> Option<Capability> {
    Some(match test {
        "envelope" => Capability::Envelope,
        "string" => Capability::Variables,
        "hasflag" => Capability::Flags,
        "body" => Capability::Body,
        "environment" => Capability::Environment,
        "date" | "currentdate" => Capability::Date,
        "duplicate" => Capability::Duplicate,
        "mailboxexists" => Capability::Mailbox,
        "ihave" => Capability::Ihave,
        _ => return None,
    })
}

fn take<'t>(
    node: &mut Node<'t>,
    tags: &[&'static [Tag]],
    context: &mut Context<'_>,
) -> Arguments<'t> {
    Arguments::of(node, tags, context)
}

fn nested(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Condition> {
    take(node, &[], context).finish(context);
    let tests = std::mem::take(&mut node.tests);
    let is_not = node.name == "not";
    if tests.is_empty() || node.has_test_list == is_not {
        let what = if is_not { "one test" } else { "a list of tests in parentheses" };
        context.tell(node.place, MistakeKind::Missing { of: node.name.to_string(), what });
        return None;
    }
    let mut compiled: Vec<_> = tests.into_iter().filter_map(|it| test(it, context)).collect();
    Some(match &*node.name {
        "not" => Condition::Not(Box::new(compiled.pop()?)),
        "allof" => Condition::AllOf(compiled.into_boxed_slice()),
        _ => Condition::AnyOf(compiled.into_boxed_slice()),
    })
}

/// A test with a list of names or sources and a list of keys.
fn with_keys(
    node: &mut Node<'_>,
    tags: &[&'static [Tag]],
    context: &mut Context<'_>,
    build: impl FnOnce(&mut Arguments<'_>, &mut Context<'_>, Box<[Text]>, Keys) -> Condition,
) -> Option<Condition> {
    let mut arguments = take(node, tags, context);
    let matcher = matcher(&mut arguments, context);
    let names = arguments.texts("a string or a list", context)?;
    let strings = arguments.strings("a key or a list of keys", context)?;
    let keys = keys(matcher, strings, context);
    let condition = build(&mut arguments, context, names, keys);
    arguments.finish(context);
    Some(condition)
}

fn envelope(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Condition> {
    let place = node.place;
    with_keys(node, &[MATCH, PART], context, |arguments, context, names, keys| {
        for name in names.iter().filter_map(Text::fixed) {
            if !["from", "to"].iter().any(|it| name.eq_ignore_ascii_case(it)) {
                let kind =
                    MistakeKind::Value { value: name.to_owned(), what: "part of the envelope" };
                context.tell(place, kind);
            }
        }
        Condition::Envelope { names, part: part(arguments), keys }
    })
}

fn size(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Condition> {
    let mut arguments = take(node, &[SIZE], context);
    let limit = arguments.number("a number", context)?;
    let Some(tag) = arguments.of_group("size") else {
        let of = node.name.to_string();
        let what = "\":over\" or \":under\"";
        context.tell(node.place, MistakeKind::Missing { of, what });
        return None;
    };
    let is_over = tag == "over";
    arguments.finish(context);
    Some(Condition::Size { is_over, limit })
}

fn has_flag(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Condition> {
    let mut arguments = take(node, &[MATCH], context);
    let matcher = matcher(&mut arguments, context);
    let place = arguments.place;
    let variables = if arguments.left() > 1 {
        context.needs(place, format_args!("a list of variables"), Capability::Variables);
        let names = arguments.strings("a variable or a list of variables", context)?;
        let number = |(place, name): (_, Cow<'_, str>)| context.variable(place, &name);
        Some(names.all.into_iter().filter_map(number).collect())
    } else {
        None
    };
    let strings = arguments.strings("a flag or a list of flags", context)?;
    arguments.finish(context);
    let strings = if matches!(matcher.kind, Kind::Count(_)) { strings } else { split(strings) };
    Some(Condition::HasFlag { variables, keys: keys(matcher, strings, context) })
}

/// Flags that stand in one string, each by itself: RFC 5232 2.
fn split(strings: Strings<'_>) -> Strings<'_> {
    let all = strings.all.into_iter().flat_map(|(place, text)| {
        let flags: Vec<_> =
            text.split_ascii_whitespace().map(|it| (place, Cow::Owned(it.to_owned()))).collect();
        if flags.is_empty() { vec![(place, text)] } else { flags }
    });
    Strings { all: all.collect(), is_list: strings.is_list }
}

fn body(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Condition> {
    let mut arguments = take(node, &[MATCH, BODY], context);
    let matcher = matcher(&mut arguments, context);
    let of = match arguments.of_group("transform") {
        Some("raw") => BodyPart::Raw,
        Some("content") => {
            BodyPart::Content(arguments.tagged_texts("content", context).unwrap_or_default())
        }
        _ => BodyPart::Text,
    };
    let strings = arguments.strings("a key or a list of keys", context)?;
    arguments.finish(context);
    context.uses_body = true;
    let mut keys = keys(matcher, strings, context);
    // Match variables are not set from a body: RFC 5173 6.
    keys.matcher.has_captures = false;
    Some(Condition::Body { of, keys })
}

fn date(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Condition> {
    let is_now = node.name == "currentdate";
    let tags: &[&'static [Tag]] =
        if is_now { &[MATCH, ZONE] } else { &[MATCH, ZONE, ORIGINAL_ZONE, INDEX] };
    let mut arguments = take(node, tags, context);
    let matcher = matcher(&mut arguments, context);
    let zone = if arguments.has("originalzone") {
        Zone::Original
    } else {
        arguments.tagged_text("zone", context).map_or(Zone::Local, Zone::Offset)
    };
    let index = if is_now { Index::default() } else { arguments.index(context) };
    let header =
        if is_now { None } else { Some(arguments.text("the name of a header field", context)?) };
    let (place, name) = arguments.string("a part of a date", context)?;
    let part = context.text(place, name);
    if let Some(name) = part.fixed().filter(|name| !is_date_part(name)) {
        let value = name.to_owned();
        context.tell(place, MistakeKind::Value { value, what: "part of a date" });
    }
    let strings = arguments.strings("a key or a list of keys", context)?;
    arguments.finish(context);
    let keys = keys(matcher, strings, context);
    Some(Condition::Date(Box::new(DateTest { header, index, zone, part, keys })))
}

fn is_date_part(name: &str) -> bool {
    const PARTS: [&str; 13] = [
        "year", "month", "day", "date", "julian", "hour", "minute", "second", "time", "iso8601",
        "std11", "zone", "weekday",
    ];
    PARTS.iter().any(|part| part.eq_ignore_ascii_case(name))
}

fn duplicate(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Condition> {
    let mut arguments = take(node, &[DUPLICATE], context);
    let id = match arguments.of_group("id") {
        Some("header") => DuplicateId::Header(arguments.tagged_text("header", context)?),
        Some("uniqueid") => DuplicateId::Unique(arguments.tagged_text("uniqueid", context)?),
        _ => DuplicateId::MessageId,
    };
    let handle = arguments.tagged_text("handle", context);
    let seconds = arguments.tagged_number("seconds");
    let is_last = arguments.has("last");
    arguments.finish(context);
    Some(Condition::Duplicate(Box::new(DuplicateTest { id, handle, seconds, is_last })))
}

/// RFC 5463 4: what is there counts as required from here on.
fn ihave(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Condition> {
    let mut arguments = take(node, &[], context);
    let names = arguments.strings("a capability or a list of them", context)?;
    arguments.finish(context);
    // Both change how strings are read, which is too late here: RFC 5463 4.
    let can_come =
        |it: &Capability| !matches!(it, Capability::Variables | Capability::EncodedCharacter);
    let supported = |(_, name): &(_, Cow<'_, str>)| Capability::named(name).filter(can_come);
    let found: Vec<_> = names.all.iter().map(supported).collect();
    let has_all = found.iter().all(Option::is_some);
    if has_all {
        found.into_iter().flatten().for_each(|it| context.capabilities.add(it));
    } else {
        context.is_uncertain = true;
    }
    Some(Condition::Ihave(has_all))
}
