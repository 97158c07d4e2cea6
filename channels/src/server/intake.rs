//! The questions a server session asks of the engine behind it.

use std::future::Future;

use super::xclient::XClient;
use crate::{
    mail::{Address, Notify, OriginalRecipient, Reply, Return, ReversePath, XQuota},
    sasl::Mechanism,
    server::replies::NOT_OFFERED,
    tls::{HandshakeFailure, Secured},
};

/// The engine as one session sees it. One value serves one connection, one transaction at a
/// time; the driver calls in the order of the methods below, and [`Intake::reset`] at any point.
///
/// Every refusal is the [`Reply`] that the peer gets to read.
pub trait Intake {
    /// The client has connected, and is about to be greeted. An error is said in place of the greeting, and
    /// ends the session.
    fn greet(&mut self) -> impl Future<Output = Result<(), Reply>> {
        async { Ok(()) }
    }

    /// The peer said who it is, in EHLO, LHLO (`extended`) or HELO. `name` is fit for headers
    /// and logs; it may be said again. What was said counts for all messages after it.
    fn hello(&mut self, name: &str, extended: bool) {
        let _ = (name, extended);
    }

    /// TLS protects the connection from now on, and nothing holds that the peer said before; or the
    /// handshake failed, and the connection is closed.
    fn handshake(&mut self, outcome: &Result<Secured, HandshakeFailure>) {
        let _ = outcome;
    }

    /// The channel that the client's mail comes in by as things are. Asked at the beginning, and
    /// after a handshake, AUTH and XCLIENT. `None`: that of the service.
    fn channel(&self) -> Option<&str> {
        None
    }

    /// The client may say for whom it speaks (XCLIENT).
    fn takes_xclient(&self) -> bool {
        false
    }

    /// The client speaks for another from now on. After a refusal the session ends.
    fn present(&mut self, other: &XClient) -> impl Future<Output = Result<(), Reply>> {
        let _ = other;
        async { Ok(()) }
    }

    /// The client is let in without AUTH, though the channel insists on it. Asked with
    /// [`Intake::channel`].
    fn needs_no_login(&self) -> bool {
        false
    }

    /// The system says who the client is (AUTH EXTERNAL): it comes by a UNIX socket.
    fn is_known_by_the_system(&self) -> bool {
        false
    }

    /// AUTH was understood, or a response to a challenge.
    fn authenticate(&mut self, said: AuthSaid) -> impl Future<Output = AuthAnswer> {
        let _ = said;
        async { AuthAnswer::Refused(NOT_OFFERED) }
    }

    /// MAIL FROM was understood.
    fn sender(&mut self, from: MailFrom) -> impl Future<Output = Result<(), Reply>>;

    /// RCPT TO was understood. `Ok` is the reply 250.
    fn recipient(&mut self, to: &RcptTo) -> impl Future<Output = Result<(), Reply>>;

    /// The client is one of ours: a recipient that is refused is a slip in a list of its users, and no
    /// stranger's guess at who lives here.
    fn vouches(&self) -> bool {
        false
    }

    /// The content is about to come, for the recipients accepted so far.
    fn open(&mut self) -> impl Future<Output = Result<(), Reply>>;

    /// A piece of content: dots unstuffed, lines ended by CRLF, cut anywhere. After an error the
    /// driver swallows the rest and answers the end of data with this reply.
    fn write(&mut self, octets: &[u8]) -> impl Future<Output = Result<(), Reply>>;

    /// The content is complete. Returns when it is safe, or when it is certain that it is not.
    fn commit(&mut self) -> impl Future<Output = Verdict>;

    /// MAIL was refused with this reply before [`Intake::sender`] was asked.
    fn sender_refused(&mut self, from: &MailFrom, reply: &Reply) {
        let _ = (from, reply);
    }

    /// The message is refused with this reply, after so many octets of content, without
    /// [`Intake::commit`] having been asked. Returns it as each recipient is to read it.
    fn refused(&mut self, reply: &Reply, octets: u64) -> Verdict {
        let _ = octets;
        Verdict::Whole(reply.clone())
    }

    /// The transaction is over or given up: forget it. Also called after [`Intake::commit`].
    fn reset(&mut self);
}

/// The client's part of an exchange, out of its wrapping.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuthSaid {
    /// A mechanism, and perhaps the first message.
    Begin(Mechanism, Option<Vec<u8>>),
    /// A response to a challenge.
    Response(Vec<u8>),
}

/// The engine's part of an exchange.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuthAnswer {
    /// A challenge.
    Challenge(Vec<u8>),
    /// The client is who it says.
    Granted,
    /// It is not, or that cannot be told now.
    Refused(Reply),
}

/// The reply to the end of data.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// One for the whole message; LMTP repeats it for each recipient.
    Whole(Reply),
    /// LMTP: one per accepted recipient, in the order of RCPT.
    Each(Vec<Reply>),
}

/// `MAIL FROM:<path> SIZE=n BODY=b ENVID=xtext RET=r SMTPUTF8 REQUIRETLS`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MailFrom {
    /// The sender; null for notifications.
    pub path: ReversePath,
    /// Octets announced.
    pub size: Option<u64>,
    /// `BODY=8BITMIME` was said.
    pub eight_bit: bool,
    /// `SMTPUTF8` was said: addresses and header may hold what is beyond ASCII.
    pub smtputf8: bool,
    /// `REQUIRETLS` was said (RFC 8689); behind TLS alone.
    pub requires_tls: bool,
    /// `ENVID=xtext`, decoded.
    pub envelope_id: Option<String>,
    /// `RET=FULL` or `RET=HDRS`.
    pub returned: Option<Return>,
}

/// `RCPT TO:<path>` and, from relays of ours over LMTP, what the directory knew.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RcptTo {
    /// The recipient as parsed.
    pub address: Address,
    /// The recipient exactly as it stood between the angle brackets.
    pub as_given: String,
    /// `XQUOTA=size,number`.
    pub quota: Option<XQuota>,
    /// `XDFLG=bits`; 0 when not given.
    pub delivery_flags: u32,
    /// `NOTIFY=...`.
    pub notify: Notify,
    /// `ORCPT=type;xtext`, decoded.
    pub original_recipient: Option<OriginalRecipient>,
}

impl MailFrom {
    /// A sender about which nothing else was said.
    pub fn new(path: ReversePath) -> Self {
        Self {
            path,
            size: None,
            eight_bit: false,
            smtputf8: false,
            requires_tls: false,
            envelope_id: None,
            returned: None,
        }
    }
}

impl RcptTo {
    /// A recipient about which nothing else was said.
    pub fn new(address: Address, as_given: impl Into<String>) -> Self {
        Self {
            address,
            as_given: as_given.into(),
            quota: None,
            delivery_flags: 0,
            notify: Notify::default(),
            original_recipient: None,
        }
    }
}
