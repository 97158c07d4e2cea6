//! Needs of a test that the machine has to meet. A missing thing skips the test, loudly; under `CI`
//! it fails.

use std::{env, path::Path};

/// Whether all of these are here: paths, or programs on `PATH` or in the `sbin` folders.
pub fn needs(wanted: &[&str]) -> bool {
    let missing: Vec<_> = wanted.iter().filter(|name| !is_here(name)).copied().collect();
    missing.is_empty() || skip(&missing.join(", "))
}

/// Whether this runs as root.
pub fn needs_root() -> bool {
    is_root() || skip("root")
}

/// Whether this runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn skip(what: &str) -> bool {
    assert!(env::var_os("CI").is_none(), "this test needs {what}, and CI must run it");
    println!("skipped: needs {what}");
    eprintln!("skipped: needs {what}");
    false
}

fn is_here(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(name).exists())
}
