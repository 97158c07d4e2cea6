//! `smtp_tls_policy_maps`: how far TLS is needed with single destinations.

use super::{
    maps::{MapEntry, MapForm},
    patterns::KeyForm,
    tables::PostfixFiles,
};
use crate::{
    report::Findings,
    ron::{Entry, Value},
    source::ImportError,
};

/// A policy in the words of the new file.
#[derive(Debug, Default, Eq, PartialEq)]
struct Policy {
    /// Name and value of each field.
    fields: Vec<(&'static str, String)>,
    names: Vec<String>,
    /// Parts that are left out, and why.
    left: Vec<(String, &'static str)>,
}

impl PostfixFiles<'_> {
    /// Entries of `tls.policies` for the channels of smtp(8).
    pub(super) fn tls_policies(&self, findings: &mut Findings) -> Result<Vec<Entry>, ImportError> {
        let name = "smtp_tls_policy_maps";
        if self.main.line(name).is_none() {
            return Ok(Vec::new());
        }
        let mut made: Vec<Entry> = Vec::new();
        for MapEntry { line, key, value } in
            self.entries(name, MapForm::Plain, KeyForm::Transports, findings)?
        {
            let (destination, has_port) = destination(&key);
            let Some(policy) = destination.and_then(|key| Policy::read(key, &value)) else {
                findings.missing(&line.place, &line.text, NO_POLICY);
                continue;
            };
            let key = destination.unwrap_or_default();
            if made.iter().any(|entry| entry.name == key) {
                findings.missing(&line.place, &line.text, "another entry is for the same host");
                continue;
            }
            findings.carried(&line.place, &line.text);
            for (part, why) in &policy.left {
                findings.missing(&line.place, &format!("{key}: {part}"), why);
            }
            if has_port {
                findings.missing(&line.place, &line.text, "it holds for all ports of the host");
            }
            made.push(Entry::new(key, policy.value()).said(line.comment()));
        }
        Ok(made)
    }
}

/// The domain or host of a key, and whether a port is said.
fn destination(key: &str) -> (Option<&str>, bool) {
    let (name, port) = match key.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or_default()),
        None => key.split_once(':').unwrap_or((key, "")),
    };
    let bare = name.strip_prefix('.').unwrap_or(name);
    let is_name = relais_config::grammar::is_domain_name(bare);
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
    ((is_name && !is_address).then_some(name), !port.is_empty() && port != "25")
}

impl Policy {
    /// `None`: no level of relais is as this one.
    fn read(key: &str, value: &str) -> Option<Self> {
        let mut words = value.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        let level = words.next()?.to_ascii_lowercase();
        let mut policy = Self::default();
        match level.as_str() {
            "none" => policy.level("No"),
            "may" => policy.level("May"),
            "encrypt" => policy.level("Encrypt"),
            "verify" | "secure" => policy.level("Verify"),
            "dane-only" => policy.level("Dane"),
            "dane" => policy.fields.push(("dane", "true".to_owned())),
            _ => return None,
        }
        let mut is_said = false;
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "match" => {
                    is_said = true;
                    value.split(':').for_each(|pattern| policy.matches(pattern, key, word));
                }
                "tafile" => policy.fields.push(("ca", crate::ron::quoted(value))),
                "ciphers" | "exclude" | "connection_reuse" | "servername" => {
                    policy.left.push((word.to_owned(), "rustls and the channel have their own"));
                }
                "protocols" => match value.trim_start_matches(">=") {
                    "TLSv1.3" => policy.fields.push(("min_version", "Tls13".to_owned())),
                    "TLSv1.2" => policy.fields.push(("min_version", "Tls12".to_owned())),
                    _ => policy.left.push((word.to_owned(), "TLS 1.2 and 1.3 alone are spoken")),
                },
                _ => policy.left.push((word.to_owned(), "no attribute that is known here")),
            }
        }
        if level == "secure" && !is_said {
            policy.matches("nexthop", key, "match=nexthop");
            policy.matches("dot-nexthop", key, "match=dot-nexthop");
        }
        if level == "secure" && policy.names.is_empty() {
            policy.left = vec![(value.to_owned(), NO_NAME)];
        }
        Some(policy)
    }

    fn level(&mut self, level: &str) {
        self.fields.push(("level", level.to_owned()));
    }

    /// A name that the certificate may be for. One that is not said here lets the mail wait.
    fn matches(&mut self, pattern: &str, key: &str, word: &str) {
        let name = if pattern == "nexthop" { key } else { pattern };
        if pattern == "hostname" {
            self.left.push((word.to_owned(), "the server's own name counts without names alone"));
        } else if relais_config::grammar::is_domain_name(name) && pattern != "dot-nexthop" {
            self.names.push(name.to_owned());
        } else {
            self.left.push((word.to_owned(), BELOW));
        }
    }

    fn value(&self) -> Value {
        let mut fields: Vec<_> =
            self.fields.iter().map(|(name, value)| Entry::word(name, value)).collect();
        if !self.names.is_empty() {
            let names = self.names.iter().map(String::as_str);
            fields.push(Entry::new("names", Value::texts(names)));
        }
        Value::Section("", fields)
    }
}

const NO_POLICY: &str = "tls.policies has no such level or destination";
const NO_NAME: &str = "a certificate for the server's own name is enough until `names` has others";
const BELOW: &str =
    "names are whole ones: mail waits until the certificate's own stands in `names`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_as_strict_as_they_were() {
        // key, value; fields, names, parts left out
        let rows = [
            ("a.test", "may", vec![("level", "May")], vec![], 0),
            (
                "a.test",
                "encrypt protocols=>=TLSv1.3 ciphers=high",
                vec![("level", "Encrypt"), ("min_version", "Tls13")],
                vec![],
                1,
            ),
            ("a.test", "verify", vec![("level", "Verify")], vec![], 0),
            ("a.test", "secure", vec![("level", "Verify")], vec!["a.test"], 1),
            (".a.test", "secure", vec![("level", "Verify")], vec![], 1),
            (
                "a.test",
                "secure match=mx.b.test:nexthop",
                vec![("level", "Verify")],
                vec!["mx.b.test", "a.test"],
                0,
            ),
            (
                "a.test",
                "verify,match=hostname,tafile=/x",
                vec![("level", "Verify"), ("ca", "\"/x\"")],
                vec![],
                1,
            ),
            ("a.test", "dane", vec![("dane", "true")], vec![], 0),
            ("a.test", "dane-only", vec![("level", "Dane")], vec![], 0),
        ];
        for (key, value, fields, names, left) in rows {
            let read = Policy::read(key, value).expect("a policy");
            let its: Vec<_> = read.fields.iter().map(|its| (its.0, its.1.as_str())).collect();
            assert_eq!(
                (its, read.names.as_slice()),
                (
                    fields,
                    names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().as_slice()
                ),
                "{value}"
            );
            assert_eq!(read.left.len(), left, "{value}: {:?}", read.left);
        }
        assert_eq!(Policy::read("a.test", "fingerprint match=aa:bb"), None);
        for (key, want) in [
            ("[mx.a.test]:587", (Some("mx.a.test"), true)),
            ("[mx.a.test]", (Some("mx.a.test"), false)),
            (".a.test", (Some(".a.test"), false)),
            ("a.test:25", (Some("a.test"), false)),
            ("[192.0.2.1]", (None, false)),
        ] {
            assert_eq!(destination(key), want, "{key}");
        }
    }
}
