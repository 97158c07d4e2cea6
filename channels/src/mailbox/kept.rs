//! Mailboxes and folders that stay open from one batch of deliveries to the next.
//!
//! To open one without following a link takes half a dozen system calls; to see that its path still
//! leads to what is open, and that nothing was made or removed in there, takes one. Otherwise it is
//! opened anew. What stays open is let go every few seconds, so that no mailbox keeps a file system of
//! its own from being unmounted.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    dir::{Dir, Identity},
    maildir::Maildir,
    quota_memory::QuotaMemory,
};

/// The open mailboxes and folders, by their paths below the root.
#[derive(Debug, Default)]
pub(super) struct KeptMaildirs {
    open: HashMap<String, Kept>,
    /// The memories of mailboxes; nobody else writes them.
    memories: HashMap<String, QuotaMemory>,
    /// Counts batches.
    batch: u64,
    /// When everything was let go last.
    since: Option<Instant>,
}

#[derive(Debug)]
struct Kept {
    maildir: Arc<Maildir>,
    /// Its directory as it was opened; `None`: it is not kept beyond its batch.
    identity: Option<Identity>,
    /// The last batch that looked whether it is still there.
    batch: u64,
}

impl KeptMaildirs {
    /// From now on, each is looked at once more.
    pub(super) fn begin_batch(&mut self) {
        self.batch += 1;
        if self.since.is_none_or(|since| since.elapsed() > KEPT) {
            self.let_go();
            self.since = Some(Instant::now());
        }
    }

    /// The mailbox or folder at `path`, looked at once for each batch.
    pub(super) fn open(&mut self, root: &Dir, path: &str) -> io::Result<Option<Arc<Maildir>>> {
        if let Some(kept) = self.open.get_mut(path) {
            if kept.batch != self.batch && kept.identity.is_some() {
                let now = root.identity(path).ok();
                kept.batch = if now == kept.identity { self.batch } else { kept.batch };
            }
            if kept.batch == self.batch {
                return Ok(Some(kept.maildir.clone()));
            }
            self.open.remove(path);
        }
        let opened = Maildir::open(root, path)?;
        Ok(opened.map(|maildir| self.keep(path, maildir)))
    }

    /// Keeps a mailbox or folder that was opened or made just now.
    pub(super) fn keep(&mut self, path: &str, maildir: Maildir) -> Arc<Maildir> {
        if self.open.len() >= MAX_OPEN {
            self.let_go();
        }
        let (identity, maildir) = (maildir.dir.own_identity().ok(), Arc::new(maildir));
        let kept = Kept { maildir: maildir.clone(), identity, batch: self.batch };
        self.open.insert(path.to_owned(), kept);
        maildir
    }

    /// The memory of a mailbox, to be given back by [`Self::remember`].
    pub(super) fn memory(&mut self, root: &Dir, maildir: &str) -> io::Result<QuotaMemory> {
        match self.memories.remove(maildir) {
            Some(memory) => Ok(memory),
            None => QuotaMemory::read(root, user_of(maildir)),
        }
    }

    /// Keeps the memory of a mailbox.
    pub(super) fn remember(&mut self, maildir: &str, memory: QuotaMemory) {
        self.memories.insert(maildir.to_owned(), memory);
    }

    /// Writes the memories that have changed; returns whose cannot be written. Those of more mailboxes
    /// than stay open are let go.
    pub(super) fn save_memories(&mut self, root: &Dir) -> Vec<(String, io::Error)> {
        let save = |(maildir, memory): (&String, &mut QuotaMemory)| {
            let user = user_of(maildir);
            memory.save(root, user).err().map(|error| (user.to_owned(), error))
        };
        let failed = self.memories.iter_mut().filter_map(save).collect();
        if self.memories.len() > MAX_OPEN {
            self.memories.clear();
        }
        failed
    }

    /// Lets one go.
    pub(super) fn forget(&mut self, path: &str) {
        self.open.remove(path);
        self.memories.remove(path);
    }

    /// Lets all go.
    pub(super) fn let_go(&mut self) {
        self.open.clear();
        self.memories.clear();
    }
}

/// The directory of a mailbox's user.
fn user_of(maildir: &str) -> &str {
    maildir.rsplit_once('/').map_or("", |(user, _)| user)
}

/// Mailboxes and folders that are open at once, two descriptors each.
const MAX_OPEN: usize = 64;
/// Everything is let go so often.
const KEPT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_is_kept_is_what_its_path_leads_to() {
        let folder = tempfile::tempdir().expect("a directory");
        let at = |path: &str| folder.path().join(path);
        let root = Dir::root(folder.path()).expect("a directory");
        let mut kept = KeptMaildirs::default();
        let mut open = |path| {
            kept.begin_batch();
            kept.open(&root, path)
        };
        assert!(open("d/u/Maildir").expect("readable").is_none());
        Maildir::make(&root, "d/u/Maildir").expect("room");
        let first = open("d/u/Maildir").expect("readable").expect("a mailbox");
        let again = open("d/u/Maildir").expect("readable").expect("a mailbox");
        assert!(Arc::ptr_eq(&first, &again), "nothing has changed");
        // Something is missing inside.
        fs::remove_dir(at("d/u/Maildir/cur")).expect("allowed");
        let whole = open("d/u/Maildir").expect("readable").expect("a mailbox");
        assert!(at("d/u/Maildir/cur").is_dir());
        // Another one in its place.
        fs::rename(at("d/u/Maildir"), at("moved")).expect("allowed");
        Maildir::make(&root, "d/u/Maildir").expect("room");
        let other = open("d/u/Maildir").expect("readable").expect("a mailbox");
        assert!(!Arc::ptr_eq(&whole, &other));
        // A link to somebody else's, and nothing at all.
        fs::remove_dir_all(at("d/u/Maildir")).expect("allowed");
        symlink(at("moved"), at("d/u/Maildir")).expect("room");
        assert!(open("d/u/Maildir").is_err());
        fs::remove_file(at("d/u/Maildir")).expect("allowed");
        assert!(open("d/u/Maildir").expect("readable").is_none());
    }
}
