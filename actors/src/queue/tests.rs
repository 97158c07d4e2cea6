//! The queue alone, on a real spool: whoever decides what runs, whoever tells senders and whoever
//! delivers is scripted.

use std::time::Duration;

use bytes::Bytes;
use relais_channels::{
    dsn::Kind,
    mail::{
        Attempt, Enhanced, Entry, Envelope, MessageId, MessageIds, Notify, Outcome, Peer,
        Recipient, Reply, SiteTrouble, Trip,
    },
};
use relais_config::{Channel, Config, channel::Program};
use relais_spool::{RealDisk, Spool};
use relais_storage::NewContent;
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::*;
use crate::{
    actor::{Ground, Mailbox},
    ids::ConnectionId,
    metrics::Labels,
};

/// The queue, and what its neighbours hear.
struct Alone {
    queue: Mailbox<Queue>,
    storage: Storage,
    channels: Arc<Channels>,
    ids: MessageIds,
    events: mpsc::UnboundedReceiver<DestinationEvent>,
    news: mpsc::UnboundedReceiver<News>,
    heard: Neighbours,
    _dir: TempDir,
}

/// Where the queue announces.
struct Neighbours {
    events: Outlet<DestinationEvent>,
    news: Outlet<News>,
}

impl Alone {
    /// Nobody has subscribed yet. `before` messages are in the spool before the queue is there.
    async fn with(before: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::parse("standalone", relais_config::STANDALONE).unwrap().0;
        config.channels.push(Channel::new("stores", "stores-daemon", Program::Lmtp));
        let metrics = Arc::new(Metrics::new(&Labels::of(&config, &[])));
        let channels = Arc::new(Channels::of(&config));
        let disk = Arc::new(RealDisk);
        let settings = relais_config::Spool { min_free: 1 << 20, ..config.spool.clone() };
        let opened = Spool::open(&dir.path().join("spool"), &settings, disk).unwrap().0;
        let intake = Intake::default();
        let door = intake.clone();
        let spool = opened.start(move |batch| door.committed(batch)).unwrap();
        let storage = Storage::new(spool);
        let ids = MessageIds::after(MessageId(0), 0);
        for _ in 0..before {
            post(&storage, ids.next(), &["bob@else.test"]).await;
        }
        let ground = Ground::new(metrics.actors.clone(), Box::new(|_| ()));
        let queue = ground.start(Queue::new(QueueParts {
            storage: storage.clone(),
            channels: channels.clone(),
            intake,
            metrics,
            max_messages: 1_000,
            rebuild_parallel_channels: 4,
        }));
        let (event, events) = mpsc::unbounded_channel();
        let (told, news) = mpsc::unbounded_channel();
        let heard = Neighbours {
            events: Outlet::scripted(move |it| drop(event.send(it))),
            news: Outlet::scripted(move |it| drop(told.send(it))),
        };
        Self { queue, storage, channels, ids, events, news, heard, _dir: dir }
    }

    /// The same, and everybody has subscribed.
    async fn new() -> Self {
        let alone = Self::with(0).await;
        alone.subscribe();
        alone
    }

    fn subscribe(&self) {
        self.queue.tell(Subscribe(self.heard.events.clone()));
        self.queue.tell(SubscribeToNews(self.heard.news.clone()));
    }

    async fn post(&self, to: &[&str]) -> MessageId {
        post(&self.storage, self.ids.next(), to).await
    }

    fn host(&self) -> Destination {
        Destination { channel: self.channels.find("stores").unwrap(), host: "one.test".into() }
    }

    /// A connection asks for work.
    fn pull(&self, connection: u64) -> oneshot::Receiver<Work> {
        let (reply, next) = oneshot::channel();
        let (connection, destination) = (ConnectionId(connection), self.host());
        self.queue.tell(Pull { connection, destination, settled: None, ahead: false, reply });
        next
    }

    fn settle(&self, connection: u64, work: &Work, attempt: Attempt, reached: u64) {
        let entry = work.entry;
        let counts = Work::counts(&entry, &attempt);
        let settled = Settled {
            entry,
            attempt,
            counts,
            success_notices: reached,
            trip: Some(Arc::new(Trip { protection: PROTECTION.into(), ..Trip::default() })),
            stressed: false,
            put_off: None,
            joined: Vec::new(),
        };
        let (connection, destination) = (ConnectionId(connection), self.host());
        self.queue.tell(Settle { connection, destination, settled });
    }

    /// The state of a message on the disk.
    async fn state(&self, id: MessageId) -> EntryState {
        // Behind whatever the queue was told before.
        self.queue.ask(CountOrders).await.unwrap();
        let found = self.storage.find(id).await.unwrap().pop();
        found.map_or(EntryState::Done, |found| found.state)
    }

    /// The first event that `choose` makes something of.
    async fn event<T>(&mut self, choose: impl Fn(DestinationEvent) -> Option<T>) -> T {
        let wanted = async {
            loop {
                if let Some(found) = choose(self.events.recv().await.unwrap()) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, wanted).await.expect("it is announced")
    }

    async fn cases(&mut self) -> Vec<Case> {
        match timeout(PATIENCE, self.news.recv()).await.expect("it is told") {
            Some(News::Tell(cases)) => cases,
            other => panic!("{other:?}"),
        }
    }

    async fn order(&self, kind: OrderKind, id: MessageId) -> Placed {
        let reading = Reading::begin(&self.queue).await.unwrap();
        let entries = self.storage.find(id).await.unwrap();
        let order = Order { kind, reason: "as the test wants it".into() };
        let place = PlaceOrder { reading: reading.ticket(), order, entries };
        self.queue.ask(place).await.unwrap()[0]
    }
}

async fn post(storage: &Storage, id: MessageId, to: &[&str]) -> MessageId {
    let envelope = envelope(id, "stores", "one.test", to, Notify::Unsaid);
    let body = Bytes::from_static(b"Subject: hello\r\n\r\nHello.\r\n");
    storage.append(&mut envelope.into(), NewContent::Whole(body)).await.unwrap().id
}

/// Mail from alice that has just come in.
pub(crate) fn envelope(
    id: MessageId,
    channel: &str,
    host: &str,
    to: &[&str],
    notify: Notify,
) -> Envelope {
    let recipient = |to: &&str| Recipient { notify, ..Recipient::new(*to, *to) };
    Envelope {
        sender: "alice@relais.example".to_owned(),
        source_channel: "tcp_local".into(),
        client: "a.example [192.0.2.1]".into(),
        ..Envelope::plain(
            id,
            now_ms(),
            vec![Entry {
                channel: channel.into(),
                host: host.into(),
                recipients: to.iter().map(recipient).collect(),
            }],
        )
    }
}

fn ok() -> Outcome {
    Outcome::Delivered(Reply::new(250, Enhanced(2, 0, 0), "OK"))
}

fn later() -> Outcome {
    Outcome::Deferred(Reply::new(451, Enhanced(4, 3, 0), "not now"))
}

fn never() -> Outcome {
    Outcome::Failed(Reply::new(550, Enhanced(5, 1, 1), "who?"))
}

fn attempt(outcomes: Vec<Outcome>) -> Attempt {
    let peer =
        Peer { host: "one.test".into(), notifies: false, answered: u64::MAX.into(), unsure: false };
    Attempt { outcomes: outcomes.into(), trouble: None, peer: Some(peer) }
}

#[actix::test]
async fn what_is_committed_before_the_queue_is_there_is_waiting_when_somebody_subscribes() {
    let mut alone = Alone::with(3).await;
    while alone.queue.ask(DescribeQueue).await.unwrap().tracked < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    alone.subscribe();
    let first = alone.events.recv().await.unwrap();
    let DestinationEvent::Waiting(waiting) = first else { panic!("{first:?}") };
    assert_eq!(waiting, [(alone.host(), 3)]);
}

#[actix::test]
async fn what_is_told_before_somebody_tells_senders_is_kept() {
    let mut alone = Alone::with(0).await;
    let id = alone.post(&["bob@else.test"]).await;
    assert_eq!(alone.order(OrderKind::Return, id).await, Placed::Done);
    alone.subscribe();
    let cases = alone.cases().await;
    assert_eq!((cases[0].entry.id, cases[0].kind), (id, Kind::Bounced));
    assert_ne!(alone.state(id).await, EntryState::Done, "its sender is not told yet");
    alone.queue.tell(Noticed { cases, told: Told::Settled });
    assert_eq!(alone.state(id).await, EntryState::Done);
}

#[actix::test]
async fn what_an_attempt_leaves_and_what_senders_hear_of_it() {
    let mut alone = Alone::new().await;
    let to = ["ann@else.test", "ben@else.test"];
    // name, what was said, who was reached and is to be told of, what is left open, what is told
    let rows = [
        ("both are delivered", [ok(), ok()], 0, 0, &[][..]),
        ("one waits", [ok(), later()], 0, 0b10, &[]),
        (
            "one failed: it stays until its sender is told",
            [never(), ok()],
            0,
            0b01,
            &[Kind::Failed],
        ),
        ("one was reached", [ok(), later()], 0b01, 0b10, &[Kind::Delivered]),
        ("one was reached, one failed", [ok(), never()], 0b01, 0b10, &[Kind::Delivered]),
    ];
    for (nth, (name, outcomes, reached, open, told)) in (0..).zip(rows) {
        let id = alone.post(&to).await;
        let work = timeout(PATIENCE, alone.pull(nth)).await.expect(name).unwrap();
        assert_eq!(work.entry.id, id, "{name}");
        alone.settle(nth, &work, attempt(outcomes.into()), reached);
        let state = alone.state(id).await;
        assert_eq!((state.open(), state.reached()), (open, reached), "{name}");
        if let [kind] = told {
            let cases = alone.cases().await;
            let heard: Vec<_> = cases.iter().map(|case| (case.entry.id, case.kind)).collect();
            assert_eq!(heard, [(id, *kind)], "{name}");
        }
        assert!(alone.news.try_recv().is_err(), "{name}: that is all");
    }
}

const PROTECTION: &str = "TLSv1.3 TLS_AES_256_GCM_SHA384, verified";

#[actix::test]
async fn a_host_in_trouble_is_announced_and_its_mail_is_stranded_until_it_is_reached() {
    let mut alone = Alone::new().await;
    let id = alone.post(&["bob@else.test"]).await;
    let work = timeout(PATIENCE, alone.pull(1)).await.unwrap().unwrap();
    let reply = Reply::new(451, Enhanced(4, 4, 1), "nobody answers");
    let trouble = Some(SiteTrouble::deferred(reply.clone()));
    let outcomes = vec![Outcome::Deferred(reply.clone())];
    alone.settle(1, &work, Attempt { outcomes: outcomes.into(), trouble, peer: None }, 0);
    let said = |event| match event {
        DestinationEvent::Troubled { reply, .. } => Some(reply),
        _ => None,
    };
    assert_eq!(alone.event(said).await, reply);
    assert_eq!(alone.state(id).await.attempts(), 1);
    let history = alone.storage.history(id, work.entry.place).await.unwrap();
    let trip = history[0].trip.as_deref().expect("it is written down");
    assert_eq!(&*trip.protection, PROTECTION);
    // A probe gets it before its time.
    let work = timeout(PATIENCE, alone.pull(2)).await.unwrap().unwrap();
    assert_eq!(work.entry.id, id);
    alone.settle(2, &work, attempt(vec![ok()]), 0);
    let reached = |event| match event {
        DestinationEvent::Reached { connection, .. } => Some(connection),
        _ => None,
    };
    assert_eq!(alone.event(reached).await, ConnectionId(2));
    assert_eq!(alone.state(id).await, EntryState::Done);
}

#[actix::test]
async fn what_a_connection_had_in_hand_waits_again_when_it_is_gone() {
    let mut alone = Alone::new().await;
    let id = alone.post(&["bob@else.test"]).await;
    timeout(PATIENCE, alone.pull(1)).await.unwrap().unwrap();
    let (connection, destination) = (ConnectionId(1), alone.host());
    alone.queue.tell(ConnectionEnded { connection, destination, panicked: false });
    let settled = |event| match event {
        DestinationEvent::ConnectionSettled { connection, ready } => Some((connection, ready)),
        _ => None,
    };
    assert_eq!(alone.event(settled).await, (ConnectionId(1), 1));
    let work = timeout(PATIENCE, alone.pull(2)).await.unwrap().unwrap();
    assert_eq!((work.entry.id, work.entry.attempts), (id, 0));
}

#[actix::test]
async fn an_idle_connection_that_is_asked_back_ends_and_the_next_one_stays() {
    let alone = Alone::new().await;
    let idle = alone.pull(1);
    alone.queue.tell(Recall(vec![alone.host()]));
    assert!(timeout(PATIENCE, idle).await.unwrap().is_err(), "its reply is dropped");
    let mut next = alone.pull(2);
    alone.queue.ask(CountOrders).await.unwrap();
    assert_eq!(next.try_recv().unwrap_err(), oneshot::error::TryRecvError::Empty);
    let id = alone.post(&["bob@else.test"]).await;
    assert_eq!(timeout(PATIENCE, next).await.unwrap().unwrap().entry.id, id);
}

#[actix::test]
async fn an_order_about_an_entry_in_hand_is_carried_out_when_it_comes_back() {
    let alone = Alone::new().await;
    let [held, gone] = [alone.post(&["bob@else.test"]).await, alone.post(&["bob@else.test"]).await];
    for (connection, action, id) in [(1, OrderKind::Hold, held), (2, OrderKind::Delete, gone)] {
        let work = timeout(PATIENCE, alone.pull(connection)).await.unwrap().unwrap();
        assert_eq!(alone.order(action, id).await, Placed::Later);
        assert_eq!(alone.queue.ask(CountOrders).await.unwrap(), 1);
        alone.settle(connection, &work, attempt(vec![later()]), 0);
        assert_eq!(alone.queue.ask(CountOrders).await.unwrap(), 0);
    }
    assert!(matches!(alone.state(held).await, EntryState::Held { attempts: 1, .. }));
    let deleted = async {
        while alone.state(gone).await != EntryState::Done {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, deleted).await.expect("it is deleted");
}

#[actix::test]
async fn a_drain_ends_when_nothing_is_in_hand() {
    let mut alone = Alone::new().await;
    alone.post(&["bob@else.test"]).await;
    let work = timeout(PATIENCE, alone.pull(1)).await.unwrap().unwrap();
    let drained = alone.queue.ask(DrainQueue);
    alone.queue.ask(CountOrders).await.unwrap();
    assert!(matches!(alone.news.recv().await, Some(News::Draining)));
    assert!(alone.pull(2).await.is_err(), "nothing more is handed out");
    alone.settle(1, &work, attempt(vec![ok()]), 0);
    timeout(PATIENCE, drained).await.expect("it ends").unwrap();
}

#[actix::test]
async fn entries_of_one_message_are_handed_out_together_and_settled_each_by_itself() {
    let alone = Alone::new().await;
    let post = async || {
        let id = alone.ids.next();
        let of = |to: &[&str]| envelope(id, "stores", "one.test", to, Notify::Unsaid);
        let mut mail = of(&["ann@else.test", "ben@else.test"]);
        mail.entries.extend(of(&["cat@else.test"]).entries);
        let body = Bytes::from_static(b"Subject: hello\r\n\r\nHello.\r\n");
        alone.storage.append(&mut mail.into(), NewContent::Whole(body)).await.unwrap();
        id
    };
    let left = async |id| {
        alone.queue.ask(CountOrders).await.unwrap();
        let found = alone.storage.find(id).await.unwrap();
        let of =
            |it: &relais_storage::ScannedEntry| (it.entry, it.state.open(), it.state.attempts());
        found.iter().map(of).collect::<Vec<_>>()
    };
    let host = || alone.host();
    let id = post().await;
    let work = timeout(PATIENCE, alone.pull(1)).await.unwrap().unwrap();
    assert_eq!(work.entries().map(|entry| entry.entry).collect::<Vec<_>>(), [0, 1]);
    let settled = |entry: Tracked, outcomes| Settled {
        entry,
        attempt: attempt(outcomes),
        counts: true,
        success_notices: 0,
        trip: None,
        stressed: false,
        put_off: None,
        joined: Vec::new(),
    };
    let joined = vec![settled(work.joined[0], vec![ok()])];
    let settled = Settled { joined, ..settled(work.entry, vec![ok(), later()]) };
    alone.queue.tell(Settle { connection: ConnectionId(1), destination: host(), settled });
    assert_eq!(left(id).await, [(0, 0b10, 1)]);
    // A connection that ends over them gives both back; one that panics has tried both.
    for (panicked, attempts) in [(false, 0), (true, 1)] {
        let id = post().await;
        let work = timeout(PATIENCE, alone.pull(2)).await.unwrap().unwrap();
        assert_eq!((work.entry.id, work.joined.len()), (id, 1));
        let (connection, destination) = (ConnectionId(2), host());
        alone.queue.tell(ConnectionEnded { connection, destination, panicked });
        assert_eq!(left(id).await, [(0, 0b11, attempts), (1, 0b1, attempts)]);
        if !panicked {
            let again = timeout(PATIENCE, alone.pull(3)).await.unwrap().unwrap();
            assert_eq!((again.entry.id, again.joined.len()), (id, 1), "together again");
        }
    }
}

/// For a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
