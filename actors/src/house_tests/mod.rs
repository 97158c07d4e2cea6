//! The actors that move mail, together and alive: queue, job controller, pools, notary and router
//! on a real spool. Only the jobs are stand-ins, which do what a test wants.

mod clock;
mod connections;
mod jobs;
mod orders;
mod senders;

use std::{cell::RefCell, path::Path, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use relais_channels::{
    dsn::Templates,
    mail::{Envelope, MessageId, MessageIds, Notify},
};
use relais_config::{Channel, Config, channel::Program, notary::DoubleBounces};
use relais_spool::{Disk, RealDisk, Spool};
use relais_storage::{EntryState, NewContent, ScannedEntry, Storage};
use tempfile::TempDir;

use self::jobs::{Script, StandIn};
use crate::{
    actor::{Ground, Mailbox},
    channel_table::Channels,
    delivery::{
        pool::{JobAddress, Pool},
        progress::ConnectionProgress,
    },
    directory::{self, Source},
    events::lines::Lines,
    ids::Destination,
    job_controller::{
        self, Freeze, JobController, Limit, PoolOutlets, PoolPart, QueueOutlets, Tune,
    },
    metrics::{Labels, Metrics, ServerMeters},
    notary::{self, Notary},
    queue::{Intake, Queue, QueueParts, tests::envelope},
    router::{self, RouterHandle, Routes},
    sieve::{OwnersTold, SieveRunner},
};

/// The engine without its ends: nothing listens, and nobody is connected to.
struct House {
    queue: Mailbox<Queue>,
    controller: Mailbox<JobController>,
    ground: Ground,
    /// The notary, until it is started.
    notary: RefCell<Option<Notary>>,
    storage: Storage,
    script: Rc<Script>,
    log: Lines,
    metrics: Arc<Metrics>,
    channels: Arc<Channels>,
    ids: Arc<MessageIds>,
    _log: tracing::subscriber::DefaultGuard,
    _dir: TempDir,
}

/// A house is built like this, unless a test wants it otherwise.
struct Plan {
    /// The channel `stores`, whose hosts are what tests name.
    stores: Channel,
    job_limit: usize,
    /// The notary is there from the beginning.
    has_notary: bool,
    disk: Arc<dyn Disk>,
}

impl Default for Plan {
    fn default() -> Self {
        let stores = Channel {
            max_client_threads: 1.try_into().unwrap(),
            maxjobs: 10.try_into().unwrap(),
            pool: "SMTP_POOL".to_owned(),
            ..Channel::new("stores", "stores-daemon", Program::Lmtp)
        };
        Self { stores, job_limit: 10, has_notary: true, disk: Arc::new(RealDisk) }
    }
}

/// A queue on a real spool.
pub(crate) struct QueueScene {
    pub(crate) queue: Mailbox<Queue>,
    pub(crate) ground: Ground,
    pub(crate) storage: Storage,
    pub(crate) channels: Arc<Channels>,
    pub(crate) ids: Arc<MessageIds>,
    pub(crate) metrics: Arc<Metrics>,
}

impl QueueScene {
    /// With the channels of a configuration; the spool lies in this folder.
    pub(crate) fn new(config: &Config, folder: &Path, disk: Arc<dyn Disk>) -> Self {
        let metrics = Arc::new(Metrics::new(&Labels::of(config, &[])));
        let channels = Arc::new(Channels::of(config));
        let ground = Ground::new(metrics.actors.clone(), Box::new(|_| ()));
        let settings = relais_config::Spool { min_free: MIN_FREE, ..config.spool.clone() };
        let (storage, intake) = storage(&folder.join("spool"), &settings, disk);
        let queue = ground.start(Queue::new(QueueParts {
            storage: storage.clone(),
            channels: channels.clone(),
            intake,
            metrics: metrics.clone(),
            max_messages: 1_000,
            rebuild_parallel_channels: 4,
        }));
        let ids = Arc::new(MessageIds::after(MessageId(0), 0));
        Self { queue, ground, storage, channels, ids, metrics }
    }
}

impl House {
    fn new(plan: Plan) -> Self {
        let log = Lines::of("relais");
        let guard = tracing::subscriber::set_default(log.clone());
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::parse("standalone", relais_config::STANDALONE).unwrap().0;
        config.channels.push(plan.stores);
        let QueueScene { queue, ground, storage, channels, ids, metrics } =
            QueueScene::new(&config, dir.path(), plan.disk);
        let parts = notary_parts(
            (&config, dir.path()),
            &storage,
            (&channels, &ids, &metrics),
            &router(&config, &ground),
        );
        let script = Rc::<Script>::default();
        let pools = [("DEFAULT", 10), ("SMTP_POOL", plan.job_limit)].map(|(name, job_limit)| {
            let start_job = {
                let (ground, queue, script) = (ground.clone(), queue.clone(), script.clone());
                move |_| JobAddress::of(&ground.start(StandIn::new(queue.clone(), script.clone())))
            };
            let (start_job, ended) = (Box::new(start_job), queue.outlet());
            let pool = Pool::of_jobs(job_limit, start_job, ended, ground.clone());
            let outlets = PoolOutlets::of(&ground.start(pool));
            PoolPart { name: name.to_owned(), job_limit, keeps_last_slot: true, outlets }
        });
        let controller = ground.start(JobController::new(job_controller::ControllerParts {
            channels: channels.clone(),
            pools: pools.into(),
            queue: QueueOutlets::of(&queue),
            throttles: Arc::default(),
            progress: ConnectionProgress::default(),
            metrics: metrics.clone(),
        }));
        let house = Self {
            notary: RefCell::new(Some(Notary::new(parts, queue.clone()))),
            queue,
            controller,
            ground,
            storage,
            script,
            log,
            metrics,
            channels,
            ids,
            _log: guard,
            _dir: dir,
        };
        if plan.has_notary {
            house.start_notary();
        }
        house
    }

    /// From now on senders are told, of what was waiting for that, too.
    fn start_notary(&self) {
        // Its timers keep it alive.
        self.ground.start(self.notary.take().expect("it is started once"));
    }

    /// Mail from alice for a host of the channel `stores`.
    async fn post(&self, host: &str) -> MessageId {
        self.post_for(host, &["bob@else.test"], Notify::Unsaid).await
    }

    /// The same, for these.
    async fn post_for(&self, host: &str, to: &[&str], notify: Notify) -> MessageId {
        self.post_in("stores", host, to, notify).await
    }

    /// The same, in another channel.
    async fn post_in(&self, channel: &str, host: &str, to: &[&str], notify: Notify) -> MessageId {
        self.store(envelope(self.ids.next(), channel, host, to, notify), small()).await
    }

    /// In the channel `stores`, as if it had come in when its id says.
    async fn post_as(&self, id: MessageId, host: &str, to: &[&str], notify: Notify) -> MessageId {
        self.store(envelope(id, "stores", host, to, notify), small()).await
    }

    /// The same, in a file of its own.
    async fn post_large(&self, host: &str) -> MessageId {
        let mut draft = self.storage.draft();
        draft.write(CONTENT).await.unwrap();
        let (id, to) = (self.ids.next(), ["bob@else.test"]);
        let envelope = envelope(id, "stores", host, &to, Notify::Unsaid);
        self.store(envelope, NewContent::Blob(draft)).await
    }

    async fn store(&self, envelope: Envelope, content: NewContent) -> MessageId {
        self.storage.append(&mut envelope.into(), content).await.unwrap().id
    }

    /// The entry of a message on the disk, if it is not done.
    async fn found(&self, id: MessageId) -> Option<ScannedEntry> {
        self.storage.find(id).await.unwrap().pop()
    }

    /// Waits until the disk has it like this.
    async fn until(&self, id: MessageId, what: &str, is: impl Fn(&EntryState) -> bool) {
        let mut last = None;
        for _ in 0..PATIENCE {
            last = self.found(id).await.map(|found| found.state);
            if is(&last.unwrap_or(EntryState::Done)) {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
        panic!("{what}: {last:?}, {:#?}", self.log.taken());
    }

    async fn until_done(&self, id: MessageId) {
        self.until(id, "it is done", |state| *state == EntryState::Done).await;
    }

    async fn freeze(&self, frozen: bool) {
        let freeze = Freeze { channel: "stores".to_owned(), frozen };
        self.controller.ask(freeze).await.unwrap().unwrap();
    }

    async fn tune(&self, limit: Limit, value: usize) -> usize {
        let value = Some(value);
        self.controller.ask(Tune { limit, value }).await.unwrap().unwrap().unwrap()
    }

    fn to(&self, host: &str) -> Destination {
        Destination { channel: self.channels.find("stores").unwrap(), host: host.into() }
    }

    /// Lines of the transaction log with this action for a message.
    fn logged(&self, action: &str, id: MessageId) -> usize {
        self.log.count(&format!("action={action}|id={id}|"))
    }
}

fn storage(path: &Path, settings: &relais_config::Spool, disk: Arc<dyn Disk>) -> (Storage, Intake) {
    let intake = Intake::default();
    let door = intake.clone();
    let opened = Spool::open(path, settings, disk).unwrap().0;
    (Storage::new(opened.start(move |batch| door.committed(batch)).unwrap()), intake)
}

fn small() -> NewContent {
    NewContent::Whole(Bytes::from_static(CONTENT))
}

fn notary_parts(
    (config, folder): (&Config, &Path),
    storage: &Storage,
    (channels, ids, metrics): (&Arc<Channels>, &Arc<MessageIds>, &Arc<Metrics>),
    router: &RouterHandle,
) -> notary::NotaryParts {
    let owners = OwnersTold {
        host: "localhost".into(),
        channels: channels.clone(),
        storage: storage.clone(),
        ids: ids.clone(),
        metrics: metrics.clone(),
    };
    notary::NotaryParts {
        host: "localhost".into(),
        postmaster: "postmaster@relais.example".into(),
        language: "en".into(),
        content_return_limit: 1 << 20,
        double_bounces: DoubleBounces::default(),
        templates: Arc::new(Templates::load(None).unwrap()),
        channels: channels.clone(),
        storage: storage.clone(),
        router: router.clone(),
        sieve: Arc::new(SieveRunner::new(config, owners, None)),
        ids: ids.clone(),
        metrics: metrics.clone(),
        progress: folder.join("looked"),
    }
}

fn router(config: &Config, ground: &Ground) -> RouterHandle {
    let directory =
        directory::start(Source::open(config, &ServerMeters::unregistered()).unwrap(), ground);
    let limits = relais_config::directory::Cache::default();
    router::start(Routes::new(config).unwrap(), limits, directory, ground)
}

/// Waits until it is so.
async fn eventually(what: &str, is: impl Fn() -> bool) {
    for _ in 0..PATIENCE {
        if is() {
            return;
        }
        tokio::time::sleep(STEP).await;
    }
    panic!("{what}: not in time");
}

/// Long enough for what should not happen to happen: a few ticks of every actor.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(600)).await;
}

const CONTENT: &[u8] = b"Subject: hello\r\n\r\nHello.\r\n";
/// Octets that the disk has to have left for a message.
const MIN_FREE: u64 = 1 << 20;
const STEP: Duration = Duration::from_millis(20);
/// Steps, for a busy machine.
const PATIENCE: u32 = 1_000;
