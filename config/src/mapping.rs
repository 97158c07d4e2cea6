//! Mapping tables: patterns and templates, parsed once.

/// One table: entries tried from top to bottom.
#[derive(Clone, Debug, Default)]
pub struct MappingTable {
    /// Pattern and template, as in the file.
    pub entries: Vec<(String, String)>,
}
