//! The files alone: a bare program that makes what a store makes, and nobody speaks to it.
//!
//! As many threads as the load has connections write each message into `tmp` of a Maildir, sync it,
//! link it into `new` of each recipient and sync those folders: what a delivery costs that asks the
//! file system to be durable, file by file. Its CPU is that of the threads.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use relais_benches::{Load, Measured};
use relais_tests::message;
use rustix::{
    fs::fsync,
    time::{ClockId, clock_gettime},
};
use tempfile::TempDir;

/// As it is called in the table.
pub(crate) const NAME: &str = "files, each synced";

/// The files of all rounds. They stay until the end: ext4 makes files more slowly for minutes where many
/// were removed.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Until each message is durable in the Maildir of each recipient; in new Maildirs.
    pub(crate) fn deliver(&self, load: &Load) -> Measured {
        let round = tempfile::tempdir_in(&self.0).expect("a folder").keep();
        deliver(&round, load)
    }
}

fn deliver(folder: &Path, load: &Load) -> Measured {
    let mailboxes: Vec<_> =
        (0..load.source.recipients.max(4)).map(|each| mailbox(folder, each)).collect();
    let content = message("bare", load.source.size);
    let begun = AtomicUsize::new(0);
    let start = Instant::now();
    let cpu = thread::scope(|threads| {
        let work = || {
            loop {
                let number = begun.fetch_add(1, Relaxed);
                if number >= load.messages {
                    return cpu_of_this_thread();
                }
                let its = mailboxes.iter().cycle().skip(number % mailboxes.len());
                let its: Vec<_> = its.take(load.source.recipients).collect();
                store(&its, &number.to_string(), &content);
            }
        };
        let all: Vec<_> = (0..load.source.sessions).map(|_| threads.spawn(work)).collect();
        all.into_iter().map(|one| one.join().expect("room on the disk")).sum()
    });
    Measured { messages: load.messages * load.source.recipients, time: start.elapsed(), cpu }
}

fn mailbox(store: &Path, number: usize) -> PathBuf {
    let maildir = store.join(number.to_string());
    for folder in ["tmp", "new"] {
        fs::create_dir_all(maildir.join(folder)).expect("room");
    }
    maildir
}

fn store(mailboxes: &[&PathBuf], name: &str, content: &[u8]) {
    let source = mailboxes[0].join("tmp").join(name);
    let mut file = File::create(&source).expect("room");
    file.write_all(content).expect("room");
    fsync(&file).expect("a disk");
    for mailbox in mailboxes {
        let new = mailbox.join("new");
        fs::hard_link(&source, new.join(name)).expect("room");
        File::open(&new).and_then(|new| Ok(fsync(&new)?)).expect("a disk");
    }
    fs::remove_file(&source).expect("a file of ours");
}

fn cpu_of_this_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().expect("a time since the thread began")
}
