//! Look-ups by URL in templates: `$]ldap:///BASE?ATTRIBUTE?SCOPE?FILTER[` stands for the value that the
//! directory has for the attribute (RFC 4516, without host and port).
//!
//! Values that are filled in are escaped by the place where they stand: in a name (RFC 4514) or in a
//! filter (RFC 4515).

use std::borrow::Cow;

use super::{
    ldap_search::{SearchFilter, SearchScope, UrlPiece, UrlPieces, decoded},
    template::{Scanner, TemplateError, put_for_filter, put_for_name},
};

/// A look-up, as it is written; `V` are the values that its sequences stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct LookupUrl<V> {
    /// As in the file, without `$]` and `[`.
    pub text: String,
    base: Vec<UrlPiece<V>>,
    attribute: String,
    scope: SearchScope,
    filter: Vec<UrlPiece<V>>,
    /// `$.text.` before it: stands in its place while the directory does not answer.
    pub on_failure: Option<String>,
}

/// A look-up with its values.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UrlQuery {
    /// The name where the search begins.
    pub base: String,
    /// The base is made of values: there need not be such a name.
    pub base_may_lack: bool,
    /// The attribute whose value is the result.
    pub attribute: String,
    /// How far the search reaches.
    pub scope: SearchScope,
    /// Which entries are found.
    pub filter: String,
}

/// Results of look-ups by URL, for whoever evaluates a template. A result that is not known makes
/// what asks for it fail; the source of results remembers that it was asked.
pub trait UrlResults: Sync {
    /// The value that a look-up found; `on_failure` stands for it when the directory does not answer.
    fn find(&self, query: &UrlQuery, on_failure: Option<&str>) -> Option<String>;
}

/// A part of the address that a rewrite rule looks at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressPart {
    /// `$A`: the whole.
    Whole,
    /// `$D`: its domain.
    Domain,
    /// `$H`: the first label of its domain.
    FirstLabel,
    /// `$U`: its local part without subaddress.
    User,
    /// `$L`: the same without a leading `~` or `_`.
    PlainUser,
    /// `$S`: its subaddress.
    Subaddress,
}

impl LookupUrl<()> {
    /// Reads one without sequences.
    pub fn plain(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text, 0, |_| None)
    }
}

impl<V: Copy> LookupUrl<V> {
    /// Reads what stands between `$]` and `[`, at `offset`. `value`: which value the character behind a
    /// `$` stands for.
    pub(crate) fn parse(
        text: &str,
        offset: usize,
        value: impl Fn(char) -> Option<V>,
    ) -> Result<Self, TemplateError> {
        let wrong = |message: &str| TemplateError::new(offset, message, EXAMPLE);
        let Some(rest) = text.strip_prefix("ldap:///") else {
            return Err(wrong(
                "a look-up by URL begins with ldap:///: the directory says which servers",
            ));
        };
        let mut parts = rest.splitn(5, '?');
        let mut part = || parts.next().unwrap_or_default();
        let (base, attribute, scope, filter, more) = (part(), part(), part(), part(), part());
        let plain = |c: char| c.is_ascii_alphanumeric() || "-.;_".contains(c);
        if attribute.is_empty() || !attribute.chars().all(plain) {
            return Err(wrong("one attribute is expected: its value is the result"));
        }
        if !more.is_empty() {
            return Err(wrong("extensions of a URL are not heeded"));
        }
        let scope =
            SearchScope::named(scope).ok_or_else(|| wrong("the scope is sub, one or base"))?;
        let at = |error: TemplateError| TemplateError { offset, ..error };
        let base = pieces(&decoded(base).map_err(at)?, offset, &value)?;
        let filter = if filter.is_empty() { "(objectClass=*)" } else { filter };
        let filter = pieces(&decoded(filter).map_err(at)?, offset, &value)?;
        // The form is that of any filter, whatever the values are.
        let sample = filter.iter().map(|piece| match piece {
            UrlPiece::Text(text) => text.replace('$', "$$"),
            UrlPiece::Value(_) => "x".to_owned(),
        });
        SearchFilter::parse(&sample.collect::<String>()).map_err(at)?;
        let attribute = attribute.to_owned();
        Ok(Self { text: text.to_owned(), base, attribute, scope, filter, on_failure: None })
    }

    /// The same with a text that stands for the value while the directory does not answer.
    #[must_use]
    pub(crate) fn or(self, on_failure: Option<String>) -> Self {
        Self { on_failure, ..self }
    }

    /// The look-up with these values. `Ok(None)`: it is longer than one may be.
    pub fn filled<'v, E>(
        &self,
        value: impl Fn(V) -> Result<Cow<'v, str>, E>,
    ) -> Result<Option<UrlQuery>, E> {
        let fill = |pieces: &[UrlPiece<V>], put: fn(&mut String, &str)| {
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    UrlPiece::Text(plain) => text.push_str(plain),
                    UrlPiece::Value(its) => put(&mut text, &value(*its)?),
                }
            }
            Ok(text)
        };
        let base = fill(&self.base, put_for_name)?;
        let filter = fill(&self.filter, put_for_filter)?;
        if base.len() + filter.len() > LONGEST {
            return Ok(None);
        }
        Ok(Some(UrlQuery {
            base,
            base_may_lack: self.base.iter().any(|piece| matches!(piece, UrlPiece::Value(_))),
            attribute: self.attribute.clone(),
            scope: self.scope,
            filter,
        }))
    }

    /// Whether an LDIF file cannot answer it: it compares by a rule that only servers know.
    pub(crate) fn is_for_servers_alone(&self) -> bool {
        self.filter.iter().any(|piece| matches!(piece, UrlPiece::Text(text) if text.contains(":=")))
    }
}

impl AddressPart {
    /// The part that a character behind `$` stands for.
    pub(crate) fn of(letter: char) -> Option<Self> {
        Some(match letter.to_ascii_uppercase() {
            'A' => Self::Whole,
            'D' => Self::Domain,
            'H' => Self::FirstLabel,
            'L' => Self::PlainUser,
            'S' => Self::Subaddress,
            'U' => Self::User,
            _ => return None,
        })
    }
}

/// In the form of the URL that it came from, for people.
impl std::fmt::Display for UrlQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { base, attribute, scope, filter, .. } = self;
        write!(f, "ldap:///{base}?{attribute}?{}?{filter}", scope.name())
    }
}

fn pieces<V>(
    text: &str,
    offset: usize,
    value: impl Fn(char) -> Option<V>,
) -> Result<Vec<UrlPiece<V>>, TemplateError> {
    let mut scanner = Scanner::new(text);
    let mut pieces = UrlPieces::new();
    while let Some(c) = scanner.next() {
        if c != '$' {
            pieces.put(c);
            continue;
        }
        let letter = scanner.next();
        if letter == Some('$') {
            pieces.put('$');
            continue;
        }
        let Some(value) = letter.and_then(&value) else {
            let sequence: String = ['$'].into_iter().chain(letter).collect();
            let message = match letter {
                Some('~') => "\"$~\" is for URLs of files, which are not looked up".to_owned(),
                _ => format!("{sequence:?} stands for nothing in a URL here"),
            };
            return Err(TemplateError::new(offset, message, EXAMPLE));
        };
        pieces.put_value(value);
    }
    Ok(pieces.finish())
}

const EXAMPLE: &str = "$]ldap:///o=siroe.com?mailHost?sub?(mail=$A)[ in a rule, with $A $D $H $L $S $U; \
                       $]ldap:///o=siroe.com?mailHost?sub?(mail=$0)[ in a mapping";
/// Octets of a URL, as in the original.
const LONGEST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<LookupUrl<AddressPart>, TemplateError> {
        LookupUrl::parse(text, 3, AddressPart::of)
    }

    #[test]
    fn values_are_escaped_where_they_stand() {
        let url = parse("ldap:///ou=$U,o=a%3fb?mail?sub?(&(uid=$U)(cost=$$5))").unwrap();
        let rows = [
            ("jdoe", "ou=jdoe,o=a?b", "(&(uid=jdoe)(cost=$5))"),
            ("a,b*)(x", r"ou=a\,b*)(x,o=a?b", r"(&(uid=a,b\2a\29\28x)(cost=$5))"),
            (
                r#" #"+<>;=\ "#,
                r#"ou=\ #\"\+\<\>\;\=\\\ ,o=a?b"#,
                r#"(&(uid= #"+<>;=\5c )(cost=$5))"#,
            ),
            ("#a\0", r"ou=\#a\00,o=a?b", r"(&(uid=#a\00)(cost=$5))"),
        ];
        for (value, base, filter) in rows {
            let query = url.filled(|_| Ok::<_, ()>(value.into())).unwrap().unwrap();
            assert_eq!((&*query.base, &*query.filter), (base, filter), "{value:?}");
            assert!(query.base_may_lack && query.scope == SearchScope::Subtree);
            assert_eq!(query.attribute, "mail");
        }
        let long = "x".repeat(2_000);
        assert_eq!(url.filled(|_| Ok::<_, ()>((&*long).into())), Ok(None));
        assert_eq!(url.filled(|_| Err(7)), Err(7));
        let url = parse("ldap:///o=siroe.com?mailHost").unwrap();
        let query = url.filled(|_| Ok::<_, ()>("".into())).unwrap().unwrap();
        assert_eq!(query.to_string(), "ldap:///o=siroe.com?mailHost?base?(objectClass=*)");
        assert!(!query.base_may_lack);
    }

    #[test]
    fn a_look_up_that_cannot_be_made_is_refused_with_the_reason() {
        let rows = [
            ("ldap://host/o=a?mail", "begins with ldap:///"),
            ("file:///etc/passwd", "begins with ldap:///"),
            ("ldap:///o=a", "one attribute"),
            ("ldap:///o=a?*?sub?(a=b)", "one attribute"),
            ("ldap:///o=a?mail,cn?sub?(a=b)", "one attribute"),
            ("ldap:///o=a?mail?tree?(a=b)", "the scope"),
            ("ldap:///o=a?mail?sub?(a=$A", "a parenthesis is missing"),
            ("ldap:///o=a?mail?sub?(a=$A)?x", "extensions"),
            ("ldap:///o=a?mail?sub?(a=$V)", "\"$V\" stands for nothing"),
            ("ldap:///o=a?mail?sub?(a=$~x)", "URLs of files"),
            ("ldap:///o=%ff?mail?sub?(a=b)", "no UTF-8"),
            ("ldap:///o=a?mail?sub?(a=%$A)", "a percent sign comes before two"),
        ];
        for (url, want) in rows {
            let error = parse(url).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(want), "{url}: {error}");
            assert_eq!(error.offset, 3, "{url}");
        }
    }
}
