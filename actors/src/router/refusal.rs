//! Why an address leads nowhere.

use relais_channels::{
    mail::{Enhanced, Reply},
    mbox::AccountsUnanswered,
};
use relais_config::rewrite::{ErrorText, MAX_PASSES};

use super::steps::Step;
use crate::directory::{EntryError, LookupError, MOST_FOUND};

/// Why an address leads nowhere, and so what its sender gets to read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no channel has this tag")]
    UnknownHost,
    #[error("a delivery option or a mail host leads to {0:?}, and no rule or channel is for that")]
    NoChannel(String),
    #[error("a rule says so")]
    Text(ErrorText),
    #[error("nobody has this address")]
    UnknownAlias,
    #[error("the alias stands for nobody")]
    Nobody,
    #[error("the channel only takes what an alias led to")]
    NotByAlias,
    #[error("rewriting does not end")]
    Loop,
    #[error("aliases are nested too deeply")]
    TooDeep,
    #[error("the address leads back to itself")]
    Circle,
    #[error("the address expands to too many")]
    TooMany,
    #[error("the list's member {0:?} has no mail address")]
    NoAddress(String),
    #[error("rewriting left no address: {0:?}")]
    Malformed(String),
    #[error("an alias, a forward or a list leads to {0:?}, which is no address")]
    NoTarget(String),
    #[error("an alias leads to {0:?}: {why}", why = why_unserved(.0))]
    Alias(String),
    #[error("programs lists no {0:?}")]
    NoProgram(String),
    #[error("the list in a file cannot be read: {0}")]
    List(String),
    #[error("the account's forward file cannot be read")]
    Forward,
    #[error("virtual aliases lead round in a circle, or to too many")]
    Virtual,
    #[error("the author may not post to the list")]
    MayNotPost(Option<String>),
    #[error("nobody is found who moderates the list")]
    NoModerator,
    #[error("to find out who may post to the list takes too many look-ups")]
    TooManyAsked,
    #[error("the password of a list stands in the header, which only the reprocess channel has")]
    HeaderUnread,
    #[error("a list asks who posts")]
    PosterUnsaid,
    #[error("there is no section native for the account's UNIX mailbox")]
    Mailbox,
    #[error("the file {0:?} does not lie where mail may be appended to files")]
    File(String),
    #[error(transparent)]
    Accounts(#[from] AccountsUnanswered),
    #[error("a transport names no channel that there is")]
    NoExit,
    #[error("mail for this address is thrown away, and no channel is for that")]
    Discard,
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    Entry(#[from] EntryError),
}

impl Refusal {
    /// The reason behind a reply that does not tell of it: a look-up that failed, or a mistake of our
    /// own.
    pub(super) fn reason(&self) -> Option<Step> {
        match self {
            Self::Lookup(LookupError(reason)) => Some(Step::NoAnswer { reason: reason.clone() }),
            Self::NoChannel(_)
            | Self::Alias(_)
            | Self::NoProgram(_)
            | Self::Mailbox
            | Self::File(_)
            | Self::Accounts(_)
            | Self::NoExit
            | Self::Discard
            | Self::List(_)
            | Self::Forward
            | Self::NoModerator
            | Self::HeaderUnread
            | Self::TooManyAsked => Some(Step::Reason { reason: self.to_string() }),
            _ => None,
        }
    }

    /// The reply where nothing but such mistakes of our own is left of an address: the writer of
    /// the address mends it, and nobody else can. Beside members that lead somewhere it is told of
    /// at once, since a member that is asked again will not be another one.
    pub(super) fn reply_of_all(&self) -> Reply {
        match self {
            Self::NoAddress(_) => {
                Reply::new(451, Enhanced(4, 3, 5), "no member of the list has a mail address yet")
            }
            Self::NoTarget(_) => {
                Reply::new(451, Enhanced(4, 3, 5), "this address leads to no address yet")
            }
            _ => self.reply(),
        }
    }

    /// The reply about one address.
    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::UnknownHost => Reply::new(550, Enhanced(5, 1, 2), "unknown host or domain"),
            // Only we can mend this: the mail waits until we do.
            Self::NoChannel(_) => {
                Reply::new(451, Enhanced(4, 3, 5), "no channel is for this address yet")
            }
            Self::Text(ErrorText { code: (class, subject, detail), text }) => {
                let code = if *class == 4 { 450 } else { 550 };
                Reply::with_text(code, Enhanced(*class, *subject, *detail), text.clone())
            }
            Self::UnknownAlias | Self::NotByAlias => {
                Reply::new(550, Enhanced(5, 1, 1), "unknown or illegal alias")
            }
            Self::Nobody => Reply::new(550, Enhanced(5, 1, 1), "the alias stands for nobody"),
            Self::Loop => {
                let text = format!("address rewriting does not end within {MAX_PASSES} passes");
                Reply::with_text(554, Enhanced(5, 4, 6), text)
            }
            Self::TooDeep => {
                let text = format!("aliases are nested more than {MAX_DEPTH} deep");
                Reply::with_text(554, Enhanced(5, 4, 6), text)
            }
            Self::Circle => Reply::new(554, Enhanced(5, 4, 6), "the address leads back to itself"),
            Self::TooMany => {
                let text = format!("the address stands for more than {MAX_EXPANSION} recipients");
                Reply::with_text(554, Enhanced(5, 5, 3), text)
            }
            Self::NoAddress(_) => {
                Reply::new(550, Enhanced(5, 1, 1), "a member of the list has no mail address")
            }
            Self::Malformed(_) | Self::NoTarget(_) => {
                Reply::new(550, Enhanced(5, 1, 3), "malformed address")
            }
            Self::Alias(_)
            | Self::NoProgram(_)
            | Self::Mailbox
            | Self::File(_)
            | Self::NoExit
            | Self::Discard => {
                Reply::new(451, Enhanced(4, 3, 5), "this address cannot be served yet")
            }
            Self::Accounts(_) => {
                Reply::new(451, Enhanced(4, 3, 0), "the accounts cannot be asked now")
            }
            Self::List(_) => {
                Reply::new(451, Enhanced(4, 3, 5), "the members of this list cannot be read now")
            }
            Self::Forward => {
                Reply::new(451, Enhanced(4, 3, 0), "the user's forward cannot be read now")
            }
            Self::Virtual => Reply::new(
                554,
                Enhanced(5, 4, 6),
                "the address leads back to itself, or to too many",
            ),
            Self::MayNotPost(words) => {
                let words = words.clone();
                let words = words.unwrap_or_else(|| "you may not post to this list".to_owned());
                Reply::with_text(550, Enhanced(5, 7, 2), words)
            }
            Self::NoModerator | Self::TooManyAsked | Self::PosterUnsaid | Self::HeaderUnread => {
                Reply::new(451, Enhanced(4, 3, 5), "this list cannot be asked who may post")
            }
            // RFC 3463 has a code for a directory that is away, whatever it was asked for.
            Self::Lookup(_) => Reply::new(451, Enhanced(4, 4, 3), "temporary lookup failure"),
            Self::Entry(error) => error.reply(),
        }
    }
}

/// Why nothing is done with a target of an alias that is no address.
fn why_unserved(target: &str) -> &'static str {
    match target.as_bytes().first() {
        Some(b'|') => {
            "programs does not list that command, or no channel of program Pipe is there for it"
        }
        Some(b'/') => "there is no section native for files, or none is named there",
        _ => "that is not there yet",
    }
}

/// Whether the directory could not be asked: that passes, and says nothing of the address.
pub(super) fn is_lookup_failure(reply: &Reply) -> bool {
    *reply == Refusal::Lookup(LookupError(String::new())).reply()
}

/// Aliases within aliases.
pub(super) const MAX_DEPTH: usize = 10;
/// Recipients that one address may stand for: as many as a message may have, all lists expanded.
pub(crate) const MAX_EXPANSION: usize = MOST_FOUND;
