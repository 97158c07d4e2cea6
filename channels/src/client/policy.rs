//! The one place that decides whether a reply, or the lack of one, means delivered, deferred or
//! failed.
//!
//! The matrix of stage and reply is the one that MTAs agree on, with three corrections: after the
//! data only 25x is a delivery; what cannot be understood there is "unknown", which is tried again at
//! the price of a possible duplicate; and a reply that makes no sense where it comes bounces nobody.

use std::{fmt, io};

use crate::{
    mail::{Dialect, Enhanced, Outcome, Reply, SiteTrouble},
    wire::replies::Garbled,
};

/// A stage of the conversation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Waiting for 220.
    Greeting,
    /// LHLO.
    Lhlo,
    /// EHLO.
    Ehlo,
    /// HELO, to a server that does not know EHLO.
    Helo,
    /// STARTTLS.
    StartTls,
    /// AUTH, and each response to a challenge.
    Auth,
    /// RSET, before the next message on a kept connection.
    Reset,
    /// MAIL.
    Mail,
    /// RCPT of the n-th recipient.
    Rcpt(usize),
    /// DATA.
    Data,
    /// The content is on its way.
    Content,
    /// The dot was sent; the reply for the n-th accepted recipient is due.
    Status(usize),
}

/// Why no reply came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// The peer closed the connection.
    #[error("lost connection")]
    Closed,
    /// The limit of the stage has passed.
    #[error("timed out")]
    TimedOut,
    /// Said by the system.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something came that is not a reply.
    #[error("{0}")]
    Garbled(#[from] Garbled),
    /// A reply was there before what it could be about.
    #[error("{0}")]
    Unasked(Reply),
    /// The beginning of such a reply.
    #[error("a piece of a reply came early")]
    Piece,
}

impl Lost {
    /// The peer said something.
    pub(crate) fn is_said(&self) -> bool {
        matches!(self, Self::Garbled(_) | Self::Unasked(_) | Self::Piece)
    }
}

impl Stage {
    /// The outcome that a reply means at this stage, for the recipients it speaks of.
    pub(crate) fn outcome(self, dialect: Dialect, reply: Reply) -> Outcome {
        match (self, reply.code) {
            // Nobody is being refused here, a server is having a bad day.
            (Self::Greeting, 500..) | (_, 400..=499) => Outcome::Deferred(reply),
            // It is ours to log in, or to be let in: no fault of the message.
            _ if self.is_command() && reply.wants_login() => Outcome::Deferred(reply),
            // RFC 821's code for "too many recipients": there is room in another transaction.
            (Self::Rcpt(_), _) if reply.is_too_many() => Outcome::Deferred(reply),
            (_, 500..) => Outcome::Failed(reply),
            // RFC 5321 section 4.2: the first digit says it all.
            (Self::Data, 300..=399) => Outcome::Delivered(reply),
            (Self::Status(_), _) if dialect.is_delivery(&reply) => Outcome::Delivered(reply),
            (Self::Status(_), 200..=399) => Outcome::Deferred(self.unknown(&reply)),
            // One reply too many or too few, and all that follow are about other commands: it says
            // nothing of this message.
            (Self::Data | Self::Content, _) | (_, 300..=399) => {
                Outcome::Deferred(self.protocol_error(&reply))
            }
            _ => Outcome::Delivered(reply),
        }
    }

    /// A command that a server may want a login for.
    fn is_command(self) -> bool {
        matches!(
            self,
            Self::Lhlo | Self::Ehlo | Self::Helo | Self::Mail | Self::Rcpt(_) | Self::Data
        )
    }

    /// Whether a refusal of a sender is about all senders: the server wants a login, or its
    /// mailboxes are away (430, of ours), or its disk is full. None of its mail fares better
    /// before somebody has seen to that.
    pub(crate) fn is_of_site(self, reply: &Reply) -> bool {
        self == Self::Mail && (reply.wants_login() || reply.code == 430 || reply.is_no_room())
    }

    /// The reply in our words for a recipient whose own never came.
    pub(crate) fn lost(self, peer: &str, lost: &Lost) -> Reply {
        let text = match (self, lost) {
            (Self::Status(_), _) => format!("{lost} with {peer} {self}{UNKNOWN}"),
            (Self::Content, Lost::Unasked(reply)) => {
                format!("{peer} answered before the message was sent: {reply:.200}")
            }
            (_, Lost::Unasked(reply)) => format!("{peer} said without being asked: {reply:.200}"),
            _ => format!("{lost} with {peer} {self}"),
        };
        Reply::with_text(451, CONNECTION, text)
    }

    /// Of `recipients`, whose replies are due one by one, only so many got theirs. Servers are
    /// known that answer once for all, or once for spellings that they hold to be the same.
    pub(crate) fn fewer(peer: &str, lost: &Lost, replies: usize, recipients: usize) -> Reply {
        let count = format!("{replies} replies for {recipients} recipients");
        let text = match lost {
            Lost::TimedOut => format!(
                "{count} with {peer}{UNKNOWN} (max_rcpt: 1 on the channel is for such servers)"
            ),
            _ => format!("{lost} with {peer} after {count}{UNKNOWN}"),
        };
        Reply::with_text(451, CONNECTION, text)
    }

    fn protocol_error(self, reply: &Reply) -> Reply {
        let text = format!("protocol error: the peer said {reply:.200} {self}");
        Reply::with_text(451, Enhanced(4, 5, 0), text)
    }

    /// The reply in our words where nobody can tell what this one is about.
    pub(crate) fn unknown(self, reply: &Reply) -> Reply {
        let text = format!("the peer said {reply:.200} {self}{UNKNOWN}");
        Reply::with_text(451, CONNECTION, text)
    }
}

/// As a clause: `while sending MAIL`.
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "while waiting for the greeting",
            Self::Lhlo => "in reply to LHLO",
            Self::Ehlo => "in reply to EHLO",
            Self::Helo => "in reply to HELO",
            Self::StartTls => "in reply to STARTTLS",
            Self::Auth => "in reply to AUTH",
            Self::Reset => "in reply to RSET",
            Self::Mail => "in reply to MAIL",
            Self::Rcpt(_) => "in reply to RCPT",
            Self::Data => "in reply to DATA",
            Self::Content => "while sending the message",
            Self::Status(_) => "in reply to the end of data",
        })
    }
}

/// No address of the next hop could be connected to.
pub(crate) fn unreachable(peer: &str, lost: &Lost) -> SiteTrouble {
    let text = format!("connect to {peer}: {lost}");
    SiteTrouble::deferred(Reply::with_text(451, Enhanced(4, 4, 1), text))
}

const CONNECTION: Enhanced = Enhanced(4, 4, 2);
const UNKNOWN: &str = "; unknown whether it was taken: message may be sent twice";
