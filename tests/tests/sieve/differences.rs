//! Decisions that Pigeonhole takes otherwise, each with its reason. Nothing else may differ.

/// A difference that is known.
pub(crate) struct Difference {
    /// Beginnings of the names of scripts in which it shows.
    pub(crate) scripts: &'static [&'static str],
    /// Texts of messages in which it shows, a field a line (`name:value`, in lower case and
    /// unfolded); empty: any message.
    pub(crate) fields: &'static [&'static str],
    /// Flags, by which scripts name their tests, that alone may differ; empty: all of the decision may.
    pub(crate) flags: &'static [&'static str],
    /// The reason.
    pub(crate) why: &'static str,
}

/// All that are known.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        scripts: ADDRESSES,
        fields: &["ann@example.org bob@example.net\n", "a@b@c\n"],
        flags: &[],
        why: "an address with words behind it is none (RFC 5322 3.4) and matches as a whole alone (RFC 5228 \
              2.7.4); Pigeonhole takes what stands before the words",
    },
    Difference {
        scripts: ADDRESSES,
        fields: &[
            "from:\n",
            "to:\n",
            "cc:\n",
            "sender:\n",
            "reply-to:\n",
            "from:<>\n",
            "to:<>\n",
            "cc:<>\n",
            "sender:<>\n",
            "reply-to:<>\n",
        ],
        flags: &[],
        why: "a field without an address has no parts (RFC 5228 2.7.4); Pigeonhole's parts of it are empty",
    },
    Difference {
        scripts: ADDRESSES,
        fields: &["undisclosed-recipients:;\n"],
        flags: &[],
        why: "names of groups are no addresses (RFC 5228 5.1), and this group has none; Pigeonhole takes the \
              whole text for one",
    },
    Difference {
        scripts: ADDRESSES,
        fields: &["\u{f6}@\u{f6}.example\n"],
        flags: &[],
        why: "addresses beyond ASCII have parts (RFC 6532 3.2); Pigeonhole takes them for none",
    },
    Difference {
        scripts: &["base-header", "ihave", "regex", "variables-", "people-", "editheader"],
        fields: &["=?x-unknown?q?hello?="],
        flags: &[],
        why: "words in a character set that is not known stay as they are (RFC 2047 6.2); Pigeonhole reads \
              them as UTF-8",
    },
    Difference {
        scripts: &["base-header", "regex", "variables-", "editheader-add"],
        fields: &["=?utf-8?q?=ff=fe?=", "=?utf-8?q?a=00b?="],
        flags: &[],
        why: "octets that are no text become one mark each here, one mark together there, and a NUL becomes \
              a mark here, a blank there",
    },
    Difference {
        scripts: &["base-header-matches"],
        fields: &[],
        flags: &["t8", "t9", "t14", "t15", "t22"],
        why: "\"?\" is one octet (RFC 5228 2.7.1); before a \"*\" Pigeonhole takes it for any number of them",
    },
    Difference {
        scripts: &["variables-string"],
        fields: &[],
        flags: &["t1"],
        why: "tests compare by i;ascii-casemap unless they say otherwise (RFC 5228 2.7.3); Pigeonhole's \
              \"string\" compares by i;octet",
    },
    Difference {
        scripts: &["index"],
        fields: &[],
        flags: &["t9"],
        why: ":last counts from the end in a date test, too (RFC 5260 6); Pigeonhole takes the first date",
    },
    Difference {
        scripts: &["date-"],
        fields: &["date:fri, 13 mar 2026 1:2:3 +0000\n", "date:thu, 01 jan 1970 00:00:00 +0000\n"],
        flags: &[],
        why: "an hour of one digit is read; Pigeonhole reads none, and takes the beginning of 1970 for no time",
    },
    Difference {
        scripts: &["body-", "people-office"],
        fields: &["\ncontent-type:text\n", "\ncontent-type:nonsense\n"],
        flags: &[],
        why: "a type that is not valid is text/plain (RFC 2045 5.2); Pigeonhole takes such a part for none",
    },
    Difference {
        scripts: &["body-raw"],
        fields: &[],
        flags: &["t10", "t12"],
        why: "a body without an octet behind the empty line is the empty string (RFC 5173 4); Pigeonhole has none",
    },
    Difference {
        scripts: &["body-text"],
        fields: &[],
        flags: &["t5", "t14"],
        why: "what stands for characters in HTML is read as these (RFC 5173 5.3); of an encoding that is not \
              known there is no text, where Pigeonhole has an empty one",
    },
    Difference {
        scripts: &["body-content"],
        fields: &[],
        flags: &["t4", "t9", "t10"],
        why: "parts of a digest are messages (RFC 2046 5.1.5); of an encoding that is not known Pigeonhole has \
              an empty text",
    },
    Difference {
        scripts: &["fileinto-many"],
        fields: &[],
        flags: &[],
        why: "the name of the INBOX is the same in any case (RFC 3501 5.1), and shown in capitals here",
    },
];

/// Scripts that look at addresses.
const ADDRESSES: &[&str] = &[
    "address-",
    "base-redirect",
    "editheader-",
    "index",
    "people-",
    "regex",
    "relational-count",
    "subaddress",
    "variables-string-of-header",
];

/// The place of the known difference that a script's decision about a message with this header is, between
/// these flags.
pub(crate) fn known(script: &str, header: &str, flags: &[String]) -> Option<usize> {
    DIFFERENCES.iter().position(|difference| {
        let Difference { scripts, fields, flags: only, .. } = difference;
        scripts.iter().any(|name| script.starts_with(name))
            && (fields.is_empty() || fields.iter().any(|field| header.contains(field)))
            && (only.is_empty()
                || !flags.is_empty() && flags.iter().all(|flag| only.contains(&flag.as_str())))
    })
}

/// Tests of Pigeonhole's own that fail: file, beginnings of names, and the reason.
pub(crate) const OTHERWISE: &[(&str, &[&str], &str)] = &[
    (
        "execute/errors.svtest",
        &["Fileinto "],
        "whether a folder can be had is known when the message is filed, not here",
    ),
    (
        "body/match-values.svtest",
        &["Match values retained"],
        "each test runs alone here, and this one wants the values of the one before",
    ),
    (
        "editheader/errors.svtest",
        &["Invalid field value"],
        "control characters of a value become blanks, NUL too",
    ),
    (
        "imapflags/errors.svtest",
        &["Deprecated imapflags extension used with imap4flags (ihave)"],
        "a capability that is not there makes its test false, and nothing else (RFC 5463 4)",
    ),
    (
        "variables/basic.svtest",
        &["Basic assignment"],
        "tests compare by i;ascii-casemap unless they say otherwise (RFC 5228 2.7.3), \"string\" too",
    ),
    (
        "variables/modifiers.svtest",
        &["Modifiers :"],
        "tests compare by i;ascii-casemap unless they say otherwise (RFC 5228 2.7.3), \"string\" too",
    ),
    (
        "extensions/encoded-character.svtest",
        &["HEX equality one"],
        "tests compare by i;ascii-casemap unless they say otherwise (RFC 5228 2.7.3), \"string\" too",
    ),
    (
        "variables/match.svtest",
        &["Alphabet ?"],
        "match variables end with ${9} (RFC 5229 3.2 asks for no more), those beyond are empty",
    ),
    (
        "extensions/envelope.svtest",
        &["Envelope - "],
        "the session takes valid paths only, and no source routes (RFC 5321 4.1.2); they come in parsed",
    ),
    ("mailbox/execute.svtest", &[":Create"], "nothing is filed here, and no folder made"),
    (
        "regex/errors.svtest",
        &["Runtime errors"],
        "an expression that variables make and that is none ends the run (RFC 5228 2.10.6)",
    ),
    (
        "vacation/errors.svtest",
        &["Action conflicts: reject <-> vacation"],
        "a reply that is not due (RFC 5230 4.5) is no action that excludes another",
    ),
    (
        "test-address.svtest",
        &["Invalid addresses"],
        "addresses beyond ASCII have parts (RFC 6532 3.2)",
    ),
];
