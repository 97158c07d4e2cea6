//! Where rules, options and transports lead.

use crate::{
    language::rewrite::{
        Outcome, PatternKind, RewritePiece, RewriteRule, RewriteTemplate, Rewriting,
    },
    sections::{channel::Channel, config::Config},
};

/// Where a rule's template leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Tag {
    /// To the channel of this tag.
    Named(String),
    /// To whatever the address or the database says.
    Open,
    /// To no channel: the result is rewritten again, or refused.
    None,
}

impl Config {
    /// Whether a channel may take mail for recipients' domains to private addresses: as it says itself,
    /// else where only rules for certain domains lead to it.
    pub fn allows_private_addresses(&self, channel: &Channel) -> bool {
        let is_inside = || {
            let leads = |rule: &&RewriteRule| {
                tags_of(rule).iter().any(|tag| match tag {
                    Tag::Named(tag) => tag.eq_ignore_ascii_case(&channel.tag),
                    Tag::Open => is_for_strangers(rule),
                    Tag::None => false,
                })
            };
            let mut leading = self.rewrite_rules.iter().filter(leads).peekable();
            leading.peek().is_some() && !leading.any(is_for_strangers)
        };
        channel.private_addresses.unwrap_or_else(is_inside)
    }
}

/// Whether the rule is for all domains, those of strangers among them.
fn is_for_strangers(rule: &RewriteRule) -> bool {
    matches!(rule.kind, PatternKind::Always | PatternKind::AllStars | PatternKind::Rest)
}

/// Where the rule leads: one tag, or several when its template may be cut off.
pub(crate) fn tags_of(rule: &RewriteRule) -> Vec<Tag> {
    match &rule.parsed {
        RewriteTemplate::Plain(rewriting) => rewriting.ends().map(tag_of).collect(),
        RewriteTemplate::General(_) => vec![Tag::Open],
    }
}

/// Where a template leads that is not cut off.
pub(crate) fn tag_of(rewriting: &Rewriting) -> Tag {
    match &rewriting.outcome {
        Outcome::Finish { tag: Some(pieces), .. } | Outcome::Finish { host: pieces, .. } => {
            literal(pieces).map_or(Tag::Open, Tag::Named)
        }
        Outcome::Restart { .. } | Outcome::Unchanged => Tag::None,
    }
}

/// Literal texts behind an `@`: the tags a template may route to.
pub(crate) fn literal_tags(template: &str) -> impl Iterator<Item = &str> {
    template.split('@').skip(1).filter_map(|part| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let (name, rest) = part.split_at(part.find(|c| !plain(c)).unwrap_or(part.len()));
        let whole = rest.is_empty() || rest.starts_with([':', ',', '|']);
        (whole && !name.is_empty()).then_some(name)
    })
}

/// The fields that hold `channel:next hop`.
pub(crate) fn transports(channel: &Channel) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("mailbox_transport", &channel.mailbox_transport),
        ("local_transport", &channel.local_transport),
        ("fallback_transport", &channel.fallback_transport),
    ]
    .into_iter()
    .filter_map(|(field, transport)| Some((field, transport.as_deref()?)))
}

/// The text, where nothing is substituted into it.
fn literal(pieces: &[RewritePiece]) -> Option<String> {
    match pieces {
        [RewritePiece::Text(text)] => Some(text.clone()),
        _ => None,
    }
}
