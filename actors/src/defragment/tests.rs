//! The actor on a real queue and a real spool, as an engine that ended somewhere has left them.

use std::{sync::Arc, time::Duration};

use relais_channels::mail::{Content, Envelope, Fragment, Fragments, Notify};
use relais_config::{Channel, Config, channel::Program};
use relais_spool::RealDisk;
use relais_storage::{Class, EntryState, NewContent};
use tempfile::TempDir;

use super::{Defragmenter, DefragmenterParts, DescribePiece, EntryKey};
use crate::{
    actor::Mailbox,
    house_tests::QueueScene,
    queue::{Order, OrderKind, PlaceOrder, Reading, tests::envelope},
};

struct Scene {
    its: QueueScene,
    _dir: TempDir,
}

impl std::ops::Deref for Scene {
    type Target = QueueScene;

    fn deref(&self) -> &QueueScene {
        &self.its
    }
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::parse("standalone", relais_config::STANDALONE).unwrap().0;
        let channel = Channel::new("stores", "stores-daemon", Program::Lmtp);
        config.channels.push(Channel { defragment: true, ..channel });
        let its = QueueScene::new(&config, dir.path(), Arc::new(RealDisk));
        Self { its, _dir: dir }
    }

    fn start(&self) -> Mailbox<Defragmenter> {
        self.ground.start(Defragmenter::new(DefragmenterParts {
            storage: self.storage.clone(),
            channels: self.channels.clone(),
            queue: self.queue.clone(),
            ids: self.ids.clone(),
            large_message: 1_000,
            metrics: self.metrics.clone(),
        }))
    }

    fn envelope(&self, fragments: Fragments) -> Envelope {
        let to = ["bob@else.test"];
        let envelope = envelope(self.ids.next(), "stores", "one.test", &to, Notify::Unsaid);
        Envelope { fragments: Some(fragments.into()), ..envelope }
    }

    async fn store(&self, envelope: Envelope, content: &str) -> EntryKey {
        let content = NewContent::Whole(content.to_owned().into());
        (self.storage.append(&mut envelope.into(), content).await.unwrap().id, 0)
    }

    async fn piece(&self, number: u32, total: u32) -> EntryKey {
        let piece = Fragment { id: "i".to_owned(), number, total: Some(total) };
        let mut envelope = self.envelope(Fragments::Piece { piece, waits: Vec::new() });
        let now = envelope.received;
        self.channels.gather(&mut envelope, now);
        assert!(envelope.fragments.as_ref().unwrap().waits(0));
        let within = if number == 1 { "Subject: all\r\n\r\n" } else { "" };
        self.store(envelope, &format!("To: bob\r\n\r\n{within}{number}\r\n")).await
    }

    async fn order(&self, kind: OrderKind, entry: EntryKey) {
        let reading = Reading::begin(&self.queue).await.unwrap();
        let entries = self.storage.find(entry.0).await.unwrap();
        let order = Order { kind, reason: "as the test wants it".into() };
        self.queue.ask(PlaceOrder { reading: reading.ticket(), order, entries }).await.unwrap();
    }

    async fn state(&self, (id, _): EntryKey) -> EntryState {
        let found = self.storage.find(id).await.unwrap().pop();
        found.map_or(EntryState::Done, |found| found.state)
    }

    /// The contents of what waits to be delivered, when nothing is held any more.
    async fn waiting(&self) -> Vec<String> {
        for _ in 0..PATIENCE {
            if self.storage.scan("stores", Class::Held, None, 9).await.unwrap().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut all = Vec::new();
        for entry in self.storage.scan("stores", Class::Untried, None, 99).await.unwrap() {
            let Content::Whole(octets) = self.storage.read(entry.place).await.unwrap().1 else {
                panic!("a file");
            };
            all.push(String::from_utf8(octets.to_vec()).unwrap());
        }
        all
    }
}

#[actix::test]
async fn an_engine_that_ended_anywhere_is_followed_by_one_that_makes_the_message_once() {
    // name, whether the whole was stored, how many of its pieces were removed, whether it was released
    let rows = [
        ("before it was put together", false, 0, false),
        ("when it was stored", true, 0, false),
        ("when a piece was removed", true, 1, false),
        ("when all pieces were removed", true, 3, false),
        ("when it was released", true, 3, true),
    ];
    for (name, has_whole, removed, released) in rows {
        let scene = Scene::new();
        let mut pieces = Vec::new();
        for number in [2, 1, 3] {
            pieces.push(scene.piece(number, 3).await);
        }
        if has_whole {
            let mut whole = scene.envelope(Fragments::Whole { pieces: pieces.clone() });
            whole.held = Some("its pieces are removed first".to_owned());
            let whole = scene.store(whole, WHOLE).await;
            for piece in &pieces[..removed] {
                scene.order(OrderKind::Delete, *piece).await;
            }
            if released {
                scene.order(OrderKind::Release, whole).await;
            }
        }
        scene.start();
        assert_eq!(scene.waiting().await, [WHOLE], "{name}");
        for piece in pieces {
            assert_eq!(scene.state(piece).await, EntryState::Done, "{name}");
        }
    }
}

#[actix::test]
async fn pieces_that_an_operator_holds_are_no_pieces_that_wait() {
    let scene = Scene::new();
    let held = scene.piece(1, 2).await;
    for kind in [OrderKind::Release, OrderKind::Hold] {
        scene.order(kind, held).await;
    }
    let waits = scene.piece(2, 2).await;
    let defragmenter = scene.start();
    for _ in 0..PATIENCE {
        if defragmenter.ask(DescribePiece(waits)).await.unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let missing = defragmenter.ask(DescribePiece(waits)).await.unwrap().unwrap().missing;
    assert_eq!(missing, [1]);
    assert_eq!(defragmenter.ask(DescribePiece(held)).await.unwrap(), None);
    // The queue tells of later ones.
    scene.piece(1, 2).await;
    for _ in 0..PATIENCE {
        if scene.state(waits).await == EntryState::Done {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(scene.state(waits).await, EntryState::Done);
    assert!(matches!(scene.state(held).await, EntryState::Held { .. }));
}

const WHOLE: &str = "To: bob\r\nSubject: all\r\n\r\n1\r\n2\r\n3\r\n";
/// Hundredths of a second.
const PATIENCE: usize = 1_000;
