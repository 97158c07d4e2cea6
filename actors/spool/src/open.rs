//! From files on a disk to a spool that works: recovery with the index that is there or a new one,
//! and the threads.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use relais_channels::{disk::Disk, mail::MessageId};
use relais_storage::{Counts, StorageError, Stored};

use crate::{
    compact::forwarding::Forwarding,
    compact::{Compactor, Rest},
    environment::Environment,
    events::SpoolEvents,
    format::layout::messages_of,
    format::segment::Numbers,
    handle::{Shared, Spool},
    index::broken::Broken,
    index::{Index, IndexQueue},
    ledger::Ledger,
    ledger::feed::Feed,
    read::continued::Continued,
    read::reader::Reader,
    recovery::error::RecoverError,
    recovery::repair::Quarantined,
    recovery::{Findings, recover},
    write::committer::{CommitQueue, Committer},
    write::journal::{Journal, JournalQueue},
};

/// A spool that has been recovered and does not work yet.
pub struct Opened {
    environment: Environment,
    index: Index,
    ledger: Ledger,
    next: u32,
}

/// The findings of a start.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The largest id in use.
    pub last_id: MessageId,
    /// The largest generation of an id in use.
    pub generation: u64,
    /// Entries that are not done, by channel.
    pub entries: BTreeMap<String, Counts>,
    /// Damaged stretches.
    pub quarantined: Vec<Quarantined>,
    /// Large messages that are not done and whose content is gone.
    pub missing: Vec<MessageId>,
    /// Segments whose file of messages is gone; their states are kept.
    pub lost: Vec<String>,
    /// Bytes cut off behind the last whole record: half written or not yet used at a crash.
    pub cut: u64,
    /// Records read because the index had not followed them.
    pub replayed: u64,
    /// Why the index was rebuilt, if it was.
    pub rebuilt: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Recovered {
    fn of(findings: Findings, rebuilt: Option<String>, started: Instant) -> (Self, Ledger, u32) {
        let Findings { ledger, quarantined, missing, lost, cut, replayed, next } = findings;
        let recovered = Self {
            last_id: MessageId(ledger.last_id),
            generation: ledger.generation,
            entries: ledger.by_channel(),
            quarantined,
            missing,
            lost: lost.into_iter().map(messages_of).collect(),
            cut,
            replayed,
            rebuilt,
            took: started.elapsed(),
        };
        (recovered, ledger, next)
    }
}

impl Spool {
    /// Opens the spool in `dir`, which is made if it is not there, and recovers what is in it.
    /// Nobody else may be using it.
    pub fn open(
        dir: &Path,
        settings: &relais_config::Spool,
        disk: Arc<dyn Disk>,
    ) -> Result<(Opened, Recovered), StorageError> {
        let started = Instant::now();
        let environment = Arc::new(Environment::new(dir, settings, disk));
        environment.disk.create_dir(dir).map_err(StorageError::at(dir))?;
        let (index, findings, rebuilt) = follow_up(&environment)?;
        if let Some(reason) = &rebuilt {
            tracing::warn!(%reason, "the queue index was made anew from the spool");
        }
        let (recovered, ledger, next) = Recovered::of(findings, rebuilt, started);
        let entries: u64 = recovered.entries.values().map(Counts::total).sum();
        let Recovered { replayed, cut, took, .. } = recovered;
        for file in &recovered.lost {
            tracing::error!(
                path = %dir.join(file).display(),
                "a segment of the spool is gone, and the mail in it: put the file back while no \
                 engine runs, or remove the .st beside it to let the matter rest"
            );
        }
        let missing = recovered.missing.len() + recovered.lost.len();
        let damaged = recovered.quarantined.len();
        tracing::info!(
            entries,
            segments = ledger.segments.len(),
            octets = ledger.bytes(),
            replayed,
            cut,
            damaged,
            missing,
            took_ms = took.as_millis() as u64,
            "spool recovered"
        );
        let environment = Environment::new(dir, settings, Arc::clone(&environment.disk));
        Ok((Opened { environment, index, ledger, next }, recovered))
    }

    /// Throws away the index of the spool in `dir` and rebuilds it. Nobody else may be using it.
    /// `progress` is told how many bytes of how many have been followed.
    pub fn rebuild(
        dir: &Path,
        settings: &relais_config::Spool,
        disk: Arc<dyn Disk>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Recovered, StorageError> {
        let started = Instant::now();
        let environment = Arc::new(Environment::new(dir, settings, disk));
        environment.disk.create_dir(dir).map_err(StorageError::at(dir))?;
        let (_, findings) = rebuild_index(&environment, progress)?;
        Ok(Recovered::of(findings, Some("asked to".to_owned()), started).0)
    }
}

impl Opened {
    /// Has `events` told what the spool does.
    #[must_use]
    pub fn observed_by(mut self, events: Arc<dyn SpoolEvents>) -> Self {
        self.environment.events = events;
        self
    }

    /// Starts the threads. `committed` is called once per batch, on the committer's thread, before
    /// those who wait for the batch are answered.
    pub fn start(
        self,
        committed: impl FnMut(Vec<Stored>) + Send + 'static,
    ) -> Result<Spool, StorageError> {
        let Self { environment, index, ledger, next } = self;
        let environment = Arc::new(environment);
        let feed = Arc::new(Feed::new(ledger));
        let forwarding = Arc::<Forwarding>::default();
        let reader = Arc::new(Reader::new(Arc::clone(&environment), Arc::clone(&forwarding)));
        let numbers = Arc::new(Numbers::from(next));
        let appender = Committer::new(
            Arc::clone(&environment),
            Arc::clone(&feed),
            Arc::clone(&numbers),
            Arc::clone(&reader.fresh),
        );
        let journal = Journal::new(
            Arc::clone(&environment),
            Arc::clone(&feed),
            Arc::clone(&reader),
            Arc::clone(&forwarding),
        );
        let compactor =
            Compactor::new(Arc::clone(&environment), Arc::clone(&feed), forwarding, numbers);
        let shared = Arc::new(Shared {
            environment,
            feed,
            reader,
            compactor,
            commits: CommitQueue::default(),
            journal: JournalQueue::default(),
            rest: Rest::default(),
            index: IndexQueue::default(),
            continued: Continued::default(),
            threads: Mutex::default(),
        });
        let [one, two, three, four] = [(); 4].map(|()| Arc::clone(&shared));
        let threads = [
            spawn("committer", move || appender.run(&one.commits, committed))?,
            spawn("journal", move || journal.run(&two.journal))?,
            spawn("compactor", move || {
                four.compactor.run(&four.rest, |copied| four.journal.switch(copied));
            })?,
            spawn("index", move || {
                index.run(&three.feed, &three.index, |segments| three.journal.retire(segments));
            })?,
        ];
        shared.threads.lock().unwrap_or_else(PoisonError::into_inner).extend(threads);
        Ok(Spool::of(shared))
    }
}

/// Recovers with the index that is there or, if that cannot be used, with a new one.
fn follow_up(
    environment: &Arc<Environment>,
) -> Result<(Index, Findings, Option<String>), StorageError> {
    let known_before = environment.layout.index().exists();
    let reason = match Index::open(Arc::clone(environment))
        .map(|index| attempt(environment, index, &mut |_, _| ()))
    {
        Ok(Ok((index, findings))) => {
            let rebuilt = !known_before && !findings.ledger.segments.is_empty();
            return Ok((index, findings, rebuilt.then(|| "there was none".to_owned())));
        }
        Ok(Err(RecoverError::Index(reason))) | Err(Broken(reason)) => reason,
        Ok(Err(error)) => return Err(error.into()),
    };
    rebuild_index(environment, &mut |_, _| ())
        .map(|(index, findings)| (index, findings, Some(reason)))
}

/// Recovers with a new index.
fn rebuild_index(
    environment: &Arc<Environment>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Index, Findings), StorageError> {
    let mut again = || {
        let index = Index::create(Arc::clone(environment))
            .map_err(|Broken(why)| StorageError::Index(why))?;
        Ok(attempt(environment, index, progress)?)
    };
    let mut made = again();
    // On a full disk mail cannot leave, and make room, before there is an index.
    if matches!(made, Err(StorageError::Index(_)))
        && environment.release_reserve_if_full("the index is made")
    {
        made = again();
    }
    made
}

fn attempt(
    environment: &Environment,
    mut index: Index,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Index, Findings), RecoverError> {
    let mut failed = Ok(());
    let known = index.ledger().clone();
    let findings = recover(environment, known, progress, &mut |event| {
        if failed.is_ok() {
            failed = index.catch_up(event);
        }
    })?;
    let caught_up = failed.and_then(|()| index.caught_up());
    caught_up.map_err(|Broken(why)| RecoverError::Index(why))?;
    Ok((index, findings))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StorageError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|error: io::Error| StorageError::at(Path::new(name))(error))
}
