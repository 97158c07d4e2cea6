//! Rewriting: an address in, an address and a channel's tag out.
//!
//! Each pass looks at one host of the address. A rule whose conditions or substitutions fail
//! counts as not matched, and the next is tried. Passes are limited, so that rules that lead back
//! to themselves end.

use std::{borrow::Cow, net::Ipv6Addr};

use relais_channels::mail::Address;
use relais_config::{
    RewriteRule,
    channel::Program,
    grammar::untagged,
    mapping::Tables,
    rewrite::{
        Chunk, Condition, ErrorText, Location, Outcome, Part, PatternKind, RewritePiece,
        RewriteTemplate, Rewriting,
    },
    template::Case,
};

use super::{
    refusal::{MAX_PASSES, Refusal},
    routes::Routes,
    rules::Split,
    spec::Spec,
    steps::{Step, Trace},
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
    /// The mail was released from a hold channel.
    pub(super) released: bool,
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
}

/// State that rules leave behind for the passes after them.
#[derive(Default)]
struct Sticky {
    tag: String,
    error: Option<ErrorText>,
    catch_all: bool,
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
    spec: &'a Spec,
    split: &'a Split,
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
    pub(super) async fn rewrite(mut self, mut address: Address) -> Result<Rewritten, Refusal> {
        for _ in 0..MAX_PASSES {
            self.trace.note(|| Step::Rewriting {
                address: address.to_string(),
                kind: if self.purpose.envelope { "envelope" } else { "header" },
            });
            let Some(spec) = Spec::of(&address) else {
                address = self.complete(&address)?;
                self.trace.note(|| Step::Completed { address: address.to_string() });
                continue;
            };
            let (host, found) = (&spec.host, name_of(spec.location));
            self.trace.note(|| Step::Host { host: host.clone(), found });
            let passed = self.pass(&spec).await?;
            let (text, user, tag, ruled) = match passed {
                Some(Pass::Restart(text)) => {
                    address = parse(&text)?;
                    continue;
                }
                Some(Pass::Finish { address, user, tag }) => (address, user, tag, true),
                Some(Pass::Unchanged) | None => {
                    let text = spec.replaced(&spec.user, &spec.host, None);
                    (text, spec.user.clone(), spec.host.clone(), false)
                }
            };
            let channel = self.channel_of(&tag);
            if let Some(rest) = self.rest(&spec, &user, channel) {
                address = rest;
                continue;
            }
            let unclaimed = self.sticky.catch_all || !ruled;
            let address = parse(&text)?;
            return Ok(Rewritten { address, tag, channel, error: self.sticky.error, unclaimed });
        }
        Err(Refusal::Loop)
    }

    /// Gives a bare name its domain.
    fn complete(&self, address: &Address) -> Result<Address, Refusal> {
        parse(&format!("{}@{}", address.mailbox(), self.routes.completion))
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

    /// The host to go on with when the host was this machine: the rest of a route, or a host within
    /// the user.
    fn rest(&self, spec: &Spec, user: &str, channel: Option<usize>) -> Option<Address> {
        let local = channel.is_some_and(|n| self.routes.channels[n].program == Program::Local);
        let rest = local.then(|| Address::parse(user).ok()).flatten()?;
        // The rest of a route through this machine may be a bare name: it is completed.
        (spec.location == Location::Route || Spec::of(&rest).is_some()).then_some(rest)
    }

    /// Tries the rules for one host. `None`: no rule applies.
    async fn pass(&mut self, spec: &Spec) -> Result<Option<Pass>, Refusal> {
        let routes = self.routes;
        let known = routes.channel_by_tag(&spec.host).is_some();
        let here = known && routes.is_here(&spec.host);
        let tag = &self.sticky.tag;
        let tables = if self.trace.is_on() { routes.tables_looked_at() } else { routes.tables() };
        for (rule, split) in routes.rules.candidates(tag, &spec.host, spec.location, known) {
            // A pattern for the domain around this machine would send its mail out and back in.
            // The original's configurations name the machine in a rule of its own; inferred.
            if here && !matches!(rule.kind, PatternKind::Always | PatternKind::Exact) {
                continue;
            }
            let subject = Subject { tables, spec, split: &split };
            match self.apply(rule, &subject).await? {
                Ok(pass) => {
                    self.trace.note(|| Step::Applied {
                        pattern: rule.pattern.clone(),
                        template: rule.template.clone(),
                        address: match &pass {
                            Pass::Unchanged => spec.replaced(&spec.user, &spec.host, None),
                            Pass::Restart(address) | Pass::Finish { address, .. } => {
                                address.clone()
                            }
                        },
                    });
                    return Ok(Some(pass));
                }
                Err(NotApplied(reason)) => self.trace.note(|| Step::Failed {
                    pattern: rule.pattern.clone(),
                    template: rule.template.clone(),
                    reason: reason.into_owned(),
                }),
            }
        }
        self.trace.note(|| Step::NoRule { host: spec.host.clone() });
        Ok(None)
    }

    async fn apply(
        &mut self,
        rule: &RewriteRule,
        subject: &Subject<'_>,
    ) -> Result<Result<Pass, NotApplied>, Refusal> {
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
        self.sticky.catch_all |= !claimed;
        if let Some(error) = &rewriting.error {
            self.sticky.error = Some(error.clone());
        }
        if let Some(tag) = &rewriting.set_tag {
            self.sticky.tag.clone_from(tag);
        }
        Ok(Ok(pass))
    }

    async fn check(
        &self,
        condition: &Condition,
        subject: &Subject<'_>,
    ) -> Result<Result<(), NotApplied>, Refusal> {
        let Purpose { envelope, forward, source, .. } = self.purpose;
        let is_source = |name: &String| name.eq_ignore_ascii_case(source);
        let (holds, reason) = match condition {
            Condition::Envelope(wanted) => (envelope == *wanted, "$E or $B"),
            Condition::Forward(wanted) => (forward == *wanted, "$F or $R"),
            Condition::Found(locations) => {
                (locations.contains(&subject.spec.location), "where the host stands")
            }
            Condition::Source(names) => (names.iter().any(is_source), "$M"),
            Condition::NotSource(names) => (!names.iter().any(is_source), "$N"),
            Condition::Internal(internal) => {
                (self.routes.is_internal(source) == *internal, "$1M or $1N")
            }
            // While the channel is being found there is no destination yet.
            Condition::Destination(_) | Condition::NotDestination(_) => (true, ""),
            Condition::Local(pieces) | Condition::NotLocal(pieces) => {
                let domain = match subject.expand(pieces, &mut Case::default()) {
                    Ok(domain) => domain.to_ascii_lowercase(),
                    Err(reason) => return Ok(Err(reason)),
                };
                let ours = self.is_ours(&domain).await?;
                let wanted = matches!(condition, Condition::Local(_));
                (ours == wanted, if wanted { "$V: not our domain" } else { "$Z: our domain" })
            }
        };
        Ok(if holds { Ok(()) } else { Err(NotApplied(reason.into())) })
    }

    /// Whether the directory has the domain, and this machine may act for it.
    async fn is_ours(&self, name: &str) -> Result<bool, Refusal> {
        let domain = self.lookup.domain(name).await.map_err(Refusal::Domain)?;
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
                    let key = self.expand(pieces, &mut Case::default())?;
                    let value = self.tables.general(&key);
                    let missing = || NotApplied(format!("$({key}) is not in the database").into());
                    text.push_str(value.ok_or_else(missing)?);
                }
            }
        }
        Rewriting::parse(&text).map_err(|e| NotApplied(format!("{text}: {e}").into()))
    }

    fn outcome(&self, outcome: &Outcome) -> Result<Pass, NotApplied> {
        let mut case = Case::default();
        let mut expand = |pieces: &[RewritePiece]| self.expand(pieces, &mut case);
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
                let address = self.spec.replaced(&user, &host, route.as_deref());
                Ok(Pass::Finish { address, user, tag: tag.unwrap_or(host) })
            }
        }
    }

    fn expand(&self, pieces: &[RewritePiece], case: &mut Case) -> Result<String, NotApplied> {
        let mut out = String::new();
        for piece in pieces {
            match piece {
                RewritePiece::Case(new) => *case = *new,
                RewritePiece::Mapping { table, argument } => {
                    let argument = without_tag(self.expand(argument, &mut Case::default())?);
                    let mapped = self.tables.lookup(table, &argument);
                    let said_no = || NotApplied(format!("{table} has no $Y for {argument}").into());
                    let mapped = mapped.filter(|mapped| mapped.flags.has('Y'));
                    case.push(&mut out, &mapped.ok_or_else(said_no)?.text);
                }
                _ => case.push(&mut out, &self.value(piece)?),
            }
        }
        Ok(out)
    }

    fn value<'p>(&'p self, piece: &'p RewritePiece) -> Result<Cow<'p, str>, NotApplied> {
        let text = match piece {
            RewritePiece::Text(text) => text.into(),
            RewritePiece::User => self.user(),
            RewritePiece::UserName => quoted_if_needed(split_subaddress(&self.user()).0),
            RewritePiece::Subaddress => split_subaddress(&self.user()).1.into(),
            RewritePiece::Part(part, None) => self.part(*part).into(),
            RewritePiece::Part(part, Some(n)) => {
                first_labels(self.part(*part), usize::from(*n)).into()
            }
            RewritePiece::Literal => (&self.spec.host[self.split.literal.clone()]).into(),
            RewritePiece::Label { of, from_right, n } => {
                let mut labels = self.part(*of).split('.').filter(|label| !label.is_empty());
                let n = usize::from(*n);
                let label = if *from_right { labels.nth_back(n) } else { labels.nth(n) };
                label.ok_or(NotApplied("the host has no such label".into()))?.into()
            }
            // Both are dealt with where they change more than text.
            RewritePiece::Case(_) | RewritePiece::Mapping { .. } => "".into(),
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

    fn part(&self, part: Part) -> &'a str {
        let host = &self.spec.host;
        match part {
            Part::Matched if self.split.rest => ".",
            Part::Matched => &host[self.split.matched.clone()],
            Part::Unmatched => &host[self.split.unmatched.clone()],
        }
    }
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

/// An address of IPv6 as tables know it: without the tag that it has in a literal.
fn without_tag(argument: String) -> String {
    let address = untagged(&argument).and_then(|digits| digits.parse::<Ipv6Addr>().ok());
    address.map_or(argument, |address| address.to_string())
}

/// The n left-most labels; a dot before them stays.
fn first_labels(text: &str, n: usize) -> &str {
    let start = usize::from(text.starts_with('.'));
    let end = text[start..].match_indices('.').nth(n.saturating_sub(1)).map(|(at, _)| start + at);
    if n == 0 { "" } else { &text[..end.unwrap_or(text.len())] }
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
