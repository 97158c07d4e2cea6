//! A compiled script.

use crate::{
    matching::{Matcher, Prepared},
    text::Text,
    verdict::RefusalKind,
};

/// A command and its line.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) line: u32,
    pub(crate) command: Command,
}

/// Commands.
#[derive(Debug)]
pub(crate) enum Command {
    If {
        branches: Box<[(Test, Box<[Step]>)]>,
        otherwise: Box<[Step]>,
    },
    Stop,
    Keep {
        flags: Option<Box<[Text]>>,
    },
    Discard,
    FileInto(Box<FileInto>),
    Redirect {
        to: Text,
        is_copy: bool,
    },
    Reject {
        kind: RefusalKind,
        reason: Text,
    },
    Vacation(Box<Vacation>),
    Set {
        variable: u16,
        value: Text,
        modifiers: Box<[Modifier]>,
    },
    Flags {
        change: FlagChange,
        variable: Option<u16>,
        flags: Box<[Text]>,
    },
    AddHeader {
        name: Text,
        value: Text,
        is_last: bool,
    },
    DeleteHeader(Box<DeleteHeader>),
    /// `error` of RFC 5463 5.
    Error(Text),
    /// Something that is not there, and was not sure to be: RFC 5463 4. By its name.
    Absent(Box<str>),
}

#[derive(Debug)]
pub(crate) struct FileInto {
    pub(crate) folder: Text,
    pub(crate) is_copy: bool,
    pub(crate) create: bool,
    pub(crate) flags: Option<Box<[Text]>>,
}

#[derive(Debug)]
pub(crate) struct Vacation {
    pub(crate) reason: Text,
    /// Seconds between two replies to one sender.
    pub(crate) seconds: u64,
    pub(crate) subject: Option<Text>,
    pub(crate) from: Option<Text>,
    pub(crate) addresses: Box<[Text]>,
    pub(crate) is_mime: bool,
    pub(crate) handle: Option<Text>,
}

#[derive(Debug)]
pub(crate) struct DeleteHeader {
    pub(crate) name: Text,
    pub(crate) index: Index,
    /// Values to delete; `None`: all.
    pub(crate) values: Option<Keys>,
}

/// Modifiers of `set`, in the order in which they apply: RFC 5229 4.1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Modifier {
    Lower,
    Upper,
    LowerFirst,
    UpperFirst,
    QuoteWildcard,
    QuoteRegex,
    Length,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FlagChange {
    Set,
    Add,
    Remove,
}

/// `:index`: from 1, from the end when `is_last`; 0 is all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Index {
    pub(crate) number: u64,
    pub(crate) is_last: bool,
}

/// Keys and how they are compared.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) matcher: Matcher,
    pub(crate) all: Box<[Key]>,
}

/// A key.
#[derive(Debug)]
pub(crate) enum Key {
    Ready(Prepared),
    /// Made at run time.
    Open(Text),
}

/// A test and its line.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) line: u32,
    pub(crate) what: Condition,
}

/// Tests.
#[derive(Debug)]
pub(crate) enum Condition {
    True,
    False,
    Not(Box<Test>),
    AllOf(Box<[Test]>),
    AnyOf(Box<[Test]>),
    Exists(Box<[Text]>),
    Size {
        is_over: bool,
        limit: u64,
    },
    Header {
        names: Box<[Text]>,
        index: Index,
        keys: Keys,
    },
    Address {
        names: Box<[Text]>,
        part: Part,
        index: Index,
        keys: Keys,
    },
    Envelope {
        names: Box<[Text]>,
        part: Part,
        keys: Keys,
    },
    Text {
        source: Box<[Text]>,
        keys: Keys,
    },
    HasFlag {
        variables: Option<Box<[u16]>>,
        keys: Keys,
    },
    Body {
        of: BodyPart,
        keys: Keys,
    },
    Environment {
        name: Text,
        keys: Keys,
    },
    Date(Box<DateTest>),
    Duplicate(Box<DuplicateTest>),
    MailboxExists(Box<[Text]>),
    Ihave(bool),
    /// Something that is not there, and was not sure to be: RFC 5463 4. By its name.
    Absent(Box<str>),
}

/// Address parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    All,
    Local,
    Domain,
    User,
    Detail,
}

/// Body transforms of RFC 5173 5.
#[derive(Debug)]
pub(crate) enum BodyPart {
    Raw,
    Content(Box<[Text]>),
    Text,
}

#[derive(Debug)]
pub(crate) struct DateTest {
    /// The header; `None`: now.
    pub(crate) header: Option<Text>,
    pub(crate) index: Index,
    pub(crate) zone: Zone,
    pub(crate) part: Text,
    pub(crate) keys: Keys,
}

/// The zone in which a date is looked at.
#[derive(Debug)]
pub(crate) enum Zone {
    Local,
    Original,
    /// `+hhmm` or `-hhmm`.
    Offset(Text),
}

#[derive(Debug)]
pub(crate) struct DuplicateTest {
    pub(crate) id: DuplicateId,
    pub(crate) handle: Option<Text>,
    pub(crate) seconds: Option<u64>,
    pub(crate) is_last: bool,
}

#[derive(Debug)]
pub(crate) enum DuplicateId {
    MessageId,
    Header(Text),
    Unique(Text),
}
