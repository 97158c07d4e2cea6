//! A Sieve script tried on a message.

use serde::{Deserialize, Serialize};

/// `relais sieve test --json`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SieveTested {
    /// The file of the script.
    pub script: String,
    /// The file of the message.
    pub message: String,
    /// The sender of the envelope; empty: the null sender.
    pub from: String,
    /// The recipient of the envelope.
    pub to: String,
    /// Tests and actions, in the order in which they were carried out.
    pub steps: Vec<SieveStep>,
    /// The actions that count in the end, each in words.
    pub actions: Vec<String>,
    /// The fate of the message, in words.
    pub outcome: String,
    /// Why the scripts ended without a decision: file, line, and the bound or the conflict.
    pub error: Option<String>,
    /// Limits that counted, and whose they are, in words; empty where none did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A test or an action.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SieveStep {
    /// The file of the script.
    pub script: String,
    /// The line of the script, from 1.
    pub line: u32,
    /// The text of this line.
    pub source: String,
    /// The name of the test or of the action: `"header"`, `"fileinto"`, ...
    pub step: String,
    /// `"true"` or `"false"` for a test; for an action what it does, in words.
    pub detail: String,
}
