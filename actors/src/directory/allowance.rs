//! An entry's allowance: how full its mailbox may be, and how large a message for it.
//!
//! Values that make no sense are ignored, and told to whoever looks: mail goes on without them.

use std::num::NonZeroU64;

use relais_channels::mail::XQuota;

use super::entry::{Entry, Kind};

/// The allowance of a user or group.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Allowance {
    /// For the store; `None`: the directory says nothing of it.
    pub quota: Option<XQuota>,
    /// Octets of one message.
    pub size_limit: Option<NonZeroU64>,
    /// Values that were ignored.
    pub ignored: Vec<IgnoredValue>,
}

/// A value that makes no sense.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IgnoredValue {
    /// Its attribute.
    pub attribute: &'static str,
    /// The beginning of it.
    pub value: String,
    /// The values that do make sense.
    pub wanted: &'static str,
}

impl IgnoredValue {
    /// One of this attribute.
    pub(super) fn new(attribute: &'static str, value: &str, wanted: &'static str) -> Self {
        Self { attribute, value: value.chars().take(MAX_SHOWN).collect(), wanted }
    }
}

impl Allowance {
    /// Of an entry that lies in a domain with this one.
    pub fn of(entry: &Entry, domain: &Entry) -> Self {
        let mut allowance = Self::of_everybody(domain);
        let mut ignored = std::mem::take(&mut allowance.ignored);
        let own = blocks(entry, "mailMsgMaxBlocks", &mut ignored);
        allowance.size_limit = own.into_iter().chain(allowance.size_limit).min();
        if Kind::of(entry) == Some(Kind::Group) {
            let octets = |text: &str| NonZeroU64::new(u64::try_from(number(text)?).ok()?);
            let own = value(entry, "mgrpMsgMaxSize", octets, OCTETS, &mut ignored);
            allowance.size_limit = own.into_iter().chain(allowance.size_limit).min();
        }
        if Kind::of(entry) == Some(Kind::User) {
            let mut size = value(entry, "mailQuota", octets, QUOTAS, &mut ignored);
            if size.is_none_or(|size| size == STORE_DEFAULT) {
                size = value(domain, "mailQuota", octets, QUOTAS, &mut ignored).or(size);
            }
            let messages = value(entry, "mailMsgQuota", number, COUNTS, &mut ignored);
            allowance.quota = (size.is_some() || messages.is_some()).then(|| XQuota {
                size: size.unwrap_or(STORE_DEFAULT),
                messages: messages.unwrap_or(STORE_DEFAULT),
            });
        }
        Self { ignored, ..allowance }
    }

    /// Of whoever has no entry in a domain with this one.
    pub fn of_everybody(domain: &Entry) -> Self {
        let mut ignored = Vec::new();
        let size_limit = blocks(domain, "mailDomainMsgMaxBlocks", &mut ignored);
        Self { quota: None, size_limit, ignored }
    }
}

/// The octets of a number of blocks.
fn blocks(
    entry: &Entry,
    attribute: &'static str,
    ignored: &mut Vec<IgnoredValue>,
) -> Option<NonZeroU64> {
    let octets = |text: &str| {
        let count = number(text).filter(|count| *count > 0)?;
        NonZeroU64::new(u64::try_from(count).ok()?.checked_mul(BLOCK)?)
    };
    value(entry, attribute, octets, BLOCKS, ignored)
}

/// The value of an attribute, if it has one that makes sense.
fn value<T>(
    entry: &Entry,
    attribute: &'static str,
    parse: impl Fn(&str) -> Option<T>,
    wanted: &'static str,
    ignored: &mut Vec<IgnoredValue>,
) -> Option<T> {
    let text = entry.first(&attribute.to_ascii_lowercase())?;
    let parsed = parse(text.trim_matches(' '));
    if parsed.is_none() {
        ignored.push(IgnoredValue::new(attribute, text, wanted));
    }
    parsed
}

/// A number of octets; one behind which K, M or G stands; without end, or the store's own.
fn octets(text: &str) -> Option<i64> {
    let unit = match text.as_bytes().last()?.to_ascii_uppercase() {
        b'K' => 1 << 10,
        b'M' => 1 << 20,
        b'G' => 1 << 30,
        _ => return number(text),
    };
    // Whole characters: the last one is a letter.
    number(&text[..text.len() - 1]).filter(|count| *count >= 0)?.checked_mul(unit)
}

/// Digits and nothing else; without end, or the store's own.
fn number(text: &str) -> Option<i64> {
    match text {
        "-1" => Some(WITHOUT_END),
        "-2" => Some(STORE_DEFAULT),
        _ if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) => None,
        digits => digits.parse().ok(),
    }
}

/// Octets of a block, as the original counts.
const BLOCK: u64 = 1_024;
/// As [`XQuota`] has it.
const WITHOUT_END: i64 = -1;
/// The same.
const STORE_DEFAULT: i64 = -2;
/// Characters of a value that is told.
const MAX_SHOWN: usize = 80;
const QUOTAS: &str = "octets, a number with K, M or G, -1 (unlimited) or -2 (the store's default)";
const COUNTS: &str = "a number of messages, -1 (unlimited) or -2 (the store's default)";
const OCTETS: &str = "a number of octets, at least 1";
const BLOCKS: &str = "a number of blocks of 1024 octets, at least 1";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(class: &str, attributes: &[(&str, &str)]) -> Entry {
        let mut entry = Entry::new("uid=x,o=siroe.com");
        entry.add("objectClass", class);
        for (name, value) in attributes {
            entry.add(name, *value);
        }
        entry
    }

    /// The attributes whose values were ignored.
    fn ignored(allowance: &Allowance) -> Vec<&'static str> {
        allowance.ignored.iter().map(|ignored| ignored.attribute).collect()
    }

    #[test]
    fn quotas_are_read_as_the_directory_writes_them() {
        // mailQuota, mailMsgQuota; what is handed on; whether something is ignored
        let rows = [
            ("", "", None, 0),
            ("20971520", "2000", Some((20_971_520, 2_000)), 0),
            ("20M", "", Some((20 << 20, -2)), 0),
            ("2g", "0", Some((2 << 30, 0)), 0),
            ("512K", "-1", Some((512 << 10, -1)), 0),
            (" 4096G ", "-2", Some((4_096 << 30, -2)), 0),
            ("-1", "", Some((-1, -2)), 0),
            ("-2", "", Some((-2, -2)), 0),
            ("0", "", Some((0, -2)), 0),
            ("", "7", Some((-2, 7)), 0),
            ("9223372036854775807", "", Some((i64::MAX, -2)), 0),
            ("9223372036854775808", "", None, 1),
            ("9223372036854775807G", "5", Some((-2, 5)), 1),
            ("99999999999999999999999999", "x", None, 2),
            ("-3", "+1", None, 2),
            ("-1M", "1e3", None, 2),
            ("M", "5M", None, 2),
            ("20 M", "1 0", None, 2),
            ("20MB", "0x10", None, 2),
            ("20\u{212a}", "\u{0663}", None, 2),
            ("#INBOX%20M;5M", "2\r\nRSET", None, 2),
            ("1,2", "--1", None, 2),
        ];
        for (size, messages, want, wrong) in rows {
            let values = [("mailQuota", size), ("mailMsgQuota", messages)];
            let given: Vec<_> = values.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let user = entry("inetMailUser", &given);
            let allowance = Allowance::of(&user, &Entry::default());
            let quota = allowance.quota.map(|quota| (quota.size, quota.messages));
            assert_eq!((quota, ignored(&allowance).len()), (want, wrong), "{size:?} {messages:?}");
            let group = entry("inetMailGroup", &given);
            assert_eq!(Allowance::of(&group, &Entry::default()), Allowance::default());
        }
    }

    #[test]
    fn a_domain_says_it_for_users_who_do_not() {
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a Entry, Option<(i64, i64)>, &'a [&'a str]);
        let domain = entry("mailDomain", &[("mailQuota", "1G"), ("mailMsgQuota", "5")]);
        let broken = entry("mailDomain", &[("mailQuota", "lots")]);
        let rows: [Row<'_>; 6] = [
            (&[], &domain, Some((1 << 30, -2)), &[]),
            (&[("mailQuota", "-2")], &domain, Some((1 << 30, -2)), &[]),
            (&[("mailQuota", "-1")], &domain, Some((-1, -2)), &[]),
            (&[("mailQuota", "?")], &domain, Some((1 << 30, -2)), &["mailQuota"]),
            (&[], &broken, None, &["mailQuota"]),
            (&[("mailQuota", "-2")], &broken, Some((-2, -2)), &["mailQuota"]),
        ];
        for (own, domain, want, wrong) in rows {
            let allowance = Allowance::of(&entry("inetMailUser", own), domain);
            let quota = allowance.quota.map(|quota| (quota.size, quota.messages));
            assert_eq!((quota, &*ignored(&allowance)), (want, wrong), "{own:?}");
        }
    }

    #[test]
    fn of_two_limits_of_a_message_the_tighter_one_holds() {
        // of the entry, of its domain; octets; whether something is ignored
        let rows = [
            ("", "", None, 0),
            ("10", "", Some(10_240), 0),
            ("", "20", Some(20_480), 0),
            ("10", "20", Some(10_240), 0),
            ("20", "10", Some(10_240), 0),
            ("0", "20", Some(20_480), 1),
            ("-1", "", None, 1),
            ("9223372036854775807", "x", None, 2),
        ];
        for class in ["inetMailUser", "inetMailGroup"] {
            for (own, of_domain, want, wrong) in rows {
                let of = |name, value: &'static str| {
                    (!value.is_empty()).then_some((name, value)).into_iter().collect::<Vec<_>>()
                };
                let domain = entry("mailDomain", &of("mailDomainMsgMaxBlocks", of_domain));
                let allowance = Allowance::of(&entry(class, &of("mailMsgMaxBlocks", own)), &domain);
                let limit = allowance.size_limit.map(NonZeroU64::get);
                assert_eq!((limit, ignored(&allowance).len()), (want, wrong), "{own} {of_domain}");
            }
        }
    }

    #[test]
    fn lists_count_octets() {
        let rows = [
            ("10240", Some(10_240), 0),
            (" 1 ", Some(1), 0),
            ("0", None, 1),
            ("-1", None, 1),
            ("10K", None, 1),
            ("99999999999999999999", None, 1),
        ];
        for (value, want, wrong) in rows {
            let attributes = [("mgrpMsgMaxSize", value)];
            let domain = Entry::default();
            let group = Allowance::of(&entry("inetMailGroup", &attributes), &domain);
            assert_eq!(group.size_limit.map(NonZeroU64::get), want, "{value}");
            assert_eq!(ignored(&group).len(), wrong, "{value}");
            let user = Allowance::of(&entry("inetMailUser", &attributes), &domain);
            assert_eq!(user, Allowance::default());
            let tighter = [("mgrpMsgMaxSize", "3000"), ("mailMsgMaxBlocks", "2")];
            let group = Allowance::of(&entry("inetMailGroup", &tighter), &domain);
            assert_eq!(group.size_limit.map(NonZeroU64::get), Some(2_048));
        }
    }
}
