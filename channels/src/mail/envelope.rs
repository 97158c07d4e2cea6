//! The envelope of a queued message: who it is from, and where each recipient goes.

use std::{borrow::Cow, net::IpAddr, ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Fragments, MessageId, Notify, OriginalRecipient, Priority, Reply, Return, XQuota};

/// Everything the queue knows about a message beside its content. Stored once, with the content;
/// what happens to the recipients later is appended as state changes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Envelope {
    /// The queue id.
    pub id: MessageId,
    /// Milliseconds since 1970.
    pub received: u64,
    /// The sender without angle brackets; empty for the null sender.
    pub sender: String,
    /// The channel it came in by.
    pub source_channel: Arc<str>,
    /// The client: `name [address]`.
    pub client: Arc<str>,
    /// `BODY=8BITMIME` was said.
    pub eight_bit: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// ENVID: the sender's own name for it, decoded; printable ASCII.
    pub envelope_id: Option<String>,
    /// RET: how much of it comes back in a notice of failure.
    pub returned: Option<Return>,
    /// Why it is not to be delivered until an operator says so; `None` for nearly all mail.
    pub held: Option<String>,
    /// It was routed again, and this is what it goes on as. Kept beside the envelope.
    #[serde(skip)]
    pub rerouted: Option<Rerouted>,
    /// The user who had logged in when it came in. Kept beside the envelope.
    #[serde(skip)]
    pub login: Option<Arc<str>>,
    /// `SMTPUTF8` was said: the header may hold what is beyond ASCII, and addresses may. Kept beside
    /// the envelope.
    #[serde(skip)]
    pub smtputf8: bool,
    /// Its demand on TLS along the way. Kept beside the envelope.
    #[serde(skip)]
    pub tls: TlsWish,
    /// It is a piece of a message, or was put together from pieces. Kept beside the envelope.
    #[serde(skip)]
    pub fragments: Option<Arc<Fragments>>,
    /// Octets of content, our own header lines included.
    pub size: u64,
    /// Recipients, grouped by the way they go. Where a message goes on after it was routed again,
    /// entries without recipients come first: they stand for those of the earlier records.
    pub entries: Vec<Entry>,
}

/// The demand of a message on TLS along its way.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum TlsWish {
    /// As destinations and operators say.
    #[default]
    Usual,
    /// `REQUIRETLS` was said (RFC 8689): no server gets it that does not show who it is.
    Required,
    /// Its header says `TLS-Required: No`: rather in clear than not at all.
    NotRequired,
}

impl Envelope {
    /// An envelope in which nothing is said but this: of the null sender, from no client, without a demand.
    pub fn plain(id: MessageId, received: u64, entries: Vec<Entry>) -> Self {
        Self {
            id,
            received,
            sender: String::new(),
            source_channel: "".into(),
            client: "".into(),
            eight_bit: false,
            priority: Priority::Normal,
            envelope_id: None,
            returned: None,
            held: None,
            rerouted: None,
            login: None,
            smtputf8: false,
            tls: TlsWish::Usual,
            fragments: None,
            size: 0,
            entries,
        }
    }

    /// The address of the client. `None`: there is none, of our own mail and of what came by a UNIX socket.
    pub fn client_ip(&self) -> Option<IpAddr> {
        client_ip(&self.client)
    }

    /// Why an entry is held from the beginning, if it is.
    pub fn held_because(&self, entry: u16) -> Option<Cow<'_, str>> {
        let fragments = self.fragments.as_deref().filter(|its| its.waits(entry));
        let waits = || {
            let piece = fragments?.piece()?;
            Some(format!("piece {} of a message waits for others", piece.number).into())
        };
        self.held.as_deref().map(Cow::Borrowed).or_else(waits)
    }
}

/// The address in `name [address]`.
fn client_ip(client: &str) -> Option<IpAddr> {
    let (_, address) = client.strip_suffix(']')?.rsplit_once('[')?;
    address.parse().ok()
}

/// Where a message that was routed again comes from. Its recipients are here as soon as this is on
/// the disk, whatever the old entry still says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rerouted {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The number of the entry that they were in.
    pub entry: u16,
    /// Which of that entry's recipients, a bit each. None, of older versions of the program: it is a part
    /// of what they come to, and another record says whose.
    pub recipients: u64,
    /// The file with its content, of a large message; 0: the one that it came in.
    pub form: u8,
}

/// The recipients that leave together: one channel, one host. Scheduled, tried and counted as one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// The channel they leave by.
    pub channel: Arc<str>,
    /// The destination by which the channel tells hosts apart, in lower case.
    pub host: Arc<str>,
    /// At most [`relais_config::channel::MAX_ADDRSPERFILE`].
    pub recipients: Vec<Recipient>,
}

/// One recipient of a queued message.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Recipient {
    /// The address that is presented to the next hop.
    pub address: Arc<str>,
    /// As the sender wrote it; what notices and logs show.
    pub original: Arc<str>,
    /// NOTIFY: what the sender wants to hear of it.
    pub notify: Notify,
    /// ORCPT: what the sender's sender called it.
    pub original_recipient: Option<OriginalRecipient>,
    /// How it came about, when the sender did not name it itself. Kept beside the envelope.
    #[serde(skip)]
    pub origin: Option<Box<Origin>>,
    /// The quota that the directory gives its mailbox. Kept beside the envelope.
    #[serde(skip)]
    pub quota: Option<Arc<XQuota>>,
    /// Whether the list that it is the address of was asked. Kept beside the envelope.
    #[serde(skip)]
    pub post_check: PostCheck,
    /// The address of its mailbox, where a script has named the folder in the other one: a store may make
    /// the folder, and a server that refuses it may have the message for the INBOX. Of records of older
    /// versions of the program it is the same address. Kept beside the envelope.
    #[serde(skip)]
    pub inbox: Option<Arc<str>>,
}

/// Whether a list has been asked if the sender may post to it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum PostCheck {
    /// It was no list, as far as anybody looked; older versions of the program wrote nothing else.
    #[default]
    Unsaid,
    /// It was asked, and takes the post.
    Passed,
    /// Nobody has looked whether it is a list.
    NotAsked,
}

/// Of a recipient that an alias, a list or a forward led to.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Origin {
    /// The address that was looked up last: what is routed when the recipient is routed again.
    pub member: Arc<str>,
    /// The address that failures are told to in the sender's place.
    pub errors_to: Option<ErrorsTo>,
    /// Why it could not be routed; for good, or for the time being.
    pub refused: Option<Reply>,
}

/// An address that failures are told to in the sender's place.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ErrorsTo {
    /// Without angle brackets.
    pub address: Arc<str>,
    /// It is the sender of the recipient's copy, too.
    pub is_sender: bool,
}

impl ErrorsTo {
    /// One that only hears of failures.
    pub fn reader(address: impl Into<Arc<str>>) -> Self {
        Self { address: address.into(), is_sender: false }
    }
}

/// The address.
impl Deref for ErrorsTo {
    type Target = str;

    fn deref(&self) -> &str {
        &self.address
    }
}

/// A text, in angle brackets where it is the sender: no address begins with one.
impl Serialize for ErrorsTo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_sender {
            serializer.collect_str(&format_args!("<{}>", self.address))
        } else {
            serializer.serialize_str(&self.address)
        }
    }
}

impl<'de> Deserialize<'de> for ErrorsTo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let sender = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
        Ok(Self { address: sender.unwrap_or(&text).into(), is_sender: sender.is_some() })
    }
}

impl Envelope {
    /// The sender of the copy that a recipient gets: that of a list, or the message's own. The null
    /// sender stays, whatever a list says: nobody is to answer to such a message.
    pub fn sender_of<'a>(&'a self, recipient: &'a Recipient) -> &'a str {
        self.list_sender(recipient).unwrap_or(&self.sender)
    }

    /// The sender that a list gives to the copy of a recipient.
    pub fn list_sender<'a>(&self, recipient: &'a Recipient) -> Option<&'a str> {
        let origin = recipient.origin.as_deref().filter(|_| !self.sender.is_empty());
        let errors_to = origin.and_then(|origin| origin.errors_to.as_ref());
        errors_to.filter(|its| its.is_sender).map(|its| &*its.address)
    }
}

impl Recipient {
    /// The address that an alias, a list or a forward made of it; else the one that the sender
    /// wrote.
    pub fn member(&self) -> &str {
        self.origin.as_deref().map_or(&self.original, |origin| &origin.member)
    }

    /// One about which nothing else was said.
    pub fn new(address: impl Into<Arc<str>>, original: impl Into<Arc<str>>) -> Self {
        Self {
            address: address.into(),
            original: original.into(),
            notify: Notify::default(),
            original_recipient: None,
            origin: None,
            quota: None,
            post_check: PostCheck::default(),
            inbox: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_client_is_found() {
        let rows = [
            ("", None),
            ("local", None),
            ("mx.example [192.0.2.1]", Some("192.0.2.1")),
            ("[192.0.2.9] [2001:db8::1]", Some("2001:db8::1")),
            (" [192.0.2.1]", Some("192.0.2.1")),
        ];
        for (client, want) in rows {
            assert_eq!(client_ip(client), want.map(|ip| ip.parse().unwrap()), "{client}");
        }
    }
}
