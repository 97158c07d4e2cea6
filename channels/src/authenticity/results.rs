//! The field `Authentication-Results` (RFC 8601): ours is written, and those of others that bear our
//! name are taken off.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    own_name::bears,
    verifier::{DmarcFound, DmarcPolicy, SignatureFound, SpfFound, Verified},
};
use crate::mail::{fields, named};

impl Verified {
    /// The field with its line end, under our name.
    pub fn field(&self, host: &str) -> Vec<u8> {
        self.lines(host, MOST_SIGNATURES)
            .join(";\r\n\t")
            .into_bytes()
            .into_iter()
            .chain(*b"\r\n")
            .collect()
    }

    /// The same in exactly so many octets, of which [`room`] says how many will do: blanks before
    /// folds fill it up.
    pub fn padded_field(&self, host: &str, size: usize) -> Vec<u8> {
        let text = |signatures| {
            let lines = self.lines(host, signatures);
            let octets = lines.iter().map(String::len).sum::<usize>() + 4 * lines.len() - 2;
            (lines, octets)
        };
        let all = (0..=MOST_SIGNATURES).rev().map(text);
        let fitting = all.into_iter().find(|(_, octets)| *octets <= size);
        let (lines, octets) = fitting.unwrap_or_else(|| {
            let line = format!("{NAME}{host}; none");
            let octets = line.len() + 2;
            (vec![line], octets)
        });
        let (mut left, folds) = (size.saturating_sub(octets), lines.len() - 1);
        let mut field = Vec::with_capacity(size);
        for (place, line) in lines.iter().enumerate() {
            field.extend_from_slice(line.as_bytes());
            if place < folds {
                let blanks = left.div_ceil(folds - place);
                field.push(b';');
                field.resize(field.len() + blanks, b' ');
                field.extend_from_slice(b"\r\n\t");
                left -= blanks;
            }
        }
        field.resize(field.len() + left, b' ');
        field.extend_from_slice(b"\r\n");
        field
    }

    /// The beginning, and each result.
    fn lines(&self, host: &str, signatures: usize) -> Vec<String> {
        let mut lines = vec![format!("{NAME}{host}")];
        if let Some(spf) = &self.spf {
            lines.extend(spf.words());
        }
        match &self.dkim {
            Some(all) if all.is_empty() => lines.push("dkim=none".to_owned()),
            Some(all) => lines.extend(all.iter().take(signatures).map(SignatureFound::words)),
            None => {}
        }
        if self.has_more_signatures {
            lines.push("dkim=policy (not all of its signatures are looked at)".to_owned());
        }
        lines.extend(self.dmarc.as_ref().map(DmarcFound::words));
        if lines.len() == 1 {
            lines.push("none".to_owned());
        }
        lines
    }
}

/// Octets in which [`Verified::padded_field`] has room for the usual results.
pub fn room(host: &str) -> usize {
    host.len() + 1_600
}

impl SpfFound {
    fn words(&self) -> Vec<String> {
        let helo = || format!("spf={} smtp.helo={}", self.helo, value(&self.hello));
        if self.sender.is_empty() {
            return vec![helo()];
        }
        let mut all = vec![format!("spf={} smtp.mailfrom={}", self.verdict, value(&self.sender))];
        all.extend((self.helo != super::AuthResult::None).then(helo));
        all
    }
}

impl SignatureFound {
    fn words(&self) -> String {
        let Self { verdict, reason, domain, selector, begin } = self;
        let mut text = format!("dkim={verdict}");
        // Writing to a string cannot fail.
        if !reason.is_empty() {
            let _ = write!(text, " ({reason})");
        }
        if !domain.is_empty() {
            let _ = write!(text, " header.d={} header.s={}", value(domain), value(selector));
            let _ = write!(text, " header.b={}", value(&STANDARD.encode(begin)));
        }
        text
    }
}

impl DmarcFound {
    fn words(&self) -> String {
        let Self { verdict, domain, policy } = self;
        let mut text = format!("dmarc={verdict}");
        // Writing to a string cannot fail.
        if *policy != DmarcPolicy::Unknown {
            let _ = write!(text, " (p={})", policy.name());
        }
        if !domain.is_empty() {
            let _ = write!(text, " header.from={}", value(domain));
        }
        text
    }
}

/// A value of a property: as it is where that is allowed, else between quotes; of octets that cannot
/// stand there nothing is left but `?`, and no more of it than makes sense.
fn value(text: &str) -> String {
    let text: String = text.chars().take(LONGEST_VALUE).collect();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`{|}~@/".contains(c);
    let (before, behind) = text.rsplit_once('@').unwrap_or(("", &text));
    if !text.is_empty() && text.chars().all(is_plain) && !before.contains('@') && !behind.is_empty()
    {
        return text;
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
}

/// The header without fields of others that bear our name, if there are any; its blank line stays.
pub fn without_own(header: &[u8], host: &str) -> Option<Vec<u8>> {
    let is_own = |field: &&[u8]| {
        named(field).is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case(b"authentication-results") && bears(value, host)
        })
    };
    fields(header).any(|field| is_own(&field)).then(|| {
        let end: usize = fields(header).map(<[u8]>::len).sum();
        let kept = fields(header).filter(|field| !is_own(field)).flatten();
        kept.chain(&header[end..]).copied().collect()
    })
}

const NAME: &str = "Authentication-Results: ";
/// Results of signatures that are written down.
const MOST_SIGNATURES: usize = 10;
/// Characters of a value.
const LONGEST_VALUE: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticity::AuthResult;

    #[test]
    fn fields_that_bear_our_name_are_taken_off_however_it_is_written() {
        // value, whether it is taken off
        let rows = [
            ("mx.example.org; spf=pass", true),
            ("MX.Example.ORG; none", true),
            (" mx.example.org 1; none", true),
            ("\r\n\tmx.example.org\r\n\t; none", true),
            ("(a (nested) comment) mx.example.org; none", true),
            ("(a)\r\n (b)mx.example.org(c);none", true),
            ("\"mx.example.org\"; none", true),
            ("\"mx\\.example.org\"; none", true),
            ("mx.example.org.; none", true),
            ("mx.example.org", true),
            ("(no end mx.example.org; none", true),
            ("\"no end; none", true),
            ("mx.example.com; dkim=pass header.d=mx.example.org", false),
            ("(mx.example.org) other.example; none", false),
            ("xmx.example.org; none", false),
            ("mx.example.org.evil.example; none", false),
            ("; mx.example.org", true),
            ("mx . (a) example . org; none", true),
            ("", false),
        ];
        for (value, want) in rows {
            for name in
                ["Authentication-Results", "authentication-RESULTS ", "Authentication-Results\t"]
            {
                let header = format!("A: b\r\n{name}:{value}\r\nC: d\r\n\r\n");
                let left = without_own(header.as_bytes(), "mx.example.org");
                assert_eq!(left.is_some(), want, "{header}");
                if let Some(left) = left {
                    assert_eq!(left, b"A: b\r\nC: d\r\n\r\n", "{header}");
                }
            }
        }
        let other = b"X-Authentication-Results: mx.example.org; none\r\n\r\n";
        assert_eq!(without_own(other, "mx.example.org"), None);
    }

    #[test]
    fn values_are_written_so_that_none_is_taken_for_more_than_one() {
        let rows = [
            ("a@b.example", "a@b.example"),
            ("b.example", "b.example"),
            ("a b@c", "\"a b@c\""),
            ("\"a;dkim=pass\"@c", "\"\\\"a;dkim=pass\\\"@c\""),
            ("a\r\nb", "\"a??b\""),
            ("gr\u{fc}n@c", "\"gr?n@c\""),
            ("a@b@c", "\"a@b@c\""),
            ("a=b@c", "\"a=b@c\""),
            ("", "\"\""),
        ];
        for (text, want) in rows {
            assert_eq!(value(text), want);
        }
    }

    #[test]
    fn a_field_fills_its_room() {
        let signature = SignatureFound {
            verdict: AuthResult::Fail,
            reason: "the body has changed",
            domain: "example.org".into(),
            selector: "s1".into(),
            begin: b"abcdef".to_vec(),
        };
        let dmarc = DmarcFound {
            verdict: AuthResult::Fail,
            domain: "example.org".into(),
            policy: DmarcPolicy::Reject,
        };
        for signatures in [0, 1, 5, 40] {
            let verified = Verified {
                dkim: Some(vec![signature.clone(); signatures]),
                dmarc: Some(dmarc.clone()),
                ..Verified::default()
            };
            let text = String::from_utf8(verified.field("mx.example.org")).unwrap();
            assert!(text.ends_with("dmarc=fail (p=reject) header.from=example.org\r\n"), "{text}");
            for size in [text.len(), room("mx.example.org")] {
                let padded = verified.padded_field("mx.example.org", size);
                assert_eq!(padded.len(), size.max(text.len().min(size)), "{size}");
                let padded = String::from_utf8(padded).unwrap();
                assert!(padded.lines().all(|line| line.len() < 998), "{padded}");
                let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                if text.len() <= size {
                    assert_eq!(words(&padded), words(&text));
                }
            }
        }
    }
}
