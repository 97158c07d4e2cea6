//! Rewrite rules: whether they lead anywhere, and whether they are ever reached.

use std::collections::{HashMap, HashSet};

use crate::{
    check::{
        known::{Known, list},
        leads::{Tag, tag_of},
    },
    file::reader::Reader,
    language::rewrite::{
        Condition, Outcome, Part, PatternKind, RewritePiece, RewriteRule, RewriteTemplate,
        Rewriting,
    },
    sections::{channel::Program, config::Config, dispatcher},
};

pub(crate) fn check(config: &Config, known: &Known<'_>, reader: &mut Reader<'_>) {
    if !reader.are_sound("channels", "tag")
        || !reader.are_sound("channels", "name")
        || !reader.is_sound("rewrite_rules")
    {
        return;
    }
    lead_to_channels(config, known, reader);
    let sources = Sources::of(config);
    let mut settled: HashMap<&str, Vec<Settled<'_>>> = HashMap::new();
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        let path = format!("rewrite_rules[{i}]");
        let earlier = settled.entry(rule.key.as_str()).or_default();
        if let Some(message) = never_reached(rule, earlier) {
            reader.warning_at(&path, &message, false);
            continue;
        }
        if let RewriteTemplate::Plain(rewriting) = &rule.parsed {
            if rule.kind.is_catch_all() && stays_the_same(rewriting) {
                let message = "the rule leads back to itself, and the address is refused (554): a \
                               template for the last step ends with @ and the tag of a channel";
                reader.warning_at(&path, message, false);
            }
            let is_for_literals =
                matches!(rule.kind, PatternKind::Literal | PatternKind::AnyLiteral)
                    || rule.kind.is_catch_all();
            warn_of_conditions((rewriting, is_for_literals), &sources, &path, reader);
            if never_fails(rewriting) && earlier.len() < MOST_COMPARED {
                earlier.push(Settled { rule: i, conditions: heeded(rewriting).collect() });
            }
        }
    }
    warn_of_tags(config, reader);
}

/// A rule whose tag no channel has refuses all mail that it applies to. One with `$?text` is meant
/// to.
fn lead_to_channels(config: &Config, known: &Known<'_>, reader: &mut Reader<'_>) {
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        let Tag::Named(tag) = tag_of(rule) else { continue };
        let refuses =
            matches!(&rule.parsed, RewriteTemplate::Plain(Rewriting { error: Some(_), .. }));
        if !refuses && !reader.is_full() && known.tag(&tag).is_none() {
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
            let within = matches!(
                channel.program,
                Program::Local | Program::Process | Program::Reprocess | Program::Hold
            );
            channels.insert(channel.name.to_ascii_lowercase(), within);
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

    /// Why no mail comes by this channel.
    pub(crate) fn silent(&self, name: &str) -> Option<String> {
        match self.channels.get(&name.to_ascii_lowercase()) {
            Some(true) => None,
            Some(false) => Some(format!("no mail comes in by the channel {name:?}")),
            None => Some(format!("no channel is called {name:?}")),
        }
    }
}

/// Conditions that never hold, and those that are not looked at.
fn warn_of_conditions(
    (rewriting, is_for_literals): (&Rewriting, bool),
    sources: &Sources<'_>,
    path: &str,
    reader: &mut Reader<'_>,
) {
    let channels = || sources.config.channels.iter();
    if let Some(pair) = contradiction(rewriting) {
        let message = format!("the rule never applies: {pair} exclude each other");
        reader.warning_at(path, &message, false);
    }
    for condition in &rewriting.conditions {
        let message = match condition {
            // Addresses of clients are asked for as senders.
            Condition::Forward(false) if is_for_literals && sources.config.switches_by_client() => {
                continue;
            }
            Condition::Forward(false) => {
                "rewriting senders is not there yet: a rule with $R never applies".to_owned()
            }
            Condition::Envelope(false) if !channels().any(|channel| channel.connectcanonical) => {
                "a rule with $B never applies: headers are not rewritten yet, and no channel is \
                 connectcanonical"
                    .to_owned()
            }
            Condition::Destination(_) | Condition::NotDestination(_) => {
                "conditions on the destination are not there yet: $Q and $C are not looked at, \
                 the rule applies without them"
                    .to_owned()
            }
            Condition::Source(names) => {
                let silent: Option<Vec<_>> =
                    names.iter().map(|name| sources.silent(name)).collect();
                let Some(reasons) = silent else { continue };
                format!("the rule never applies: {}", reasons.join(", "))
            }
            Condition::NotSource(names) => {
                let Some(reason) = names.iter().find_map(|name| sources.silent(name)) else {
                    continue;
                };
                format!("this $N excludes nothing: {reason}")
            }
            Condition::Internal(true)
                if !channels().any(|channel| {
                    matches!(channel.program, Program::Process | Program::Reprocess)
                }) =>
            {
                "a rule with $1M never applies: there is no channel of program Process or \
                 Reprocess"
                    .to_owned()
            }
            _ => continue,
        };
        reader.warning_at(path, &message, false);
    }
}

/// Whether the address is rewritten from the start just as it was.
fn stays_the_same(rewriting: &Rewriting) -> bool {
    let Outcome::Restart { user, host } = &rewriting.outcome else { return false };
    let whole = [RewritePiece::Part(Part::Unmatched, None)];
    rewriting.set_tag.is_none() && user[..] == [RewritePiece::User] && host[..] == whole
}

/// A rule that applies wherever its conditions hold.
struct Settled<'a> {
    /// Its place.
    rule: usize,
    conditions: Vec<&'a Condition>,
}

/// Why no host ever comes to a rule behind these, all of the same pattern.
fn never_reached(rule: &RewriteRule, earlier: &[Settled<'_>]) -> Option<String> {
    let own: Vec<&Condition> = match &rule.parsed {
        RewriteTemplate::Plain(rewriting) => heeded(rewriting).collect(),
        RewriteTemplate::General(_) => Vec::new(),
    };
    let mut single: Vec<(usize, &&Condition)> = Vec::new();
    for its in earlier {
        // Conditions that the rule has and this one does not.
        let mut more = its.conditions.iter().filter(|condition| !own.contains(condition));
        match (more.next(), more.next().is_some()) {
            (None, _) => {
                let when = match its.conditions.as_slice() {
                    [] => "always applies",
                    _ => "applies whenever this one would",
                };
                return Some(format!(
                    "the rule is never reached: rule {} has the same pattern and {when}",
                    its.rule + 1
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

/// Conditions that are looked at.
fn heeded(rewriting: &Rewriting) -> impl Iterator<Item = &Condition> {
    let ignored = |condition: &&Condition| {
        matches!(condition, Condition::Destination(_) | Condition::NotDestination(_))
    };
    rewriting.conditions.iter().filter(move |condition| !ignored(condition))
}

/// Whether one of the two holds, and never both.
fn excludes(one: &Condition, other: &Condition) -> bool {
    match (one, other) {
        (Condition::Envelope(a), Condition::Envelope(b))
        | (Condition::Forward(a), Condition::Forward(b))
        | (Condition::Internal(a), Condition::Internal(b)) => a != b,
        (Condition::Source(a), Condition::NotSource(b))
        | (Condition::NotSource(a), Condition::Source(b)) => a == b,
        _ => false,
    }
}

/// Two conditions of one rule that never hold together.
fn contradiction(rewriting: &Rewriting) -> Option<&'static str> {
    let conditions: Vec<_> = heeded(rewriting).take(MOST_COMPARED).collect();
    let within = |names: &[String], others: &[String]| {
        names.iter().all(|name| others.iter().any(|other| other.eq_ignore_ascii_case(name)))
    };
    conditions.iter().enumerate().find_map(|(n, one)| {
        conditions[n + 1..].iter().find_map(|other| match (one, other) {
            (Condition::Envelope(a), Condition::Envelope(b)) if a != b => Some("$E and $B"),
            (Condition::Forward(a), Condition::Forward(b)) if a != b => Some("$F and $R"),
            (Condition::Internal(a), Condition::Internal(b)) if a != b => Some("$1M and $1N"),
            (Condition::Source(a), Condition::NotSource(b))
            | (Condition::NotSource(b), Condition::Source(a))
                if within(a, b) =>
            {
                Some("$M and $N")
            }
            _ => None,
        })
    })
}

/// Whether the template makes something of every host that its pattern matches.
fn never_fails(rewriting: &Rewriting) -> bool {
    let pieces: Vec<&[RewritePiece]> = match &rewriting.outcome {
        Outcome::Unchanged => Vec::new(),
        Outcome::Restart { user, host } => vec![user, host],
        Outcome::Finish { user, host, route, tag } => {
            let more = [route, tag].into_iter().flatten().map(Vec::as_slice);
            [user.as_slice(), host].into_iter().chain(more).collect()
        }
    };
    let may_fail = |piece: &RewritePiece| {
        matches!(piece, RewritePiece::Label { .. } | RewritePiece::Mapping { .. })
    };
    !pieces.into_iter().flatten().any(may_fail)
}

/// `$Tx|` looks for patterns `x|...` from then on.
fn warn_of_tags(config: &Config, reader: &mut Reader<'_>) {
    let tag = |key: &str| key.rfind('|').map(|bar| key[..=bar].to_owned());
    let wanted: HashSet<String> =
        config.rewrite_rules.iter().filter_map(|rule| tag(&rule.key)).collect();
    let set_by = |rule: &'_ RewriteRule| match &rule.parsed {
        RewriteTemplate::Plain(rewriting) => rewriting.set_tag.clone(),
        RewriteTemplate::General(_) => None,
    };
    let set: HashSet<String> = config.rewrite_rules.iter().filter_map(set_by).collect();
    let open =
        config.rewrite_rules.iter().any(|rule| matches!(rule.parsed, RewriteTemplate::General(_)));
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        let path = format!("rewrite_rules[{i}]");
        if let Some(tag) = set_by(rule).filter(|tag| !wanted.contains(tag)) {
            let message = format!("no pattern begins with {tag:?}: after this $T no rule applies");
            reader.warning_at(&path, &message, false);
        }
        if let Some(tag) = tag(&rule.key).filter(|tag| !open && !set.contains(tag)) {
            let message = format!("no rule says $T{tag}: the rule never applies");
            reader.warning_at(&path, &message, false);
        }
    }
}

/// Rules of one pattern that those behind them are compared with, and conditions of one rule.
const MOST_COMPARED: usize = 100;
