//! The way of a message into the spool, and of entries out of the index, on a real disk: in the
//! folder for temporary files, or in `$RELAIS_BENCH_DIR`.

use std::{
    env,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use relais_channels::mail::{Entry, Envelope, MessageId, Recipient};
use relais_spool::{RealDisk, Spool};
use relais_storage::{Class, NewContent, QueueStorage};
use tokio::runtime::{Builder, Runtime};

/// Durable before each answer: so many callers share an `fdatasync`.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spool/append 4 KiB");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for callers in [1, 20, 100] {
        let bench = Bench::new();
        group.bench_function(format!("{callers} callers"), |bencher| {
            bencher.iter_custom(|messages| bench.append(callers, messages));
        });
    }
    group.finish();
}

/// Entries read from the index, as the queue does when it has room for more.
fn scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index/scan of 1,000");
    group.throughput(Throughput::Elements(SCANNED as u64)).sample_size(20);
    for stored in [10_000, 100_000] {
        let bench = Bench::new();
        bench.append(100, stored);
        bench.scan();
        group.bench_function(format!("{stored} stored"), |bencher| {
            bencher.iter(|| bench.scan());
        });
    }
    group.finish();
}

struct Bench {
    spool: Spool,
    next: Arc<AtomicU64>,
    body: Bytes,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let parent = env::var_os("RELAIS_BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
        let folder = tempfile::tempdir_in(parent).expect("a folder");
        let settings = relais_config::Spool::default();
        let (opened, _) = Spool::open(folder.path(), &settings, Arc::new(RealDisk)).expect("opens");
        Self {
            spool: opened.start(|_| ()).expect("starts"),
            next: Arc::new(AtomicU64::new(1)),
            body: relais_tests::message("bench", 4_096).into(),
            runtime: Builder::new_current_thread().enable_all().build().expect("a runtime"),
            _folder: folder,
        }
    }

    /// How long it takes until the last of `messages` is safe.
    fn append(&self, callers: u64, messages: u64) -> Duration {
        let caller = |number: u64| {
            let (spool, next, body) =
                (self.spool.clone(), Arc::clone(&self.next), self.body.clone());
            let share = messages / callers + u64::from(number < messages % callers);
            async move {
                for _ in 0..share {
                    let id = MessageId(next.fetch_add(1, Ordering::Relaxed));
                    let content = NewContent::Whole(body.clone());
                    spool.append(&mut envelope(id).into(), content).await.expect("is stored");
                }
            }
        };
        self.runtime.block_on(async {
            let start = Instant::now();
            let tasks: Vec<_> = (0..callers).map(|number| tokio::spawn(caller(number))).collect();
            for task in tasks {
                task.await.expect("no panic");
            }
            start.elapsed()
        })
    }

    fn scan(&self) {
        let found = self.spool.scan(CHANNEL, Class::Untried, None, SCANNED);
        assert_eq!(self.runtime.block_on(found).expect("is found").len(), SCANNED);
    }
}

fn envelope(id: MessageId) -> Envelope {
    let recipient = Recipient::new("alice@relais.example", "alice@relais.example");
    let entry =
        Entry { channel: CHANNEL.into(), host: "localhost".into(), recipients: vec![recipient] };
    Envelope {
        sender: "sender@sender.example".to_owned(),
        source_channel: "tcp_local".into(),
        client: "client.example [127.0.0.1]".into(),
        ..Envelope::plain(id, 1_700_000_000_000, vec![entry])
    }
}

const CHANNEL: &str = "tcp_lmtpcs";
const SCANNED: usize = 1_000;

criterion_group!(benches, append, scan);
criterion_main!(benches);
