//! Searches in an LDAP directory: `ldap:///BASE?ATTRIBUTES?SCOPE?FILTER` with sequences that stand
//! for parts of the address that is looked up, as in the original's `ALIAS_URL0` (RFC 4516).
//!
//! Whoever fills them in escapes a value by the place where it stands: in a name or in a filter. The
//! filter's form is checked here, where a mistake can be told at its place.

use std::fmt::{self, Display, Formatter};

use super::template::{Scanner, TemplateError};
use crate::grammar::{HexError, without_backslashes, without_percents};

/// A search, as it is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SearchUrl {
    /// As in the file.
    pub text: String,
    /// Where the search begins.
    pub base: Vec<SearchPiece>,
    /// How far it reaches.
    pub scope: SearchScope,
    /// Which entries are found.
    pub filter: SearchFilter,
}

/// A filter with sequences in it (RFC 4515).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SearchFilter {
    /// As in the file, without the URL's percent encoding.
    pub text: String,
    /// Its pieces.
    pub pieces: Vec<SearchPiece>,
}

/// A piece of a base or a filter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UrlPiece<V> {
    /// This text.
    Text(String),
    /// A value that a search is made for.
    Value(V),
}

/// A piece of a search for an address.
pub type SearchPiece = UrlPiece<SearchValue>;

/// Pieces that are being read.
pub(super) struct UrlPieces<V> {
    read: Vec<UrlPiece<V>>,
    /// The text behind the last of them.
    plain: String,
}

/// Values that sequences stand for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SearchValue {
    /// `$A`: the whole address.
    Address,
    /// `$U`: its local part; at a login the user's name.
    Local,
    /// `$D`: its domain; in `domain_filter` the name that is looked for.
    Domain,
    /// `$V` and `$1V`: where the domain's users lie. Only as the base.
    DomainBase,
    /// `$B`: `user_base`. Only as the base.
    UserBase,
    /// `$C`: `domain_base`. Only as the base.
    DomainRoot,
    /// `$R`: any of `address_attributes` is the address. Only in a filter.
    AnyAddress,
}

/// How far a search reaches below its base.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SearchScope {
    /// The entry itself.
    Base,
    /// The entries right below it.
    One,
    /// Everything.
    Subtree,
}

impl SearchUrl {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let start = "ldap:///";
        let Some(rest) = text.strip_prefix(start) else {
            let message = "a search begins with ldap:///: the servers stand in servers";
            return Err(TemplateError::new(0, message, EXAMPLE));
        };
        let mut parts = rest.splitn(5, '?');
        let mut part = || parts.next().unwrap_or_default();
        let (base, attributes, scope, filter, more) = (part(), part(), part(), part(), part());
        if !matches!(attributes, "" | "*") {
            let message =
                "the attributes that are asked for are known: nothing, or *, stands there";
            return Err(TemplateError::new(start.len() + base.len() + 1, message, EXAMPLE));
        }
        if !more.is_empty() {
            let at = text.len() - more.len();
            return Err(TemplateError::new(at, "extensions of a URL are not heeded", EXAMPLE));
        }
        let wrong = || TemplateError::new(0, "the scope is sub, one or base", EXAMPLE);
        let scope = SearchScope::named(scope).ok_or_else(wrong)?;
        let filter = if filter.is_empty() { "(objectClass=*)" } else { filter };
        let base = pieces(&decoded(base)?, Position::Name)?;
        Ok(Self {
            text: text.to_owned(),
            base,
            scope,
            filter: SearchFilter::parse(&decoded(filter)?)?,
        })
    }
}

impl SearchScope {
    /// The scope of this name in a URL.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "sub" => Some(Self::Subtree),
            "one" => Some(Self::One),
            // RFC 4516 section 2: a URL that says nothing means the base alone.
            "base" | "" => Some(Self::Base),
            _ => None,
        }
    }

    /// Its name in a URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subtree => "sub",
            Self::One => "one",
            Self::Base => "base",
        }
    }
}

impl SearchFilter {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let pieces = pieces(text, Position::Filter)?;
        let sample: String = pieces.iter().map(SearchPiece::sample).collect();
        let rest = filter(&sample, DEPTH).map_err(|why| TemplateError::new(0, why, EXAMPLE))?;
        if !rest.is_empty() {
            let message = format!("{rest:?} stands behind the filter's last parenthesis");
            return Err(TemplateError::new(0, message, EXAMPLE));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }
}

impl<V> UrlPieces<V> {
    pub(super) fn new() -> Self {
        Self { read: Vec::new(), plain: String::new() }
    }

    pub(super) fn put(&mut self, c: char) {
        self.plain.push(c);
    }

    pub(super) fn put_value(&mut self, value: V) {
        self.end_text();
        self.read.push(UrlPiece::Value(value));
    }

    pub(super) fn finish(mut self) -> Vec<UrlPiece<V>> {
        self.end_text();
        self.read
    }

    fn end_text(&mut self) {
        if !self.plain.is_empty() {
            self.read.push(UrlPiece::Text(std::mem::take(&mut self.plain)));
        }
    }
}

impl SearchPiece {
    /// Something that a value may be, so that the form of the whole can be checked.
    fn sample(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Value(SearchValue::AnyAddress) => "(x=x)",
            Self::Value(_) => "x",
        }
    }
}

impl Display for SearchUrl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Display for SearchFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where a sequence stands.
#[derive(Clone, Copy, PartialEq)]
enum Position {
    Name,
    Filter,
}

/// A part of a URL without its percent encoding.
pub(super) fn decoded(part: &str) -> Result<String, TemplateError> {
    without_percents(part).map_err(|error| TemplateError::new(0, error.to_string(), EXAMPLE))
}

fn pieces(text: &str, place: Position) -> Result<Vec<SearchPiece>, TemplateError> {
    let mut scanner = Scanner::new(text);
    let mut pieces = UrlPieces::new();
    while let Some(c) = scanner.next() {
        if c != '$' {
            pieces.put(c);
            continue;
        }
        let at = scanner.offset() - 1;
        if scanner.eat('$') {
            pieces.put('$');
            continue;
        }
        // `$1V` never fails in the original; neither does `$V` here.
        let number = scanner.number()?;
        let letter = scanner.next().map(|c| c.to_ascii_uppercase());
        let value = match (letter, place, number) {
            (Some('A'), _, None) => SearchValue::Address,
            (Some('U' | 'L'), _, None) => SearchValue::Local,
            (Some('D'), _, None) => SearchValue::Domain,
            (Some('V'), Position::Name, None | Some(1)) => SearchValue::DomainBase,
            (Some('B'), Position::Name, None) => SearchValue::UserBase,
            (Some('C'), Position::Name, None) => SearchValue::DomainRoot,
            (Some('R'), Position::Filter, None) => SearchValue::AnyAddress,
            _ => {
                let end = scanner.offset();
                let message = format!("{:?} stands for nothing here", &text[at..end]);
                return Err(TemplateError::new(at, message, EXAMPLE));
            }
        };
        pieces.put_value(value);
    }
    Ok(pieces.finish())
}

/// Reads one filter; the rest is what stands behind it.
fn filter(text: &str, depth: usize) -> Result<&str, String> {
    let open = |text: &str| format!("a filter begins with a parenthesis, not with {text:?}");
    let inside = text.strip_prefix('(').ok_or_else(|| open(text))?;
    if depth == 0 {
        return Err(format!("filters lie in each other more than {DEPTH} deep"));
    }
    let rest = match inside.chars().next() {
        Some('&' | '|') => {
            let mut rest = &inside[1..];
            while rest.starts_with('(') {
                rest = filter(rest, depth - 1)?;
            }
            rest
        }
        Some('!') => filter(&inside[1..], depth - 1)?,
        _ => item(inside)?,
    };
    rest.strip_prefix(')').ok_or_else(|| format!("a parenthesis is missing before {rest:?}"))
}

/// `attribute=value`.
fn item(text: &str) -> Result<&str, String> {
    let end = text.find([')', '(']).unwrap_or(text.len());
    let (item, rest) = text.split_at(end);
    let Some((name, value)) = item.split_once('=') else {
        return Err(format!("{item:?} is no comparison: attribute=value is expected"));
    };
    let name = name.trim_end_matches(['~', '<', '>', ':']);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.;:_".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!("{name:?} is no name of an attribute"));
    }
    // Octets that are no text are values of attributes that are none (RFC 4515): a server compares them.
    if let Err(error @ (HexError::Backslash | HexError::Percent)) = without_backslashes(value) {
        return Err(error.to_string());
    }
    Ok(rest)
}

const EXAMPLE: &str = "ldap:///$V?*?sub?$R, or a filter such as (mail=$A)";
/// Filters in filters.
const DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_of_the_original_and_of_plain_trees() {
        use UrlPiece::{Text, Value};
        let url = SearchUrl::parse("ldap:///$V?*?sub?$R").unwrap();
        assert_eq!(url.base, [Value(SearchValue::DomainBase)]);
        assert_eq!(url.filter.pieces, [Value(SearchValue::AnyAddress)]);
        assert_eq!(url.scope, SearchScope::Subtree);
        let url = "ldap:///$B?*?sub?(&(msgVanityDomain=$D)$R)";
        assert_eq!(SearchUrl::parse(url).unwrap().base, [Value(SearchValue::UserBase)]);
        let url = SearchUrl::parse("ldap:///$1V??one?(mailAlternateAddress=@$D)").unwrap();
        let want = [
            Text("(mailAlternateAddress=@".to_owned()),
            Value(SearchValue::Domain),
            Text(")".to_owned()),
        ];
        assert_eq!((url.scope, &*url.filter.pieces), (SearchScope::One, &want[..]));
        let url = SearchUrl::parse("ldap:///ou=a%3fb,$B?").unwrap();
        assert_eq!(url.base[0], Text("ou=a?b,".to_owned()));
        assert_eq!((url.scope, &*url.filter.text), (SearchScope::Base, "(objectClass=*)"));
        for filter in [
            "(!(a=b))",
            "(&)",
            "(a;lang-en>=1)",
            "(memberOf:1.2.3:=$A)",
            r"(a=\2a*)",
            r"(objectGUID=\ff\00)",
        ] {
            assert!(SearchFilter::parse(filter).is_ok(), "{filter}");
        }
    }

    #[test]
    fn a_search_that_no_server_takes_is_refused_with_the_reason() {
        let rows = [
            ("ldap://host/$B??sub?$R", "begins with ldap:///"),
            ("ldap:///$B?mail?sub?$R", "attributes"),
            ("ldap:///$B??tree?$R", "scope"),
            ("ldap:///$B??sub?$R?x", "extensions"),
            ("ldap:///$R??sub?$R", "\"$R\" stands for nothing"),
            ("ldap:///$B??sub?(mail=$V)", "\"$V\" stands for nothing"),
            ("ldap:///$B??sub?mail=$A", "begins with a parenthesis"),
            ("ldap:///$B??sub? (mail=$A)", "begins with a parenthesis"),
            ("ldap:///$B??sub?(mail=$A) ", "behind the filter's last"),
            ("ldap:///$B??sub?(mail=$A", "a parenthesis is missing"),
            ("ldap:///$B??sub?(mail=$A))", "behind the filter's last"),
            ("ldap:///$B??sub?(mail)", "no comparison"),
            ("ldap:///$B??sub?(ma il=$A)", "no name of an attribute"),
            (r"ldap:///$B??sub?(mail=\x)", "backslash"),
            ("ldap:///%ff??sub?$R", "no UTF-8"),
            ("ldap:///$B??sub?(mail=%$A)", "a percent sign comes before two"),
            ("ldap:///ou=50%,$B??sub?$R", "a percent sign comes before two"),
        ];
        for (url, want) in rows {
            let error = SearchUrl::parse(url).unwrap_err().to_string();
            assert!(error.contains(want), "{url}: {error}");
        }
        let deep = format!("{}(a=b){}", "(!".repeat(20), ")".repeat(20));
        assert!(SearchFilter::parse(&deep).is_err());
    }
}
