//! A message as a client is given it.

use crate::{
    authenticity::SignAs,
    mail::{Notify, OriginalRecipient, Reply, Return, TlsWish, XQuota},
};

/// A message to be handed over.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Without angle brackets; empty for the null sender.
    pub sender: &'a str,
    /// In the order in which the outcomes are wanted; at least one.
    pub recipients: &'a [OutgoingRcpt<'a>],
    /// Octets of content.
    pub size: u64,
    /// The content holds octets above 127. The message that is handed over is looked at; of the one
    /// that follows it this is believed.
    pub eight_bit: bool,
    /// The message came with SMTPUTF8: its header may be beyond ASCII.
    pub smtputf8: bool,
    /// The message's demand on TLS.
    pub tls: TlsWish,
    /// ENVID, decoded. This and the next are sent where DSN is offered.
    pub envelope_id: Option<&'a str>,
    /// RET.
    pub returned: Option<Return>,
    /// It is signed so.
    pub signing: Option<&'a SignAs>,
}

/// One recipient, and what the server is told about it.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRcpt<'a> {
    /// Without angle brackets.
    pub address: &'a str,
    /// The address as it came to us; where DSN is offered and the sender gave no ORCPT, this is
    /// sent as one (RFC 3461 section 5.2.1). Empty: not known.
    pub original: &'a str,
    /// ORCPT; sent where DSN is offered.
    pub original_recipient: Option<&'a OriginalRecipient>,
    /// NOTIFY; sent where DSN is offered, unless nothing was said.
    pub notify: Notify,
    /// The directory's idea of the quota, when it is known.
    pub quota: Option<XQuota>,
    /// XDFLG; not sent when 0.
    pub flags: u32,
    /// The address of its mailbox, for a server that does not know the folder in the other one.
    pub inbox: Option<&'a str>,
}

impl<'a> Outgoing<'a> {
    /// One about which nothing else is said.
    pub const fn new(sender: &'a str, recipients: &'a [OutgoingRcpt<'a>], size: u64) -> Self {
        Self {
            sender,
            recipients,
            size,
            eight_bit: false,
            smtputf8: false,
            tls: TlsWish::Usual,
            envelope_id: None,
            returned: None,
            signing: None,
        }
    }
}

impl Outgoing<'_> {
    /// Octets of content, signatures included, as they may be (RFC 1870 section 5).
    pub fn size_sent(&self) -> u64 {
        self.size + self.signing.map_or(0, SignAs::room)
    }

    /// Whether the message wants SMTPUTF8 where a server offers it.
    pub(super) fn wants_smtputf8(&self) -> bool {
        self.smtputf8 || !self.is_ascii()
    }

    /// Whether a server takes its addresses that knows nothing beyond ASCII.
    pub(super) fn is_ascii(&self) -> bool {
        self.sender.is_ascii() && self.recipients.iter().all(|to| to.address.is_ascii())
    }
}

impl<'a> OutgoingRcpt<'a> {
    /// Whether a server that refuses it so is to hear of its mailbox.
    pub(super) fn is_unfiled_by(&self, reply: &Reply) -> bool {
        self.is_filed() && reply.refuses_mailbox()
    }

    /// Whether the address is that of a folder.
    pub(super) fn is_filed(&self) -> bool {
        self.inbox.is_some_and(|inbox| inbox != self.address)
    }

    /// One about which nothing else is said.
    pub const fn new(address: &'a str) -> Self {
        Self {
            address,
            original: "",
            original_recipient: None,
            notify: Notify::Unsaid,
            quota: None,
            flags: 0,
            inbox: None,
        }
    }
}
