//! Dependencies that a manifest names and no source does.

use super::source::{Crate, SourceFile};

/// The unused dependencies of a crate, each in words.
pub(crate) fn unused_dependencies(of: &Crate) -> Vec<String> {
    // Programs beside `src` are no tests.
    let has_programs = of.manifest.contains("[[bin]]") || of.manifest.contains("[[bench]]");
    let named = |ident: &str, with_tests: bool| {
        let of_file = |file: &SourceFile| {
            let idents = if with_tests || has_programs { &file.all_idents } else { &file.idents };
            idents.contains_key(ident)
        };
        of.files.values().any(of_file)
    };
    let mut section = "";
    let mut unused = Vec::new();
    for line in of.manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            continue;
        }
        let with_tests = match section {
            "dependencies" => false,
            "dev-dependencies" => true,
            _ => continue,
        };
        let end = line.find(['.', '=', ' ']).unwrap_or(line.len());
        let name = &line[..end];
        if !name.is_empty() && !name.starts_with('#') && !named(&name.replace('-', "_"), with_tests)
        {
            unused.push(format!("{}: {name} in [{section}]", of.folder));
        }
    }
    unused
}
