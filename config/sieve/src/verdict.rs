//! The outcome of a run: plain data, for a relay that knows no Sieve.

/// Decision of a run about a message and a recipient.
///
/// Without a `keep`, a file, a redirect or a refusal the message is discarded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// The copy for the INBOX, if it gets one. Its folder is `INBOX`.
    pub keep: Option<Filed>,
    /// Copies for other folders, in the order of the script, each folder once.
    pub files: Vec<Filed>,
    /// Copies for other addresses, each address once.
    pub redirects: Vec<Redirect>,
    /// The refusal, which excludes `keep`, `files`, `redirects` and `vacation`.
    pub refusal: Option<Refusal>,
    /// The reply. Whether its sender got one within `seconds` is the caller's to know.
    pub vacation: Option<VacationReply>,
    /// Changes of the header, one after the other; each copy gets those that stood before its
    /// action, which is their number in `edits` of the copy.
    pub header_edits: Vec<HeaderEdit>,
    /// Whether `discard` was asked for and nothing else keeps the message.
    pub discarded: bool,
    /// Messages to remember as seen, once the message is dealt with: RFC 7352.
    pub duplicates: Vec<DuplicateQuery>,
}

/// A copy for a folder.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filed {
    /// In UTF-8, as the script names it.
    pub folder: String,
    /// IMAP flags, each once: RFC 5232.
    pub flags: Vec<String>,
    /// Whether a folder that is missing is to be made: RFC 5490 3.2.
    pub create: bool,
    /// Edits of [`Verdict::header_edits`] that apply to this copy, from the first.
    pub edits: usize,
}

/// A copy for an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Redirect {
    /// An address with a domain.
    pub to: String,
    /// Edits of [`Verdict::header_edits`] that apply to this copy, from the first.
    pub edits: usize,
}

/// A refusal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Its kind.
    pub kind: RefusalKind,
    /// In UTF-8; may have several lines that end with CRLF.
    pub reason: String,
}

/// Kinds of refusals: RFC 5429 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusalKind {
    /// `reject`: in the session when that is possible, else by a notice.
    Reject,
    /// `ereject`: in the session, whenever that is possible.
    Ereject,
}

/// A vacation reply: RFC 5230.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VacationReply {
    /// Its subject, without control characters.
    pub subject: String,
    /// The address of its header `From`, when the script names one.
    pub from: Option<String>,
    /// Its text, or a whole MIME entity with its header when `is_mime`. Lines end with CRLF.
    pub reason: String,
    /// Whether `reason` is a MIME entity.
    pub is_mime: bool,
    /// Seconds in which no sender gets a second one; 0: each message gets one.
    pub seconds: u64,
    /// Replies with the same handle are the same reply: the script's, or one made of its arguments.
    pub handle: String,
}

/// A change of the header: RFC 5293. Each works on what those before it left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeaderEdit {
    /// A new field.
    Add {
        /// A field name.
        name: String,
        /// Its value in UTF-8, in one line.
        value: String,
        /// Whether it goes to the end of the header, not to its beginning.
        is_last: bool,
    },
    /// A field goes.
    Delete {
        /// Its name, in lower case.
        name: String,
        /// Its number among the fields of this name, from 1.
        occurrence: usize,
    },
}

/// A question and an entry of the duplicate memory: RFC 7352.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DuplicateQuery {
    /// Separates memories of one user; may be empty.
    pub handle: String,
    /// The unique value.
    pub id: String,
    /// How long it is remembered, in seconds; `None`: the caller's default.
    pub seconds: Option<u64>,
    /// Whether each sight of it makes its time begin anew.
    pub is_last: bool,
}
