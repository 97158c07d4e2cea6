//! Parts of a message that are looked at, taken out and replaced, while everything else stays as it is to
//! the octet.
//!
//! A [`PartSurvey`] sees the content once and finds the parts that somebody wants. A [`PartSplitter`] sees
//! it again and tells these parts from the rest. [`PartEdit`] makes the header of what comes in the place
//! of one, [`BodyDecoder`] and [`BodyEncoder`] undo and make transfer encodings, and [`Recoder`] changes
//! the charset of a text. All of them take content in whatever pieces; memory is bounded by a header, the
//! beginning of a line, and the parts that are wanted.
//!
//! A part is an entity that has no parts. Attached messages are gone into. A multipart that nothing
//! closes ends where the one around it goes on, or with the message, as readers of mail have it.

mod body;
mod charset;
mod choose;
mod edit;
mod split;
mod survey;
#[cfg(test)]
mod tests;

use mail_parser::{Attribute, MessageParser, MimeHeaders};

pub use body::{BodyDecoder, BodyEncoder};
pub use charset::{Charset, Recoder};
pub use choose::{Chosen, choose, edit_of, relabelled};
pub use edit::PartEdit;
pub use split::{PartPiece, PartSplitter};
pub use survey::{PartPlan, PartSurvey, Unsurveyed};

/// A part, as its header has it: names in lower case, values decoded (RFC 2047, RFC 2231).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MimePart {
    /// Its number among the entities of the message, from 0.
    pub entity: usize,
    /// `text`, where nothing is said.
    pub kind: String,
    /// `plain`, where nothing is said.
    pub subtype: String,
    /// Parameters of the type.
    pub parameters: Vec<(String, String)>,
    /// `attachment`, `inline`; empty where nothing is said.
    pub disposition: String,
    /// Parameters of the disposition.
    pub dparameters: Vec<(String, String)>,
    /// How its body is encoded.
    pub encoding: BodyEncoding,
    /// It is signed or encrypted, or lies within something that is.
    pub is_protected: bool,
    /// Octets of its body, decoded.
    pub size: u64,
}

/// How a body is encoded, as its header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyEncoding {
    /// Its octets are what it is.
    Identity,
    /// RFC 2045 section 6.7.
    QuotedPrintable,
    /// RFC 2045 section 6.8.
    Base64,
    /// None that is known: nobody can tell what the part is.
    Unknown,
}

impl MimePart {
    /// The part with this header.
    fn of(header: &[u8], entity: usize, encoding: BodyEncoding) -> Self {
        let message = MessageParser::default().parse_headers(header);
        let found = message.as_ref().and_then(|message| message.content_type());
        let kind = found.map_or("text", |its| its.ctype()).trim().to_ascii_lowercase();
        let usual = if kind == "text" { "plain" } else { "" };
        let subtype = found.and_then(|its| its.subtype()).unwrap_or(usual).trim();
        let disposition = message.as_ref().and_then(|message| message.content_disposition());
        Self {
            entity,
            subtype: subtype.to_ascii_lowercase(),
            kind,
            parameters: attributes(found.and_then(|its| its.attributes())),
            disposition: disposition.map_or("", |its| its.ctype()).trim().to_ascii_lowercase(),
            dparameters: attributes(disposition.and_then(|its| its.attributes())),
            encoding,
            is_protected: false,
            size: 0,
        }
    }

    /// The value of a parameter of the type.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        value(&self.parameters, name)
    }

    /// The value of a parameter of the disposition.
    pub fn dparameter(&self, name: &str) -> Option<&str> {
        value(&self.dparameters, name)
    }

    /// The names of the file that it is: of the disposition, and of the type.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        self.dparameter("filename").into_iter().chain(self.parameter("name"))
    }

    /// Whether it is a signature or an envelope of S/MIME by itself.
    fn is_secured(&self) -> bool {
        let Self { kind, subtype, .. } = self;
        kind == "multipart" && (subtype == "signed" || subtype == "encrypted")
            || kind == "application" && SECURED.contains(&&**subtype)
    }
}

/// `type/subtype`.
impl std::fmt::Display for MimePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.subtype)
    }
}

fn attributes(found: Option<&[Attribute<'_>]>) -> Vec<(String, String)> {
    let pair = |its: &Attribute<'_>| (its.name.trim().to_ascii_lowercase(), its.value.to_string());
    found.unwrap_or_default().iter().take(MOST_PARAMETERS).map(pair).collect()
}

fn value<'v>(all: &'v [(String, String)], name: &str) -> Option<&'v str> {
    all.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
}

/// RFC 8551 section 3.2 and RFC 3156.
const SECURED: [&str; 6] = [
    "pkcs7-mime",
    "x-pkcs7-mime",
    "pkcs7-signature",
    "x-pkcs7-signature",
    "pgp-encrypted",
    "pgp-signature",
];
/// Parameters of a field that are looked at.
const MOST_PARAMETERS: usize = 100;
