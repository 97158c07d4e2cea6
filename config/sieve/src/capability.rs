//! Capabilities: the names that `require` takes.

macro_rules! capabilities {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// An extension of the language that a script asks for with `require`.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Capability { $($(#[$doc])* $variant,)* }

        impl Capability {
            /// All that are there.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in a script.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

capabilities! {
    /// RFC 5173.
    Body = "body",
    /// RFC 5228 2.7.3; always there.
    CompareCasemap = "comparator-i;ascii-casemap",
    /// RFC 5228 2.7.3.
    CompareNumeric = "comparator-i;ascii-numeric",
    /// RFC 5228 2.7.3; always there.
    CompareOctet = "comparator-i;octet",
    /// RFC 3894.
    Copy = "copy",
    /// RFC 5260 4.
    Date = "date",
    /// RFC 7352.
    Duplicate = "duplicate",
    /// RFC 5293.
    EditHeader = "editheader",
    /// RFC 5228 2.4.2.4.
    EncodedCharacter = "encoded-character",
    /// RFC 5228 5.4.
    Envelope = "envelope",
    /// RFC 5183.
    Environment = "environment",
    /// RFC 5429 2.1.
    Ereject = "ereject",
    /// RFC 5228 4.1.
    FileInto = "fileinto",
    /// RFC 5463.
    Ihave = "ihave",
    /// RFC 5232.
    Flags = "imap4flags",
    /// RFC 5260 6.
    Index = "index",
    /// RFC 5490 3.
    Mailbox = "mailbox",
    /// draft-ietf-sieve-regex.
    Regex = "regex",
    /// RFC 5429 2.2.
    Reject = "reject",
    /// RFC 5231.
    Relational = "relational",
    /// RFC 5233.
    Subaddress = "subaddress",
    /// RFC 5230.
    Vacation = "vacation",
    /// RFC 6131; brings `vacation`.
    VacationSeconds = "vacation-seconds",
    /// RFC 5229.
    Variables = "variables",
}

impl Capability {
    /// The capability of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.name() == name)
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capabilities(u32);

impl Capabilities {
    pub(crate) fn add(&mut self, capability: Capability) {
        self.0 |= 1 << capability as u32;
        if capability == Capability::VacationSeconds {
            self.add(Capability::Vacation);
        }
    }

    pub(crate) fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u32) != 0
    }
}
