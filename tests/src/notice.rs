//! A delivery status notification as two programs that are not ours read it: Python's `email` and
//! the crate `mail-parser`. Where they do not find the same, the test fails.

use std::process::Command;

use mail_parser::{DateTime, MessageParser, MimeHeaders};
use serde::Deserialize;

use crate::{build::work_tree, process::run_with};

/// The parts of a notice. Lines end in LF.
#[derive(Clone, Debug, Deserialize)]
pub struct Notice {
    /// Its own header.
    pub header: Fields,
    /// Of its first part.
    pub language: String,
    /// For people.
    pub text: String,
    /// The fields of the message, then those of each recipient (RFC 3464 section 2.1).
    fields: Vec<Fields>,
    /// The type of the third part, the message's subject or its whole header, and its text.
    returned: [String; 3],
    defects: Vec<String>,
    #[serde(rename = "type")]
    content_type: String,
}

/// Fields in their order, unfolded.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Fields(pub Vec<(String, String)>);

impl Notice {
    /// Reads it, and sees to it that there is nothing wrong with its form.
    #[track_caller]
    pub fn read(octets: &[u8]) -> Self {
        let notice = Self::by_python(octets);
        assert_eq!(notice.defects, Vec::<String>::new(), "{notice:?}");
        assert_eq!(notice.content_type, "multipart/report; delivery-status");
        let message = MessageParser::default().parse(octets).expect("a message");
        assert_eq!(message.parts.len(), 4, "{message:?}");
        assert_eq!(message.subject(), notice.header.get("Subject"));
        let blocks = message.parts[2].contents();
        assert_eq!(blocks_of(blocks), notice.fields, "the two do not read the same fields");
        let returned = message.parts[3].content_type().expect("a type");
        let returned = format!("{}/{}", returned.ctype(), returned.subtype().unwrap_or_default());
        assert_eq!(returned, notice.returned[0]);
        notice
    }

    /// The fields of the message.
    pub fn message(&self) -> &Fields {
        &self.fields[0]
    }

    /// The fields of each recipient.
    pub fn recipients(&self) -> &[Fields] {
        &self.fields[1..]
    }

    /// The fields of its only recipient.
    #[track_caller]
    pub fn recipient(&self) -> &Fields {
        assert_eq!(self.recipients().len(), 1, "{self:?}");
        &self.fields[1]
    }

    /// Whether the whole message came back.
    pub fn is_full(&self) -> bool {
        self.returned[0] == "message/rfc822"
    }

    /// The part of the message that came back: its body, or its header when that is all.
    pub fn returned(&self) -> &str {
        if self.is_full() { &self.returned[2] } else { &self.returned[1] }
    }

    fn by_python(octets: &[u8]) -> Self {
        let mut python = Command::new("python3");
        let output = run_with(python.arg(work_tree().join("channels/tests/notice.py")), octets);
        let text = String::from_utf8_lossy(octets);
        assert!(output.status.success(), "Python cannot read this notice:\n{text}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

impl Fields {
    /// The value of a field that stands there once, or not at all.
    #[track_caller]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands there twice: {self:?}");
        value
    }

    /// A date (RFC 5322 section 3.3), in seconds since 1970.
    #[track_caller]
    pub fn date(&self, name: &str) -> Option<i64> {
        let date = |value: &str| DateTime::parse_rfc822(value).map(|date| date.to_timestamp());
        self.get(name).map(|value| date(value).unwrap_or_else(|| panic!("{name}: {value}")))
    }

    /// The names, in their order.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Each block is a header of its own.
fn blocks_of(part: &[u8]) -> Vec<Fields> {
    let text = String::from_utf8_lossy(part).replace("\r\n", "\n");
    let blocks = text.trim_end().split("\n\n");
    let fields = |block: &str| {
        let block = format!("{block}\n\n");
        let parsed = MessageParser::default().parse_headers(block.as_bytes()).expect("fields");
        let raw = parsed
            .headers_raw()
            .map(|(name, value)| (name.to_owned(), value.replace('\n', "").trim().to_owned()));
        Fields(raw.collect())
    };
    blocks.map(fields).collect()
}
