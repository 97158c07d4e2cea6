//! Rewriting: an address in, an address and a channel's tag out.
//!
//! Each pass looks at one host of the address. A rule whose conditions or substitutions fail
//! counts as not matched, and the next is tried. Passes are limited, so that rules that lead back
//! to themselves end.

use std::{
    borrow::Cow,
    convert::Infallible,
    fmt::Write as _,
    net::Ipv6Addr,
    sync::{Mutex, PoisonError},
};

use relais_channels::mail::Address;
use relais_config::{
    RewriteRule,
    channel::Program,
    facts::Facts,
    grammar::{table_key, untagged},
    lookup_url::{AddressPart, LookupUrl, UrlResults},
    mapping::Tables,
    rewrite::{
        Candidate, ChannelSet, Chunk, Condition, ErrorText, Location, MAX_PASSES, Outcome,
        PatternKind, RewritePiece, RewriteTemplate, Rewriting, Split, domain_entry,
    },
    template::{Case, put_for_filter},
};
use ring::rand::{SecureRandom, SystemRandom};

use super::{
    refusal::Refusal,
    routes::Routes,
    spec::{HostOrder, Spec},
    steps::{Step, Substitution, Trace},
    url_asks::UrlAsks,
};
use crate::directory::{Lookup, quote};

/// The purpose of rewriting: rules may apply to one and not to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Purpose<'a> {
    /// `$E` rather than `$B`.
    pub(super) envelope: bool,
    /// `$F` rather than `$R`.
    pub(super) forward: bool,
    /// The channel the mail came in by.
    pub(super) source: &'a str,
    /// The channel that the mail waits in; `None`: the channel is still to be found.
    pub(super) destination: Option<&'a str>,
    /// A channel of program `Reprocess` puts the mail through once more.
    pub(super) reprocessed: bool,
    /// Facts about the origin of the mail.
    pub(super) facts: Facts,
}

/// Rewrites one address.
pub(super) struct Rewriter<'a, L> {
    routes: &'a Routes,
    lookup: &'a L,
    purpose: Purpose<'a>,
    trace: &'a mut Trace,
    sticky: Sticky,
}

/// The result of rewriting.
#[derive(Clone, Debug)]
pub(super) struct Rewritten {
    pub(super) address: Address,
    pub(super) tag: String,
    /// Its place in the channel table, if it has one.
    pub(super) channel: Option<usize>,
    /// The answer that a rule wants if there is no channel.
    pub(super) error: Option<ErrorText>,
    /// No rule names the domain: only patterns that match everything led here, or none at all.
    pub(super) unclaimed: bool,
    /// Another time the address would become another one.
    pub(super) comes_once: bool,
}

/// State that rules leave behind for the passes after them.
#[derive(Default)]
struct Sticky {
    tag: String,
    error: Option<ErrorText>,
    catch_all: bool,
    comes_once: bool,
}

/// The result of one pass.
enum Pass {
    /// `$?text` alone.
    Unchanged,
    /// The address is rewritten again.
    Restart(String),
    /// `user` is what would be left if the host were taken away.
    Finish { address: String, user: String, tag: String },
}

/// Why a rule did not apply; only for people.
struct NotApplied(Cow<'static, str>);

/// Values that may be substituted.
struct Subject<'a> {
    tables: Tables<'a>,
    address: &'a Address,
    /// A recipient, and not a sender.
    forward: bool,
    spec: &'a Spec,
    split: &'a Split,
    /// Filled where somebody wants to see it.
    told: Option<&'a Mutex<Vec<Substitution>>>,
    urls: &'a UrlAsks,
}

/// Changes that a rule which applies makes for the passes after it.
struct RuleEffect {
    pass: Pass,
    catch_all: bool,
    comes_once: bool,
    error: Option<ErrorText>,
    set_tag: Option<String>,
}

/// How text is written from here on to the end of a template.
#[derive(Clone, Copy, Default)]
struct Style {
    case: Case,
    /// Substituted text is quoted for a filter of LDAP.
    quoted: bool,
}

impl<'a, L: Lookup> Rewriter<'a, L> {
    pub(super) fn new(
        routes: &'a Routes,
        lookup: &'a L,
        purpose: Purpose<'a>,
        trace: &'a mut Trace,
    ) -> Self {
        Self { routes, lookup, purpose, trace, sticky: Sticky::default() }
    }

    /// Rewrites the address until its channel's tag is known.
    pub(super) async fn rewrite(self, address: Address) -> Result<Rewritten, Refusal> {
        let written = (!address.as_str().is_ascii()).then(|| address.clone());
        let mut rewritten = self.until_known(address).await?;
        // It goes on as it was written, where no rule made another one of it.
        let is_same = |its: &Address| its.in_one_form() == rewritten.address.in_one_form();
        if let Some(written) = written.filter(is_same) {
            rewritten.address = written;
        }
        Ok(rewritten)
    }

    async fn until_known(mut self, mut address: Address) -> Result<Rewritten, Refusal> {
        let order = self.routes.host_order(self.purpose.source);
        for _ in 0..MAX_PASSES {
            self.trace.note(|| Step::Rewriting {
                address: address.to_string(),
                kind: if self.purpose.envelope { "envelope" } else { "header" },
            });
            let Some(spec) = Spec::of(&address, order) else {
                address = self.complete(&address)?;
                continue;
            };
            let (host, found) = (&spec.host, name_of(spec.location));
            self.trace.note(|| Step::Host { host: host.clone(), found });
            let passed = self.pass(&address, &spec).await?;
            let ruled = passed.as_ref().is_some_and(|pass| !matches!(pass, Pass::Unchanged));
            let (text, user, tag) = match passed {
                Some(Pass::Restart(text)) => {
                    address = parse(&text)?;
                    continue;
                }
                Some(Pass::Finish { address, user, tag }) => (address, user, tag),
                None if let Some(here) = self.leads_nowhere(&spec) => {
                    return self.user_of(here, &address);
                }
                Some(Pass::Unchanged) | None => {
                    let text = spec.replaced(&spec.user, &spec.host, None);
                    (text, spec.user.clone(), spec.host.clone())
                }
            };
            let channel = self.channel_of(&tag);
            if let Some(rest) = self.rest(&spec, &user, channel, order) {
                address = rest;
                continue;
            }
            let unclaimed = self.sticky.catch_all || !ruled;
            let Sticky { error, comes_once, .. } = self.sticky;
            let address = parse(&text)?;
            return Ok(Rewritten { address, tag, channel, error, unclaimed, comes_once });
        }
        Err(Refusal::Loop)
    }

    /// The local channel, where a local part names a host that is neither in a rule nor a
    /// channel's: the name is a user's then, `%` and `!` included.
    fn leads_nowhere(&self, spec: &Spec) -> Option<usize> {
        let within_user = matches!(spec.location, Location::Percent | Location::Bang);
        let unknown = within_user && self.routes.channel_by_tag(&spec.host).is_none();
        self.routes.local.filter(|_| unknown)
    }

    /// `A%B` is a user of this machine.
    fn user_of(mut self, here: usize, address: &Address) -> Result<Rewritten, Refusal> {
        let tag = self.routes.channels[here].tag.clone();
        let address = parse(&format!("{}@{tag}", address.mailbox()))?;
        self.trace.note(|| Step::Completed { address: address.to_string() });
        let channel = self.channel_of(&tag);
        let Sticky { error, comes_once, .. } = self.sticky;
        Ok(Rewritten { address, tag, channel, error, unclaimed: true, comes_once })
    }

    /// Gives a bare name its domain.
    fn complete(&mut self, address: &Address) -> Result<Address, Refusal> {
        let address = parse(&format!("{}@{}", address.mailbox(), self.routes.completion))?;
        self.trace.note(|| Step::Completed { address: address.to_string() });
        Ok(address)
    }

    /// The channel that a tag stands for.
    fn channel_of(&mut self, tag: &str) -> Option<usize> {
        let channel = self.routes.channel_by_tag(tag);
        self.trace.note(|| Step::Channel {
            tag: tag.to_owned(),
            channel: channel.map(|n| self.routes.channels[n].name.clone()),
        });
        channel
    }

    /// The address to go on with when the host was this machine, or stands for it: the rest of a
    /// route, or a host within the user.
    fn rest(
        &self,
        spec: &Spec,
        user: &str,
        channel: Option<usize>,
        order: HostOrder,
    ) -> Option<Address> {
        let channel = &self.routes.channels[channel?];
        let passes = channel.program == Program::Local || channel.routelocal;
        let rest = passes.then(|| Address::parse(user).ok()).flatten()?;
        // The rest of a route through this machine may be a bare name: it is completed.
        (spec.location == Location::Route || Spec::of(&rest, order).is_some()).then_some(rest)
    }

    /// Tries the rules for one host. `None`: no rule applies.
    async fn pass(&mut self, address: &Address, spec: &Spec) -> Result<Option<Pass>, Refusal> {
        let routes = self.routes;
        let known = routes.channel_by_tag(&spec.host).is_some();
        let here = known && routes.is_here(&spec.host);
        let tables = if self.trace.is_on() { routes.tables_looked_at() } else { routes.tables() };
        let urls = UrlAsks::default();
        let mut candidates =
            routes.index.candidates(&self.sticky.tag, &spec.host, spec.location, known);
        let (begun, mut probes) = (self.trace.len(), Vec::new());
        if self.trace.is_on() {
            probes = candidates.probes();
        }
        let told = Mutex::default();
        let database = &routes.tables.domains;
        while let Some((candidate, split)) = candidates.next_candidate(|key| database.get(key)) {
            let of_database;
            let rule = match candidate {
                Candidate::Rule(n) => &routes.rules[n],
                Candidate::Entry { pattern, template } => match domain_entry(&pattern, template) {
                    Ok(rule) => {
                        of_database = rule;
                        &of_database
                    }
                    // Every entry is parsed when the database is read.
                    Err(_) => continue,
                },
            };
            // A pattern for the domain around this machine would send its mail out and back in.
            // The original's configurations name the machine in a rule of its own; inferred.
            if here && !matches!(rule.kind, PatternKind::Always | PatternKind::Exact) {
                continue;
            }
            let forward = self.purpose.forward;
            let told = self.trace.is_on().then_some(&told);
            let tables = Tables { urls: Some(&urls), facts: self.purpose.facts, ..tables };
            let subject = Subject { tables, address, forward, spec, split, told, urls: &urls };
            let applied = self.apply(rule, &subject).await?;
            let take = |told: &Mutex<Vec<_>>| {
                std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner))
            };
            let values = told.map(take).unwrap_or_default();
            match applied {
                Ok(pass) => {
                    let last = probes.iter().position(|probe| *probe == rule.key);
                    probes.truncate(last.map_or(probes.len(), |last| last + 1));
                    self.trace.note_before(begun, || Step::Probes { patterns: probes });
                    self.trace.note(|| Step::Applied {
                        line: rule.line,
                        pattern: rule.pattern.clone(),
                        template: rule.template.clone(),
                        address: match &pass {
                            Pass::Unchanged => spec.replaced(&spec.user, &spec.host, None),
                            Pass::Restart(address) | Pass::Finish { address, .. } => {
                                address.clone()
                            }
                        },
                    });
                    self.note_values(values);
                    return Ok(Some(pass));
                }
                Err(NotApplied(reason)) => self.trace.note(|| Step::Failed {
                    line: rule.line,
                    pattern: rule.pattern.clone(),
                    template: rule.template.clone(),
                    reason: reason.into_owned(),
                }),
            }
            self.note_values(values);
        }
        self.trace.note_before(begun, || Step::Probes { patterns: probes });
        self.trace.note(|| Step::NoRule { host: spec.host.clone() });
        Ok(None)
    }

    fn note_values(&mut self, values: Vec<Substitution>) {
        if !values.is_empty() {
            self.trace.note(|| Step::Substituted { values });
        }
    }

    /// Applies a rule, with every look-up by URL that it asks for.
    async fn apply(
        &mut self,
        rule: &RewriteRule,
        subject: &Subject<'_>,
    ) -> Result<Result<Pass, NotApplied>, Refusal> {
        loop {
            let applied = self.attempt(rule, subject).await?;
            if subject.urls.ask(self.lookup).await.map_err(Refusal::Lookup)? {
                continue;
            }
            return Ok(applied.map(|applied| {
                self.sticky.catch_all |= applied.catch_all;
                self.sticky.comes_once |= applied.comes_once;
                self.sticky.error = applied.error.or(self.sticky.error.take());
                if let Some(tag) = applied.set_tag {
                    self.sticky.tag = tag;
                }
                applied.pass
            }));
        }
    }

    async fn attempt(
        &self,
        rule: &RewriteRule,
        subject: &Subject<'_>,
    ) -> Result<Result<RuleEffect, NotApplied>, Refusal> {
        let parsed;
        let rewriting = match &rule.parsed {
            RewriteTemplate::Plain(rewriting) => rewriting,
            RewriteTemplate::General(chunks) => match subject.put_together(chunks) {
                Ok(rewriting) => {
                    parsed = rewriting;
                    &parsed
                }
                Err(reason) => return Ok(Err(reason)),
            },
        };
        let rewriting = self.left_of(rewriting);
        let mut claimed = !rule.kind.is_catch_all();
        for condition in &rewriting.conditions {
            if let Err(reason) = self.check(condition, subject).await? {
                return Ok(Err(reason));
            }
            claimed |= matches!(condition, Condition::Local(_));
        }
        let pass = match subject.outcome(&rewriting.outcome) {
            Ok(pass) => pass,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(Ok(RuleEffect {
            pass,
            catch_all: !claimed,
            comes_once: comes_once(&rewriting.outcome),
            error: rewriting.error.clone(),
            set_tag: rewriting.set_tag.clone(),
        }))
    }

    /// The template, as far as it is not cut off.
    fn left_of<'r>(&self, rewriting: &'r Rewriting) -> &'r Rewriting {
        let holds = |condition: &Condition| self.check_channels(condition).is_none_or(|it| it.0);
        let cut = rewriting.cuts.iter().find(|cut| !cut.conditions.iter().all(holds));
        cut.map_or(rewriting, |cut| &cut.before)
    }

    async fn check(
        &self,
        condition: &Condition,
        subject: &Subject<'_>,
    ) -> Result<Result<(), NotApplied>, Refusal> {
        let Purpose { envelope, forward, .. } = self.purpose;
        let (holds, reason) = match condition {
            Condition::Envelope(wanted) => (envelope == *wanted, "$E or $B"),
            Condition::Forward(wanted) => (forward == *wanted, "$F or $R"),
            Condition::Found(locations) => {
                (locations.contains(&subject.spec.location), "where the host stands")
            }
            Condition::Fact(test) => {
                let facts = self.purpose.facts;
                subject.tell(|| (test.to_string(), test.told(facts)));
                if test.holds(facts) {
                    return Ok(Ok(()));
                }
                return Ok(Err(NotApplied(test.told(facts).into())));
            }
            Condition::Local(pieces) | Condition::NotLocal(pieces) => {
                let domain = match subject.expand(pieces, &mut Style::default()) {
                    Ok(domain) => table_key(&domain),
                    Err(reason) => return Ok(Err(reason)),
                };
                let ours = self.is_ours(&domain).await?;
                let wanted = matches!(condition, Condition::Local(_));
                subject.tell(|| {
                    let letter = if wanted { 'V' } else { 'Z' };
                    let found = if ours { "ours" } else { "not ours" };
                    (format!("${letter}{domain}"), found.to_owned())
                });
                (ours == wanted, if wanted { "$V: not our domain" } else { "$Z: our domain" })
            }
            Condition::Source(_)
            | Condition::NotSource(_)
            | Condition::Destination(_)
            | Condition::NotDestination(_) => self.check_channels(condition).unwrap_or((true, "")),
        };
        Ok(if holds { Ok(()) } else { Err(NotApplied(reason.into())) })
    }

    /// Whether a condition on channels holds; `None`: it is on something else. Channels that rules
    /// may not depend on, and those that are not known yet, do not count.
    fn check_channels(&self, condition: &Condition) -> Option<(bool, &'static str)> {
        let (channel, wanted, reason) = match condition {
            Condition::Source(_) => (Some(self.purpose.source), true, "$M"),
            Condition::NotSource(_) => (Some(self.purpose.source), false, "$N"),
            Condition::Destination(_) => (self.purpose.destination, true, "$Q"),
            Condition::NotDestination(_) => (self.purpose.destination, false, "$C"),
            _ => return None,
        };
        let ChannelSet { names, internal } = condition.channels()?;
        let is_named = |channel: &str| {
            names.iter().any(|name| name.eq_ignore_ascii_case(channel))
                || *internal && (self.purpose.reprocessed || self.routes.is_internal(channel))
        };
        let channel = channel
            .filter(|name| self.routes.channel_by_name(name).is_none_or(|channel| channel.rules));
        Some((channel.is_none_or(|channel| is_named(channel) == wanted), reason))
    }

    /// Whether the directory has the domain, and this machine may act for it.
    async fn is_ours(&self, name: &str) -> Result<bool, Refusal> {
        let domain = self.lookup.domain(name).await?;
        Ok(domain.is_some_and(|domain| {
            let hosts = domain.entry.all("mailroutinghosts");
            hosts.is_empty() || hosts.iter().any(|host| self.routes.policy.is_here(host))
        }))
    }
}

impl<'a> Subject<'a> {
    /// Looks up each `$(key)` and parses what comes out.
    fn put_together(&self, chunks: &[Chunk]) -> Result<Rewriting, NotApplied> {
        let mut text = String::new();
        for chunk in chunks {
            match chunk {
                Chunk::Raw(raw) => text.push_str(raw),
                Chunk::Key(pieces) => {
                    let key = self.expand(pieces, &mut Style::default())?;
                    let value = self.tables.general(&key);
                    self.tell(|| (format!("$({key})"), value.unwrap_or("nothing").to_owned()));
                    let missing = || NotApplied(format!("$({key}) is not in the database").into());
                    let value = value.ok_or_else(missing)?;
                    if Facts::are_asked_in(value) {
                        let why = format!("the value of $({key}) may not ask for results of SPF");
                        return Err(NotApplied(why.into()));
                    }
                    text.push_str(value);
                }
            }
        }
        Rewriting::parse(&text).map_err(|e| NotApplied(format!("{text}: {e}").into()))
    }

    fn outcome(&self, outcome: &Outcome) -> Result<Pass, NotApplied> {
        let mut style = Style::default();
        let mut expand = |pieces: &[RewritePiece]| self.expand(pieces, &mut style);
        match outcome {
            Outcome::Unchanged => Ok(Pass::Unchanged),
            Outcome::Restart { user, host } => {
                let (user, host) = (expand(user)?, expand(host)?);
                Ok(Pass::Restart(self.spec.replaced(&user, &host, None)))
            }
            Outcome::Finish { user, host, route, tag } => {
                let (user, host) = (expand(user)?, expand(host)?);
                let route = route.as_deref().map(&mut expand).transpose()?;
                let tag = tag.as_deref().map(&mut expand).transpose()?;
                // A way that mail goes is none for notices to come back (RFC 5321 appendix C).
                let route = route.filter(|_| self.forward);
                let address = self.spec.replaced(&user, &host, route.as_deref());
                Ok(Pass::Finish { address, user, tag: tag.unwrap_or(host) })
            }
        }
    }

    fn expand(&self, pieces: &[RewritePiece], style: &mut Style) -> Result<String, NotApplied> {
        let mut out = String::new();
        for piece in pieces {
            match piece {
                RewritePiece::Case(new) => style.case = *new,
                RewritePiece::Quote => style.quoted = true,
                RewritePiece::Text(text) => style.case.push(&mut out, text),
                RewritePiece::Mapping { table, argument } => {
                    let argument = without_tag(self.expand(argument, &mut Style::default())?);
                    let mapped = self.tables.lookup(table, &argument);
                    self.tell(|| {
                        let found = mapped.as_ref().map_or("nothing", |mapped| &mapped.text);
                        (format!("${{{table},{argument}}}"), found.to_owned())
                    });
                    let said_no = || NotApplied(format!("{table} has no $Y for {argument}").into());
                    let mapped = mapped.filter(|mapped| mapped.flags.has('Y'));
                    style.push(&mut out, &mapped.ok_or_else(said_no)?.text);
                }
                RewritePiece::Url(url) => {
                    let value = self.look_up(url)?;
                    self.tell(|| (piece.to_string(), value.clone()));
                    style.push(&mut out, &value);
                }
                _ => {
                    let value = self.value(piece)?;
                    self.tell(|| (piece.to_string(), value.to_string()));
                    style.push(&mut out, &value);
                }
            }
        }
        Ok(out)
    }

    /// Tells what stands in the place of a sequence, if somebody listens.
    fn tell(&self, substitution: impl FnOnce() -> (String, String)) {
        if let Some(told) = self.told {
            let (sequence, value) = substitution();
            let substitution = Substitution { sequence, value };
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if !told.contains(&substitution) {
                told.push(substitution);
            }
        }
    }

    /// `$]url[`.
    fn look_up(&self, url: &LookupUrl<AddressPart>) -> Result<String, NotApplied> {
        let Ok(query) = url.filled(|part| Ok::<_, Infallible>(part_of(self.address, part).into()));
        let query = query.ok_or(NotApplied("the URL is too long with this address".into()))?;
        let nothing = || NotApplied(format!("{query} finds nothing").into());
        self.urls.find(&query, url.on_failure.as_deref()).ok_or_else(nothing)
    }

    fn value<'p>(&'p self, piece: &'p RewritePiece) -> Result<Cow<'p, str>, NotApplied> {
        let (host, split) = (&*self.spec.host, self.split);
        let text = match piece {
            RewritePiece::User => self.user(),
            RewritePiece::UserName => quoted_if_needed(split_subaddress(&self.user()).0),
            RewritePiece::Subaddress => split_subaddress(&self.user()).1.into(),
            RewritePiece::Part(part, None) => split.part(host, *part).into(),
            RewritePiece::Part(part, Some(n)) => {
                split.first_labels(host, *part, usize::from(*n)).into()
            }
            RewritePiece::Literal => (&host[split.literal.clone()]).into(),
            RewritePiece::Label { of, from_right, n } => {
                let label = split.label(host, *of, (usize::from(*n), *from_right));
                label.ok_or(NotApplied("the host has no such label".into()))?.into()
            }
            RewritePiece::Character(n) => {
                let n = usize::from(*n);
                let character = self.address.as_str().get(n..=n);
                character.ok_or(NotApplied("the address has no such character".into()))?.into()
            }
            RewritePiece::Unique => unique()?.into(),
            // Each of these is more than a value, and `expand` deals with it.
            RewritePiece::Url(_)
            | RewritePiece::Text(_)
            | RewritePiece::Case(_)
            | RewritePiece::Quote
            | RewritePiece::Mapping { .. } => "".into(),
        };
        Ok(text)
    }

    fn user(&self) -> Cow<'a, str> {
        let user = &self.spec.user;
        if self.spec.location == Location::Route || !user.contains('"') {
            return user.into();
        }
        // `a."b"` becomes `"a.b"`.
        Address::parse(user).map_or(user.into(), |address| quote(&address.unquoted_local()).into())
    }
}

impl Style {
    /// Appends what is put in the place of a sequence.
    fn push(self, out: &mut String, text: &str) {
        let start = out.len();
        if self.quoted {
            put_for_filter(out, text);
        } else {
            out.push_str(text);
        }
        self.case.apply(out, start);
    }
}

/// Whether `$W` stands in a part of the template.
fn comes_once(outcome: &Outcome) -> bool {
    fn is_unique(pieces: &[RewritePiece]) -> bool {
        pieces.iter().any(|piece| match piece {
            RewritePiece::Mapping { argument, .. } => is_unique(argument),
            _ => *piece == RewritePiece::Unique,
        })
    }
    outcome.parts().any(is_unique)
}

/// `$W`: sixteen random octets, so that none comes twice.
fn unique() -> Result<String, NotApplied> {
    let mut octets = [0; 16];
    let none = |_| NotApplied("the system has no random numbers".into());
    SystemRandom::new().fill(&mut octets).map_err(none)?;
    Ok(octets.iter().fold(String::with_capacity(32), |mut text, octet| {
        // Writing to a text never fails.
        let _ = write!(text, "{octet:02x}");
        text
    }))
}

/// Name, and subaddress with its `+`; neither is quoted.
fn split_subaddress(user: &str) -> (String, String) {
    let user = match Address::parse(user) {
        Ok(address) if user.contains('"') => address.unquoted_local(),
        _ => user.to_owned(),
    };
    let plus = user.find('+').unwrap_or(user.len());
    (user[..plus].to_owned(), user[plus..].to_owned())
}

fn quoted_if_needed(local: String) -> Cow<'static, str> {
    match Address::parse(&local) {
        Ok(_) => local.into(),
        Err(_) => quote(&local).into(),
    }
}

/// A part of an address, for a look-up by URL.
fn part_of(address: &Address, part: AddressPart) -> String {
    let domain = address.domain().unwrap_or_default();
    let (user, subaddress) = match part {
        AddressPart::Whole => return address.mailbox().to_owned(),
        AddressPart::Domain => return domain.to_owned(),
        AddressPart::FirstLabel => return domain.split('.').next().unwrap_or_default().to_owned(),
        _ => split_subaddress(address.local()),
    };
    match part {
        AddressPart::Subaddress => subaddress.trim_start_matches('+').to_owned(),
        AddressPart::PlainUser => user.trim_start_matches(['~', '_']).to_owned(),
        _ => user,
    }
}

/// An address of IPv6 as tables know it: without the tag that it has in a literal.
fn without_tag(argument: String) -> String {
    let address = untagged(&argument).and_then(|digits| digits.parse::<Ipv6Addr>().ok());
    address.map_or(argument, |address| address.to_string())
}

fn parse(text: &str) -> Result<Address, Refusal> {
    Address::parse(text).map_err(|_| Refusal::Malformed(text.chars().take(200).collect()))
}

fn name_of(location: Location) -> &'static str {
    match location {
        Location::Route => "in the source route",
        Location::At => "right of @",
        Location::Percent => "right of %",
        Location::Bang => "left of !",
    }
}
