//! The lives of entries: their states, their histories, and the messages that go on.

use std::collections::HashSet;

use relais_channels::mail::{Content, Envelope, MessageId, Outcome, Rerouted};

use super::{
    Subject,
    letters::{attempt, change, entry, envelope, names, store, text, waiting},
};
use crate::{
    content::MoreContent,
    contract::Storage,
    envelope::EncodedEnvelope,
    state::{Class, EntryState},
};

/// An entry is deferred, held, owed a notice, released and done as its changes say, and every change but
/// the last is told by its history, also by the next run.
pub async fn entries_live_as_they_are_told(mut subject: impl Subject) {
    let storage = subject.open().await;
    store(&storage, 1, &["a", "b"]).await;
    let first = async |storage: &Storage| {
        let found = storage.find(MessageId(1)).await.unwrap();
        entry(&found, 0).clone()
    };
    let held = EntryState::Held { open: 1, attempts: 1 };
    let owing = EntryState::Owing { open: 1, attempts: 1, due: 7, reached: 2 };
    let steps = [
        (waiting(1, 5_000), "", Class::Tried),
        (held, "an operator", Class::Held),
        (waiting(1, 9), "released", Class::Tried),
        (owing, "", Class::Owing),
        (waiting(2, 8_000), "told", Class::Tried),
    ];
    for (state, reason, class) in steps {
        let found = first(&storage).await;
        let tried = reason.is_empty() && class == Class::Tried;
        let changed =
            if tried { attempt(&found, state, 451) } else { change(&found, state, reason) };
        storage.amend(changed);
        assert_eq!(first(&storage).await.state, state);
        let page = storage.scan("a", class, None, 10).await.unwrap();
        assert_eq!((names(&page), page[0].state), (vec![(1, 0)], state));
        assert_eq!(storage.counts_of("a").of_class(class), 1, "{class:?}");
    }
    storage.flush().await.unwrap();
    assert_eq!(storage.state_backlog(), 0, "a flush leaves nothing");
    let storage = subject.open().await;
    let found = first(&storage).await;
    assert_eq!(found.state, steps[4].0);
    let history = storage.history(found.id, found.place).await.unwrap();
    let of_first = history.iter().filter(|change| change.entry == 0);
    let told: Vec<_> = of_first.map(|of| (of.now, of.reason.as_deref().unwrap_or(""))).collect();
    assert_eq!(told, steps.map(|(state, reason, _)| (state, reason)));
    said(&storage, &found).await;
    storage.amend(change(&found, EntryState::Done, ""));
    storage.flush().await.unwrap();
    let storage = subject.open().await;
    assert_eq!(names(&storage.find(MessageId(1)).await.unwrap()), [(1, 1)]);
    assert_eq!((storage.counts_of("a").total(), storage.stored()), (0, 1));
}

/// The reply of its one attempt, and that somebody gave a reason, are told in every way.
async fn said(storage: &Storage, found: &crate::ScannedEntry) {
    let ids = HashSet::from([found.id]);
    let replies = storage.last_replies(found.place.segment, &ids).await.unwrap();
    let (reply, _) = &replies[&(found.id, 0, 0)];
    assert!(matches!(reply, Outcome::Deferred(reply) if reply.code == 451), "{reply:?}");
    let explained = storage.explained(found.place.segment, ids).await.unwrap();
    assert_eq!(explained, HashSet::from([(found.id, 0)]));
    let (pages, place, id) = (storage.page_reader(), found.place, found.id);
    let reading = tokio::task::spawn_blocking(move || {
        let mut shown = Vec::new();
        pages.each_envelope(&[place, place], |numbers, envelope| {
            let id = envelope.ok().and_then(EncodedEnvelope::decode).map(|its| its.id);
            shown.push((numbers.to_vec(), id));
        });
        (shown, pages.last_replies(vec![(place.segment, id)]))
    });
    let (mut shown, last) = reading.await.unwrap();
    shown[0].0.sort_unstable();
    assert_eq!(shown, [(vec![0, 1], Some(found.id))]);
    assert_eq!(last, replies);
}

/// A listing has the entries that are due first before the others, and goes on behind a cursor, also when
/// what it had met is gone meanwhile.
pub async fn listings_have_an_order_and_go_on(mut subject: impl Subject) {
    let storage = subject.open().await;
    for id in 1..=9 {
        store(&storage, id, &["a"]).await;
    }
    for found in storage.scan("a", Class::Untried, None, 10).await.unwrap() {
        storage.amend(change(&found, waiting(1, 1_000 * ((found.id.0 * 7) % 10)), ""));
    }
    let whole = storage.scan("a", Class::Tried, None, 100).await.unwrap();
    assert_eq!(whole.iter().map(|of| of.id.0).collect::<Vec<_>>(), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
    let (mut met, mut after) = (Vec::new(), None);
    loop {
        let page = storage.scan("a", Class::Tried, after, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.cursor);
        met.extend(names(&page));
        storage.amend(change(last, EntryState::Done, ""));
    }
    assert_eq!(met, names(&whole));
    let (sums, rest) = storage.sum("a", Class::Tried, None, 4).await.unwrap();
    assert_eq!(sums.hosts["host.a"].entries, 4);
    let (sums, rest) = storage.sum("a", Class::Tried, rest, 4).await.unwrap();
    assert_eq!((sums.hosts["host.a"].entries, rest), (2, None), "three of nine are done");
    storage.flush().await.unwrap();
    assert_eq!(subject.open().await.counts_of("a").tried, 6);
}

/// A message goes on to more entries under its id, each with a number of its own, and the recipients that
/// went on are known.
pub async fn messages_go_on(mut subject: impl Subject) {
    let storage = subject.open().await;
    store(&storage, 7, &["a", "b"]).await;
    let found = storage.find(MessageId(7)).await.unwrap();
    let (read, content) = storage.read(found[0].place).await.unwrap();
    let rerouted = |entry| Some(Rerouted { at: 9, entry, recipients: 1, form: 0 });
    let on = Envelope { rerouted: rerouted(0), ..envelope(7, &["c"]) };
    let same = MoreContent::Same(&content);
    let (_, stored) = storage.append_more(on, read.entries.len(), same).await.unwrap();
    assert_eq!(stored.own_entries().map(|(number, _)| number).collect::<Vec<_>>(), [2]);
    let form = |channel| Envelope { rerouted: rerouted(1), ..envelope(7, &[channel]) };
    let forms = vec![(form("d"), text("other")), (form("e"), text("others"))];
    let stored = storage.append_forms(forms, read.entries.len()).await.unwrap();
    assert_eq!(stored.len(), 2);
    for number in [0, 1] {
        storage.amend(change(entry(&found, number), EntryState::Done, "routed again"));
    }
    storage.flush().await.unwrap();
    let storage = subject.open().await;
    let found = storage.find(MessageId(7)).await.unwrap();
    assert_eq!(names(&found), [(7, 2), (7, 3), (7, 4)]);
    let contents = [("c", "hello"), ("d", "other"), ("e", "others")];
    for (found, (channel, want)) in found.iter().zip(contents) {
        let (envelope, content) = storage.read(found.place).await.unwrap();
        assert_eq!(&*envelope.entries[usize::from(found.entry)].channel, channel);
        assert!(matches!(&content, Content::Whole(octets) if *octets == want), "{channel}");
        assert_eq!(found.state, waiting(0, 9), "due since it was routed again");
    }
    assert!(!storage.places(MessageId(7)).await.unwrap().is_empty());
    for number in [0, 1] {
        assert_eq!(storage.gone_on(MessageId(7), number).await.unwrap().recipients, 1);
    }
    assert_eq!(storage.gone_on(MessageId(7), 2).await.unwrap().recipients, 0);
}
