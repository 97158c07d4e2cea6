//! Which entries of the queue operators mean.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{
    AddressPattern, EntryState, NamePattern, QueuedEntry, QueuedRecipient, Timestamp,
    pattern::holds,
};

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
    /// Accepted at least this many seconds ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<u64>,
    /// Of more octets than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub larger_than: Option<u64>,
    /// The last reply to one of its open recipients holds this text; without regard to case.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<EntryState>,
    /// Entries at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl QueueFilter {
    /// Whether it lets this destination through.
    pub fn names_host(&self, host: &str) -> bool {
        self.host.as_ref().is_none_or(|named| named.names_host(host))
    }

    /// Whether it lets this channel through.
    pub fn names_channel(&self, channel: &str) -> bool {
        self.channel.as_ref().is_none_or(|named| named.names(channel))
    }

    /// Whether an entry passes; [`QueueFilter::limit`] is the caller's business.
    pub fn admits(&self, entry: &QueuedEntry, now: Timestamp) -> bool {
        self.names_channel(&entry.channel)
            && self.names_host(&entry.host)
            && self.state.is_none_or(|state| state == entry.state)
            && self.older_than.is_none_or(|age| entry.received.until(now).as_secs() >= age)
            && self.larger_than.is_none_or(|size| entry.size > size)
            && self.from.as_ref().is_none_or(|from| from.names(&entry.sender))
            && self
                .to
                .as_ref()
                .is_none_or(|to| entry.open().any(|r| r.names().any(|name| to.names(name))))
            && self.reply.as_ref().is_none_or(|reply| {
                // It is a part, whether it is said to be one or not.
                let part = reply.strip_prefix('~').unwrap_or(reply);
                let said =
                    |r: &QueuedRecipient| r.last_reply.as_ref().is_some_and(|s| holds(s, part));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{RecipientState, queue::tests::entry};

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
            ("its state", QueueFilter { state: Some(EntryState::Delayed), ..filter() }, true),
            ("another state", QueueFilter { state: Some(EntryState::Held), ..filter() }, false),
            ("larger", QueueFilter { larger_than: Some(4_095), ..filter() }, true),
            ("not larger", QueueFilter { larger_than: Some(4_096), ..filter() }, false),
            ("what was said last", QueueFilter { reply: text("LATER"), ..filter() }, true),
            ("the same with a tilde", QueueFilter { reply: text("~later"), ..filter() }, true),
            ("what was not", QueueFilter { reply: text("never"), ..filter() }, false),
            ("just old enough", QueueFilter { older_than: Some(60), ..filter() }, true),
            ("too young", QueueFilter { older_than: Some(61), ..filter() }, false),
        ];
        for (name, filter, want) in rows {
            assert_eq!(filter.admits(&entry(), Timestamp(70_000)), want, "{name}");
        }
    }

    #[test]
    fn recipients_that_are_done_match_nothing() {
        let done = |address: &str, state, reply: &str| QueuedRecipient {
            member: None,
            address: address.to_owned(),
            state,
            last_reply: Some(reply.to_owned()),
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
