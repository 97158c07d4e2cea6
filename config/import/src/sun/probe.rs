//! The rules of a source, carried out as the original's documents have them: a second opinion beside the
//! new file, which shares nothing with how relais reads rules.
//!
//! One address of an envelope at a time. What cannot be said without the directory is answered for either
//! case; sequences that are not known here make the answer unclear.

use std::collections::BTreeMap;

use super::imta::{Imta, ImtaBlock, ImtaRule};

/// Rules, channels and databases as they stand in the source.
#[derive(Clone, Debug, Default)]
pub struct SunRules {
    rules: Vec<(String, String)>,
    /// Name of a channel by each of its hosts, both in lower case.
    tags: BTreeMap<String, String>,
    routelocal: Vec<String>,
    general: BTreeMap<String, String>,
    /// Domains of recipients without one, by the channel that they come in by; of others the local host.
    completing: BTreeMap<String, String>,
    local_host: String,
}

/// Where an address goes by the rules.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SunVerdict {
    /// To a channel, as this address.
    Channel {
        /// Its name.
        channel: String,
        /// The address behind the rules.
        address: String,
    },
    /// Nowhere: no channel has the tag.
    Unknown,
    /// Nowhere for now: `$4001002?`.
    Later,
    /// The rules ask for what is not known here.
    Unclear(String),
}

/// An address in its parts.
#[derive(Clone, Debug)]
struct Parts {
    route: Vec<String>,
    local: String,
    host: Option<String>,
}

/// Where a host stands: in a route, right of `@`, right of `%`, left of `!`.
type Location = char;

/// A host that is rewritten, and what is left of the address without it.
struct Spec {
    host: String,
    place: Location,
    user: String,
    rest: Option<Parts>,
}

/// The outcome of a template.
enum Filled {
    /// It does not apply.
    No,
    Readdressed(Readdressed),
    Unclear(String),
}

/// An address that a template makes.
struct Readdressed {
    user: String,
    host: String,
    route: Option<String>,
    /// Without one it begins anew.
    tag: Option<String>,
    /// `$T`: what stands before patterns from here on.
    prefix: Option<String>,
    /// `$?`: whether an end at no channel is one for now.
    is_later: Option<bool>,
}

impl SunRules {
    pub(super) fn new(imta: &Imta, general: &str) -> Self {
        let hosts = imta.hosts().into_iter();
        let tags = hosts.map(|(host, block)| (host, imta.blocks[block].name.clone()));
        let local = imta.blocks.iter().find(|block| block.name == "l");
        let local_host = local.and_then(|block| block.tag.clone());
        let routelocal = imta
            .blocks
            .iter()
            .filter(|block| block.words.iter().any(|word| word.eq_ignore_ascii_case("routelocal")));
        let rule = |ImtaRule { pattern, template, .. }: &ImtaRule| {
            (pattern.to_ascii_lowercase(), template.clone())
        };
        let entry = |line: &str| {
            let (key, value) = line.trim().split_once(char::is_whitespace)?;
            Some((key.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Self {
            rules: imta.rules.iter().map(rule).collect(),
            tags: tags.collect(),
            routelocal: routelocal.map(|block| block.name.clone()).collect(),
            general: general
                .lines()
                .filter(|line| !line.starts_with('!'))
                .filter_map(entry)
                .collect(),
            completing: completing(imta),
            local_host: local_host.unwrap_or_else(|| "localhost".to_owned()),
        }
    }

    /// Where a recipient goes that comes in by a channel, if the directory has every domain that rules ask
    /// for, or has none.
    pub fn verdict(&self, address: &str, source: &str, ours: bool) -> SunVerdict {
        let mut parts = Parts::of(address, self.completing.get(source).unwrap_or(&self.local_host));
        let (mut prefix, mut is_later) = (String::new(), false);
        for _ in 0..MAX_PASSES {
            let Some(spec) = parts.spec() else {
                return SunVerdict::Unclear("there is no host in it".to_owned());
            };
            let made = match self.fill(&spec, &prefix, source, ours) {
                Filled::Readdressed(made) => made,
                Filled::Unclear(why) => return SunVerdict::Unclear(why),
                Filled::No => Readdressed::unchanged(&spec),
            };
            let written = spec.written(&made.user, &made.host);
            is_later = made.is_later.unwrap_or(is_later);
            prefix = made.prefix.unwrap_or(prefix);
            let Some(tag) = made.tag else {
                parts = written;
                continue;
            };
            let Some(channel) = self.tags.get(&tag.to_ascii_lowercase()) else {
                let is_user = spec.place == '%' || spec.place == '!';
                return match is_later {
                    _ if is_user => SunVerdict::Unclear(LOCAL_HACK.to_owned()),
                    true => SunVerdict::Later,
                    false => SunVerdict::Unknown,
                };
            };
            let is_local = channel == "l" || self.routelocal.contains(channel);
            if let Some(rest) = spec.rest.filter(|_| is_local && made.route.is_none()) {
                parts = rest;
            } else {
                let mut address = written;
                address.route.splice(0..0, made.route);
                return SunVerdict::Channel { channel: channel.clone(), address: address.text() };
            }
        }
        SunVerdict::Unknown
    }

    /// The first rule that applies; none: the host stands for itself.
    fn fill(&self, spec: &Spec, prefix: &str, source: &str, ours: bool) -> Filled {
        let host = spec.host.to_ascii_lowercase();
        let mut probes = vec!["$*".to_owned()];
        if let Some(literal) = host.strip_prefix('[').and_then(|its| its.strip_suffix(']')) {
            probes.extend(literals(literal));
        } else {
            // No pattern for what lies around it sends mail for this machine out; inferred.
            let is_here = self.tags.get(&host).is_some_and(|channel| channel == "l");
            probes.extend(names(&host).into_iter().take(if is_here { 1 } else { usize::MAX }));
        }
        // The last resort is none of a host in the channel table.
        probes.extend((!self.tags.contains_key(&host)).then(|| ".".to_owned()));
        for probe in probes {
            let fits = |pattern: &str| pattern.strip_prefix(prefix) == Some(probe.as_str());
            for (_, template) in self.rules.iter().filter(|(pattern, _)| fits(pattern)) {
                match self.apply(template, &Matched::of(spec, &probe), source, ours) {
                    Filled::No => {}
                    filled => return filled,
                }
            }
        }
        Filled::No
    }

    fn apply(&self, template: &str, matched: &Matched<'_>, source: &str, ours: bool) -> Filled {
        let mut filling = Filling {
            rules: self,
            matched,
            source,
            ours,
            sections: vec![String::new()],
            percent: false,
            case: '_',
            sources: Sources::default(),
            prefix: None,
            is_later: None,
        };
        match filling.run(template) {
            Err(Stop::Fails) => Filled::No,
            Err(Stop::Unclear(why)) => Filled::Unclear(why),
            Ok(()) => filling.finish(),
        }
    }
}

impl Readdressed {
    /// The address as it is, which goes where its host leads.
    fn unchanged(spec: &Spec) -> Self {
        let (user, host) = (spec.user.clone(), spec.host.clone());
        let tag = Some(host.clone());
        Self { user, host, route: None, tag, prefix: None, is_later: None }
    }
}

impl Parts {
    fn of(address: &str, default_domain: &str) -> Self {
        let (route, rest) = match address.strip_prefix('@').and_then(|its| its.split_once(':')) {
            Some((route, rest)) => {
                let hosts = route.split(',').map(|host| host.trim_start_matches('@').to_owned());
                (hosts.collect(), rest)
            }
            None => (Vec::new(), address),
        };
        let (local, host) = match rest.rsplit_once('@') {
            Some((local, host)) => (local, Some(host.to_owned())),
            None => (rest, None),
        };
        let is_bare = host.is_none() && route.is_empty() && !local.contains(['%', '!']);
        let host = if is_bare { Some(default_domain.to_owned()) } else { host };
        Self { route, local: local.to_owned(), host }
    }

    /// The host to be rewritten now.
    fn spec(&self) -> Option<Spec> {
        if let Some((first, more)) = self.route.split_first() {
            let rest = Self { route: more.to_vec(), ..self.clone() };
            return Some(Spec {
                host: first.clone(),
                place: 'S',
                user: self.local.clone(),
                rest: Some(rest),
            });
        }
        let inner = |local: &str| {
            let rest = Self { route: Vec::new(), local: local.to_owned(), host: None };
            rest.spec().is_some().then_some(rest)
        };
        if let Some(host) = &self.host {
            let rest = inner(&self.local);
            return Some(Spec { host: host.clone(), place: 'A', user: self.local.clone(), rest });
        }
        if let Some((user, host)) = self.local.rsplit_once('%') {
            let rest = inner(user);
            return Some(Spec { host: host.to_owned(), place: '%', user: user.to_owned(), rest });
        }
        let (host, user) = self.local.split_once('!')?;
        let rest = inner(user);
        Some(Spec { host: host.to_owned(), place: '!', user: user.to_owned(), rest })
    }

    fn text(&self) -> String {
        let host = self.host.as_ref().map_or_else(String::new, |host| format!("@{host}"));
        let route = self.route.iter().map(|host| format!("@{host}")).collect::<Vec<_>>().join(",");
        let colon = if route.is_empty() { "" } else { ":" };
        format!("{route}{colon}{}{host}", self.local)
    }
}

impl Spec {
    /// The address with another user and host in the place of this one.
    fn written(&self, user: &str, host: &str) -> Parts {
        if self.place == 'S' {
            let mut whole = self.rest.clone().unwrap_or(Parts {
                route: Vec::new(),
                local: String::new(),
                host: None,
            });
            user.clone_into(&mut whole.local);
            whole.route.insert(0, host.to_owned());
            return whole;
        }
        Parts { route: Vec::new(), local: user.to_owned(), host: Some(host.to_owned()) }
    }
}

/// Patterns for the address of a literal, from the whole to any.
fn literals(literal: &str) -> Vec<String> {
    let cuts = literal.match_indices('.').map(|(at, _)| &literal[..=at]).rev();
    let rest = cuts.chain([""]).map(|start| format!("[{start}]"));
    std::iter::once(format!("[{literal}]")).chain(rest).collect()
}

/// Patterns for a name: itself, then with asterisks and with fewer labels in turn.
pub(super) fn names(host: &str) -> Vec<String> {
    let mut probes = vec![host.to_owned()];
    let labels: Vec<_> = host.split('.').collect();
    for n in 1..=labels.len() {
        let starred = vec!["*"; n].into_iter().chain(labels[n..].iter().copied());
        probes.push(starred.collect::<Vec<_>>().join("."));
        if n < labels.len() {
            probes.push(format!(".{}", labels[n..].join(".")));
        }
    }
    probes
}

/// A host as a pattern divides it.
struct Matched<'a> {
    spec: &'a Spec,
    /// `$H`, what the pattern left open, and `$D`, what it names.
    open: String,
    named: String,
}

impl<'a> Matched<'a> {
    fn of(spec: &'a Spec, probe: &str) -> Self {
        let host = &spec.host;
        let (open, named) = if probe == "$*" || probe == "." {
            (host.clone(), if probe == "." { "." } else { "" }.to_owned())
        } else if let Some(literal) = host.strip_prefix('[').and_then(|its| its.strip_suffix(']')) {
            let named = probe.trim_matches(['[', ']']).len().min(literal.len());
            (literal[named..].to_owned(), literal[..named].to_owned())
        } else {
            let fixed = probe.trim_start_matches(['*', '.']).len();
            let fixed = if probe.starts_with(['*', '.']) && fixed > 0 { fixed + 1 } else { fixed };
            let at = host.len().saturating_sub(fixed);
            (host[..at].to_owned(), host[at..].to_owned())
        };
        Self { spec, open, named }
    }
}

/// Why a template ends.
enum Stop {
    Fails,
    Unclear(String),
}

/// A template while it is filled in.
struct Filling<'a> {
    rules: &'a SunRules,
    matched: &'a Matched<'a>,
    source: &'a str,
    ours: bool,
    sections: Vec<String>,
    percent: bool,
    /// `\`, `^` or `_`.
    case: char,
    sources: Sources,
    prefix: Option<String>,
    is_later: Option<bool>,
}

/// Conditions on the channel that mail comes in by, of which several of a kind are one.
#[derive(Default)]
struct Sources {
    /// Whether one of `$M` holds, where there are any.
    is_one: Option<bool>,
    /// Whether one of `$N` does not.
    is_none: bool,
}

impl Sources {
    fn add(&mut self, kind: char, is_it: bool) {
        if kind == 'M' {
            self.is_one = Some(self.is_one.unwrap_or(false) || is_it);
        } else {
            self.is_none |= is_it;
        }
    }

    fn hold(&self) -> bool {
        self.is_one != Some(false) && !self.is_none
    }
}

impl Filling<'_> {
    fn run(&mut self, template: &str) -> Result<(), Stop> {
        let mut rest = template;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '$' if rest.starts_with("1~") => {
                    // The template ends here where its conditions on channels fail.
                    if !std::mem::take(&mut self.sources).hold() {
                        return Ok(());
                    }
                    rest = &rest[2..];
                }
                '$' => rest = self.sequence(rest)?,
                c if c.is_whitespace() => return Err(unclear("a blank")),
                '@' => self.sections.push(String::new()),
                '%' if self.sections.len() == 1 => {
                    self.percent = true;
                    self.sections.push(String::new());
                }
                c => self.add(&c.to_string()),
            }
        }
        if self.sources.hold() { Ok(()) } else { Err(Stop::Fails) }
    }

    /// Carries out what stands behind a `$`; the rest of the template.
    fn sequence<'t>(&mut self, rest: &'t str) -> Result<&'t str, Stop> {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: Option<usize> = rest[..digits].parse().ok();
        let Some(c) = rest[digits..].chars().next() else { return Err(unclear("$")) };
        let rest = &rest[digits + c.len_utf8()..];
        let Spec { place, user, host, .. } = self.matched.spec;
        let holds = |holds: bool| if holds { Ok(rest) } else { Err(Stop::Fails) };
        let (name, behind) = channel_name(rest);
        match (c, number) {
            ('U', n) => {
                let at = user.find('+').unwrap_or(user.len());
                let part = match n {
                    None => user.as_str(),
                    Some(0) => &user[..at],
                    Some(_) => &user[at..],
                };
                self.add(part);
            }
            ('H' | 'L', None) => self.add(&self.matched.open),
            ('D', None) => self.add(&self.matched.named),
            ('&' | '!' | '*' | '#', None) => return self.label(c, rest),
            ('$' | '%' | '@', None) => self.add(&c.to_string()),
            ('\\' | '^' | '_', None) => self.case = c,
            ('E' | 'F', None) => {}
            ('S' | 'A', None) => return holds(*place == c),
            ('P', None) => return holds(*place == '%'),
            ('X', None) => return holds(*place == '!'),
            ('M' | 'N', None) => {
                self.sources.add(c, name.eq_ignore_ascii_case(self.source));
                return Ok(behind);
            }
            // Mail comes from outside, by no channel that puts it through the rules again.
            ('M' | 'N', Some(1)) => self.sources.add(c, false),
            // A recipient of an envelope has no destination yet.
            ('C' | 'Q', None) => return Ok(behind),
            ('B' | 'R', None) => return Err(Stop::Fails),
            ('T', None) => {
                let end = rest.find(['@', '%', '$']).unwrap_or(rest.len());
                self.prefix = Some(rest[..end].to_ascii_lowercase());
                return Ok(&rest[end..]);
            }
            ('?', n) => {
                self.is_later = Some(n.is_some_and(|n| n / 1_000_000 == 4));
                // Before anything else is written, all that follows is the text.
                let is_all = self.sections.len() == 1 && self.sections[0].is_empty();
                let ends = |(at, c): (usize, char)| match c {
                    '@' | '%' => !is_all,
                    '$' => !rest[at + 1..].starts_with(' '),
                    _ => false,
                };
                let end = rest.char_indices().find(|its| ends(*its)).map(|its| its.0);
                return Ok(&rest[end.unwrap_or(rest.len())..]);
            }
            ('V' | 'Z', None) => {
                let end = rest.find(['@', '%']).unwrap_or(rest.len());
                return if self.ours == (c == 'V') { Ok(&rest[end..]) } else { Err(Stop::Fails) };
            }
            ('(', None) => {
                let (key, rest) = rest.split_once(')').ok_or_else(|| unclear("$("))?;
                let key = key.replace("$H", host).to_ascii_lowercase();
                let value = self.rules.general.get(&key).cloned().ok_or(Stop::Fails)?;
                self.add(&value);
                return Ok(rest);
            }
            (c, _) => return Err(unclear(&format!("${c}"))),
        }
        Ok(rest)
    }

    /// A label of what is open (`&` from the left, `!` from the right) or named (`*`, `#`).
    fn label<'t>(&mut self, kind: char, rest: &'t str) -> Result<&'t str, Stop> {
        let number =
            rest.chars().next().and_then(|c| c.to_digit(10)).ok_or_else(|| unclear("$&"))?;
        let of = if "&!".contains(kind) { &self.matched.open } else { &self.matched.named };
        let mut labels: Vec<_> = of.split('.').filter(|label| !label.is_empty()).collect();
        if "!#".contains(kind) {
            labels.reverse();
        }
        let label = labels.get(number as usize).ok_or(Stop::Fails)?.to_string();
        self.add(&label);
        Ok(&rest[1..])
    }

    fn add(&mut self, text: &str) {
        let text = match self.case {
            '\\' => text.to_lowercase(),
            '^' => text.to_uppercase(),
            _ => text.to_owned(),
        };
        if let Some(section) = self.sections.last_mut() {
            section.push_str(&text);
        }
    }

    fn finish(self) -> Filled {
        let (prefix, is_later) = (self.prefix, self.is_later);
        if is_later.is_some() && self.sections.len() == 1 && self.sections[0].is_empty() {
            return Filled::Readdressed(Readdressed {
                prefix,
                is_later,
                ..Readdressed::unchanged(self.matched.spec)
            });
        }
        let mut sections = self.sections.into_iter();
        let mut next = || sections.next();
        let (Some(user), Some(host)) = (next(), next()) else {
            return Filled::Unclear("a template without a host".to_owned());
        };
        let (route, tag) = match (next(), next()) {
            (None, _) if self.percent => (None, None),
            (None, _) => (None, Some(host.clone())),
            (Some(tag), None) if self.percent => (None, Some(tag)),
            (Some(route), None) => (Some(route.clone()), Some(route)),
            (Some(route), Some(tag)) => (Some(route), Some(tag)),
        };
        Filled::Readdressed(Readdressed { user, host, route, tag, prefix, is_later })
    }
}

/// The second domain of `defaulthost`, which is for recipients, by the channel.
fn completing(imta: &Imta) -> BTreeMap<String, String> {
    let domain = |block: &ImtaBlock| {
        let at = block.words.iter().rposition(|word| word.eq_ignore_ascii_case("defaulthost"))?;
        block.words.get(at + 2).filter(|word| word.contains('.')).cloned()
    };
    let says = |block: &ImtaBlock| {
        let mut words = block.words.iter().map(|word| word.to_ascii_lowercase());
        words.any(|word| word == "defaulthost" || word == "nodefaulthost")
    };
    let (mut found, mut default) = (BTreeMap::new(), None);
    for block in &imta.blocks {
        if block.name == "defaults" {
            default = domain(block).or(default);
            continue;
        }
        let own = if says(block) { domain(block) } else { default.clone() };
        found.extend(own.map(|own| (block.name.clone(), own)));
    }
    found
}

/// The name of a channel behind a control, and what stands behind it.
fn channel_name(rest: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()))
}

fn unclear(sequence: &str) -> Stop {
    Stop::Unclear(format!("a rule asks for {sequence}"))
}

const LOCAL_HACK: &str = "a host within its local part is known to nobody";
/// Rules that lead back to themselves end here, too, in the original's heirs.
const MAX_PASSES: usize = 20;
