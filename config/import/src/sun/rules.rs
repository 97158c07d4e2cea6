//! Rewrite rules of the new file. There a channel has one tag; in the original any of its hosts leads
//! to it, and a tag that leads nowhere refuses mail.

use std::collections::BTreeMap;

use relais_config::{
    RewriteRule,
    rewrite::{Condition, Outcome, RewritePiece, RewriteTemplate, Rewriting},
};

use super::imta::{Imta, ImtaRule};
use crate::{
    report::{Fate, Findings},
    ron::Entry,
};

/// Rules for channels of these tags, by the channels' names.
pub(super) fn rules(
    imta: &Imta,
    tag_of: impl Fn(&str) -> Option<String>,
    findings: &mut Findings,
) -> Vec<Entry> {
    let hosts = Hosts::of(imta, tag_of);
    let mut entries: Vec<_> = imta.rules.iter().map(|rule| entry(rule, &hosts, findings)).collect();
    for block in &imta.blocks {
        for host in block.other_hosts() {
            let place = block.more.iter().find(|line| line.text.contains(host));
            let place = &place.unwrap_or(&block.line).place;
            let of = format!("{}: {host}", block.name);
            match hosts.rule(imta, &block.name, host) {
                Ok(Some(rule)) => {
                    findings.carried(place, &of);
                    let said = format!("{place}: {host}: another host of {}", block.name);
                    entries.push(rule.said(said));
                }
                Ok(None) => findings.carried(place, &of),
                Err(why) => findings.missing(place, &of, &why),
            }
        }
    }
    entries
}

/// The channel table.
struct Hosts {
    /// Channel and tag by each host, in lower case. Without a tag: the channel is not in the new file.
    all: BTreeMap<String, (String, Option<String>)>,
    has_others: bool,
}

/// The end of a template's tag.
enum End {
    /// At a channel, by its tag.
    Channel,
    /// At a channel, by another of its hosts.
    Other(String),
    /// At a channel that is not in the new file.
    Left(String),
    /// Nowhere.
    Nowhere,
}

impl Hosts {
    fn of(imta: &Imta, tag_of: impl Fn(&str) -> Option<String>) -> Self {
        let hosts = imta.hosts().into_iter().map(|(host, block)| {
            let name = &imta.blocks[block].name;
            (host, (name.clone(), tag_of(name)))
        });
        let has_others = imta.blocks.iter().any(|block| block.other_hosts().next().is_some());
        Self { all: hosts.collect(), has_others }
    }

    fn end(&self, tag: &str) -> End {
        match self.all.get(&tag.to_ascii_lowercase()) {
            Some((_, Some(own))) if own.eq_ignore_ascii_case(tag) => End::Channel,
            Some((_, Some(own))) => End::Other(own.clone()),
            Some((name, None)) => End::Left(name.clone()),
            None => End::Nowhere,
        }
    }

    /// The rule that leads a further host to its channel; none: others lead it, as in the original.
    fn rule(&self, imta: &Imta, name: &str, host: &str) -> Result<Option<Entry>, String> {
        if host.len() > MAX_HOST {
            return Err(format!("a host of more than {MAX_HOST} octets"));
        }
        let host = host.to_ascii_lowercase();
        let Some((channel, Some(tag))) = self.all.get(&host) else {
            return Err("its channel is not in the new file".to_owned());
        };
        if channel != name || tag.eq_ignore_ascii_case(&host) {
            return Err(format!("it is a host of {channel} already"));
        }
        let template = format!("$U%$D@{tag}");
        RewriteRule::parse(&host, &template).map_err(|error| error.to_string())?;
        // Of hosts of this machine no pattern for what lies around them counts.
        let most = if name == "l" { 1 } else { usize::MAX };
        for (n, probe) in super::probe::names(&host).iter().take(most).enumerate() {
            let same = imta.rules.iter().filter(|rule| rule.pattern.eq_ignore_ascii_case(probe));
            let mut same = same.peekable();
            if same.peek().is_some() && n > 0 {
                // In the original the name counts behind every pattern but the last resort.
                return same.any(always_applies).then_some(None).ok_or_else(|| {
                    format!(
                        "rules of the pattern {probe} come before the name, and need not apply: \
                         write ({host:?}, {template:?}) where it is to count"
                    )
                });
            }
            if same.any(always_applies) {
                return Ok(None);
            }
        }
        Ok(Some(Entry::pair(&host, &template)))
    }
}

/// Whether a rule of the source has no condition, and nothing that may fail.
fn always_applies(rule: &ImtaRule) -> bool {
    let Ok(parsed) = RewriteRule::parse(&rule.pattern, &rule.template) else { return false };
    let RewriteTemplate::Plain(rewriting) = parsed.parsed else { return false };
    let may_fail = |piece: &RewritePiece| {
        !matches!(
            piece,
            RewritePiece::Text(_)
                | RewritePiece::User
                | RewritePiece::UserName
                | RewritePiece::Subaddress
                | RewritePiece::Part(_, None)
                | RewritePiece::Case(_)
        )
    };
    rewriting.conditions.is_empty() && !rewriting.outcome.parts().flatten().any(may_fail)
}

fn entry(rule: &ImtaRule, hosts: &Hosts, findings: &mut Findings) -> Entry {
    let (place, text) = (&rule.line.place, &rule.line.text);
    let entry = |template: &str| Entry::pair(&rule.pattern, template).said(rule.line.comment());
    match New::of(rule, hosts) {
        Ok(New { template, comments, told }) => {
            match told {
                Some((fate, why)) => findings.tell(place, text, fate, &why),
                None => findings.carried(place, text),
            }
            entry(&template).said_all(comments)
        }
        Err(error) => {
            findings.missing(place, text, &format!("the rule is left out: {error}"));
            entry(&rule.template).out()
        }
    }
}

/// A template of the new file.
struct New {
    template: String,
    comments: Vec<String>,
    /// Where it is not simply carried over.
    told: Option<(Fate, String)>,
}

impl New {
    /// The error tells why there is none.
    fn of(rule: &ImtaRule, hosts: &Hosts) -> Result<Self, String> {
        let mut template = rule.template.clone();
        if template.contains('?') {
            // A text needs no `$` before its blanks.
            template = template.replace("$ ", " ");
        }
        let parse = |template: &str| {
            let parsed = RewriteRule::parse(&rule.pattern, template);
            parsed.map(|rule| rule.parsed).map_err(|error| error.to_string())
        };
        let mut new = Self { template, comments: Vec::new(), told: None };
        let RewriteTemplate::Plain(rewriting) = parse(&new.template)? else {
            new.told = hosts.has_others.then(|| (Fate::NoCounterpart, BY_DATABASE.to_owned()));
            return Ok(new);
        };
        let ends = ends(&rewriting, hosts);
        for (tag, end) in &ends {
            if let End::Other(own) = end {
                let why =
                    || format!("its tag {tag} is another host of the channel of the tag {own}");
                new.template = led(&new.template, tag, own).ok_or_else(why)?;
                new.comments.push(format!("{tag} is another host of the channel"));
            }
        }
        new.refuse(rule, &ends, hosts)?;
        parse(&new.template)?;
        Ok(new)
    }

    /// Mail by a rule to a channel that is not there is refused.
    fn refuse(
        &mut self,
        rule: &ImtaRule,
        ends: &[(String, End)],
        hosts: &Hosts,
    ) -> Result<(), String> {
        for (tag, end) in ends {
            let why = match end {
                End::Left(channel) => {
                    let why =
                        format!("the channel {channel} is not there: mail by the rule is refused");
                    self.told = Some((Fate::NotNeeded, why.clone()));
                    why
                }
                End::Nowhere => {
                    format!("no channel has the tag {tag}: mail is refused, as it was")
                }
                End::Channel | End::Other(_) => continue,
            };
            let refusing = refusing(&rule.pattern, &self.template, hosts);
            self.template = refusing.ok_or_else(|| format!("no channel has the tag {tag}"))?;
            self.comments.push(why);
            return Ok(());
        }
        Ok(())
    }
}

/// The tags that a rule ends at, which is told of where no channel has one.
fn ends(rewriting: &Rewriting, hosts: &Hosts) -> Vec<(String, End)> {
    let told = |end: &&Rewriting| {
        end.error.is_none() && !end.conditions.contains(&Condition::Forward(false))
    };
    let tags = rewriting.ends().map(|end| (tag_of(end), told(&end)));
    let ends = tags.filter_map(|(tag, is_told)| {
        let tag = tag?;
        let end = hosts.end(&tag);
        (is_told || matches!(end, End::Other(_))).then_some((tag, end))
    });
    ends.collect()
}

/// The tag of a template, where that is no matter of the address.
fn tag_of(end: &Rewriting) -> Option<String> {
    let (Outcome::Finish { tag: Some(pieces), .. } | Outcome::Finish { host: pieces, .. }) =
        &end.outcome
    else {
        return None;
    };
    let text = |piece: &RewritePiece| match piece {
        RewritePiece::Text(text) => Some(text.clone()),
        _ => None,
    };
    pieces.iter().map(text).collect()
}

/// The template with this tag in the place of another host of the channel, which stays what it is beside
/// that: host of the address, or its route.
fn led(template: &str, host: &str, tag: &str) -> Option<String> {
    let separators = separators(template);
    let (last, _) = *separators.last()?;
    let start = last + 1;
    let end = template[start..].find('$').map_or(template.len(), |at| start + at);
    if !template[start..end].eq_ignore_ascii_case(host) {
        return None;
    }
    let (before, behind) = (&template[..last], &template[end..]);
    let kinds: String = separators.iter().map(|(_, c)| *c).collect();
    match kinds.as_str() {
        "@" => Some(format!("{before}%{host}@{tag}{behind}")),
        "@@" => Some(format!("{before}@{host}@{tag}{behind}")),
        "%@" | "@@@" | "%@@" => Some(format!("{before}@{tag}{behind}")),
        _ => None,
    }
}

/// Places of `%` and `@` that divide a template.
fn separators(template: &str) -> Vec<(usize, char)> {
    let mut found = Vec::new();
    let mut chars = template.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '$' => {
                let close = match chars.next() {
                    Some((_, '{')) => '}',
                    Some((_, '(')) => ')',
                    Some((_, ']')) => '[',
                    _ => continue,
                };
                chars.find(|(_, c)| *c == close);
            }
            '@' | '%' => found.push((at, c)),
            _ => {}
        }
    }
    found
}

/// The template with words for those whose mail ends at no channel, which its reader asks for.
fn refusing(pattern: &str, template: &str, hosts: &Hosts) -> Option<String> {
    let cut = template.find("$1~").unwrap_or(template.len());
    let all = [
        format!("{template}{UNKNOWN_HOST}"),
        format!("{}{UNKNOWN_HOST}{}", &template[..cut], &template[cut..]),
    ];
    let is_whole = |template: &String| {
        let parsed = RewriteRule::parse(pattern, template).map(|rule| rule.parsed);
        let Ok(RewriteTemplate::Plain(rewriting)) = parsed else { return false };
        ends(&rewriting, hosts).iter().all(|(_, end)| matches!(end, End::Channel))
    };
    all.into_iter().find(is_whole)
}

/// Octets of a name (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 255;
const BY_DATABASE: &str = "the general database may name another host of a channel: there the new file \
                           wants the channel's tag";
/// The original's own words, with its code 5.1.2.
const UNKNOWN_HOST: &str = "$?unknown host or domain";
