//! Rewrite rules: patterns and templates, parsed once.

/// One rule: a pattern and what becomes of an address whose host matches it.
#[derive(Clone, Debug)]
pub struct RewriteRule {
    /// As in the file.
    pub pattern: String,
    /// As in the file.
    pub template: String,
}
