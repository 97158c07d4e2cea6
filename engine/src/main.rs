//! The program: see `relais --help`.

use std::{io, process::ExitCode};

use relais::{cli, console::explain, life::Life, state::permissions};

fn main() -> ExitCode {
    permissions::close_to_others();
    // Not locked: the engine runs below, and its other threads may want to write, too.
    let mut out = io::BufWriter::new(io::stdout());
    cli::main::<Life>(std::env::args_os(), explain::FILES, &mut out)
}
