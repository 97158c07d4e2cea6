//! Match types, comparators and keys.

use super::{arguments::Arguments, context::Context};
use crate::{
    capability::Capability,
    matching::{Comparator, Kind, Matcher, PatternError, Relation},
    mistake::MistakeKind,
    program::{Key, Keys, Part},
    syntax::Strings,
};

/// The match type and the comparator that the tags ask for.
pub(super) fn matcher(arguments: &mut Arguments<'_>, context: &mut Context<'_>) -> Matcher {
    let tag = arguments.of_group("match").unwrap_or("is");
    let kind = match tag {
        "contains" => Kind::Contains,
        "matches" => Kind::Matches,
        "regex" => Kind::Regex,
        "value" => Kind::Value(relation("value", arguments, context)),
        "count" => Kind::Count(relation("count", arguments, context)),
        _ => Kind::Is,
    };
    let mut comparator = Comparator::Casemap;
    if let Some((place, name)) = arguments.tagged_string("comparator") {
        match &*name {
            "i;octet" => comparator = Comparator::Octet,
            "i;ascii-casemap" => {}
            "i;ascii-numeric" => {
                let what = format_args!("the comparator i;ascii-numeric");
                context.needs(place, what, Capability::CompareNumeric);
                comparator = Comparator::Numeric;
                if matches!(kind, Kind::Contains | Kind::Matches | Kind::Regex) {
                    let comparator = "i;ascii-numeric";
                    context.tell(place, MistakeKind::Comparator { comparator, kind: tag });
                }
            }
            _ => context
                .tell(place, MistakeKind::Value { value: name.into_owned(), what: "comparator" }),
        }
    }
    let has_captures = context.capabilities.has(Capability::Variables);
    Matcher { kind, comparator, has_captures }
}

fn relation(tag: &str, arguments: &mut Arguments<'_>, context: &mut Context<'_>) -> Relation {
    let Some((place, name)) = arguments.tagged_string(tag) else { return Relation::Equal };
    Relation::named(&name.to_ascii_lowercase()).unwrap_or_else(|| {
        context.tell(place, MistakeKind::Value { value: name.into_owned(), what: "relation" });
        Relation::Equal
    })
}

/// Keys, ready for their matcher.
pub(super) fn keys(matcher: Matcher, strings: Strings<'_>, context: &mut Context<'_>) -> Keys {
    let mut all = Vec::with_capacity(strings.all.len());
    for (place, string) in strings.all {
        let text = context.text(place, string);
        let Some(fixed) = text.fixed() else {
            all.push(Key::Open(text));
            continue;
        };
        match matcher.prepare(fixed, &mut context.regex_octets) {
            Ok(ready) => all.push(Key::Ready(ready)),
            Err(PatternError::Syntax(reason)) => context.tell(place, MistakeKind::Regex(reason)),
            Err(PatternError::TooLarge) => {
                let reason = "it is too large".to_owned();
                context.tell(place, MistakeKind::Regex(reason));
            }
        }
    }
    Keys { matcher, all: all.into_boxed_slice() }
}

pub(super) fn part(arguments: &Arguments<'_>) -> Part {
    match arguments.of_group("part") {
        Some("localpart") => Part::Local,
        Some("domain") => Part::Domain,
        Some("user") => Part::User,
        Some("detail") => Part::Detail,
        _ => Part::All,
    }
}
