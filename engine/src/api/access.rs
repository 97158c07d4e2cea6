//! The answer of the front door to a client.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// `relais test access --json`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AccessExplained {
    /// The client.
    pub client: IpAddr,
    /// The service that it connects to.
    pub service: String,
    /// Whether it gets as far as was asked: a session, MAIL, RCPT.
    pub accepted: bool,
    /// The reply that it reads.
    pub reply: String,
    /// The table, or the block list, that decides; none where a table has nothing to do with it.
    pub table: Option<String>,
    /// The entry that decides, counted from 1.
    pub entry: Option<usize>,
    /// The deciding entry as it stands in the file.
    pub text: Option<(String, String)>,
    /// The tables that were asked, in order.
    pub steps: Vec<AccessStep>,
    /// The source that was asked: the running engine, or files.
    #[serde(default)]
    pub asked: String,
}

/// A table that was asked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AccessStep {
    /// The table, or the block list.
    pub table: String,
    /// Its probe.
    pub probe: String,
    /// The entry that decides, counted from 1.
    pub entry: Option<usize>,
    /// Its word.
    pub verdict: String,
    /// The client is turned away by it.
    pub is_refusal: bool,
}
