//! Databases of whole addresses: reversal of those that mail is from, forwarding of those that it is
//! for.

use crate::{
    file::{
        collections::Table,
        kinds::{Flag, Formed},
        names::is_mailbox,
    },
    sections::entries::{OrFile, TableOrFile},
};

section! {
    /// Address reversal: addresses of headers and senders of envelopes become others when mail is
    /// queued for a channel with `reverse: true`. The directory is asked first, then the database,
    /// then, for addresses that neither has, the mapping `REVERSE` (`$Y`: its result is the address;
    /// `$D` beside it: that is looked for in the database once more). Never recipients of the envelope.
    pub struct Reversal {
        /// Address to address, in any case. It may be a file: two addresses in each line. (The original:
        /// the reverse database.)
        database: TableOrFile<String> = TableOrFile::none(), OrFile(Table(MAILBOX)), queue;
        /// An address that an entry of the directory has as `mailAlternateAddress` becomes its `mail`.
        directory: bool = false, Flag, queue;
        /// Probes are `source channel|destination channel|address`, and not the address alone. (The
        /// original: `USE_REVERSE_DATABASE` with bit 3.)
        channels: bool = false, Flag, queue;
        /// Senders of envelopes are reversed, too. (The original: `REVERSE_ENVELOPE`.)
        envelope: bool = true, Flag, queue;
        /// Addresses of `To`, `Cc` and `Bcc` are reversed as well as those of `From`, `Sender` and
        /// `Reply-To`. (The original: `USE_REVERSE_DATABASE` with bit 2.)
        all: bool = true, Flag, queue;
    }
}

section! {
    /// Forwarding by address: a recipient that aliases have no say about, as it leaves or when nobody
    /// has it, becomes another, which is rewritten from the start. The mapping `FORWARD` is asked first
    /// (`$Y`: its result is the address), then the database.
    pub struct Forwarding {
        /// Address to address, in any case. It may be a file: two addresses in each line. (The original:
        /// the forward database.)
        database: TableOrFile<String> = TableOrFile::none(), OrFile(Table(MAILBOX)), queue;
        /// Probes are `source channel|sender|address`, and not the address alone. (The original:
        /// `USE_FORWARD_DATABASE` with bit 3 or 4.)
        senders: bool = false, Flag, queue;
    }
}

impl Reversal {
    /// Whether anything but the mapping is asked.
    pub fn is_given(&self) -> bool {
        self.directory || !self.database.is_absent()
    }
}

const MAILBOX: Formed =
    Formed { is: is_mailbox, expected: "an address is expected, such as \"user@example.org\"" };
