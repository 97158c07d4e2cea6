//! Rules about replies: what a server's refusal leads to, beside what its code says.

use relais_channels::mail::{Attempt, Outcome, Reply};
use relais_config::{
    Channel,
    destinations::{Becomes, ReplyRule},
};
use tracing::{info, warn};

use super::admission::CourierLimits;
use crate::{
    events::Printable,
    metrics::{ChannelMeter, RuleAction},
};

/// Asks the rules about each reply of a server in an attempt; the first that means it decides how it is
/// taken. Returns these rules, each with a reply.
fn decide<'r>(rules: &'r [ReplyRule], attempt: &mut Attempt) -> Vec<(&'r ReplyRule, Reply)> {
    let mut decided: Vec<(&ReplyRule, Reply)> = Vec::new();
    let in_trouble = attempt.trouble.is_some();
    let Attempt { outcomes, trouble, peer } = attempt;
    for (nth, outcome) in outcomes.iter_mut().enumerate() {
        let answered = peer.as_ref().is_some_and(|peer| peer.has_answered(nth));
        let reply = outcome.reply();
        let is_its_word = answered || in_trouble && !is_own_word(reply);
        let refuses = !matches!(outcome, Outcome::Delivered(_));
        let Some(rule) = rule_of(rules, reply).filter(|_| is_its_word && refuses) else { continue };
        if !decided.iter().any(|(other, _)| std::ptr::eq(*other, rule)) {
            decided.push((rule, reply.clone()));
        }
        match rule.becomes {
            Becomes::Temporary => *outcome = Outcome::Deferred(reply.clone()),
            Becomes::Permanent if answered && !in_trouble => {
                *outcome = Outcome::Failed(reply.clone());
            }
            Becomes::Permanent | Becomes::Itself => {}
        }
    }
    if let Some(trouble) = trouble
        && trouble.is_final()
        && let Some(rule) = rule_of(rules, trouble.reply())
        && rule.becomes == Becomes::Temporary
    {
        trouble.outcome = Outcome::Deferred(trouble.reply().clone());
    }
    decided
}

fn rule_of<'r>(rules: &'r [ReplyRule], reply: &Reply) -> Option<&'r ReplyRule> {
    let enhanced = reply.enhanced.map(|its| (its.0, its.1, its.2));
    rules.iter().find(|rule| rule.pattern.matches(reply.code, enhanced, &reply.text))
}

/// Whether a reply stands in place of a server's that did not answer: it is about the network (RFC 3463
/// section 3.5). What servers say of their connections begins with 421.
fn is_own_word(reply: &Reply) -> bool {
    let Some(enhanced) = reply.enhanced else { return false };
    enhanced.1 == 4 && (reply.code != 421 || enhanced.2 == 2)
}

/// Does what the rules of a channel say about the replies in an attempt.
pub(super) fn apply(
    channel: &Channel,
    attempt: &mut Attempt,
    admission: &CourierLimits,
    meter: &ChannelMeter,
) {
    let rules = &channel.destinations.replies;
    if rules.is_empty() {
        return;
    }
    for (rule, reply) in decide(rules, attempt) {
        let (host, pattern) = (admission.counted().host, rule.pattern.to_string());
        let (host, pattern, said) = (Printable(&*host), Printable(&*pattern), Printable(&reply));
        if let Some(rate) = rule.slow_down {
            meter.ruled(RuleAction::SlowDown);
            if admission.slow_down((rate, rule.lasts), &reply) {
                let lasts = rule.lasts.as_secs();
                warn!(%host, %rate, lasts, %pattern, reply = %said, "a reply slows the destination down");
            }
        }
        if let Some(time) = rule.suspend {
            meter.ruled(RuleAction::Suspend);
            if admission.stop(time, &reply) {
                let lasts = time.as_secs();
                warn!(%host, lasts, %pattern, reply = %said, "a reply suspends the destination");
            }
        }
        let becomes = match rule.becomes {
            Becomes::Itself => continue,
            Becomes::Temporary => RuleAction::Temporary,
            Becomes::Permanent => RuleAction::Permanent,
        };
        meter.ruled(becomes);
        info!(%host, becomes = becomes.name(), %pattern, reply = %said, "a reply is taken otherwise than its code says");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relais_channels::mail::{Enhanced, Peer, RecipientSet, SiteTrouble};
    use relais_config::{Config, Destinations};

    use super::*;

    /// Rules as the file has them.
    fn rules(text: &str) -> Vec<ReplyRule> {
        let channel = "(name: \"tcp_lmtpcs\",";
        let with = format!("{channel} destinations: (replies: [{text}]),");
        let file = relais_config::STANDALONE.replacen(channel, &with, 1);
        let (config, _) = Config::parse("f", &file).expect("a configuration");
        let ruled = config.channels.into_iter().find(|its| its.name == "tcp_lmtpcs");
        ruled.map(|its| its.destinations.replies).expect("the channel")
    }

    fn said(code: u16, enhanced: Enhanced, text: &'static str) -> Outcome {
        let reply = Reply::new(code, enhanced, text);
        if code < 500 { Outcome::Deferred(reply) } else { Outcome::Failed(reply) }
    }

    /// Name, outcomes, whether the server was in trouble, the rules, how outcomes are then.
    type Row = (&'static str, Vec<Outcome>, bool, &'static [usize], &'static str);

    #[test]
    fn the_first_rule_that_means_a_reply_decides() {
        let rules = rules(
            r#"(pattern: "4.7.28", slow_down: "1/1m"), (pattern: "421 *busy*", suspend: "30m"),
               (pattern: "5.7.1 *blocked*", becomes: Temporary), (pattern: "450 *gone*", becomes: Permanent),
               (pattern: "4yz", slow_down: "9/1m")"#,
        );
        let limited = || said(421, Enhanced(4, 7, 28), "unusual rate, busy");
        let busy = || said(421, Enhanced(4, 3, 2), "Busy");
        let blocked = || said(550, Enhanced(5, 7, 1), "you are BLOCKED here");
        let gone = || said(450, Enhanced(4, 2, 0), "gone");
        let down = || said(451, Enhanced(4, 4, 1), "connection refused");
        let ok = || Outcome::Delivered(Reply::new(250, Enhanced(2, 0, 0), "blocked 4.7.28"));
        let rows: Vec<Row> = vec![
            ("by enhanced code", vec![limited()], false, &[0], "d"),
            ("by code and text", vec![busy(), busy()], false, &[1], "dd"),
            ("made temporary", vec![ok(), blocked()], false, &[2], "+d"),
            ("made permanent", vec![gone(), ok()], false, &[3], "f+"),
            ("not at the greeting", vec![gone()], true, &[3], "d"),
            ("temporary at the greeting", vec![blocked()], true, &[2], "d"),
            ("the network", vec![down()], true, &[], "d"),
            ("several", vec![limited(), busy(), blocked()], false, &[0, 1, 2], "ddd"),
            ("none", vec![ok(), said(550, Enhanced(5, 1, 1), "nobody")], false, &[], "+f"),
        ];
        for (name, outcomes, in_trouble, want, then) in rows {
            let trouble = in_trouble.then(|| SiteTrouble { outcome: outcomes[0].clone() });
            let answered = RecipientSet::from(u64::MAX);
            let peer = Peer { host: "h".into(), notifies: false, answered, unsure: false };
            let peer = (!in_trouble).then_some(peer);
            let mut attempt = Attempt { outcomes: outcomes.into(), trouble, peer };
            let decided = decide(&rules, &mut attempt);
            let place = |rule: &ReplyRule| rules.iter().position(|other| std::ptr::eq(other, rule));
            let places: Vec<_> = decided.iter().filter_map(|(rule, _)| place(rule)).collect();
            assert_eq!(places, want, "{name}");
            let letter = |outcome: &Outcome| match outcome {
                Outcome::Delivered(_) => '+',
                Outcome::Deferred(_) => 'd',
                Outcome::Failed(_) => 'f',
            };
            let letters: String = attempt.outcomes.iter().map(letter).collect();
            assert_eq!(letters, then, "{name}");
            assert!(attempt.trouble.is_none_or(|its| !its.is_final()), "{name}");
        }
    }

    #[test]
    fn words_that_nobody_has_said_are_no_replies() {
        let rules = rules(r#"(pattern: "4yz", becomes: Permanent)"#);
        let outcome = said(451, Enhanced(4, 3, 0), "ours");
        let mut attempt = Attempt::all(1, &outcome);
        assert!(decide(&rules, &mut attempt).is_empty());
        assert_eq!(attempt.outcomes[0], outcome);
        assert_eq!(Destinations::default().replies.len(), 0);
        assert_eq!(rules[0].lasts, Duration::from_secs(3_600));
    }
}
