//! Rewrite rules: whether they lead anywhere, and whether they are ever reached.

use std::collections::{HashMap, HashSet};

use crate::{
    check::{
        known::{Known, list},
        leads::{Tag, tag_of},
        roles::puts_mail_in,
    },
    file::reader::Reader,
    language::rewrite::{
        ChannelSet, Condition, Location, PatternKind, RewritePiece, RewriteRule, RewriteTemplate,
        Rewriting, domain_entry,
    },
    sections::{
        channel::{Channel, Program},
        config::Config,
        dispatcher,
    },
};

pub(crate) fn check(config: &Config, known: &Known<'_>, reader: &mut Reader<'_>) {
    if !reader.are_sound("channels", "tag")
        || !reader.are_sound("channels", "name")
        || !reader.is_sound("rewrite_rules")
    {
        return;
    }
    lead_to_channels(config, known, reader);
    for (pattern, template) in config.domain_database.iter() {
        if let Err(error) = domain_entry(pattern, template) {
            let path = format!("domain_database[{:?}]", crate::file::source::shorten(pattern));
            reader.mistake_at(&path, &error.message, &error.accepted);
        }
    }
    let sources = Sources::of(config);
    let wider = Wider::of(config);
    let mut settled: HashMap<&str, Vec<Settled<'_>>> = HashMap::new();
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        let path = format!("rewrite_rules[{i}]");
        let earlier = settled.entry(rule.key.as_str()).or_default();
        let never = never_reached(rule, earlier).or_else(|| wider.covers(rule));
        if let Some(message) = never {
            reader.warning_at(&path, &message, false);
            continue;
        }
        if let RewriteTemplate::Plain(rewriting) = &rule.parsed {
            warn_of_conditions((rule, rewriting), &sources, &path, reader);
            if earlier.len() < MOST_COMPARED {
                earlier.extend(Settled::of(i, rewriting));
            }
        }
    }
    warn_of_tags(config, reader);
}

/// A rule whose tag no channel has refuses all mail that it applies to. One with `$?text` is meant
/// to, and one for senders refuses none.
fn lead_to_channels(config: &Config, known: &Known<'_>, reader: &mut Reader<'_>) {
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        let RewriteTemplate::Plain(rewriting) = &rule.parsed else { continue };
        let refuses = |end: &&Rewriting| {
            end.error.is_none() && !end.conditions.contains(&Condition::Forward(false))
        };
        for end in rewriting.ends().filter(refuses) {
            let Tag::Named(tag) = tag_of(end) else { continue };
            if reader.is_full() || known.tag(&tag).is_some() {
                continue;
            }
            let named = known.channels.get(tag.as_str()).map(|i| &config.channels[*i].tag);
            let tags = || list(&tag, config.channels.iter().map(|channel| channel.tag.as_str()));
            let tags = named.map_or_else(tags, |named| {
                format!("{tag} is the name of a channel: its tag, {named}, is expected here")
            });
            let message =
                format!("no channel has the tag {tag:?}: mail by this rule would be refused");
            reader.mistake_at(&format!("rewrite_rules[{i}]"), &message, &tags);
        }
    }
}

/// By which channels mail comes to the rules.
pub(crate) struct Sources<'a> {
    /// Names in lower case, and whether mail comes by the channel.
    channels: HashMap<String, bool>,
    config: &'a Config,
}

impl<'a> Sources<'a> {
    pub(crate) fn of(config: &'a Config) -> Self {
        let mut channels: HashMap<String, bool> = HashMap::new();
        for channel in &config.channels {
            channels.insert(channel.name.to_ascii_lowercase(), puts_mail_in(channel.program));
        }
        for service in &config.dispatcher.services {
            if service.program == dispatcher::Program::Smtp {
                for i in config.channels_of(service, |_| true) {
                    channels.insert(config.channels[i].name.to_ascii_lowercase(), true);
                }
            }
        }
        Self { channels, config }
    }

    /// Whether conditions on channels are looked at for mail of every channel.
    fn all_heeded(&self) -> bool {
        self.config.channels.iter().all(|channel| channel.rules)
    }

    fn is_unknown(&self, name: &str) -> bool {
        !self.channels.contains_key(&name.to_ascii_lowercase())
    }

    /// Why no mail comes by this channel.
    pub(crate) fn silent(&self, name: &str) -> Option<String> {
        match self.channels.get(&name.to_ascii_lowercase()) {
            Some(true) => None,
            Some(false) => Some(format!("no mail comes in by the channel {name:?}")),
            None => Some(format!("no channel is called {name:?}")),
        }
    }
}

/// Warns of conditions that never hold, and of those that are not looked at.
fn warn_of_conditions(
    (rule, rewriting): (&RewriteRule, &Rewriting),
    sources: &Sources<'_>,
    path: &str,
    reader: &mut Reader<'_>,
) {
    if sources.all_heeded()
        && let Some(pair) = contradiction(rewriting)
    {
        let message = format!("the rule never applies: {pair} exclude each other");
        reader.warning_at(path, &message, false);
    }
    let has = |wanted: &Condition| rewriting.conditions.contains(wanted);
    if has(&Condition::Envelope(false)) && has(&Condition::Forward(false)) {
        let message =
            "a rule with $B and $R never applies: senders in headers are not rewritten yet";
        reader.warning_at(path, message, false);
    }
    for condition in rewriting.all_conditions() {
        if let Some(message) = idle(condition, rule.kind, sources) {
            reader.warning_at(path, &message, false);
        }
    }
}

/// Why a condition never holds, or is not looked at.
fn idle(condition: &Condition, kind: PatternKind, sources: &Sources<'_>) -> Option<String> {
    let channels = || sources.config.channels.iter();
    let dequeued = channels().any(|channel| channel.connectcanonical);
    let message = match condition {
        Condition::Envelope(false) if !dequeued => {
            "a rule with $B never applies: headers are not rewritten yet, and no channel is \
             connectcanonical"
                .to_owned()
        }
        Condition::Found(locations) => {
            let where_else = match kind {
                PatternKind::Percent if !locations.contains(&Location::Percent) => "$P",
                PatternKind::Bang if !locations.contains(&Location::Bang) => "$X",
                _ => return None,
            };
            format!("the rule never applies: its pattern is for hosts of {where_else} alone")
        }
        Condition::Destination(_) | Condition::NotDestination(_) if !dequeued => {
            "conditions on the destination are not looked at: $Q and $C are for addresses that are \
             rewritten when they are dequeued, and no channel is connectcanonical"
                .to_owned()
        }
        Condition::Destination(set) | Condition::NotDestination(set) => {
            let mut unknown = set.names.iter().filter(|name| sources.is_unknown(name));
            format!("no channel is called {:?}", unknown.next()?)
        }
        Condition::Source(set) => never_a_source(set, sources)?,
        Condition::NotSource(set) => {
            let reason = set.names.iter().find_map(|name| sources.silent(name))?;
            format!("this $N excludes nothing: {reason}")
        }
        Condition::Envelope(_)
        | Condition::Forward(_)
        | Condition::Fact(_)
        | Condition::Local(_)
        | Condition::NotLocal(_) => return None,
    };
    Some(message)
}

/// Why mail comes in by none of the channels of `$M` and `$1M`.
fn never_a_source(set: &ChannelSet, sources: &Sources<'_>) -> Option<String> {
    let is_internal =
        |channel: &Channel| matches!(channel.program, Program::Process | Program::Reprocess);
    if set.internal && sources.config.channels.iter().any(is_internal) {
        return None;
    }
    let silent: Option<Vec<_>> = set.names.iter().map(|name| sources.silent(name)).collect();
    let mut reasons = silent?;
    if set.internal {
        reasons.push("$1M: there is no channel of program Process or Reprocess".to_owned());
    }
    let reasons = reasons.join(", ");
    Some(if sources.all_heeded() {
        format!("the rule never applies: {reasons}")
    } else {
        format!("the rule applies to mail of channels with rules: false alone: {reasons}")
    })
}

/// A rule that applies wherever its conditions hold.
struct Settled<'a> {
    /// Its place.
    rule: usize,
    conditions: Vec<&'a Condition>,
}

impl<'a> Settled<'a> {
    fn of(rule: usize, rewriting: &'a Rewriting) -> Option<Self> {
        // Less must hold where a template is cut off.
        let conditions = heeded(rewriting).collect();
        rewriting.ends().all(never_fails).then_some(Self { rule, conditions })
    }
}

/// Rules whose patterns are tried before those of others for every host: `$*` before all, and `.`
/// before `$%` and `$!`.
struct Wider<'a>(HashMap<&'a str, Vec<Settled<'a>>>);

impl<'a> Wider<'a> {
    fn of(config: &'a Config) -> Self {
        let mut wider: HashMap<&str, Vec<Settled<'_>>> = HashMap::new();
        for (i, rule) in config.rewrite_rules.iter().enumerate() {
            let RewriteTemplate::Plain(rewriting) = &rule.parsed else { continue };
            if !matches!(rule.kind, PatternKind::Always | PatternKind::Rest) {
                continue;
            }
            // A condition on a part of the host asks for another part by another pattern.
            let settled = Settled::of(i, rewriting)
                .filter(|its| !its.conditions.iter().any(|condition| condition.asks_directory()));
            let same = wider.entry(rule.key.as_str()).or_default();
            if same.len() < MOST_COMPARED {
                same.extend(settled);
            }
        }
        Self(wider)
    }

    /// Why no host ever comes to this rule.
    fn covers(&self, rule: &RewriteRule) -> Option<String> {
        let before: &[&str] = match rule.kind {
            PatternKind::Always => &[],
            PatternKind::Percent | PatternKind::Bang => &["$*", "."],
            _ => &["$*"],
        };
        let tag = tag_of_key(&rule.key).unwrap_or_default();
        let own = own_conditions(rule);
        before.iter().find_map(|pattern| {
            let same = self.0.get(format!("{tag}{pattern}").as_str())?;
            let all = |its: &&Settled<'_>| its.conditions.iter().all(|it| own.contains(it));
            let first = same.iter().find(all)?;
            Some(format!(
                "the rule is never reached: rule {} has the pattern {pattern}, which comes before \
                 this one for every host, and {}",
                first.rule + 1,
                first.when()
            ))
        })
    }
}

impl Settled<'_> {
    fn when(&self) -> &'static str {
        match self.conditions.as_slice() {
            [] => "always applies",
            _ => "applies whenever this one would",
        }
    }
}

/// Why no host ever comes to a rule behind these, all of the same pattern.
fn never_reached(rule: &RewriteRule, earlier: &[Settled<'_>]) -> Option<String> {
    let own = own_conditions(rule);
    let mut single: Vec<(usize, &&Condition)> = Vec::new();
    for its in earlier {
        // Conditions that the rule has and this one does not.
        let mut more = its.conditions.iter().filter(|condition| !own.contains(condition));
        match (more.next(), more.next().is_some()) {
            (None, _) => {
                return Some(format!(
                    "the rule is never reached: rule {} has the same pattern and {}",
                    its.rule + 1,
                    its.when()
                ));
            }
            (Some(condition), false) => {
                if let Some((other, _)) =
                    single.iter().find(|(_, other)| excludes(other, condition))
                {
                    return Some(format!(
                        "the rule is never reached: rules {} and {} have the same pattern, and one \
                         of the two always applies",
                        other + 1,
                        its.rule + 1
                    ));
                }
                single.push((its.rule, condition));
            }
            (Some(_), true) => {}
        }
    }
    None
}

/// Conditions that hold wherever the rule applies, however much of its template is left.
fn own_conditions(rule: &RewriteRule) -> Vec<&Condition> {
    match &rule.parsed {
        RewriteTemplate::Plain(rewriting) => {
            rewriting.ends().next().map(heeded).into_iter().flatten().collect()
        }
        RewriteTemplate::General(_) => Vec::new(),
    }
}

/// Conditions that are looked at.
fn heeded(rewriting: &Rewriting) -> impl Iterator<Item = &Condition> {
    let ignored = |condition: &&Condition| {
        matches!(condition, Condition::Destination(_) | Condition::NotDestination(_))
    };
    rewriting.conditions.iter().filter(move |condition| !ignored(condition))
}

/// Whether one of the two holds, and never both.
pub(super) fn excludes(one: &Condition, other: &Condition) -> bool {
    match (one, other) {
        (Condition::Envelope(a), Condition::Envelope(b))
        | (Condition::Forward(a), Condition::Forward(b)) => a != b,
        (Condition::Source(a), Condition::NotSource(b))
        | (Condition::NotSource(a), Condition::Source(b)) => a == b,
        _ => false,
    }
}

/// Two conditions of one rule that never hold together.
fn contradiction(rewriting: &Rewriting) -> Option<&'static str> {
    let conditions: Vec<_> = heeded(rewriting).take(MOST_COMPARED).collect();
    let within = |one: &ChannelSet, other: &ChannelSet| {
        let is_there = |name: &String| other.names.iter().any(|its| its.eq_ignore_ascii_case(name));
        one.names.iter().all(is_there) && one.internal <= other.internal
    };
    conditions.iter().enumerate().find_map(|(n, one)| {
        conditions[n + 1..].iter().find_map(|other| match (one, other) {
            (Condition::Envelope(a), Condition::Envelope(b)) if a != b => Some("$E and $B"),
            (Condition::Forward(a), Condition::Forward(b)) if a != b => Some("$F and $R"),
            (Condition::Source(a), Condition::NotSource(b))
            | (Condition::NotSource(b), Condition::Source(a))
                if within(a, b) =>
            {
                Some(if a.names.is_empty() { "$1M and $1N" } else { "$M and $N" })
            }
            _ => None,
        })
    })
}

/// Whether the template makes something of every host that its pattern matches.
fn never_fails(rewriting: &Rewriting) -> bool {
    !rewriting.outcome.parts().flatten().any(may_fail)
}

/// Whether there are addresses that have nothing to put in the place of a sequence.
pub(super) fn may_fail(piece: &RewritePiece) -> bool {
    matches!(
        piece,
        RewritePiece::Label { .. }
            | RewritePiece::Mapping { .. }
            | RewritePiece::Character(_)
            | RewritePiece::Url(_)
    )
}

/// `$Tx|` looks for patterns `x|...` from then on.
fn warn_of_tags(config: &Config, reader: &mut Reader<'_>) {
    let wanted: HashSet<&str> =
        config.rewrite_rules.iter().filter_map(|rule| tag_of_key(&rule.key)).collect();
    let set: HashSet<&str> = config.rewrite_rules.iter().flat_map(tags_set_by).collect();
    let open =
        config.rewrite_rules.iter().any(|rule| matches!(rule.parsed, RewriteTemplate::General(_)));
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        let path = format!("rewrite_rules[{i}]");
        for tag in tags_set_by(rule).filter(|tag| !wanted.contains(tag)) {
            let message = format!("no pattern begins with {tag:?}: after this $T no rule applies");
            reader.warning_at(&path, &message, false);
        }
        if let Some(tag) = tag_of_key(&rule.key).filter(|tag| !open && !set.contains(tag)) {
            let message = format!("no rule says $T{tag}: the rule never applies");
            reader.warning_at(&path, &message, false);
        }
    }
}

/// The tag of a pattern, its bar included.
fn tag_of_key(key: &str) -> Option<&str> {
    key.rfind('|').map(|bar| &key[..=bar])
}

/// The tags that a rule may set, each once.
fn tags_set_by(rule: &RewriteRule) -> impl Iterator<Item = &str> {
    let plain = match &rule.parsed {
        RewriteTemplate::Plain(rewriting) => Some(rewriting),
        RewriteTemplate::General(_) => None,
    };
    let all = plain.into_iter().flat_map(Rewriting::ends).filter_map(|end| end.set_tag.as_deref());
    let mut before = None;
    all.filter(move |tag| before.replace(*tag) != Some(*tag))
}

/// Rules of one pattern that those behind them are compared with, and conditions of one rule.
const MOST_COMPARED: usize = 100;
