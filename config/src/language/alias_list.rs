//! Lists of an alias file: an alias that has named parameters, or that is a list in a file or a search
//! with addresses behind it.
//!
//! ```text
//! name: <file, [PARAMETER] value, error-return, reply-to, errors-to, warnings-to, comments
//! name: <ldap:///base?mail?sub?filter>, [PARAMETER] value
//! name: [PARAMETER] value, address, address
//! ```
//!
//! A part with commas stands in quotes, a URL with some in angle brackets. Parameters say who may send
//! to a list: what is not understood here is refused, for an alias without it would be open.

use crate::file::reader::suggest;

use super::text_table::{addresses, split_outside_quotes, unquoted};

/// An alias with parameters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AliasList {
    /// The members.
    pub members: AliasMembers,
    /// In the order in which they were written; values without quotes.
    pub parameters: Vec<(ListParameter, String)>,
    /// Addresses behind them.
    pub positional: PositionalAddresses,
}

/// The members of such an alias.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AliasMembers {
    /// Members of a list in this file.
    File(String),
    /// Addresses that this URL finds.
    Search(String),
    /// Addresses, and lists in files.
    Addresses(Vec<String>),
}

/// Addresses that are told apart by their place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PositionalAddresses {
    /// The sender of copies, and the reader of failures.
    pub error_return: Option<PositionalValue>,
    /// `Reply-To:`
    pub reply_to: Option<PositionalValue>,
    /// `Errors-To:`
    pub errors_to: Option<PositionalValue>,
    /// `Warnings-To:`
    pub warnings_to: Option<PositionalValue>,
    /// `Comments:`
    pub comments: Option<PositionalValue>,
}

/// One of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PositionalValue {
    /// An address; of comments a text.
    pub text: String,
    /// Only where the header has no such field.
    pub if_absent: bool,
}

/// Why an alias is no list.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AliasListError {
    /// A name that stands for nothing.
    #[error("no named parameter is called [{name}]: {known}")]
    UnknownParameter {
        /// As it was written.
        name: String,
        /// The names that there are, the most similar first, in words.
        known: String,
    },
    /// A bracket that is not closed.
    #[error("a named parameter is [NAME] value")]
    Unclosed,
    /// It would be taken for an address.
    #[error("named parameters stand behind the list's file, before addresses, a comma behind each")]
    Misplaced,
    /// A file without a name.
    #[error("a list in a file is <file")]
    NoFile,
    /// More than there are places for.
    #[error(
        "behind a list's parameters stand at most five: error-return, reply-to, errors-to, \
         warnings-to, comments"
    )]
    TooManyPositional,
    /// A URL that came apart.
    #[error("{0:?} seems to be a part of a URL: one with commas stands in quotes, or in < and >")]
    PartOfUrl(String),
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// More than anybody writes.
    #[error("a list has at most {MOST_PARAMETERS} parameters")]
    TooManyParameters,
}

macro_rules! parameters {
    ($($variant:ident $name:literal,)*) => {
        /// A named parameter.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum ListParameter {
            $(#[doc = concat!("`[", $name, "]`")] $variant,)*
        }

        impl ListParameter {
            const ALL: &'static [(&'static str, Self)] = &[$(($name, Self::$variant),)*];
        }
    };
}

parameters! {
    And "AND",
    Or "OR",
    AuthList "AUTH_LIST",
    CantList "CANT_LIST",
    AuthMapping "AUTH_MAPPING",
    CantMapping "CANT_MAPPING",
    AuthChannel "AUTH_CHANNEL",
    CantChannel "CANT_CHANNEL",
    UsernameAuthList "USERNAME_AUTH_LIST",
    UsernameCantList "USERNAME_CANT_LIST",
    UsernameAuthMapping "USERNAME_AUTH_MAPPING",
    UsernameCantMapping "USERNAME_CANT_MAPPING",
    ModeratorAddress "MODERATOR_ADDRESS",
    ModeratorList "MODERATOR_LIST",
    ModeratorMapping "MODERATOR_MAPPING",
    UsernameModeratorList "USERNAME_MODERATOR_LIST",
    HoldList "HOLD_LIST",
    NoholdList "NOHOLD_LIST",
    HoldMapping "HOLD_MAPPING",
    NoholdMapping "NOHOLD_MAPPING",
    EnvelopeFrom "ENVELOPE_FROM",
    HeaderAddition "HEADER_ADDITION",
    HeaderTrim "HEADER_TRIM",
    ErrorText "ERROR_TEXT",
    Deferred "DEFERRED",
    Importance "IMPORTANCE",
    Precedence "PRECEDENCE",
    Priority "PRIORITY",
    Sensitivity "SENSITIVITY",
    Blocklimit "BLOCKLIMIT",
    Linelimit "LINELIMIT",
    Expandable "EXPANDABLE",
    Nonexpandable "NONEXPANDABLE",
    DelayNotifications "DELAY_NOTIFICATIONS",
    NodelayNotifications "NODELAY_NOTIFICATIONS",
    ConversionTag "CONVERSION_TAG",
    Filter "FILTER",
    Tag "TAG",
    PrefixText "PREFIX_TEXT",
    SuffixText "SUFFIX_TEXT",
    SequencePrefix "SEQUENCE_PREFIX",
    SequenceSuffix "SEQUENCE_SUFFIX",
    SequenceStrip "SEQUENCE_STRIP",
}

impl ListParameter {
    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        let own = Self::ALL.iter().find(|(_, its)| *its == self);
        own.map_or("", |(name, _)| name)
    }

    fn named(name: &str) -> Option<Self> {
        let known = Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, parameter)| *parameter)
    }
}

impl AliasList {
    /// Of the value of an alias in a file; `None`: it is a plain one, addresses and nothing else.
    pub fn parse(value: &str) -> Result<Option<Self>, AliasListError> {
        if !value.starts_with('<') && !value.contains('[') {
            return Ok(None);
        }
        Self::of(&parts(value)?)
    }

    /// Of its parts.
    pub fn of(parts: &[&str]) -> Result<Option<Self>, AliasListError> {
        let mut rest = parts;
        let source = rest.first().and_then(|part| source(unquoted(part.trim())));
        if source.is_some() {
            rest = &rest[1..];
        }
        let mut parameters = Vec::new();
        while let [part, behind @ ..] = rest
            && unquoted(part.trim()).starts_with('[')
        {
            if parameters.len() == MOST_PARAMETERS {
                return Err(AliasListError::TooManyParameters);
            }
            parameters.push(parameter(unquoted(part.trim()))?);
            rest = behind;
        }
        let is_plain = parameters.is_empty();
        let members = match source {
            Some(AliasMembers::File(name)) if name.is_empty() => {
                return Err(AliasListError::NoFile);
            }
            // The comma between is missing.
            Some(AliasMembers::File(name) | AliasMembers::Search(name))
                if name.starts_with('[') || name.contains(" [") =>
            {
                return Err(AliasListError::Misplaced);
            }
            Some(AliasMembers::File(_)) if is_plain && rest.is_empty() => return Ok(None),
            Some(members) => members,
            None => {
                let found = of_addresses(rest)?;
                if is_plain {
                    return Ok(None);
                }
                let members = AliasMembers::Addresses(found);
                let positional = PositionalAddresses::default();
                return Ok(Some(Self { members, parameters, positional }));
            }
        };
        let positional = PositionalAddresses::of(rest)?;
        Ok(Some(Self { members, parameters, positional }))
    }
}

impl PositionalAddresses {
    fn of(parts: &[&str]) -> Result<Self, AliasListError> {
        let parts: Vec<&str> = parts.iter().map(|part| unquoted(part.trim())).collect();
        for part in &parts {
            check_part(part)?;
        }
        if parts.len() > 5 {
            return Err(AliasListError::TooManyPositional);
        }
        let value = |at: usize| PositionalValue::of(parts.get(at)?);
        Ok(Self {
            error_return: value(0),
            reply_to: value(1),
            errors_to: value(2),
            warnings_to: value(3),
            comments: value(4),
        })
    }
}

impl PositionalValue {
    /// `None`: it is left out, by an asterisk or by nothing.
    fn of(part: &str) -> Option<Self> {
        let (text, if_absent) = match part.strip_suffix('*') {
            Some(text) => (text.trim_end(), true),
            None => (part, false),
        };
        (!text.is_empty()).then(|| Self { text: text.to_owned(), if_absent })
    }
}

/// An address without the colon that has notices show the alias in its place, as they do anyway.
pub fn without_colon(address: String) -> String {
    let rest = address.strip_prefix(':');
    let rest = rest.filter(|rest| !rest.split('@').next().unwrap_or_default().contains(':'));
    rest.map(str::to_owned).unwrap_or(address)
}

/// The parts of a value, between commas that stand neither in quotes nor in a URL.
pub fn parts(value: &str) -> Result<Vec<&str>, AliasListError> {
    let (mut parts, mut rest) = (Vec::new(), value);
    loop {
        // A parameter's value may be such a URL, too.
        let begins = rest.find([',', '"', '<']);
        let url = begins.filter(|at| is_url(&rest[*at..]));
        let behind = url.and_then(|at| Some(at + end_of_url(&rest[at..])?));
        let end = behind
            .unwrap_or_else(|| split_outside_quotes(rest, |c| c == ',').next().map_or(0, str::len));
        let (part, behind) = rest.split_at(end);
        if has_open_quote(part) {
            return Err(AliasListError::OpenQuote);
        }
        parts.push(part);
        match behind.split_once(',') {
            Some((_, behind)) => rest = behind,
            None => return Ok(parts),
        }
    }
}

fn has_open_quote(part: &str) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in part.chars() {
        let escaped = std::mem::take(&mut is_escaped);
        is_escaped = is_quoted && !escaped && c == '\\';
        is_quoted ^= c == '"' && !escaped;
    }
    is_quoted
}

fn is_url(text: &str) -> bool {
    text.get(..6).is_some_and(|text| text.eq_ignore_ascii_case("<ldap:"))
}

/// The place behind `<ldap:...>`; a comparison in a filter has an angle bracket, too.
fn end_of_url(text: &str) -> Option<usize> {
    let longest = (0..=text.len().min(LONGEST_URL)).rev().find(|at| text.is_char_boundary(*at));
    let inside = &text[1..longest?];
    let ends = |at: &usize| {
        let behind = inside[at + 1..].trim_start();
        behind.is_empty() || behind.starts_with(',')
    };
    let close = inside.match_indices('>').map(|(at, _)| at).find(ends)?;
    let is_one = !inside[..close].to_ascii_lowercase().contains("<ldap:");
    is_one.then_some(close + 2)
}

/// The list that an alias begins with: `<file`, or a URL in angle brackets. What is closed by one and no
/// URL is an address.
fn source(part: &str) -> Option<AliasMembers> {
    let inside = part.strip_prefix('<')?;
    if is_url(part) {
        let url = inside.strip_suffix('>').unwrap_or(inside);
        return Some(AliasMembers::Search(url.trim().to_owned()));
    }
    (!inside.contains('>')).then(|| AliasMembers::File(inside.trim().to_owned()))
}

fn parameter(part: &str) -> Result<(ListParameter, String), AliasListError> {
    let inside = part.strip_prefix('[').unwrap_or(part);
    let (name, value) = inside.split_once(']').ok_or(AliasListError::Unclosed)?;
    let name = name.trim();
    let known = ListParameter::named(name);
    let unknown = || {
        let names: Vec<&str> = ListParameter::ALL.iter().map(|(name, _)| *name).collect();
        let known = suggest(name, &names, "there are");
        AliasListError::UnknownParameter { name: name.chars().take(80).collect(), known }
    };
    let parameter = known.ok_or_else(unknown)?;
    Ok((parameter, without_quotes(value.trim())))
}

/// A value without the pair of quotes around it, and without backslashes before those within.
fn without_quotes(value: &str) -> String {
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inside) = inside else { return value.to_owned() };
    let (mut text, mut is_escaped) = (String::with_capacity(inside.len()), false);
    for c in inside.chars() {
        let escaped = std::mem::take(&mut is_escaped);
        match c {
            '\\' if !escaped => is_escaped = true,
            // A local part in quotes, and something behind it.
            '"' if !escaped => return value.to_owned(),
            _ => text.push(c),
        }
    }
    text
}

fn of_addresses(parts: &[&str]) -> Result<Vec<String>, AliasListError> {
    let mut all = Vec::new();
    for part in parts {
        for address in addresses(part) {
            check_part(unquoted(&address))?;
            all.push(without_colon(address));
        }
    }
    Ok(all)
}

/// Whether a part is neither a parameter nor a piece of a URL.
fn check_part(part: &str) -> Result<(), AliasListError> {
    if part.starts_with('[') {
        return Err(AliasListError::Misplaced);
    }
    let shown = || part.chars().take(80).collect();
    if part.contains("??") || part.contains("?sub?") || part.contains("?one?") {
        return Err(AliasListError::PartOfUrl(shown()));
    }
    Ok(())
}

/// Octets of a URL with its brackets.
const LONGEST_URL: usize = 8_192;
/// Parameters of one alias.
const MOST_PARAMETERS: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The members, the parameters, and the addresses behind them, in one line.
    fn shown(value: &str) -> Result<String, String> {
        let list = AliasList::parse(value).map_err(|error| error.to_string())?;
        let Some(AliasList { members, parameters, positional }) = list else {
            return Ok("plain".to_owned());
        };
        let members = match members {
            AliasMembers::File(file) => format!("<{file}"),
            AliasMembers::Search(url) => format!("<{url}>"),
            AliasMembers::Addresses(all) => all.join(" "),
        };
        let mut pieces = vec![members];
        let parameter = |(its, value): (ListParameter, _)| format!("[{}]{value}", its.name());
        pieces.extend(parameters.into_iter().map(parameter));
        let PositionalAddresses { error_return, reply_to, errors_to, warnings_to, comments } =
            positional;
        let all = [error_return, reply_to, errors_to, warnings_to, comments];
        for (n, value) in all.into_iter().enumerate().filter_map(|(n, its)| Some((n, its?))) {
            pieces.push(format!("{n}={}{}", value.text, if value.if_absent { "?" } else { "" }));
        }
        Ok(pieces.join(" "))
    }

    #[test]
    fn lists_of_all_forms_are_read() {
        let rows = [
            ("a@x, b@y", "plain"),
            ("<file", "plain"),
            ("<joe@x>, <ann@[192.0.2.1]>", "plain"),
            ("Joe [home] <joe@x>", "plain"),
            ("user@[192.0.2.1]", "plain"),
            ("<file, [AUTH_LIST] /a/b", "<file [AUTH_LIST]/a/b"),
            ("<a b, [auth_list]x,[OR]", "<a b [AUTH_LIST]x [OR]"),
            ("<file, owner@x", "<file 0=owner@x"),
            ("<file, *, r@x*, e@x, *, \"a, b\"", "<file 1=r@x? 2=e@x 4=a, b"),
            ("<file, , r@x", "<file 1=r@x"),
            ("<file, /", "<file 0=/"),
            ("[ENVELOPE_FROM] l+*@x, a@x, b@x", "a@x b@x [ENVELOPE_FROM]l+*@x"),
            ("[AUTH_LIST] a@x, :b@x, :include:/c", "b@x :include:/c [AUTH_LIST]a@x"),
            (
                "[ERROR_TEXT] \"No, \\\"you\\\" may not\", a@x",
                "a@x [ERROR_TEXT]No, \"you\" may not",
            ),
            ("\"[ERROR_TEXT] a, b\", c@x", "c@x [ERROR_TEXT]a, b"),
            ("[AUTH_LIST] \"a b\"@x, c@x", "c@x [AUTH_LIST]\"a b\"@x"),
            ("<ldap:///o=a,c=b?mail?sub?(l=p)>", "<ldap:///o=a,c=b?mail?sub?(l=p)>"),
            (
                "<ldap:///o=a,c=b??sub?(n>=1)>, [CANT_LIST] <LDAP:///o=c,c=d??sub?(n>=1)>, o@x",
                "<ldap:///o=a,c=b??sub?(n>=1)> [CANT_LIST]<LDAP:///o=c,c=d??sub?(n>=1)> 0=o@x",
            ),
            (
                "[AUTH_LIST] \"ldap:///o=a,c=b??sub?(l=p)\", a@x",
                "a@x [AUTH_LIST]ldap:///o=a,c=b??sub?(l=p)",
            ),
            ("[AUTH_LIST] a@x", " [AUTH_LIST]a@x"),
        ];
        for (value, want) in rows {
            assert_eq!(shown(value).as_deref(), Ok(want), "{value}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let rows = [
            (
                "[AUTH_LISTS] a@x, b@x",
                "no named parameter is called [AUTH_LISTS]: did you mean AUTH_LIST? there are AUTH_LIST, ",
            ),
            ("[] a@x, b@x", "no named parameter"),
            ("[AUTH_LIST a@x, b@x", "[NAME] value"),
            ("b@x, [AUTH_LIST] a@x", "before addresses"),
            ("b@x [AUTH_LIST] a@x", "before addresses"),
            ("<file, b@x, [AUTH_LIST] a@x", "before addresses"),
            ("b@x, \"[AUTH_LIST] a@x\"", "before addresses"),
            ("[192.0.2.1], b@x", "no named parameter"),
            ("<file [AUTH_LIST] a@x", "before addresses"),
            ("<ldap:///o=x> [AUTH_LIST] a@x", "before addresses"),
            ("<", "<file"),
            ("< , [AUTH_LIST] a@x", "<file"),
            ("<file, a@x, b@x, c@x, d@x, e, f", "at most five"),
            ("<file, [AUTH_LIST] ldap:///o=a,c=b?mail?sub?(l=p), o@x", "part of a URL"),
            ("[ERROR_TEXT] \"a, b@x", "not closed"),
        ];
        for (value, want) in rows {
            let error = shown(value).unwrap_err();
            assert!(error.contains(want), "{value}: {error}");
        }
        let many = "[OR],".repeat(1_000) + "a@x";
        assert!(shown(&many).unwrap_err().contains("at most 100"));
    }

    proptest! {
        /// An alias with a parameter that is known is never taken for a plain one.
        #[test]
        fn no_text_opens_a_list(
            before in "[a-z@<>,\"\\[\\]: ]{0,12}",
            behind in "[a-z@<>,\"\\[\\]:?*\\\\é ]{0,24}",
        ) {
            let value = format!("{before}[AUTH_LIST] x{behind}");
            let _ = AliasList::parse(&behind);
            let _ = AliasList::parse(&format!("<ldap:{behind}"));
            let words = addresses(&value);
            let is_seen = words.iter().any(|word| unquoted(word).starts_with("[AUTH_LIST]"));
            let is_plain = AliasList::parse(value.trim()) == Ok(None);
            prop_assert!(!(is_plain && is_seen), "{}", value);
        }
    }

    #[test]
    fn a_colon_before_an_address_is_taken_off() {
        let rows = [
            (":a@x", "a@x"),
            (":a", "a"),
            (":include:/x", ":include:/x"),
            (":a@[IPv6:::1]", "a@[IPv6:::1]"),
            ("a@x", "a@x"),
        ];
        for (address, want) in rows {
            assert_eq!(without_colon(address.to_owned()), want);
        }
    }
}
