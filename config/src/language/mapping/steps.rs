//! Steps of a probe, for people.

/// A step of a probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MappingStep {
    /// How many calls of tables it is inside of.
    pub depth: usize,
    /// The kind of the step: `"probe"`, `"match"`, `"call"`, `"result"`, ...
    pub step: &'static str,
    /// The step in words. Texts of the input are quoted.
    pub detail: String,
}
