//! Tables of regular expressions (`regexp:`, `pcre:`): their rows, and the keys of other tables that say
//! the same.

use super::{
    expression::{self, Form, Piece, ResultPart, Set},
    main_cf::logical,
    maps::{MapEntry, MapName, local_name},
};
use crate::{
    report::{Fate, Findings, Place},
    source::{Folder, ImportError, Line},
};

/// A row of such a table.
#[derive(Clone, Debug)]
pub(super) struct PatternRow {
    pub(super) line: Line,
    pub(super) expression: String,
    pub(super) result: String,
    /// Its alternatives, or why nothing here says the same.
    pub(super) forms: Result<Vec<Form>, expression::Refused>,
}

/// A row of a table.
#[derive(Clone, Debug)]
pub(super) enum MapRow {
    Entry(MapEntry),
    Pattern(PatternRow),
}

/// An alternative of a row that no key says.
#[derive(Clone, Debug)]
pub(super) struct PatternLeft {
    pub(super) line: Line,
    pub(super) form: Form,
    pub(super) result: String,
}

/// Addresses that a key of a table stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    Address(String),
    /// All of a domain.
    Domain(String),
    /// All of the domains below one.
    Below(String),
    /// A user of any domain.
    User(String),
    All,
}

/// The notation of keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KeyForm<'a> {
    /// `user@domain`, `@domain`; names of users are those of these domains.
    Addresses(&'a [String]),
    /// `user@domain`, `domain`, `.domain`, `*`.
    Transports,
}

/// Rows by key, and those that no key says.
#[derive(Debug, Default)]
pub(super) struct SortedRows {
    pub(super) entries: Vec<MapEntry>,
    pub(super) patterns: Vec<PatternLeft>,
    /// Rows that answer for a part of what a row means that no key says, and its place.
    pub(super) in_place: Vec<(Line, Place)>,
}

/// The rows of a table, in order; `None`: there is no such file.
pub(super) fn read(folder: &Folder, map: &MapName) -> Result<Option<Vec<PatternRow>>, ImportError> {
    let Some(lines) = logical(folder, &local_name(folder, &map.name))? else { return Ok(None) };
    let mut conditions = 0_usize;
    let mut rows = Vec::new();
    for line in lines {
        let text = line.text.trim();
        let word = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if word == "endif" {
            conditions = conditions.saturating_sub(1);
            continue;
        }
        let is_condition = word == "if" || word.starts_with("if/") || word.starts_with("if!");
        let (expression, flags, result, is_not) = divided(text.trim_start_matches("if"));
        let within = conditions > 0 || is_condition;
        conditions += usize::from(is_condition);
        let forms = if within {
            Err("it stands between `if` and `endif`")
        } else if is_not {
            Err("it counts where the expression does not match")
        } else if flags.chars().any(|c| !"smEA".contains(c)) {
            Err("it has a flag that changes what the expression matches")
        } else if expression.is_empty() && result.is_empty() {
            Err("it is no row")
        } else if flags.contains('A') {
            expression::forms(&format!("^{expression}"))
        } else {
            expression::forms(&expression)
        };
        rows.push(PatternRow { line, expression, result, forms });
    }
    Ok(Some(rows))
}

/// The expression, its flags, its result, and whether it counts where it does not match.
fn divided(text: &str) -> (String, String, String, bool) {
    let text = text.trim_start();
    let (is_not, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let mut chars = text.char_indices();
    let Some((_, delimiter)) = chars.next() else { return Default::default() };
    let (mut expression, mut is_escaped) = (String::new(), false);
    for (at, c) in chars {
        if c == delimiter && !is_escaped {
            let rest = &text[at + c.len_utf8()..];
            let (flags, result) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            return (expression, flags.to_owned(), result.trim().to_owned(), is_not);
        }
        if is_escaped && c == delimiter {
            // The backslash is about the delimiter alone.
            expression.pop();
        }
        expression.push(c);
        is_escaped = c == '\\' && !is_escaped;
    }
    (String::new(), String::new(), String::new(), is_not)
}

impl Form {
    /// The addresses that it stands for, where a key has them.
    pub(super) fn scope(&self) -> Option<Scope> {
        let domain =
            |text: &str| relais_config::grammar::is_domain_name(text).then(|| text.to_owned());
        if let Some(text) = self.literal() {
            let (local, domain_part) = text.split_once('@')?;
            let is_whole = !local.is_empty() && domain(domain_part).is_some();
            return is_whole.then_some(Scope::Address(text));
        }
        let pieces = self.joined();
        match pieces.as_slice() {
            all if is_all(all, Set::is_any) => Some(Scope::All),
            [users @ .., Piece::Text(text)] if is_all(users, Set::is_any_user) => {
                match text.split_at_checked(1)? {
                    ("@", rest) => domain(rest).map(Scope::Domain),
                    (".", rest) if is_all(users, Set::is_any) => domain(rest).map(Scope::Below),
                    _ => None,
                }
            }
            [Piece::Text(text), rest @ ..] if is_all(rest, Set::is_any) => {
                let local = text.strip_suffix('@')?;
                let is_name = !local.is_empty() && !local.contains('@');
                is_name.then(|| Scope::User(local.to_owned()))
            }
            [before @ .., Piece::Text(text)] => {
                let at = before.iter().position(|piece| *piece == Piece::Text("@".to_owned()))?;
                let (users, labels) = (&before[..at], &before[at + 1..]);
                let is_open = is_all(users, Set::is_any_user) && is_all(labels, Set::is_any);
                let parent = text.strip_prefix('.').filter(|_| is_open)?;
                domain(parent).map(Scope::Below)
            }
            _ => None,
        }
    }

    /// The domain that all of its addresses have.
    pub(super) fn domain(&self) -> Option<String> {
        let pieces = self.joined();
        let Some(Piece::Text(text)) = pieces.last() else { return None };
        let domain = text.rsplit_once('@')?.1;
        relais_config::grammar::is_domain_name(domain).then(|| domain.to_owned())
    }

    /// The value of a key with this scope; `None`: no value says the result.
    fn value(&self, scope: &Scope, result: &str) -> Option<String> {
        if let Some(text) = self.filled(result) {
            return Some(text);
        }
        let Scope::Domain(_) = scope else { return None };
        match expression::parts(result).ok()?.as_slice() {
            [ResultPart::Group(n), ResultPart::Text(text)]
                if text.starts_with('@') && !text.contains([',', ' ']) =>
            {
                let is_text = |piece: &Piece| matches!(piece, Piece::Text(_));
                let users = self.pieces.iter().position(is_text)?;
                self.is_all_before(*n, users).then(|| text.clone())
            }
            _ => None,
        }
    }
}

/// Whether pieces are wildcards that take any text of these characters, or any but none.
fn is_all(pieces: &[Piece], is_wide: fn(Set) -> bool) -> bool {
    let is_set = |piece: &Piece| match piece {
        Piece::Many(set) | Piece::One(set) => is_wide(*set),
        Piece::Text(_) => false,
    };
    let ones = pieces.iter().filter(|piece| matches!(piece, Piece::One(_))).count();
    ones <= 1 && ones < pieces.len() && pieces.iter().all(is_set)
}

impl Scope {
    fn of_key(key: &str) -> Self {
        match key.split_once('@') {
            Some(("", domain)) => Self::Domain(domain.to_owned()),
            Some(_) => Self::Address(key.to_owned()),
            None if key == "*" => Self::All,
            None => match key.strip_prefix('.') {
                Some(domain) => Self::Below(domain.to_owned()),
                None => Self::Domain(key.to_owned()),
            },
        }
    }

    /// Whether all addresses of `other` are among those of this one.
    fn covers(&self, other: &Self) -> bool {
        let below = |domain: &str, parent: &str| {
            domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
        };
        match (self, other) {
            (Self::All, _) => true,
            (Self::Below(parent), Self::Domain(domain) | Self::Below(domain)) => {
                below(domain, parent) || self == other
            }
            _ => self == other,
        }
    }

    fn keys(&self, form: KeyForm<'_>) -> Option<Vec<String>> {
        match (self, form) {
            (Self::Address(address), _) => Some(vec![address.clone()]),
            (Self::Domain(domain), KeyForm::Addresses(_)) => Some(vec![format!("@{domain}")]),
            (Self::Domain(domain), KeyForm::Transports) => Some(vec![domain.clone()]),
            (Self::Below(domain), KeyForm::Transports) => Some(vec![format!(".{domain}")]),
            (Self::All, KeyForm::Transports) => Some(vec!["*".to_owned()]),
            (Self::User(user), KeyForm::Addresses(domains)) => {
                let fits = !domains.is_empty() && domains.len() <= MOST_DOMAINS;
                fits.then(|| domains.iter().map(|domain| format!("{user}@{domain}")).collect())
            }
            _ => None,
        }
    }
}

/// Sorts rows in the order in which Postfix asks them: an expression is asked about whole addresses, before
/// any key that is a part of one.
pub(super) fn sorted(
    rows: Vec<MapRow>,
    keys: KeyForm<'_>,
    findings: &mut Findings,
) -> Result<SortedRows, ImportError> {
    let mut wide: Vec<(Scope, Place)> = Vec::new();
    for row in &rows {
        let MapRow::Pattern(PatternRow { line, forms: Ok(forms), .. }) = row else { continue };
        wide.extend(forms.iter().filter_map(|form| Some((form.scope()?, line.place.clone()))));
        if wide.len() > MOST_PATTERNS {
            let (place, bound) =
                (line.place.to_string(), format!("more than {MOST_PATTERNS} patterns"));
            return Err(ImportError::Bound { place, bound });
        }
    }
    wide.retain(|(scope, _)| !matches!(scope, Scope::Address(_)));
    let mut sorting = Sorting {
        keys,
        wide,
        earlier: Vec::new(),
        lost: Vec::new(),
        findings,
        made: SortedRows::default(),
    };
    for row in rows {
        match row {
            MapRow::Entry(entry) => sorting.entry(entry),
            MapRow::Pattern(row) => sorting.pattern(row)?,
        }
    }
    let mut known = std::collections::HashSet::new();
    sorting.made.entries.retain(|entry| known.insert(entry.key.clone()));
    Ok(sorting.made)
}

impl SortedRows {
    /// Tells of rows that answer where an earlier one is left out.
    pub(super) fn tell_in_place(&self, findings: &mut Findings) {
        for (line, by) in &self.in_place {
            let why = format!("it answers for what {by} is about, too, which is left out");
            findings.missing(&line.place, &line.text, &why);
        }
    }
}

struct Sorting<'a> {
    keys: KeyForm<'a>,
    /// Scopes of expressions of any row, but single addresses.
    wide: Vec<(Scope, Place)>,
    /// Alternatives of rows so far.
    earlier: Vec<(Form, Option<Scope>, Place)>,
    /// Rows that no key says: alternatives, or nothing where the expression is not understood.
    lost: Vec<(Option<Form>, Place)>,
    findings: &'a mut Findings,
    made: SortedRows,
}

impl Sorting<'_> {
    fn entry(&mut self, entry: MapEntry) {
        let scope = Scope::of_key(&entry.key);
        let by = match &scope {
            Scope::Address(address) => {
                let by = self.earlier.iter().find(|(form, ..)| form.fits(address));
                by.map(|its| its.2.clone())
            }
            // A name alone is none of a domain in tables of addresses.
            Scope::Domain(_) if !entry.key.starts_with('@') && self.keys != KeyForm::Transports => {
                None
            }
            scope => self.wide.iter().find(|(wide, _)| wide.covers(scope)).map(|its| its.1.clone()),
        };
        if let Some(by) = by {
            return self.is_never_asked(&entry.line, &by);
        }
        // A name alone is none of a domain.
        if entry.key.contains('@') || self.keys == KeyForm::Transports {
            self.in_place_of_lost(&entry.line, &scope);
        }
        self.made.entries.push(entry);
    }

    /// Keeps that a row answers for addresses of an earlier one that no key says.
    fn in_place_of_lost(&mut self, line: &Line, scope: &Scope) {
        let answers = |(form, _): &&(Option<Form>, Place)| match (form, scope) {
            (Some(form), Scope::Address(address)) => form.fits(address),
            (Some(form), scope) => form.domain().is_none_or(|domain| {
                scope.covers(&Scope::Domain(domain)) || matches!(scope, Scope::User(_))
            }),
            (None, Scope::Address(_)) => false,
            (None, _) => true,
        };
        if let Some((_, by)) = self.lost.iter().find(answers) {
            self.made.in_place.push((line.clone(), by.clone()));
        }
    }

    fn pattern(&mut self, row: PatternRow) -> Result<(), ImportError> {
        let PatternRow { line, result, forms, .. } = row;
        let forms = match forms {
            Ok(forms) => forms,
            Err(why) => {
                self.findings.missing(&line.place, &line.text, &format!("{why}: {BY_HAND}"));
                self.lost.push((None, line.place.clone()));
                return Ok(());
            }
        };
        if self.earlier.len() + forms.len() > MOST_PATTERNS {
            let (place, bound) =
                (line.place.to_string(), format!("more than {MOST_PATTERNS} patterns"));
            return Err(ImportError::Bound { place, bound });
        }
        for form in forms {
            let scope = form.scope();
            let covers = |(earlier, of, _): &&(Form, Option<Scope>, Place)| match &scope {
                Some(Scope::Address(address)) => earlier.fits(address),
                Some(scope) => of.as_ref().is_some_and(|of| of.covers(scope)),
                None => false,
            };
            let by = self.earlier.iter().find(covers).map(|its| its.2.clone());
            let is_within =
                |of: &Scope| form.domain().is_none_or(|domain| of.covers(&Scope::Domain(domain)));
            let wide = self.earlier.iter().filter(|_| scope.is_none());
            let mut wide = wide.filter(|its| !matches!(its.1, None | Some(Scope::Address(_))));
            if let Some((.., by)) = wide.find(|its| its.1.as_ref().is_some_and(is_within)) {
                // Of both no key comes first for one and second for the other.
                let why = format!("{by} answers for a part of it: {BY_HAND}");
                self.findings.missing(&line.place, &line.text, &why);
                self.lost.push((Some(form), line.place.clone()));
                continue;
            }
            if let Some(by) = by {
                // Alternatives of one row have one result.
                if by != line.place {
                    self.is_never_asked(&line, &by);
                }
                continue;
            }
            let keys = scope.as_ref().and_then(|scope| {
                let value = form.value(scope, &result)?;
                Some((scope.keys(self.keys)?, value))
            });
            if let Some((keys, value)) = keys {
                if let Some(scope) = &scope {
                    self.in_place_of_lost(&line, scope);
                }
                let entry = |key| MapEntry { line: line.clone(), key, value: value.clone() };
                self.made.entries.extend(keys.into_iter().map(entry));
            } else {
                self.lost.push((Some(form.clone()), line.place.clone()));
                let (line, result) = (line.clone(), result.clone());
                self.made.patterns.push(PatternLeft { line, form: form.clone(), result });
            }
            self.earlier.push((form, scope, line.place.clone()));
        }
        Ok(())
    }

    fn is_never_asked(&mut self, line: &Line, by: &Place) {
        let why = format!("{by} answers first");
        self.findings.tell(&line.place, &line.text, Fate::NotNeeded, &why);
    }
}

pub(super) const BY_HAND: &str =
    "write its addresses out, or a mapping (FORWARD, REVERSE: `*` is any text, `$[a-z]*` a set)";
/// Alternatives of all tables of a setting.
const MOST_PATTERNS: usize = 1_000;
/// Domains that a name of a user is written out for.
const MOST_DOMAINS: usize = 100;
