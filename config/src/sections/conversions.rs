//! The table of conversions: the fate of parts of mail that the conversion channel looks at.

use std::collections::BTreeMap;

use crate::{
    file::{
        collections::{Few, List, Maybe, Table},
        form::Nested,
        kinds::{Choice, Count, Flag, Formed, Size, Text},
        names::LABEL,
    },
    grammar::glob,
};

section! {
    /// An entry of the table of conversions: which parts of which mail it is for, and what becomes of
    /// them. Patterns have `*` for any text and `?` for a character, and no regard to case. A part
    /// is a body without parts; attached messages are gone into. For each part the entries are asked
    /// in their order, and the first that fits decides, unless it says `go_on`.
    pub struct ConversionEntry {
        /// The channel that the mail came in by.
        in_channel: String = any(), PATTERN;
        /// The channel that it leaves by.
        out_channel: String = any(), PATTERN;
        /// The type of the part: `text` of `text/plain`, which a part is that says nothing.
        in_type: String = any(), PATTERN;
        /// The subtype: `plain` of `text/plain`.
        in_subtype: String = any(), PATTERN;
        /// Parameters of the type, each with a pattern of its value: `{"charset": "iso-8859-*"}`. One
        /// that the part has not is empty.
        in_parameters: BTreeMap<String, String> = BTreeMap::new(), Table(Text);
        /// The disposition, `attachment` or `inline`; of a part that says nothing it is empty.
        in_disposition: String = any(), PATTERN;
        /// Parameters of the disposition.
        in_dparameters: BTreeMap<String, String> = BTreeMap::new(), Table(Text);
        /// The name of the file that the part is: `filename` of its disposition or `name` of its type,
        /// one of which has to fit. A part without a name fits `*` alone.
        in_filename: String = any(), PATTERN;
        /// Larger parts are none of this entry's; the size is that of the decoded part.
        part_maximum_size: Option<u64> = None, Maybe(Size(1..=1 << 40));
        /// The same in blocks of 1,024 octets, one that is begun counted whole.
        part_maximum_blocks: Option<u64> = None, Maybe(Count(1..=1 << 30)), unit("blocks");
        /// Whether parts that are signed or encrypted are among them (`multipart/signed`,
        /// `multipart/encrypted` and all within, S/MIME): a signature over what changes does not hold
        /// any more.
        signed: bool = false, Flag;
        /// The fate of such a part.
        action: ConversionAction = ConversionAction::default(), Choice;
        /// `Delete`: the text in its place. `Bounce`, `Hold`: the reason, for the sender or the operator.
        text: String = String::new(), Text;
        /// `Scan`, `Run`: the program, by its label in `programs`. It reads the decoded part from
        /// standard input. Texts end their lines as its `crlf` says.
        program: Option<String> = None, Maybe(LABEL);
        /// The type of what comes in place of the part; without it, that of the part.
        out_type: Option<String> = None, Maybe(WORD);
        /// The subtype.
        out_subtype: Option<String> = None, Maybe(WORD);
        /// Parameters of the type that are set; others stay, but for `charset` where the type becomes
        /// another one.
        out_parameters: BTreeMap<String, String> = BTreeMap::new(), Table(Text);
        /// The disposition.
        out_disposition: Option<String> = None, Maybe(WORD);
        /// Parameters of the disposition that are set.
        out_dparameters: BTreeMap<String, String> = BTreeMap::new(), Table(Text);
        /// Octets that the program may print, in the place of a part; more count as a failure.
        output_size: u64 = 64 << 20, Size(1..=1 << 34);
        /// The memory that each process of the program may map (`RLIMIT_AS`, by
        /// `/usr/bin/prlimit`).
        memory: Option<u64> = None, Maybe(Size(1 << 20..=1 << 44));
        /// Exit statuses, beside 0, by which the program leaves the part as it is: antiword ends with 1 over
        /// a file that is none of Word.
        keep_status: Vec<usize> = Vec::new(), statuses();
        /// Exit statuses by which the program has the part deleted, with `text` in its place.
        delete_status: Vec<usize> = Vec::new(), statuses();
        /// Exit statuses by which it has the message returned, for the reason `text`.
        bounce_status: Vec<usize> = Vec::new(), statuses();
        /// Exit statuses by which it has the message held.
        hold_status: Vec<usize> = Vec::new(), statuses();
        /// Whether the program says more by lines of standard error, as the file `OUTPUT_OPTIONS` of the
        /// original has them: `OUTPUT_TYPE=text`, `STATUS=FORCEHOLD` and the like, which win over its exit
        /// status. Only for programs that print nothing there which comes from mail, such as the names of
        /// files in an archive: the sender would decide.
        options: bool = false, Flag;
        /// `Leave`, `Scan`: the entries behind it are asked as well, about the part as it is called by
        /// then.
        go_on: bool = false, Flag;
    }
}

choice! {
    /// The fate of a part that an entry is for.
    pub enum ConversionAction = Leave {
        /// It stays, under another name where the entry has one (`out_type` ...).
        Leave,
        /// It goes, and a text comes in its place.
        Delete,
        /// The message is returned to its sender (550 5.7.1).
        Bounce,
        /// The message is held until an operator releases it.
        Hold,
        /// A program looks at it, and says by its exit status what becomes of it; 0: it stays.
        Scan,
        /// A program reads it, and prints what comes in its place.
        Run,
    }
}

impl ConversionEntry {
    /// Whether it may be for parts of mail that comes in by one channel and leaves by another.
    pub fn is_for(&self, in_channel: &str, out_channel: &str) -> bool {
        glob(&self.in_channel, in_channel) && glob(&self.out_channel, out_channel)
    }

    /// Whether it gives the part another name.
    pub fn relabels(&self) -> bool {
        self.out_type.is_some()
            || self.out_subtype.is_some()
            || self.out_disposition.is_some()
            || !self.out_parameters.is_empty()
            || !self.out_dparameters.is_empty()
    }

    /// Whether a program is run.
    pub fn runs(&self) -> bool {
        matches!(self.action, ConversionAction::Scan | ConversionAction::Run)
    }

    /// Whether the entries behind it are asked about the same part.
    pub fn goes_on(&self) -> bool {
        self.go_on && matches!(self.action, ConversionAction::Leave | ConversionAction::Scan)
    }
}

/// `conversions`.
pub(crate) fn conversions() -> Few<Nested<ConversionEntry>> {
    Few(List(Nested::new()), 1_000)
}

fn any() -> String {
    "*".to_owned()
}

fn statuses() -> Few<Count> {
    Few(List(Count(1..=255)), 255)
}

const PATTERN: Formed = Formed {
    is: |text| text.len() <= 256 && !text.chars().any(char::is_control),
    expected: "a pattern of 256 octets at most is expected, such as \"tcp_*\"",
};

const WORD: Formed = Formed {
    is: |text| {
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&c);
        (1..=127).contains(&text.len()) && text.bytes().all(fits)
    },
    expected: "a word as RFC 6838 has it is expected, such as \"plain\"",
};
