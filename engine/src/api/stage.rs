//! One stage of routing, probed by hand.

use serde::{Deserialize, Serialize};

use super::RouteStep;

/// `relais test rewrite|alias|option|ldap --json`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct StageExplained {
    /// The stage: `rewrite`, `alias`, `option` or `ldap`.
    pub stage: String,
    /// The address, or the URL.
    pub input: String,
    /// Whether something came of it.
    pub passed: bool,
    /// The steps that led there, in order.
    pub steps: Vec<RouteStep>,
    /// The outcome, in order.
    pub facts: Vec<StageFact>,
    /// The source that was asked: the running engine, or files.
    #[serde(default)]
    pub asked: String,
}

/// One thing that came of a stage.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct StageFact {
    /// `channel`, `address`, `reply`, ...
    pub name: String,
    /// Its value.
    pub value: String,
}
