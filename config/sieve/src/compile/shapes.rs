//! Tags that the commands and tests take.

use crate::capability::Capability;

/// The value behind a tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Takes {
    Nothing,
    Number,
    Text,
    Texts,
}

/// A tag of a command or a test.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    pub(super) needs: Option<Capability>,
    /// Tags of one group exclude each other.
    pub(super) group: &'static str,
}

const fn tag(name: &'static str, takes: Takes, needs: Option<Capability>) -> Tag {
    Tag { name, takes, needs, group: name }
}

const fn of(group: &'static str, name: &'static str, needs: Option<Capability>) -> Tag {
    Tag { name, takes: Takes::Nothing, needs, group }
}

pub(super) const MATCH: &[Tag] = &[
    of("match", "is", None),
    of("match", "contains", None),
    of("match", "matches", None),
    of("match", "regex", Some(Capability::Regex)),
    Tag { name: "value", takes: Takes::Text, needs: Some(Capability::Relational), group: "match" },
    Tag { name: "count", takes: Takes::Text, needs: Some(Capability::Relational), group: "match" },
    tag("comparator", Takes::Text, None),
];

pub(super) const PART: &[Tag] = &[
    of("part", "all", None),
    of("part", "localpart", None),
    of("part", "domain", None),
    of("part", "user", Some(Capability::Subaddress)),
    of("part", "detail", Some(Capability::Subaddress)),
];

pub(super) const INDEX: &[Tag] = &[
    tag("index", Takes::Number, Some(Capability::Index)),
    tag("last", Takes::Nothing, Some(Capability::Index)),
];

pub(super) const DELETE: &[Tag] =
    &[tag("index", Takes::Number, None), tag("last", Takes::Nothing, None)];

pub(super) const ADD: &[Tag] = &[tag("last", Takes::Nothing, None)];

pub(super) const FLAGS: &[Tag] = &[tag("flags", Takes::Texts, Some(Capability::Flags))];

pub(super) const COPY: &[Tag] = &[tag("copy", Takes::Nothing, Some(Capability::Copy))];

pub(super) const CREATE: &[Tag] = &[tag("create", Takes::Nothing, Some(Capability::Mailbox))];

pub(super) const SIZE: &[Tag] = &[of("size", "over", None), of("size", "under", None)];

pub(super) const BODY: &[Tag] = &[
    of("transform", "raw", None),
    Tag { name: "content", takes: Takes::Texts, needs: None, group: "transform" },
    of("transform", "text", None),
];

pub(super) const ZONE: &[Tag] =
    &[Tag { name: "zone", takes: Takes::Text, needs: None, group: "zone" }];

pub(super) const ORIGINAL_ZONE: &[Tag] = &[of("zone", "originalzone", None)];

pub(super) const DUPLICATE: &[Tag] = &[
    Tag { name: "header", takes: Takes::Text, needs: None, group: "id" },
    Tag { name: "uniqueid", takes: Takes::Text, needs: None, group: "id" },
    tag("handle", Takes::Text, None),
    tag("seconds", Takes::Number, None),
    tag("last", Takes::Nothing, None),
];

pub(super) const VACATION: &[Tag] = &[
    Tag { name: "days", takes: Takes::Number, needs: None, group: "interval" },
    Tag {
        name: "seconds",
        takes: Takes::Number,
        needs: Some(Capability::VacationSeconds),
        group: "interval",
    },
    tag("subject", Takes::Text, None),
    tag("from", Takes::Text, None),
    tag("addresses", Takes::Texts, None),
    tag("mime", Takes::Nothing, None),
    tag("handle", Takes::Text, None),
];

pub(super) const MODIFIERS: &[Tag] = &[
    of("40", "lower", None),
    of("40", "upper", None),
    of("30", "lowerfirst", None),
    of("30", "upperfirst", None),
    of("20", "quotewildcard", None),
    of("20", "quoteregex", Some(Capability::Regex)),
    of("10", "length", None),
];
