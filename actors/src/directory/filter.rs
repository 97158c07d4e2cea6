//! Filters of LDAP for entries in memory: equal, present, parts of a value, and, or, not. Values are
//! compared without regard to case, whatever the attribute is.

use super::entry::Entry;

/// A filter, parsed (RFC 4515).
#[derive(Debug)]
pub(super) enum LocalFilter {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// Attribute, and the pieces of a value between asterisks; both in lower case.
    Like(String, Vec<String>),
    /// `>=` or `<=`, as texts are ordered.
    Ordered {
        attribute: String,
        value: String,
        is_least: bool,
    },
}

impl LocalFilter {
    /// Reads one. `None`: it compares as only servers do, or is no filter.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (filter, rest) = read(text, DEPTH)?;
        rest.is_empty().then_some(filter)
    }

    /// Whether an entry is one of those that it is for.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(entry)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(entry)),
            Self::Not(filter) => !filter.matches(entry),
            Self::Like(attribute, pieces) => {
                entry.all(attribute).iter().any(|value| is_like(&value.to_lowercase(), pieces))
            }
            Self::Ordered { attribute, value, is_least } => {
                entry.all(attribute).iter().any(|its| {
                    let its = its.to_lowercase();
                    if *is_least { its >= *value } else { its <= *value }
                })
            }
        }
    }
}

/// One filter, and what stands behind it.
fn read(text: &str, depth: usize) -> Option<(LocalFilter, &str)> {
    let inside = text.strip_prefix('(').filter(|_| depth > 0)?;
    let list = |mut rest| {
        let mut filters = Vec::new();
        while let Some((filter, behind)) = read(rest, depth - 1) {
            filters.push(filter);
            rest = behind;
        }
        (filters, rest)
    };
    let (filter, rest) = match inside.chars().next()? {
        '&' => {
            let (filters, rest) = list(&inside[1..]);
            (LocalFilter::All(filters), rest)
        }
        '|' => {
            let (filters, rest) = list(&inside[1..]);
            (LocalFilter::Any(filters), rest)
        }
        '!' => {
            let (filter, rest) = read(&inside[1..], depth - 1)?;
            (LocalFilter::Not(Box::new(filter)), rest)
        }
        _ => {
            let (item, rest) = inside.split_at(inside.find(')')?);
            (item_of(item)?, rest)
        }
    };
    Some((filter, rest.strip_prefix(')')?))
}

/// `attribute=value`.
fn item_of(item: &str) -> Option<LocalFilter> {
    let (name, value) = item.split_once('=')?;
    let pieces = value.split('*').map(unescaped).collect::<Option<Vec<_>>>()?;
    let attribute = name.trim_end_matches(['~', '<', '>', ':']).to_ascii_lowercase();
    match &name[attribute.len()..] {
        "" | "~" => Some(LocalFilter::Like(attribute, pieces)),
        order @ (">" | "<") => {
            let [value] = <[String; 1]>::try_from(pieces).ok()?;
            Some(LocalFilter::Ordered { attribute, value, is_least: order == ">" })
        }
        _ => None,
    }
}

/// A value without escapes, in lower case.
fn unescaped(value: &str) -> Option<String> {
    let mut parts = value.split('\\');
    let mut octets = parts.next()?.as_bytes().to_vec();
    for part in parts {
        octets.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        octets.extend(&part.as_bytes()[2..]);
    }
    Some(String::from_utf8(octets).ok()?.to_lowercase())
}

/// Whether the pieces stand in a value, in order, the first at its beginning and the last at its end.
fn is_like(value: &str, pieces: &[String]) -> bool {
    let (first, last) = match pieces {
        [] => return false,
        [whole] => return value == whole,
        [first, .., last] => (first, last),
    };
    let Some(mut rest) = value.strip_prefix(first.as_str()) else { return false };
    for piece in &pieces[1..pieces.len() - 1] {
        let Some(at) = rest.find(piece.as_str()) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last.as_str())
}

/// Filters in filters.
const DEPTH: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_as_a_server_finds_them() {
        let mut entry = Entry::new("uid=jdoe,o=x");
        for (name, value) in
            [("uid", "jdoe"), ("mail", "J.Doe@x.example"), ("cn", "a*(b)"), ("n", "7")]
        {
            entry.add(name, value);
        }
        let rows = [
            ("(uid=jdoe)", true),
            ("(UID=JDOE)", true),
            ("(uid=jdo)", false),
            ("(uid=*)", true),
            ("(sn=*)", false),
            ("(mail=j.*@x.*)", true),
            ("(mail=*doe*example)", true),
            ("(mail=*x.example*x.example)", false),
            (r"(cn=a\2a\28b\29)", true),
            ("(cn=a*)", true),
            (r"(cn=a\2a)", false),
            ("(&(uid=jdoe)(mail=*))", true),
            ("(&(uid=jdoe)(sn=*))", false),
            ("(|(sn=x)(uid=jdoe))", true),
            ("(!(uid=jdoe))", false),
            ("(&)", true),
            ("(|)", false),
            ("(n>=5)", true),
            ("(n<=5)", false),
            ("(uid~=jdoe)", true),
        ];
        for (filter, want) in rows {
            let parsed = LocalFilter::parse(filter).unwrap_or_else(|| panic!("{filter}"));
            assert_eq!(parsed.matches(&entry), want, "{filter}");
        }
        let deep = format!("{}(a=b){}", "(!".repeat(40), ")".repeat(40));
        for filter in
            ["uid=jdoe", "(uid=jdoe", "(uid=a)(b=c)", "(a:=b)", "(a:1.2:=b)", r"(a=\x)", &deep]
        {
            assert!(LocalFilter::parse(filter).is_none(), "{filter}");
        }
    }
}
