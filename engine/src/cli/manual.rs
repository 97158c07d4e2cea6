//! Pages and completions made from the command line's own text, for packages.

use std::{io::Write, path::Path};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{arguments::Arguments, refusal::Refusal};

/// Writes what completes commands in this shell.
pub(super) fn completions(shell: Shell, out: &mut dyn Write) -> Result<(), Refusal> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut text);
    Ok(out.write_all(&text)?)
}

/// Writes a page of section 1 for the program and for each of its commands into this folder.
pub(super) fn pages(folder: &Path) -> Result<(), Refusal> {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder));
    written.map_err(|error| {
        Refusal::Because(format!("cannot write the pages to {}: {error}", folder.display()))
    })
}

/// As it is installed.
const NAME: &str = "relais";
