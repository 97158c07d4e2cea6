//! The delivery history.

use std::path::PathBuf;

use crate::file::{
    collections::List,
    kinds::{Count, Path, Size},
};

section! {
    /// The delivery history, which `relais trace` reads: what became of each message, where it went, and what the
    /// next server calls it. Only the engine's user may read it.
    pub struct History {
        /// How long it is kept, up to six hours longer.
        days: usize = 7, Count(1..=3_650), unit("days");
        /// Octets of the disk; the oldest goes first. It also gives way before `spool.min_free` is
        /// reached. 0: nothing is written, and what was is removed.
        size: u64 = 1 << 30, Size(0..=1 << 50);
        /// The folder.
        path: PathBuf = PathBuf::from("history"), Path;
        /// Admin sockets of the stores behind this relay, or of other relays: `relais trace` asks them
        /// what became of a message there. Those of other machines are forwarded (`ssh -L`): `["/run/relais/store1.sock"]`.
        stores: Vec<PathBuf> = Vec::new(), List(Path);
    }
}
