//! Names: types that are defined twice in a crate, functions that only tests call.

use std::collections::BTreeMap;

use super::source::Crate;

/// Names of types that a crate defines more than once outside tests.
pub(crate) fn types_defined_twice(of: &Crate) -> Vec<String> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for name in of.sources().flat_map(|(_, file)| &file.types) {
        *places.entry(name).or_default() += 1;
    }
    let twice = places.into_iter().filter(|(_, places)| *places > 1);
    twice.map(|(name, _)| format!("{}: {name}", of.folder)).collect()
}

/// Public functions that no source of these crates names outside tests but where it defines them.
pub(crate) fn called_by_tests_only<'a>(
    all: impl Iterator<Item = &'a Crate> + Clone,
) -> Vec<String> {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    let mut defined: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (path, file) in all.flat_map(Crate::sources) {
        for (ident, times) in &file.idents {
            *named.entry(ident).or_default() += times;
        }
        for function in &file.functions {
            defined.entry(function).or_insert((0, path)).0 += 1;
        }
    }
    let idle = defined.into_iter().filter(|(name, (times, _))| named.get(name) == Some(times));
    idle.map(|(name, (_, path))| format!("{path}: {name}")).collect()
}
