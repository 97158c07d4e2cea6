//! Which entries of the queue operators mean.

use std::fmt;

use relais_actors::{
    channel_table::behind, metrics::QueueState, standing::pattern::holds, timestamp::Timestamp,
};
use relais_config::units;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{AddressPattern, NamePattern, QueuedEntry, QueuedRecipient};

/// Which entries a listing is about. A field that is absent lets everything through; an empty text
/// would, too, and is refused: whoever wrote it meant something.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QueueFilter {
    /// Leaving by this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<NamePattern>,
    /// Going to this destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<NamePattern>,
    /// From this sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<AddressPattern>,
    /// With such a recipient that is still open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<AddressPattern>,
    /// Accepted at least this many seconds ago; in words too: `1h`.
    #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub older_than: Option<u64>,
    /// Of more octets than this; in words too: `1MiB`.
    #[serde(default, deserialize_with = "octets", skip_serializing_if = "Option::is_none")]
    pub larger_than: Option<u64>,
    /// The last reply to one of its open recipients holds this text; without regard to case.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<QueueState>,
    /// Entries at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl QueueFilter {
    /// Whether it lets this destination through. Of what waits for a conversion on its way to a host, that
    /// host is one, too.
    pub fn names_host(&self, host: &str) -> bool {
        self.host.as_ref().is_none_or(|named| {
            named.names_host(host) || behind(host).is_some_and(|(_, host)| named.names_host(host))
        })
    }

    /// Whether it lets this channel through.
    pub fn names_channel(&self, channel: &str) -> bool {
        self.channel.as_ref().is_none_or(|named| named.names(channel))
    }

    /// Whether all fields are about what [`QueueFilter::admits_state`] is told.
    pub fn is_about_states(&self) -> bool {
        let Self { from, to, older_than, reply, .. } = self;
        from.is_none() && to.is_none() && older_than.is_none() && reply.is_none()
    }

    /// Whether an entry passes, as far as these tell.
    pub fn admits_state(&self, channel: &str, host: &str, state: QueueState, size: u64) -> bool {
        self.names_channel(channel)
            && self.names_host(host)
            && self.state.is_none_or(|wanted| wanted == state)
            && self.larger_than.is_none_or(|least| size > least)
    }

    /// Whether an entry passes; [`QueueFilter::limit`] is the caller's business.
    pub fn admits<T: AsRef<str>>(&self, entry: &QueuedEntry<T>, now: Timestamp) -> bool {
        self.admits_state(entry.channel.as_ref(), entry.host.as_ref(), entry.state, entry.size)
            && self.older_than.is_none_or(|age| entry.received.until(now).as_secs() >= age)
            && self.from.as_ref().is_none_or(|from| from.names(entry.sender.as_ref()))
            && self
                .to
                .as_ref()
                .is_none_or(|to| entry.open().any(|r| r.names().any(|name| to.names(name))))
            && self.reply.as_ref().is_none_or(|reply| {
                // It is a part, whether it is said to be one or not.
                let part = reply.strip_prefix('~').unwrap_or(reply);
                let said = |r: &QueuedRecipient<T>| {
                    r.last_reply.as_ref().is_some_and(|said| holds(said.as_ref(), part))
                };
                entry.open().any(said)
            })
    }
}

fn text<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(value)?;
    if matches!(text.as_deref(), Some("" | "~")) {
        return Err(de::Error::custom("reply must not be empty"));
    }
    Ok(text)
}

/// A number, or what operators write for it.
struct Amount {
    read: fn(&str) -> Option<u64>,
    forms: &'static str,
}

impl de::Visitor<'_> for Amount {
    type Value = Option<u64>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.forms)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Option<u64>, E> {
        Ok(Some(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<u64>, E> {
        let number = text.parse().ok().or_else(|| (self.read)(text));
        let shown: String = text.chars().take(64).collect();
        number.map(Some).ok_or_else(|| E::custom(format_args!("{shown:?}: {}", self.forms)))
    }

    fn visit_unit<E>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }
}

fn seconds<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    let read = |text: &str| units::parse_duration(text).ok().map(|age| age.as_secs());
    value.deserialize_any(Amount { read, forms: units::DURATION_FORMS })
}

fn octets<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    let read = |text: &str| units::parse_size(text).ok();
    value.deserialize_any(Amount { read, forms: units::SIZE_FORMS })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RecipientState, queue::tests::entry};

    #[test]
    fn ages_and_sizes_come_as_numbers_and_as_operators_write_them() {
        let read = |text: &str| serde_json::from_str::<QueueFilter>(text);
        for (text, age, size) in [
            (r#"{"older_than": 3600}"#, Some(3_600), None),
            (r#"{"older_than": "3600"}"#, Some(3_600), None),
            (r#"{"older_than": "1h"}"#, Some(3_600), None),
            (r#"{"older_than": "1 hour 30 min"}"#, Some(5_400), None),
            (r#"{"larger_than": "1M"}"#, None, Some(1 << 20)),
            (r#"{"larger_than": 17, "older_than": null}"#, None, Some(17)),
            ("{}", None, None),
        ] {
            let filter = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((filter.older_than, filter.larger_than), (age, size), "{text}");
        }
        let error = read(r#"{"older_than": "soon"}"#).unwrap_err().to_string();
        assert!(error.contains("a time with its unit is expected"), "{error}");
    }

    #[test]
    fn the_host_behind_a_conversion_is_meant_too() {
        let rows = [
            ("mx.example", "mx.example", true),
            ("mx.example", "tcp_local/mx.example", true),
            ("MX.example", "tcp_local/mx.example", true),
            ("tcp_local/mx.example", "tcp_local/mx.example", true),
            ("example", "tcp_local/mx.example", false),
            ("tcp_local", "tcp_local/mx.example", false),
        ];
        for (named, host, want) in rows {
            let filter = QueueFilter { host: named.parse().ok(), ..QueueFilter::default() };
            assert_eq!(filter.names_host(host), want, "{named} {host}");
        }
    }

    #[test]
    fn a_filter_lets_through_what_it_names() {
        let filter = QueueFilter::default;
        let some = |text: &str| Some(text.parse().unwrap());
        let name = |text: &str| Some(text.parse().unwrap());
        let text = |text: &str| Some(text.to_owned());
        let rows = [
            ("nothing asked", filter(), true),
            ("its channel", QueueFilter { channel: name("tcp_lmtpcs"), ..filter() }, true),
            ("another channel", QueueFilter { channel: name("hold"), ..filter() }, false),
            ("its host", QueueFilter { host: name("STORE1.example"), ..filter() }, true),
            ("part of a host", QueueFilter { host: name("store1"), ..filter() }, false),
            ("its sender", QueueFilter { from: some("Ann@example.org"), ..filter() }, true),
            ("a word of the sender", QueueFilter { from: some("Ann@"), ..filter() }, false),
            ("a part of the sender", QueueFilter { from: some("~ann@"), ..filter() }, true),
            ("the sender's domain", QueueFilter { from: some("@example.org"), ..filter() }, true),
            ("nobody", QueueFilter { from: some("<>"), ..filter() }, false),
            ("another sender", QueueFilter { from: some("~eve@"), ..filter() }, false),
            ("a recipient", QueueFilter { to: some("bob"), ..filter() }, true),
            ("another recipient", QueueFilter { to: some("carol"), ..filter() }, false),
            ("its state", QueueFilter { state: Some(QueueState::Delayed), ..filter() }, true),
            ("another state", QueueFilter { state: Some(QueueState::Held), ..filter() }, false),
            ("larger", QueueFilter { larger_than: Some(4_095), ..filter() }, true),
            ("not larger", QueueFilter { larger_than: Some(4_096), ..filter() }, false),
            ("what was said last", QueueFilter { reply: text("LATER"), ..filter() }, true),
            ("the same with a tilde", QueueFilter { reply: text("~later"), ..filter() }, true),
            ("what was not", QueueFilter { reply: text("never"), ..filter() }, false),
            ("just old enough", QueueFilter { older_than: Some(60), ..filter() }, true),
            ("too young", QueueFilter { older_than: Some(61), ..filter() }, false),
        ];
        for (name, filter, want) in rows {
            let entry = entry();
            assert_eq!(filter.admits(&entry, Timestamp(70_000)), want, "{name}");
            if filter.is_about_states() {
                let QueuedEntry { channel, host, state, size, .. } = &entry;
                assert_eq!(filter.admits_state(channel, host, *state, *size), want, "{name}");
            }
        }
    }

    #[test]
    fn recipients_that_are_done_match_nothing() {
        let done = |address: &str, state, reply: &str| QueuedRecipient {
            member: None,
            address: address.to_owned(),
            state,
            last_reply: Some(reply.to_owned()),
            quota: None,
        };
        let mut entry = entry();
        entry.recipients.push(done("carol", RecipientState::Delivered, "250 2.1.5 thanks"));
        entry.recipients.push(done("dave", RecipientState::Failed, "550 5.1.1 unknown"));
        let some = |text: &str| Some(text.to_owned());
        for (text, want) in [("bob", true), ("carol", false), ("dave", false)] {
            let filter = QueueFilter { to: text.parse().ok(), ..QueueFilter::default() };
            assert_eq!(filter.admits(&entry, Timestamp(70_000)), want, "{text}");
        }
        for (text, want) in [("later", true), ("thanks", false), ("unknown", false)] {
            let filter = QueueFilter { reply: some(text), ..QueueFilter::default() };
            assert_eq!(filter.admits(&entry, Timestamp(70_000)), want, "{text}");
        }
    }

    #[test]
    fn an_empty_text_is_no_filter() {
        for field in ["channel", "host", "from", "to", "reply"] {
            let read =
                |value| serde_json::from_str::<QueueFilter>(&format!("{{\"{field}\":{value}}}"));
            assert!(read("\"\"").unwrap_err().to_string().contains("must not be empty"), "{field}");
            assert!(read("\"~\"").is_err(), "{field}");
            assert!(read("\"x\"").is_ok() && read("null").is_ok(), "{field}");
        }
    }
}
