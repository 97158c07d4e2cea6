//! Addresses that Postfix replaces: canonical maps, masquerading, virtual aliases by pattern, and users who
//! have moved.

use std::collections::{BTreeMap, HashSet};

use super::{
    expression::Form,
    maps::{MapEntry, MapForm},
    patterns::{BY_HAND, KeyForm, MapRow, PatternLeft, PatternRow, SortedRows, sorted},
    tables::{Classes, NO_KEY, PostfixFiles},
};
use crate::{
    report::{Fate, Findings},
    ron::{Entry, Value},
    source::ImportError,
};

/// Addresses of senders and headers as others are to see them.
#[derive(Debug, Default)]
pub(super) struct Reversal {
    /// The section `reverse`.
    pub(super) section: Option<Entry>,
    /// The mapping `REVERSE`.
    pub(super) rows: Vec<Entry>,
}

/// `masquerade_domains`.
struct Masquerade {
    /// Domains, and whether they lose what stands before them.
    domains: Vec<(String, bool)>,
    exceptions: Vec<String>,
}

impl PostfixFiles<'_> {
    /// The tables about a recipient of an envelope, in the order in which they are asked.
    pub(super) fn recipient_rows(
        &self,
        classes: &Classes,
        findings: &mut Findings,
    ) -> Result<SortedRows, ImportError> {
        let is_of_recipients = |name: &str| self.has_class(name, "envelope_recipient");
        let mut rows = Vec::new();
        if is_of_recipients("recipient_canonical_classes") {
            rows = self.canonical("recipient_canonical_maps", findings)?;
        }
        if self.main.line("recipient_canonical_maps").is_some() {
            let why = if is_of_recipients("recipient_canonical_classes") {
                "recipients of the envelope become others; `To` and `Cc` stay as they are"
            } else {
                "without envelope_recipient in recipient_canonical_classes nothing becomes of it: `To` and `Cc` \
                 stay as they are"
            };
            let name = "recipient_canonical_maps";
            findings.missing(&self.place(name), name, why);
        }
        if is_of_recipients("canonical_classes") {
            rows.extend(self.canonical("canonical_maps", findings)?);
        }
        rows.extend(self.rows("virtual_alias_maps", MapForm::Plain, findings)?);
        sorted(rows, KeyForm::Addresses(&classes.all()), findings)
    }

    /// The rows of a canonical map: whole addresses, then those for all of a domain, which count before
    /// any table that is asked later.
    fn canonical(&self, name: &str, findings: &mut Findings) -> Result<Vec<MapRow>, ImportError> {
        let rows = self.rows(name, MapForm::Plain, findings)?;
        let is_wide =
            |row: &MapRow| matches!(row, MapRow::Entry(entry) if entry.key.starts_with('@'));
        let (wide, mut narrow): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_wide);
        narrow.extend(wide.into_iter().map(|row| match row {
            MapRow::Entry(MapEntry { line, key, value }) => {
                let result =
                    if value.starts_with('@') { format!("$1{value}") } else { value.clone() };
                let forms = Ok(vec![Form::all_of(&key[1..])]);
                MapRow::Pattern(PatternRow { line, expression: key, result, forms })
            }
            row @ MapRow::Pattern(_) => row,
        }));
        Ok(narrow)
    }

    /// Patterns of virtual aliases as rows of the mapping `FORWARD`, which is asked about local and relay
    /// domains behind all tables.
    pub(super) fn forwards(
        left: &[PatternLeft],
        classes: &Classes,
        (transport, aliases): (&[Entry], &[Entry]),
        findings: &mut Findings,
    ) -> Vec<Entry> {
        let local: HashSet<&str> = classes.local.iter().map(String::as_str).collect();
        let relay: HashSet<&str> = classes.relay.iter().map(String::as_str).collect();
        let domain_of = |name: &str| name.rsplit('@').next().unwrap_or(name).to_owned();
        let with_ways: HashSet<String> =
            transport.iter().map(|entry| domain_of(&entry.name)).collect();
        let mut rows = Vec::new();
        for PatternLeft { line, form, result } in left {
            let is_asked = |domain: &String| {
                let has_alias = |alias: &Entry| form.fits(&format!("{}@{domain}", alias.name));
                !with_ways.contains(domain)
                    && (relay.contains(domain.as_str())
                        || local.contains(domain.as_str()) && !aliases.iter().any(has_alias))
            };
            let is_one = !result.contains([',', ' ']) && result.contains('@');
            let is_asked = form.domain().as_ref().is_some_and(is_asked);
            match (form.pattern(), form.template(result)) {
                (Ok(pattern), Ok(template)) if is_asked && is_one => {
                    findings.carried(&line.place, &line.text);
                    rows.push(Entry::pair(&pattern, &(template + "$Y")).said(line.comment()));
                }
                (Err(why), _) | (_, Err(why)) => {
                    findings.missing(&line.place, &line.text, &format!("{why}: {BY_HAND}"));
                }
                _ => findings.missing(&line.place, &line.text, NOT_FORWARDED),
            }
        }
        rows
    }

    /// Canonical maps of senders, and masquerading.
    pub(super) fn reversal(
        &self,
        classes: &Classes,
        findings: &mut Findings,
    ) -> Result<Reversal, ImportError> {
        let seen = |name: &str| {
            let classes = ["envelope_sender", "header_sender", "header_recipient"];
            classes.map(|class| self.has_class(name, class))
        };
        let of_senders = seen("sender_canonical_classes");
        let of_all = seen("canonical_classes");
        let mut rows = Vec::new();
        if of_senders.contains(&true) {
            rows = self.canonical("sender_canonical_maps", findings)?;
        }
        let is_of_senders = !rows.is_empty();
        if of_all.contains(&true) {
            // Of rows that are about recipients, too, it was told there.
            let is_told = self.has_class("canonical_classes", "envelope_recipient");
            let mut again = Findings::default();
            let findings = if is_told { &mut again } else { &mut *findings };
            rows.extend(self.canonical("canonical_maps", findings)?);
        }
        let is_of_all = of_all.contains(&true) && !self.main.get("canonical_maps").is_empty();
        let sorted = sorted(rows, KeyForm::Addresses(&classes.all()), findings)?;
        let masquerade = self.masquerade();
        let is_masked = !masquerade.domains.is_empty();
        let of_masks = seen("masquerade_classes");
        let used: Vec<_> =
            [(is_of_senders, of_senders), (is_of_all, of_all), (is_masked, of_masks)]
                .into_iter()
                .filter_map(|(is_used, classes)| is_used.then_some(classes))
                .collect();
        let [envelope, _, takes_all] = [0, 1, 2].map(|n| used.iter().any(|classes| classes[n]));
        self.classes_of_addresses([envelope, true, takes_all], findings);
        if sorted.entries.is_empty() && sorted.patterns.is_empty() && !is_masked {
            return Ok(Reversal::default());
        }
        if is_of_senders && takes_all {
            let why = "with canonical_maps or masquerade_domains they hold for `To` and `Cc`, too";
            findings.missing(&self.place("sender_canonical_maps"), "sender_canonical_maps", why);
        }
        let mut made =
            Reversal { rows: patterns(&sorted.patterns, findings), ..Reversal::default() };
        let database =
            self.database(&sorted.entries, classes, (&masquerade, &mut made.rows), findings);
        made.rows.extend(masquerade.rows(self.said("masquerade_domains")));
        let mut fields = Vec::new();
        if !database.is_empty() {
            fields.push(Entry::new("database", Value::Map(database)));
        }
        if !takes_all {
            fields.push(Entry::word("all", "false").said("sender_canonical_maps: no To, no Cc"));
        }
        if !envelope {
            fields.push(Entry::word("envelope", "false").said("no class has envelope_sender"));
        }
        made.section =
            (!fields.is_empty()).then(|| Entry::new("reverse", Value::Section("", fields)));
        Ok(made)
    }

    /// Whole addresses with what they become in the end; those of all of a domain are rows of `REVERSE`.
    fn database(
        &self,
        entries: &[MapEntry],
        classes: &Classes,
        (masquerade, rows): (&Masquerade, &mut Vec<Entry>),
        findings: &mut Findings,
    ) -> Vec<Entry> {
        let values: BTreeMap<String, String> =
            entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
        let origin = self.main.get("myorigin");
        let end = |value: &str| {
            let mut value = with_domain(value, &origin);
            for _ in 0..MOST_STEPS {
                let (user, domain) = value.rsplit_once('@').unwrap_or((&value, ""));
                let all = || values.get(&format!("@{}", domain.to_lowercase()));
                let Some(next) = values.get(&value.to_lowercase()).or_else(all) else { break };
                let next = if next.starts_with('@') {
                    format!("{user}{next}")
                } else {
                    with_domain(next, &origin)
                };
                if next.eq_ignore_ascii_case(&value) {
                    break;
                }
                value = next;
            }
            masquerade.seen(&value)
        };
        let mut database = Vec::new();
        for MapEntry { line, key, value } in entries {
            let (user, domain) = key.split_once('@').unwrap_or((key, ""));
            findings.carried(&line.place, &line.text);
            if user.is_empty() {
                let target = match value.strip_prefix('@') {
                    Some(domain) => format!("$0@{}", masquerade.seen_domain(domain)),
                    None => end(value).replace('$', "$$"),
                };
                rows.push(
                    Entry::pair(&format!("*@{domain}"), &(target + "$Y")).said(line.comment()),
                );
            } else if key.contains('@') {
                database.push(Entry::text(key, &end(value)).said(line.comment()));
            } else {
                // A name alone is one of each local domain.
                database.extend(classes.local.iter().enumerate().map(|(n, domain)| {
                    let entry = Entry::text(&format!("{key}@{domain}"), &end(value));
                    entry.said_all((n == 0).then(|| line.comment()))
                }));
            }
        }
        let mut known = HashSet::new();
        database.retain(|entry| known.insert(entry.name.clone()));
        database
    }

    /// Whether a setting of classes of addresses has one.
    fn has_class(&self, setting: &str, class: &str) -> bool {
        match self.main.line(setting) {
            Some(_) => self.main.list(setting).iter().any(|its| its == class),
            None => match setting {
                "sender_canonical_classes" => class.ends_with("_sender"),
                "recipient_canonical_classes" => class.ends_with("_recipient"),
                "masquerade_classes" => class != "envelope_recipient",
                _ => true,
            },
        }
    }

    /// Tells of classes of addresses where reversal, of these (senders of envelopes, senders and recipients
    /// of headers), is another one.
    fn classes_of_addresses(&self, made: [bool; 3], findings: &mut Findings) {
        for (name, maps) in [
            ("canonical_classes", "canonical_maps"),
            ("sender_canonical_classes", "sender_canonical_maps"),
            ("recipient_canonical_classes", "recipient_canonical_maps"),
            ("masquerade_classes", "masquerade_domains"),
        ] {
            let Some(line) = self.main.line(name) else { continue };
            let classes = ["envelope_sender", "header_sender", "header_recipient"];
            let wanted = classes.map(|class| self.has_class(name, class));
            if self.main.get(maps).is_empty() {
                findings.tell(
                    &line.place,
                    &line.text,
                    Fate::NotNeeded,
                    "there is nothing of its kind",
                );
            } else if wanted == made || !wanted.contains(&true) {
                findings.carried(&line.place, &line.text);
            } else {
                findings.missing(&line.place, &line.text, CLASSES);
            }
        }
    }

    fn masquerade(&self) -> Masquerade {
        let domains = self.main.list("masquerade_domains").into_iter().map(|word| {
            let domain = word.to_lowercase();
            match domain.strip_prefix('!') {
                Some(domain) => (domain.to_owned(), false),
                None => (domain, true),
            }
        });
        let exceptions = self.main.list("masquerade_exceptions");
        Masquerade {
            domains: domains.filter(|its| relais_config::grammar::is_domain_name(&its.0)).collect(),
            exceptions: exceptions.into_iter().map(|name| name.to_lowercase()).collect(),
        }
    }

    /// Users who have moved: whoever writes to them reads where to.
    pub(super) fn relocated(
        &self,
        classes: &Classes,
        findings: &mut Findings,
    ) -> Result<Vec<Entry>, ImportError> {
        let keys = KeyForm::Addresses(&classes.local);
        let entries = self.entries("relocated_maps", MapForm::Plain, keys, findings)?;
        let mut made = Vec::new();
        for MapEntry { line, key, value } in entries {
            let names = match key.split_once('@') {
                Some(("", domain)) => vec![domain.to_owned()],
                Some(_) => vec![key],
                None if classes.local.len() > MOST_DOMAINS => {
                    findings.missing(&line.place, &line.text, NO_KEY);
                    continue;
                }
                None => classes.local.iter().map(|domain| format!("{key}@{domain}")).collect(),
            };
            findings.carried(&line.place, &line.text);
            let way = format!("error:5.1.6 User has moved to {value}");
            made.extend(names.into_iter().enumerate().map(|(n, name)| {
                Entry::text(&name, &way).said_all((n == 0).then(|| line.comment()))
            }));
        }
        Ok(made)
    }
}

fn with_domain(address: &str, origin: &str) -> String {
    if address.contains('@') { address.to_owned() } else { format!("{address}@{origin}") }
}

/// Rows of a mapping for patterns that no key says.
fn patterns(left: &[PatternLeft], findings: &mut Findings) -> Vec<Entry> {
    let mut rows = Vec::new();
    for PatternLeft { line, form, result } in left {
        match (form.pattern(), form.template(result)) {
            (Ok(pattern), Ok(template)) if template.contains('@') => {
                findings.carried(&line.place, &line.text);
                rows.push(Entry::pair(&pattern, &(template + "$Y")).said(line.comment()));
            }
            (Err(why), _) | (_, Err(why)) => {
                findings.missing(&line.place, &line.text, &format!("{why}: {BY_HAND}"));
            }
            _ => findings.missing(&line.place, &line.text, BY_HAND),
        }
    }
    rows
}

impl Masquerade {
    fn seen(&self, address: &str) -> String {
        let Some((user, domain)) = address.rsplit_once('@') else { return address.to_owned() };
        if self.exceptions.iter().any(|name| name.eq_ignore_ascii_case(user)) {
            return address.to_owned();
        }
        format!("{user}@{}", self.seen_domain(domain))
    }

    fn seen_domain(&self, domain: &str) -> String {
        let domain = domain.to_lowercase();
        let is_of = |its: &&(String, bool)| {
            domain
                .strip_suffix(its.0.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        match self.domains.iter().find(is_of) {
            Some((shorter, true)) => shorter.clone(),
            _ => domain,
        }
    }

    /// Rows of `REVERSE`: one without `$Y` leaves an address as it is.
    fn rows(&self, comment: String) -> Vec<Entry> {
        let mut rows = Vec::new();
        for (domain, is_short) in &self.domains {
            let below = format!("*@*.{domain}");
            if *is_short {
                let kept = self
                    .exceptions
                    .iter()
                    .map(|name| Entry::pair(&format!("{name}@*.{domain}"), "$0"));
                rows.extend(kept);
                rows.push(Entry::pair(&below, &format!("$0@{domain}$Y")));
            } else {
                rows.push(Entry::pair(&format!("*@{domain}"), "$0"));
                rows.push(Entry::pair(&below, "$0"));
            }
        }
        if let Some(first) = rows.first_mut() {
            first.comments.push(comment);
        }
        rows
    }
}

const CLASSES: &str = "of these one answer holds for all: senders in headers are always reversed, `reverse.envelope` \
                       is of senders of envelopes, and `reverse.all` of `To` and `Cc`";
/// Canonical maps that lead to each other.
const MOST_STEPS: usize = 10;
/// Domains that a name of a user is written out for.
const MOST_DOMAINS: usize = 100;
const NOT_FORWARDED: &str = "the mapping FORWARD takes one address of a local or relay domain that no table \
                             has a way for: write the addresses into virtual_alias";
