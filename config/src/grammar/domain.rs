//! Domains: names and address literals (RFC 1123 section 2.1, RFC 5321 sections 4.1.2 and 4.1.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `text` is a domain name or an address literal: what may stand right of an `@`.
pub fn is_domain(text: &str) -> bool {
    if text.starts_with('[') { literal(text).is_some() } else { is_domain_name(text) }
}

/// Whether `text` is a domain name: labels joined by dots, at most 253 octets. One final dot is
/// taken, as DNS tools write it and as Postfix takes it; [`undotted`] is the same name without it.
pub fn is_domain_name(text: &str) -> bool {
    let name = undotted(text);
    name.len() <= MAX_NAME && name.split('.').all(is_label)
}

/// Whether `text` is one label: 1 to 63 letters, digits, `-` and `_`, with no `-` at either end.
/// Underscores are let through, as Postfix does: real hosts have them.
pub fn is_label(text: &str) -> bool {
    let is_inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The name without its final dot.
pub fn undotted(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Reads `[192.0.2.1]` or `[IPv6:2001:db8::1]`, the tag in any case.
pub fn literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    match untagged(inner) {
        Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// The text behind `IPv6:`, in any case.
pub fn untagged(text: &str) -> Option<&str> {
    let (tag, address) = text.split_at_checked(IPV6_TAG.len())?;
    tag.eq_ignore_ascii_case(IPV6_TAG).then_some(address)
}

const IPV6_TAG: &str = "IPv6:";
/// Octets (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;
/// Octets of a name as it is written; 255 on the wire of the DNS.
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_literals() {
        let label = "a".repeat(63);
        let long_label = "a".repeat(64);
        let long = [label.as_str(); 4].join(".");
        // text, whether it is a name, whether it is a literal
        let rows = [
            ("localhost", true, false),
            ("relais.example", true, false),
            ("relais.example.", true, false),
            ("a-b.c_d.1", true, false),
            ("_dmarc.example", true, false),
            ("3com.example", true, false),
            (&label, true, false),
            (&long[2..], true, false),
            (&long, false, false),
            (&long_label, false, false),
            ("", false, false),
            (".", false, false),
            (".a", false, false),
            ("a..b", false, false),
            ("a..", false, false),
            ("-a.b", false, false),
            ("a.-b", false, false),
            ("a-.b", false, false),
            ("a.b-", false, false),
            ("a.b-.", false, false),
            ("a b", false, false),
            ("a/b", false, false),
            ("\u{fc}.de", false, false),
            ("[1.2.3.4]", false, true),
            ("[IPv6:::1]", false, true),
            ("[ipv6:2001:db8::1]", false, true),
            ("[::1]", false, false),
            ("[IPv6:1.2.3.4]", false, false),
            ("[1.2.3]", false, false),
            ("[1.2.3.4].", false, false),
            ("[1.2.3.4", false, false),
            ("[]", false, false),
        ];
        for (text, name, is_literal) in rows {
            assert_eq!(is_domain_name(text), name, "{text}");
            assert_eq!(literal(text).is_some(), is_literal, "{text}");
            assert_eq!(is_domain(text), name || is_literal, "{text}");
        }
    }
}
