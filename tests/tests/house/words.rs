//! Comments and citations.

use std::path::Path;

use super::source::Crate;

/// Lines of a text that cite what is not in the repository.
pub(crate) fn citations(path: &str, text: &str) -> Vec<String> {
    let leads_out = |line: &&str| OUTSIDE.iter().any(|outside| line.contains(outside));
    let lines = text.lines().filter(leads_out);
    lines.map(|line| format!("{path}: {}", line.trim())).collect()
}

/// Comments that begin with a pronoun in the place of a name, or with a relative clause in the place
/// of a subject: where each stands.
pub(crate) fn pronouns(of: &Crate) -> Vec<String> {
    let all = of.files.iter().flat_map(|(path, file)| {
        in_text(&file.text).into_iter().map(move |(line, words)| format!("{path}:{line}: {words}"))
    });
    all.collect()
}

/// Paths and tests that a text names between back quotes and that are not there: `folder/file.rs`,
/// `folder/`, and `a_test_by_its_name` where it stands behind `test`.
pub(crate) fn named_paths(top: &Path, text: &str, all: &[Crate]) -> Vec<String> {
    let quoted: Vec<_> = text.split('`').collect();
    let mut missing = Vec::new();
    for pair in quoted.windows(2).step_by(1).enumerate().filter(|(n, _)| n % 2 == 0) {
        let [before, name] = pair.1 else { continue };
        let is_path = name.contains('/')
            && !name.contains([' ', '<', ':', '$', '*', '{'])
            && ROOTS.iter().any(|root| name.starts_with(root));
        if is_path && !top.join(name).exists() {
            missing.push(format!("there is no {name}"));
        }
        let is_test = before.trim_end().ends_with("test") && name.contains('_');
        let function = name.rsplit("::").next().unwrap_or(name);
        if is_test && !all.iter().any(|of| has_test(of, function)) {
            missing.push(format!("there is no test {name}"));
        }
    }
    missing
}

fn has_test(of: &Crate, name: &str) -> bool {
    let defined = format!("fn {name}(");
    of.files.values().any(|file| file.all_idents.contains_key(name) && file.text.contains(&defined))
}

/// By the number of their line.
fn in_text(text: &str) -> Vec<(usize, &str)> {
    let mut before = "";
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        let words = ["///", "//!", "//"].iter().find_map(|mark| line.strip_prefix(mark));
        let begins = !before.starts_with("//");
        let first = words.and_then(|words| words.split_whitespace().next());
        if begins && first.is_some_and(|first| PRONOUNS.contains(&first)) {
            found.push((number, line));
        }
        before = line;
    }
    found
}

const OUTSIDE: [&str; 4] = ["../sha\u{72}ed", "sha\u{72}ed/", "/wor\u{6b}/", "referenc\u{65}/"];
const PRONOUNS: [&str; 12] = [
    "Who", "Whom", "Whoever", "Whose", "What", "Whatever", "He", "She", "They", "These", "Those",
    "That",
];
const ROOTS: [&str; 7] =
    ["actors/", "channels/", "config/", "engine/", "tests/", "benches/", ".ci/"];
