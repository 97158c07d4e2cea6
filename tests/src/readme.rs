//! Blocks of the README, which tests take at their word.

use std::fs;

use crate::build::work_tree;

/// The first block of this language (`ron`, `sh`) that has `part` in it.
pub fn readme_block(language: &str, part: &str) -> String {
    let readme = fs::read_to_string(work_tree().join("README.md")).expect("a README");
    let opening = format!("\n```{language}\n");
    let blocks = readme.split(&opening).skip(1).filter_map(|rest| rest.split_once("\n```\n"));
    let mut its = blocks.filter(|(block, _)| block.contains(part));
    let (block, _) = its.next().unwrap_or_else(|| panic!("no {language} with {part:?}"));
    format!("{block}\n")
}
