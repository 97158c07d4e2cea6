//! Patterns of rewrite rules.

use crate::{
    grammar::{ascii_domain, is_label, literal},
    language::template::TemplateError,
};

/// The hosts that a pattern matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PatternKind {
    /// `$*`: every host, before everything else.
    Always,
    /// `siroe.com`: this host.
    Exact,
    /// `*.siroe.com`: exactly one label for each `*`.
    Starred,
    /// `*.*`: every host with this many labels.
    AllStars,
    /// `.siroe.com`: every host below, but not `siroe.com`.
    Dotted,
    /// `[1.2.3.4]`, `[1.2.3.]`, `[1.]`: address literals.
    Literal,
    /// `[]`: every address literal.
    AnyLiteral,
    /// `.`: every host that nothing else matches.
    Rest,
    /// `$%`: a local part with `%` that nothing else matches.
    Percent,
    /// `$!`: a local part with `!` that nothing else matches.
    Bang,
}

impl PatternKind {
    /// Whether the pattern names no domain at all: what it alone routes is not ours.
    pub fn is_catch_all(self) -> bool {
        match self {
            Self::Always
            | Self::AllStars
            | Self::AnyLiteral
            | Self::Rest
            | Self::Percent
            | Self::Bang => true,
            Self::Exact | Self::Starred | Self::Dotted | Self::Literal => false,
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let start = text.rfind('|').map_or(0, |bar| bar + 1);
        let pattern = &text[start..];
        let error = |message: String| TemplateError::new(start, message, PATTERNS);
        let kind = match pattern {
            "" => return Err(error("the pattern is empty".to_owned())),
            "$*" => Self::Always,
            "$%" => Self::Percent,
            "$!" => Self::Bang,
            "." => Self::Rest,
            "[]" => Self::AnyLiteral,
            _ if is_literal(pattern) => Self::Literal,
            _ => {
                return Self::parse_name(pattern)
                    .ok_or_else(|| error(format!("{pattern:?} is not a pattern")));
            }
        };
        Ok(kind)
    }

    fn parse_name(pattern: &str) -> Option<Self> {
        let labels = pattern.strip_prefix('.').unwrap_or(pattern);
        let stars = labels.split('.').take_while(|label| *label == "*").count();
        let named = labels.split('.').skip(stars);
        let is_named = |label: &str| {
            is_label(label)
                || !label.is_ascii() && ascii_domain(label).is_some_and(|it| is_label(&it))
        };
        if !named.clone().all(is_named) {
            return None;
        }
        match (pattern.starts_with('.'), stars, named.count()) {
            (true, 0, _) => Some(Self::Dotted),
            (true, ..) => None,
            (false, 0, _) => Some(Self::Exact),
            (false, _, 0) => Some(Self::AllStars),
            (false, ..) => Some(Self::Starred),
        }
    }
}

/// `[1.2.3.4]`, a prefix that ends in a dot, or an IPv6 literal.
fn is_literal(pattern: &str) -> bool {
    let Some(inner) = pattern.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return false;
    };
    if let Some(prefix) = inner.strip_suffix('.') {
        let octets: Vec<_> = prefix.split('.').collect();
        return octets.len() <= 3 && octets.iter().all(|octet| octet.parse::<u8>().is_ok());
    }
    literal(pattern).is_some()
}

const PATTERNS: &str = "a host name, *.name, .name, [literal], [1.2.3.], [], \".\", $*, $%, $!, \
                        each with tag| before it or not";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_pattern() {
        use PatternKind::*;
        let rows = [
            ("$*", Always),
            ("siroe.com", Exact),
            ("localhost", Exact),
            ("hold-daemon", Exact),
            ("*.SIROE.com", Starred),
            ("*.*.edu", Starred),
            ("*", AllStars),
            ("*.*", AllStars),
            (".siroe.com", Dotted),
            (".lmtp", Dotted),
            ("[1.2.3.4]", Literal),
            ("[1.2.3.]", Literal),
            ("[1.]", Literal),
            ("[IPv6:::1]", Literal),
            ("[]", AnyLiteral),
            (".", Rest),
            ("$%", Percent),
            ("$!", Bang),
            ("mtcp-force|.", Rest),
            ("a|b|c.d", Exact),
        ];
        for (pattern, kind) in rows {
            assert_eq!(PatternKind::parse(pattern), Ok(kind), "{pattern}");
        }
        for pattern in [
            "",
            "a b",
            "a.*.b",
            ".*.b",
            "a..b",
            "[1.2]",
            "[256.]",
            "[1.2.3.4.]",
            "$x",
            "tag|",
            "x%",
        ] {
            assert!(PatternKind::parse(pattern).is_err(), "{pattern}");
        }
    }
}
