//! UNIX mailboxes, and files that mail is appended to: passive, blocking code.
//!
//! The format is mbox as Postfix and Dovecot write it (the `mboxo` of its kinds): a line
//! `From sender  date`, the message with LF as its line ends, `>` before every line that begins with
//! `From `, and an empty line. Readers go by the line `From ` alone, so that none of them needs a
//! `Content-Length`. The date is that of the machine's time zone, as readers take it.
//!
//! An append holds a lock of fcntl(2) on the file and, where its folder lets us, a dot-lock beside it
//! ([`Held`]). It is undone when it fails, and by the next start when a crash cut it short: an
//! [`Intent`] is safe on disk before the first octet is written, and says what the file was. An intent
//! is undone only while all that lies behind the old end is ours: what others have appended or
//! rewritten since stays as it is. A message that was whole when the crash came stays, too; its client,
//! who heard of no reply, sends it again.
//!
//! A place is reached from an open folder and never through a link; nothing is written into what is no
//! regular file, has another name, or belongs to somebody else.

mod account;
mod appender;
mod content;
mod dot_lock;
mod error;
mod held;
mod intent;
mod place;
mod rights;
mod undo;

pub use self::{
    account::{
        Accounts, AccountsUnanswered, ByAccountName, UnixAccount, accounts_in, unfound_account_in,
    },
    appender::{AppendBatch, AppendOutcomes, Appender, Undone},
    content::{MboxMessage, from_date},
    error::AppendError,
    place::{FilePlace, Owner, Rights},
    rights::with_rights,
};
#[cfg(doc)]
use self::{held::Held, intent::Intent};
