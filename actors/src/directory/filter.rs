//! Filters of searches (RFC 4515), as entries in memory are tried by them.
//!
//! An LDAP server tries its entries itself: there a filter is only read, so that a mistake in it is
//! told by its place and not by a server.

use relais_config::grammar::without_backslashes;

use super::entry::Entry;

/// A filter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum EntryFilter {
    /// `(&...)`
    All(Vec<Self>),
    /// `(|...)`
    Any(Vec<Self>),
    /// `(!...)`
    Not(Box<Self>),
    /// A comparison: the attribute in lower case.
    Item(Box<str>, Comparison),
}

/// How the values of an attribute are compared, without regard to case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Comparison {
    /// `=*`
    Present,
    /// `=` and `~=`
    Equal(String),
    /// `=a*b*c`: pieces between asterisks.
    Like(Vec<String>),
    /// `>=`
    AtLeast(String),
    /// `<=`
    AtMost(String),
    /// `:=`, which only a server knows how to do.
    Extended,
}

impl EntryFilter {
    /// Reads a filter.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (filter, rest) = one(text, DEPTH)?;
        if rest.is_empty() { Ok(filter) } else { Err(format!("{rest:?} stands behind the filter")) }
    }

    /// Whether an entry passes.
    pub(super) fn passes(&self, entry: &Entry) -> bool {
        match self {
            Self::All(all) => all.iter().all(|filter| filter.passes(entry)),
            Self::Any(any) => any.iter().any(|filter| filter.passes(entry)),
            Self::Not(filter) => !filter.passes(entry),
            Self::Item(name, Comparison::Present) => !entry.all(name).is_empty(),
            Self::Item(name, comparison) => {
                entry.all(name).iter().any(|value| comparison.holds(&value.to_lowercase()))
            }
        }
    }

    /// Whether it compares an attribute, in lower case, that is one of these.
    pub(super) fn asks_for(&self, these: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::All(all) | Self::Any(all) => all.iter().any(|filter| filter.asks_for(these)),
            Self::Not(filter) => filter.asks_for(these),
            Self::Item(name, _) => these(name),
        }
    }

    /// Whether a comparison in it is one that only a server does.
    pub(super) fn is_extended(&self) -> bool {
        match self {
            Self::All(these) | Self::Any(these) => these.iter().any(Self::is_extended),
            Self::Not(filter) => filter.is_extended(),
            Self::Item(_, comparison) => *comparison == Comparison::Extended,
        }
    }
}

impl Comparison {
    /// Whether a value, in lower case, is as asked for.
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Equal(own) => value.trim() == own,
            Self::Like(pieces) => is_like(value, pieces),
            Self::AtLeast(own) => order(value, own).is_ge(),
            Self::AtMost(own) => order(value, own).is_le(),
            Self::Extended => false,
        }
    }
}

/// Whether a text is made of these pieces, with anything between them. Each piece is looked for once,
/// behind the one before: the work grows with the text alone.
pub(super) fn is_like<S: AsRef<str>>(text: &str, pieces: &[S]) -> bool {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return true };
    if pieces.len() == 1 {
        return text == first.as_ref();
    }
    let Some(mut rest) = text.strip_prefix(first.as_ref()) else { return false };
    for piece in &pieces[1..pieces.len() - 1] {
        let Some(at) = rest.find(piece.as_ref()) else { return false };
        rest = &rest[at + piece.as_ref().len()..];
    }
    rest.ends_with(last.as_ref())
}

/// Numbers by their size, anything else by its letters.
fn order(value: &str, own: &str) -> std::cmp::Ordering {
    match (value.trim().parse::<i64>(), own.parse::<i64>()) {
        (Ok(value), Ok(own)) => value.cmp(&own),
        _ => value.trim().cmp(own),
    }
}

/// Reads one filter; the rest is what stands behind it.
fn one(text: &str, depth: usize) -> Result<(EntryFilter, &str), String> {
    let open = || format!("a filter begins with a parenthesis, not with {:?}", shown(text));
    let inside = text.strip_prefix('(').ok_or_else(open)?;
    if depth == 0 {
        return Err(format!("filters lie in each other more than {DEPTH} deep"));
    }
    let (filter, rest) = match inside.as_bytes().first() {
        Some(b'&') => several(&inside[1..], depth).map(|(all, rest)| (EntryFilter::All(all), rest)),
        Some(b'|') => several(&inside[1..], depth).map(|(any, rest)| (EntryFilter::Any(any), rest)),
        Some(b'!') => one(&inside[1..], depth - 1)
            .map(|(filter, rest)| (EntryFilter::Not(Box::new(filter)), rest)),
        _ => item(inside),
    }?;
    let rest = rest.strip_prefix(')');
    rest.map(|rest| (filter, rest)).ok_or_else(|| "a parenthesis is missing".to_owned())
}

fn several(text: &str, depth: usize) -> Result<(Vec<EntryFilter>, &str), String> {
    let (mut filters, mut rest) = (Vec::new(), text);
    while rest.starts_with('(') {
        let (filter, behind) = one(rest, depth - 1)?;
        filters.push(filter);
        rest = behind;
    }
    Ok((filters, rest))
}

/// `attribute=value`.
fn item(text: &str) -> Result<(EntryFilter, &str), String> {
    let (item, rest) = text.split_at(text.find(['(', ')']).unwrap_or(text.len()));
    let Some((name, value)) = item.split_once('=') else {
        return Err(format!("{:?} is no comparison: attribute=value is expected", shown(item)));
    };
    let (name, kind) = match name.as_bytes().last() {
        Some(b'~' | b'<' | b'>' | b':') => name.split_at(name.len() - 1),
        _ => (name, ""),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.;:_".contains(c);
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(format!("{:?} is no name of an attribute", shown(name)));
    }
    let comparison = match kind {
        ":" => unescaped(value).map(|_| Comparison::Extended)?,
        ">" => Comparison::AtLeast(unescaped(value)?),
        "<" => Comparison::AtMost(unescaped(value)?),
        _ if value == "*" => Comparison::Present,
        _ if value.contains('*') => {
            Comparison::Like(value.split('*').map(unescaped).collect::<Result<_, _>>()?)
        }
        _ => Comparison::Equal(unescaped(value)?),
    };
    Ok((EntryFilter::Item(name.to_ascii_lowercase().into(), comparison), rest))
}

/// A value in lower case, without its escapes: two hexadecimal digits behind a backslash.
fn unescaped(text: &str) -> Result<String, String> {
    let text = without_backslashes(text).map_err(|error| error.to_string())?;
    Ok(text.trim().to_lowercase())
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Filters in filters.
const DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_pass_as_a_server_would_have_it() {
        let mut entry = Entry::new("uid=jane,o=x");
        for (name, value) in [
            ("objectClass", "inetMailUser"),
            ("l", "Paris"),
            ("l", "Lyon"),
            ("employeeNumber", "42"),
            ("cn", "Jane (a*b) Doe"),
        ] {
            entry.add(name, value);
        }
        let rows = [
            ("(objectClass=*)", true),
            ("(L=paris)", true),
            ("(l~=LYON)", true),
            ("(l=par)", false),
            ("(l=p*s)", true),
            ("(l=*y*n)", true),
            ("(l=*a*a*)", false),
            ("(cn=*doe*doe)", false),
            ("(cn=jane*doe)", true),
            ("(mail=*)", false),
            ("(!(mail=*))", true),
            ("(&(objectClass=inetmailuser)(|(l=rome)(l=paris)))", true),
            ("(&(objectClass=inetmailuser)(!(l=paris)))", false),
            ("(&)", true),
            ("(|)", false),
            ("(employeeNumber>=9)", true),
            ("(employeeNumber<=9)", false),
            (r"(cn=jane \28a\2ab\29 doe)", true),
            (r"(cn=*\2a*)", true),
            (r"(l=*\2a*)", false),
            ("(memberOf:1.2.3:=x)", false),
        ];
        for (text, want) in rows {
            let filter = EntryFilter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(filter.passes(&entry), want, "{text}");
            assert_eq!(filter.is_extended(), text.contains(":="), "{text}");
        }
    }

    #[test]
    fn no_filter_is_guessed_at() {
        let deep = format!("{}(a=b){}", "(!".repeat(20), ")".repeat(20));
        let rows = [
            ("", "begins with a parenthesis"),
            ("a=b", "begins with a parenthesis"),
            ("(a=b", "a parenthesis is missing"),
            ("(a=b))", "stands behind"),
            ("(a)", "no comparison"),
            ("(=b)", "no name of an attribute"),
            ("(a b=c)", "no name of an attribute"),
            (r"(a=\x)", "backslash"),
            (r"(a=\2\29)", "backslash"),
            (r"(a=\ff)", "no UTF-8"),
            ("(\u{e9}=b)", "no name of an attribute"),
            (&deep, "deep"),
        ];
        for (text, want) in rows {
            let error = EntryFilter::parse(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn many_asterisks_cost_no_more_than_the_text() {
        let text = "a".repeat(100_000);
        let pieces = vec!["a"; 1_000];
        assert!(is_like(&text, &pieces));
        let pieces = "*a".repeat(1_000) + "b*";
        let pieces: Vec<_> = pieces.split('*').collect();
        assert!(!is_like(&text, &pieces));
        let rows =
            [("", "*", true), ("ab", "a*b", true), ("ab", "ab*b", false), ("ab", "ab", true)];
        for (text, pattern, want) in rows {
            assert_eq!(is_like(text, &pattern.split('*').collect::<Vec<_>>()), want, "{pattern}");
        }
    }
}
