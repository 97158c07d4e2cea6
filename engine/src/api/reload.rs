//! Another configuration for a running engine.

use serde::{Deserialize, Serialize};

/// Read the file again, and put it in force.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadOrder {
    /// Mail of channels that are not in the file any more goes through the router again; without
    /// this the file is refused.
    #[serde(default)]
    pub reroute: bool,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// The outcome.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reloaded {
    /// The file.
    pub file: String,
    /// Why it is not in force: every mistake. The configuration before stays as it was.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Settings that changed, by name; at most 200.
    #[serde(default)]
    pub changed: Vec<String>,
    /// Settings that changed in the file and not in the engine, and the command that does it.
    #[serde(default)]
    pub later: Vec<LaterSetting>,
    /// Warnings of the file.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Entries of channels that are not there any more, which were routed again.
    #[serde(default)]
    pub rerouted: u64,
}

/// A setting that cannot change while the engine runs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LaterSetting {
    /// Its name.
    pub field: String,
    /// The command that puts it in force.
    pub command: String,
}
