//! Facts that a run is given, and how it fails.

use jiff::Zoned;

use crate::{limits::Bound, message::Message, verdict::DuplicateQuery};

/// A delivery to decide about.
pub struct Delivery<'a> {
    /// The message.
    pub message: &'a Message<'a>,
    /// The reverse path without angle brackets; empty for the null path.
    pub from: &'a str,
    /// The recipient of the envelope.
    pub to: &'a str,
    /// The text between the user and the detail of an address (RFC 5233): `+`. Empty: addresses have
    /// no detail.
    pub recipient_delimiter: &'a str,
    /// The time, in the zone of the user.
    pub now: Zoned,
    /// Where the script runs.
    pub environment: &'a Environment,
    /// The user's other addresses, to which a vacation reply answers, too.
    pub own_addresses: &'a [&'a str],
    /// Whether a message was seen before: RFC 7352. A run asks only; the caller remembers
    /// [`crate::Verdict::duplicates`].
    pub seen: &'a mut dyn FnMut(&DuplicateQuery) -> bool,
    /// Whether the user has a folder: RFC 5490 3.1.
    pub has_folder: &'a mut dyn FnMut(&str) -> bool,
}

/// Items of RFC 5183 4.1; one that is absent is not there for a test, either.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Environment {
    /// `domain`: the domain of the host.
    pub domain: Option<String>,
    /// `host`: the fully qualified name of the host.
    pub host: Option<String>,
    /// `location`: `MTA`, `MDA`, `MUA` or `MS`.
    pub location: Option<String>,
    /// `name`: the product.
    pub name: Option<String>,
    /// `phase`: `pre`, `during` or `post`.
    pub phase: Option<String>,
    /// `remote-host`: the name of the client, as it was found out.
    pub remote_host: Option<String>,
    /// `remote-ip`: the address of the client.
    pub remote_ip: Option<String>,
    /// `version`: of the product.
    pub version: Option<String>,
}

impl Environment {
    /// An item by its name.
    pub(super) fn item(&self, name: &str) -> Option<&str> {
        let item = match name.to_ascii_lowercase().as_str() {
            "domain" => &self.domain,
            "host" => &self.host,
            "location" => &self.location,
            "name" => &self.name,
            "phase" => &self.phase,
            "remote-host" => &self.remote_host,
            "remote-ip" => &self.remote_ip,
            "version" => &self.version,
            _ => return None,
        };
        item.as_deref()
    }
}

/// A run that ended without a verdict. The message is to be kept in the INBOX.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("script {}, line {line}: {kind}", script + 1)]
pub struct RunError {
    /// The place of the script among those of the run, from 0.
    pub script: usize,
    /// From 1.
    pub line: u32,
    /// The reason.
    pub kind: RunErrorKind,
}

impl RunError {
    /// The same without words of the script, for readers who may not be let to see it.
    pub fn without_words(&self) -> String {
        let kind = match &self.kind {
            RunErrorKind::Bound(_) | RunErrorKind::Conflict(..) => self.kind.to_string(),
            RunErrorKind::Value { what, .. } => format!("a value is no {what}"),
            RunErrorKind::Regex(_) => "no regular expression".to_owned(),
            RunErrorKind::Script(_) => "the script ends itself with \"error\"".to_owned(),
            RunErrorKind::Absent(_) => "it uses something that is not there".to_owned(),
        };
        format!("script {}, line {}: {kind}", self.script + 1, self.line)
    }
}

/// Reasons why a run ends without a verdict.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RunErrorKind {
    /// A bound was hit.
    #[error(transparent)]
    Bound(#[from] Bound),
    /// Actions that exclude each other: RFC 5429 2.1, RFC 5230 4.7.
    #[error("{0} excludes {1}")]
    Conflict(&'static str, &'static str),
    /// A value that came of variables and is none.
    #[error("{value:?} is no {what}")]
    Value {
        /// As it came.
        value: String,
        /// In words.
        what: &'static str,
    },
    /// A regular expression that came of variables and is none; the reason is in words.
    #[error("no regular expression: {0}")]
    Regex(String),
    /// `error` was executed: RFC 5463 5.
    #[error("the script says: {0}")]
    Script(String),
    /// Something that is not there was executed: RFC 5463 4.
    #[error("{0:?} or an argument of it is not there")]
    Absent(String),
}
