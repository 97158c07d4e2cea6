//! Finds the program under test, and builds it when nobody named one.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The `relais` program: `$RELAIS_BIN`, else the release build of this work tree.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match env::var_os("RELAIS_BIN") {
        Some(path) => path.into(),
        None => built(),
    })
}

/// The root of the work tree.
pub(crate) fn work_tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the work tree")
}

fn built() -> PathBuf {
    let done = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", "relais"])
        .current_dir(work_tree())
        .status()
        .expect("cargo runs");
    assert!(done.success(), "the release build of relais failed: {done}");
    target_folder().join("release/relais")
}

/// The target folder this program was built into; cargo marks it with a file.
fn target_folder() -> PathBuf {
    let here = env::current_exe().expect("a program knows its own path");
    let marked = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    here.ancestors().find(marked).expect("cargo built this").to_owned()
}
