//! Rewrite rules: patterns and templates, parsed once.
//!
//! A rule is found by its pattern and applied by its template; both happen in the router. What is
//! here says what the operator wrote, and which rules a host is looked for in. Site routines and parts of
//! mail hosts are refused, never ignored.

mod candidates;
mod parser;
mod pattern;
mod syntax;

use self::parser::{Parser, chunks};
pub use self::{
    candidates::{Candidate, RuleCandidates, RuleIndex, Split},
    pattern::PatternKind,
    syntax::{
        ChannelSet, Chunk, Condition, Cut, ErrorText, Location, MAX_PASSES, Outcome, Part,
        RewritePiece, RewriteTemplate, Rewriting,
    },
};
use crate::{
    grammar::table_key,
    language::{facts::Facts, template::TemplateError},
};

/// One rule: a pattern and what becomes of an address whose host matches it.
#[derive(Clone, Debug)]
pub struct RewriteRule {
    /// As in the file.
    pub pattern: String,
    /// As in the file.
    pub template: String,
    /// The pattern with its tag, in lower case and ASCII: what probes are compared with.
    pub key: String,
    /// The hosts that the pattern matches.
    pub kind: PatternKind,
    /// The template, parsed.
    pub parsed: RewriteTemplate,
    /// The line of the file, where it was read from one.
    pub line: Option<usize>,
}

/// Equal is what is written the same.
impl PartialEq for RewriteRule {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern && self.template == other.template
    }
}

impl RewriteRule {
    /// Parses both columns of a rule.
    pub fn parse(pattern: &str, template: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            pattern: pattern.to_owned(),
            template: template.to_owned(),
            key: table_key(pattern),
            kind: PatternKind::parse(pattern)?,
            parsed: RewriteTemplate::parse(template)?,
            line: None,
        })
    }

    /// Whether the rule may make another address of the sender of an envelope.
    pub fn may_change_sender(&self) -> bool {
        let RewriteTemplate::Plain(rewriting) = &self.parsed else { return true };
        let never = |condition: &Condition| {
            matches!(condition, Condition::Forward(true) | Condition::Envelope(false))
        };
        rewriting
            .ends()
            .any(|end| !end.conditions.iter().any(never) && !end.outcome.keeps_sender(self.kind))
    }

    /// Whether the rule may come out otherwise for another destination channel (`$Q`, `$C`).
    pub fn asks_destination(&self) -> bool {
        let RewriteTemplate::Plain(rewriting) = &self.parsed else { return true };
        let asks = |condition: &Condition| {
            matches!(condition, Condition::Destination(_) | Condition::NotDestination(_))
        };
        rewriting.ends().any(|end| end.conditions.iter().any(asks))
    }
}

impl RewriteRule {
    /// Whether the rule asks for a fact about the origin of mail.
    pub fn asks_facts(&self) -> bool {
        match &self.parsed {
            RewriteTemplate::Plain(rewriting) => rewriting.ends().any(|end| {
                end.conditions.iter().any(|condition| matches!(condition, Condition::Fact(_)))
            }),
            RewriteTemplate::General(_) => Facts::are_asked_in(&self.template),
        }
    }
}

/// Parses an entry of the domain database.
pub fn domain_entry(pattern: &str, template: &str) -> Result<RewriteRule, TemplateError> {
    if let Some(offset) = pattern.find('*') {
        let message = "the domain database is not asked for patterns with asterisks".to_owned();
        let accepted = "a rule of rewrite_rules may have one".to_owned();
        return Err(TemplateError { offset, message, accepted });
    }
    let rule = RewriteRule::parse(pattern, template)?;
    if rule.asks_facts() {
        // Name servers are asked where the file alone asks for results.
        let message = "the domain database may not ask for results of SPF".to_owned();
        let accepted = "a rule of rewrite_rules may".to_owned();
        return Err(TemplateError { offset: pattern.len(), message, accepted });
    }
    Ok(rule)
}

impl RewriteTemplate {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        if !text.contains("$(") {
            return Rewriting::parse(text).map(Self::Plain);
        }
        let chunks = chunks(text)?;
        // Text outside of `$(key)` can be checked now; whether there are enough `%` and `@` cannot,
        // because the value may hold them.
        let mut outside = Parser::new(text);
        outside.general = true;
        outside.read()?;
        Ok(Self::General(chunks))
    }
}

impl Rewriting {
    /// Parses a template that may not hold `$(key)`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parser = Parser::new(text);
        parser.read()?;
        parser.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(template: &str) -> Rewriting {
        Rewriting::parse(template).unwrap_or_else(|e| panic!("{template}: {e} at {}", e.offset))
    }

    fn text(text: &str) -> Vec<RewritePiece> {
        vec![RewritePiece::Text(text.to_owned())]
    }

    #[test]
    fn every_form_of_template() {
        let (a, b, c, d) = (text("a"), text("b"), text("c"), text("d"));
        let finish =
            |route: Option<&Vec<RewritePiece>>, tag: Option<&Vec<RewritePiece>>| Outcome::Finish {
                user: a.clone(),
                host: b.clone(),
                route: route.cloned(),
                tag: tag.cloned(),
            };
        let rows = [
            ("a%b@c", finish(None, Some(&c))),
            ("a@b", finish(None, None)),
            ("a%b", Outcome::Restart { user: a.clone(), host: b.clone() }),
            ("a@b@c", finish(Some(&c), Some(&c))),
            ("a@b@c@d", finish(Some(&c), Some(&d))),
            ("a%b@c@d", finish(Some(&c), Some(&d))),
            ("$?Call postmaster@siroe.com", Outcome::Unchanged),
        ];
        for (template, outcome) in rows {
            assert_eq!(parse(template).outcome, outcome, "{template}");
        }
    }

    #[test]
    fn controls_do_not_become_text() {
        let parsed = parse("$A$E$F$U%$H$V$H@localhost");
        let h = RewritePiece::Part(Part::Unmatched, None);
        assert_eq!(
            parsed.conditions,
            [
                Condition::Found(vec![Location::At]),
                Condition::Envelope(true),
                Condition::Forward(true),
                Condition::Local(vec![h.clone()]),
            ]
        );
        let (user, host) = (vec![RewritePiece::User], vec![h]);
        let tag = Some(text("localhost"));
        assert_eq!(parsed.outcome, Outcome::Finish { user, host, route: None, tag });

        let parsed = parse("$S$U@localhost$Tmtcp-FORCE|");
        assert_eq!(parsed.set_tag.as_deref(), Some("mtcp-force|"));
        let parsed = parse("$U@b$Mtcp_local$Mtcp_intranet$Nx$1M");
        assert_eq!(
            parsed.conditions,
            [
                Condition::Source(channels(&["tcp_local", "tcp_intranet"], true)),
                Condition::NotSource(channels(&["x"], false)),
            ]
        );
    }

    fn channels(names: &[&str], internal: bool) -> ChannelSet {
        ChannelSet { names: names.iter().map(|name| (*name).to_owned()).collect(), internal }
    }

    #[test]
    fn a_template_is_cut_off_where_conditions_on_channels_fail() {
        let tag = |parsed: &Rewriting| match &parsed.outcome {
            Outcome::Finish { tag: Some(tag), .. } => tag.clone(),
            other => panic!("{other:?}"),
        };
        let parsed = parse("$E$U%$D@a$Mx$1M$1~-b$Ny$1~-c$4000000?Later$Qz");
        let cuts: Vec<_> = parsed.cuts.iter().map(|cut| cut.conditions.as_slice()).collect();
        let first = Condition::Source(channels(&["x"], true));
        let second = Condition::NotSource(channels(&["y"], false));
        assert_eq!(cuts, [&[first][..], &[second]]);
        let ends: Vec<_> = parsed.ends().map(tag).collect();
        assert_eq!(ends, [text("a"), text("a-b"), text("a-b-c")]);
        let errors: Vec<_> = parsed.ends().map(|end| end.error.is_some()).collect();
        assert_eq!(errors, [false, false, true]);
        let envelope = Condition::Envelope(true);
        let last = Condition::Destination(channels(&["z"], false));
        assert_eq!(parsed.conditions, [envelope.clone(), last]);
        assert!(parsed.cuts.iter().all(|cut| cut.before.conditions == [envelope.clone()]));
        // As the original documents it for a directory that does not answer.
        let failure = parse("$U@reprocess-daemon$Mtcp_local$1M$1~-error$4000000?Temporary failure");
        assert_eq!(failure.cuts[0].conditions, [Condition::Source(channels(&["tcp_local"], true))]);
    }

    #[test]
    fn error_texts_carry_their_code() {
        let rows = [
            ("$4001002?Try later", (4, 1, 2), "Try later"),
            ("$?Call postmaster@siroe.com", (5, 1, 2), "Call postmaster@siroe.com"),
            ("$4000000?Later$Mtcp_local", (4, 0, 0), "Later"),
            ("$U@b$5007001?no", (5, 7, 1), "no"),
        ];
        for (template, code, text) in rows {
            let error = parse(template).error.expect(template);
            assert_eq!((error.code, error.text.as_str()), (code, text), "{template}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        let rows = [
            ("$U%$H", None),
            ("$U", Some(2)),
            ("", Some(0)),
            ("%b@c", Some(4)),
            ("$U%@c", Some(5)),
            ("a%b%c", Some(3)),
            ("a@b@c@d@e", Some(7)),
            ("$U@$W$2A", None),
            ("${T,$=$U}@a", None),
            ("$U@$]ldap:///x[", Some(3)),
            ("$U@$]ldap:///o=x?mail?sub?(a=$A)", Some(3)),
            ("$.later.$U@$]ldap:///o=x?mail?sub?(a=$A)[", None),
            ("$U@b$.later", Some(4)),
            ("$U@$[image,routine,x]", Some(3)),
            ("$U%domain.com@tcp-daemon$Mtcp_local$1~-relay", None),
            ("$U%domain.com@tcp-daemon$1~-relay", Some(24)),
            ("$U$Mx$1~@a", Some(8)),
            ("$U@b$~", Some(4)),
            ("$U@$.x.", Some(7)),
            ("$U@$3X", Some(3)),
            ("$U@$G", Some(3)),
            ("$U@b$", Some(4)),
            ("$U@$&x", Some(3)),
            ("$U@${x}", Some(3)),
            ("$U@$($($H))", Some(5)),
            ("$U@b$V", Some(4)),
            ("$U@b$Tx", Some(4)),
            ("$U@b$M$H", Some(4)),
            ("$2001002?x", Some(0)),
            ("$U @b", Some(2)),
        ];
        for (template, offset) in rows {
            let parsed = RewriteRule::parse("a", template);
            assert_eq!(parsed.err().map(|e| e.offset), offset, "{template}");
        }
    }

    #[test]
    fn cuts_have_an_end() {
        let cut = |n: usize| format!("$U@a{}", "$Mx$1~b".repeat(n));
        assert!(RewriteRule::parse("a", &cut(10)).is_ok());
        let error = RewriteRule::parse("a", &cut(1_000)).map(|_| ()).expect_err("too many");
        assert_eq!(error.offset, 4 + 7 * 10 + 3, "{error}");
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |n: usize| format!("$U%{}x{}@t", "${T,".repeat(n), "}".repeat(n));
        assert!(RewriteRule::parse("a", &nested(10)).is_ok());
        for n in [11, 16_000, 300_000] {
            let error = RewriteRule::parse("a", &nested(n)).map(|_| ()).expect_err("too deep");
            assert_eq!(error.offset, 3 + 4 * 10, "{error}");
        }
        // A value of the general database is parsed when a stranger's address comes.
        assert!(Rewriting::parse(&nested(16_000)).is_err());
    }

    #[test]
    fn general_keys_are_cut_out() {
        let rule = RewriteRule::parse(".siroenet", "$E$($H).x$$(@t").unwrap();
        let h = RewritePiece::Part(Part::Unmatched, None);
        assert_eq!(
            rule.parsed,
            RewriteTemplate::General(vec![
                Chunk::Raw("$E".to_owned()),
                Chunk::Key(vec![h]),
                Chunk::Raw(".x$$(@t".to_owned()),
            ])
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(pattern in "\\PC{0,40}", template in "[$%@UDHLVTMNWA=?~&0-9a-z{}(),|\\\\ é]{0,60}") {
            let _ = RewriteRule::parse(&pattern, &template);
        }
    }
}
