//! The spool keeps the contract of storage.

use async_trait::async_trait;
use relais_storage::{
    Storage,
    suite::{
        Subject, all_or_none, entries_live_as_they_are_told, large_contents_stream,
        listings_have_an_order_and_go_on, messages_go_on, what_is_stored_is_found,
        words_for_refusals,
    },
};
use tempfile::TempDir;

use crate::tests::{copy_dir, start};

/// A spool in a folder. It is opened again from a copy of its files, as they are at that moment: nothing
/// that the run before still had in memory is in it.
#[derive(Default)]
struct Folders(Vec<TempDir>);

#[async_trait]
impl Subject for Folders {
    async fn open(&mut self) -> Storage {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        if let Some(last) = self.0.last() {
            copy_dir(&last.path().join("spool"), &path);
        }
        let spool = start(&path).0;
        self.0.push(folder);
        Storage::new(spool)
    }
}

#[tokio::test]
async fn messages_are_kept() {
    what_is_stored_is_found(Folders::default()).await;
    all_or_none(Folders::default()).await;
    large_contents_stream(Folders::default()).await;
    words_for_refusals(Folders::default()).await;
}

#[tokio::test]
async fn entries_live() {
    entries_live_as_they_are_told(Folders::default()).await;
    listings_have_an_order_and_go_on(Folders::default()).await;
    messages_go_on(Folders::default()).await;
}
