//! Rewrite rules that lead back to themselves.
//!
//! A rule `A%B` has its result rewritten from the start. Each such rule is followed with a host that
//! its pattern matches, as far as it is certain which rule comes next, and no further than the
//! router would go.

use super::rules::{excludes, may_fail};
use crate::{
    check::known::Known,
    file::reader::Reader,
    language::{
        rewrite::{
            Condition, Location, MAX_PASSES, Outcome, PatternKind, RewritePiece, RewriteRule,
            RewriteTemplate, Rewriting, RuleIndex, Split,
        },
        template::Case,
    },
    sections::{channel::Program, config::Config},
};

/// The rules that a host is followed through.
struct Follower<'a> {
    config: &'a Config,
    known: &'a Known<'a>,
    index: RuleIndex,
}

/// An address on its way: the rest of it does not matter.
struct Traveller<'a> {
    host: String,
    tag: &'a str,
    /// Conditions that hold for it all the way.
    conditions: &'a [Condition],
}

/// Warns of every rule from which there is no way out.
pub(super) fn check(config: &Config, known: &Known<'_>, reader: &mut Reader<'_>) {
    if !reader.are_sound("channels", "tag") || !reader.is_sound("rewrite_rules") {
        return;
    }
    let restarts = |rule: &&RewriteRule| ends_of(rule).any(|end| is_restart(&end.outcome));
    if !config.rewrite_rules.iter().any(|rule| restarts(&rule)) {
        return;
    }
    let follower = Follower { config, known, index: RuleIndex::of(&config.rewrite_rules) };
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        let host = sample(rule);
        let endless = ends_of(rule).find_map(|end| follower.circle(i, end, &host));
        let Some(places) = endless else { continue };
        let places: Vec<_> = places.iter().map(|n| (n + 1).to_string()).collect();
        let through = match places.as_slice() {
            [] => String::new(),
            [one] => format!(" by way of rule {one}"),
            several => format!(" by way of rules {}", several.join(", ")),
        };
        let message = format!(
            "the rule leads back to itself{through}: mail for a user of {host} is refused (554 \
             5.4.6); a template for the last step ends with @ and the tag of a channel"
        );
        reader.warning_at(&format!("rewrite_rules[{i}]"), &message, false);
    }
}

impl<'a> Follower<'a> {
    /// The other rules that come after the `i`th one with this end of its template, if rewriting
    /// does not end.
    fn circle(&self, i: usize, end: &'a Rewriting, host: &str) -> Option<Vec<usize>> {
        let rule = &self.config.rewrite_rules[i];
        let tag = rule.key.rfind('|').map_or("", |bar| &rule.key[..=bar]);
        let location = match rule.kind {
            PatternKind::Percent => Location::Percent,
            PatternKind::Bang => Location::Bang,
            _ => Location::At,
        };
        let mut candidates = self.index.candidates(tag, host, location, false);
        let split = loop {
            match candidates.next_rule()? {
                (n, split) if n == i => break split,
                _ => {}
            }
        };
        let mut traveller = Traveller {
            host: new_host(&end.outcome, host, split)?,
            tag: end.set_tag.as_deref().unwrap_or(tag),
            conditions: &end.conditions,
        };
        let mut places = Vec::new();
        for _ in 1..MAX_PASSES {
            let (n, next) = self.step(&traveller)?;
            if n != i && !places.contains(&n) {
                places.push(n);
            }
            traveller = next;
        }
        Some(places)
    }

    /// The rule that comes next for certain, and what becomes of the host by it. `None`: rewriting
    /// ends, or it cannot be told.
    fn step(&self, traveller: &Traveller<'a>) -> Option<(usize, Traveller<'a>)> {
        let Traveller { host, tag, conditions } = traveller;
        let channel = self.known.tag(host);
        let here = channel.is_some_and(|n| self.config.channels[n].program == Program::Local);
        let mut candidates = self.index.candidates(tag, host, Location::At, channel.is_some());
        loop {
            let (n, split) = candidates.next_rule()?;
            let rule = &self.config.rewrite_rules[n];
            if here && !matches!(rule.kind, PatternKind::Always | PatternKind::Exact) {
                continue;
            }
            let RewriteTemplate::Plain(rewriting) = &rule.parsed else { return None };
            if rewriting.conditions.iter().any(|its| fails(its, conditions)) {
                continue;
            }
            let is_sure = rewriting.cuts.is_empty() && user_is_sure(&rewriting.outcome);
            if !is_sure || !rewriting.conditions.iter().all(|its| holds(its, conditions)) {
                return None;
            }
            let next = Traveller {
                host: new_host(&rewriting.outcome, host, split)?,
                tag: rewriting.set_tag.as_deref().unwrap_or(tag),
                conditions,
            };
            return Some((n, next));
        }
    }
}

fn ends_of(rule: &RewriteRule) -> impl Iterator<Item = &Rewriting> {
    let plain = match &rule.parsed {
        RewriteTemplate::Plain(rewriting) => Some(rewriting),
        RewriteTemplate::General(_) => None,
    };
    plain.into_iter().flat_map(Rewriting::ends)
}

fn is_restart(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Restart { .. })
}

/// A host that the pattern of the rule matches.
fn sample(rule: &RewriteRule) -> String {
    let pattern = rule.key.rsplit('|').next().unwrap_or_default();
    match rule.kind {
        PatternKind::Exact => pattern.to_owned(),
        PatternKind::Starred | PatternKind::AllStars => pattern.replace('*', "x"),
        PatternKind::Dotted => format!("x{pattern}"),
        PatternKind::Literal => {
            let prefix = pattern.strip_suffix(".]").map(|prefix| {
                let missing = 4_usize.saturating_sub(prefix.split('.').count());
                format!("{prefix}{}]", ".1".repeat(missing))
            });
            prefix.unwrap_or_else(|| pattern.to_owned())
        }
        PatternKind::AnyLiteral => "[192.0.2.1]".to_owned(),
        PatternKind::Always | PatternKind::Rest | PatternKind::Percent | PatternKind::Bang => {
            "other.example".to_owned()
        }
    }
}

/// Whether a condition holds on the second way round and later, when these hold all the way. A
/// domain that was not asked for is taken for not ours.
fn holds(condition: &Condition, assumed: &[Condition]) -> bool {
    match condition {
        Condition::Found(locations) => locations.contains(&Location::At),
        Condition::NotLocal(_) | Condition::Destination(_) | Condition::NotDestination(_) => true,
        _ => assumed.contains(condition),
    }
}

/// Whether it certainly does not hold then.
fn fails(condition: &Condition, assumed: &[Condition]) -> bool {
    match condition {
        Condition::Found(_) => !holds(condition, assumed),
        Condition::Local(_) => !assumed.contains(condition),
        _ => assumed.iter().any(|its| excludes(its, condition)),
    }
}

/// Whether every address has what the left side is made of. The host is looked at by itself.
fn user_is_sure(outcome: &Outcome) -> bool {
    outcome.parts().next().is_none_or(|user| user.iter().all(|piece| !may_fail(piece)))
}

/// The host that is rewritten from the start, as far as it can be told.
fn new_host(outcome: &Outcome, host: &str, split: &Split) -> Option<String> {
    let Outcome::Restart { user, host: pieces } = outcome else { return None };
    let mut case = user.iter().fold(Case::default(), |case, piece| match piece {
        RewritePiece::Case(new) => *new,
        _ => case,
    });
    let mut out = String::new();
    for piece in pieces {
        let text = match piece {
            RewritePiece::Text(text) => text.as_str(),
            RewritePiece::Case(new) => {
                case = *new;
                continue;
            }
            RewritePiece::Part(part, None) => split.part(host, *part),
            RewritePiece::Part(part, Some(n)) => split.first_labels(host, *part, usize::from(*n)),
            RewritePiece::Literal => &host[split.literal.clone()],
            RewritePiece::Label { of, from_right, n } => {
                split.label(host, *of, (usize::from(*n), *from_right))?
            }
            _ => return None,
        };
        case.push(&mut out, text);
    }
    // An address that is too long is refused before it goes round.
    (!out.is_empty() && out.len() <= MAX_HOST).then_some(out)
}

/// Octets of a host that is followed.
const MAX_HOST: usize = 253;
