//! Messages: what was stored is there, whole, and what was refused is not.

use std::sync::Arc;

use relais_channels::mail::{Content, MessageId, Recipient};

use super::{
    Subject,
    letters::{change, entry, envelope, names, store, text},
};
use crate::{
    content::NewContent,
    contract::Storage,
    error::StorageError,
    state::{Class, EntryState},
};

/// A message is read, listed, counted and found as it was stored, also by the next run.
pub async fn what_is_stored_is_found(mut subject: impl Subject) {
    let storage = subject.open().await;
    let a = store(&storage, 1, &["a", "b"]).await;
    let b = store(&storage, 2, &["a"]).await;
    assert_eq!((a.id.0, a.size, b.id.0), (1, 5, 2));
    for when in ["at once", "by the next run"] {
        let storage = if when == "at once" { storage.clone() } else { subject.open().await };
        let found = storage.find(MessageId(1)).await.unwrap();
        assert_eq!(names(&found), [(1, 0), (1, 1)], "{when}");
        for found in &found {
            let (read, content) = storage.read(found.place).await.unwrap();
            let mut want = envelope(1, &["a", "b"]);
            want.size = 5;
            assert_eq!(*read, want, "{when}");
            assert!(matches!(content, Content::Whole(octets) if octets == "hello"), "{when}");
            assert_eq!(storage.envelope(found.place).await.unwrap(), want, "{when}");
        }
        assert_eq!(&*entry(&found, 1).host, "host.b", "{when}");
        assert_eq!(storage.find(MessageId(9)).await.unwrap(), [], "{when}");
        let page = storage.scan("a", Class::Untried, None, 10).await.unwrap();
        assert_eq!(names(&page), [(1, 0), (2, 0)], "{when}");
        assert_eq!(storage.scan("nobody", Class::Untried, None, 10).await.unwrap(), [], "{when}");
        let counts = storage.counts();
        assert_eq!((counts["a"].untried, counts["a"].bytes), (2, 10), "{when}");
        assert_eq!(storage.counts_of("b").recipients, 1, "{when}");
        assert_eq!(storage.stored(), 3, "{when}");
        assert!(storage.last_id() >= MessageId(2), "{when}");
        let (sums, more) = storage.sum("a", Class::Untried, None, 10).await.unwrap();
        let sum = sums.hosts["host.a"];
        assert_eq!((sum.entries, sum.recipients, sum.bytes), (2, 2, 10), "{when}");
        assert_eq!((sum.oldest, more), (MessageId(1), None), "{when}");
        assert_eq!(storage.room().map_err(|error| error.to_string()), Ok(()), "{when}");
    }
}

/// Several messages are stored together or not at all.
pub async fn all_or_none(mut subject: impl Subject) {
    let storage = subject.open().await;
    let mut bad = envelope(2, &["a"]);
    bad.entries[0].recipients = vec![Recipient::new("x", "x"); 65];
    let messages = |second| {
        vec![(Arc::new(envelope(1, &["a"])), text("one")), (Arc::new(second), text("two"))]
    };
    let refused = storage.append_all(messages(bad)).await;
    assert!(matches!(refused, Err(StorageError::Envelope(_))), "{refused:?}");
    assert_eq!((storage.stored(), storage.find(MessageId(1)).await.unwrap().len()), (0, 0));
    let stored = storage.append_all(messages(envelope(2, &["b"]))).await.unwrap();
    assert_eq!(stored.iter().map(|(_, stored)| stored.id.0).collect::<Vec<_>>(), [1, 2]);
    let storage = subject.open().await;
    assert_eq!(storage.stored(), 2);
    let found = storage.find(MessageId(2)).await.unwrap();
    let (_, content) = storage.read(found[0].place).await.unwrap();
    assert!(matches!(content, Content::Whole(octets) if octets == "two"));
}

/// The content of a large message comes and goes in pieces.
pub async fn large_contents_stream(mut subject: impl Subject) {
    let storage = subject.open().await;
    let mut draft = storage.draft();
    let line = [b'x'; 1_000];
    for _ in 0..2_000 {
        draft.write(&line).await.unwrap();
    }
    draft.overwrite(1_500_000, b"here".to_vec()).await.unwrap();
    assert_eq!(draft.size(), 2_000_000);
    assert_eq!(draft.read(1_499_999, 6).await.unwrap(), b"xherex");
    let mut sent = Arc::new(envelope(1, &["a"]));
    let stored = storage.append(&mut sent, NewContent::Blob(draft)).await.unwrap();
    assert_eq!((stored.size, sent.size), (2_000_000, 2_000_000));
    let storage = subject.open().await;
    let found = storage.find(MessageId(1)).await.unwrap();
    let octets = octets(&storage.read(found[0].place).await.unwrap().1);
    assert_eq!((octets.len(), &octets[1_499_999..1_500_005]), (2_000_000, &b"xherex"[..]));
    end(&storage, 1).await;
    assert_eq!(subject.open().await.stored(), 0);
}

/// A refusal says who must act.
pub async fn words_for_refusals(mut subject: impl Subject) {
    let storage = subject.open().await;
    let mut nobody = Arc::new(envelope(1, &[]));
    let refused = storage.append(&mut nobody, text("hello")).await;
    assert!(matches!(refused, Err(StorageError::Envelope(_))), "a mistake of the caller");
    let stored = store(&storage, 2, &["a"]).await;
    end(&storage, 2).await;
    assert_eq!(storage.find(MessageId(2)).await.unwrap(), []);
    storage.close().await.unwrap();
    let mut late = Arc::new(envelope(3, &["a"]));
    let refused = storage.append(&mut late, text("hello")).await;
    assert!(matches!(refused, Err(StorageError::Closed)), "{refused:?}");
    let storage = subject.open().await;
    assert_eq!(storage.stored(), 0, "an entry that is done stays done");
    assert!(storage.last_id() >= stored.id, "no id is given out twice");
}

async fn end(storage: &Storage, id: u64) {
    for found in storage.find(MessageId(id)).await.unwrap() {
        storage.amend(change(&found, EntryState::Done, ""));
    }
    storage.flush().await.unwrap();
}

fn octets(content: &Content) -> Vec<u8> {
    match content {
        Content::Whole(octets) => octets.to_vec(),
        Content::File { path, .. } => std::fs::read(path).expect("the file of a large message"),
    }
}
