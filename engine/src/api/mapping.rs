//! A probe of a mapping table, step by step.

use serde::{Deserialize, Serialize};

/// `relais mapping --json`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MappingExplained {
    /// The table, as it is called in the file.
    pub table: String,
    /// The input.
    pub input: String,
    /// Whether an entry applied.
    pub matched: bool,
    /// The flags of the result: `"$Y$N"`.
    pub flags: String,
    /// The text of the result.
    pub text: String,
    /// The last entry that applied, counted from 1.
    pub entry: Option<usize>,
    /// The steps that led there, in order.
    pub steps: Vec<MappingStepTold>,
    /// The source that was asked: the running engine, or files.
    #[serde(default)]
    pub asked: String,
}

/// One step on the way.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MappingStepTold {
    /// The kind of the step: `"probe"`, `"match"`, `"call"`, `"key"`, `"result"`, ...
    pub step: String,
    /// How many calls of other tables it is inside of.
    pub depth: usize,
    /// With what, and what came of it.
    pub detail: String,
}
