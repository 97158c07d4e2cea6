//! The long queue, written straight into the spool: as if it had come in during the last hour.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use relais_channels::mail::{Enhanced, Entry, Envelope, MessageId, Outcome, Recipient, Reply};
use relais_spool::{RealDisk, Spool};
use relais_storage::{Change, EntryState, NewContent, QueueStorage, Stored};
use tokio::runtime::Builder;

use crate::engine::{Dead, Site};

/// The backlog as it was built.
pub(crate) struct Built {
    /// How long it took.
    pub(crate) time: Duration,
    /// The sizes on the disk.
    pub(crate) octets: u64,
    /// Messages of each channel that are not to wait for a later time.
    pub(crate) ready: usize,
}

/// Fills the site's spool with `messages` for these channels, in turn. Of each channel one in four
/// was tried before, if they are to have a past at all.
pub(crate) fn build(site: &Site, channels: &[Dead], messages: usize, past: bool) -> Built {
    let start = Instant::now();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let dir = site.instance.data().join("spool");
    std::fs::create_dir_all(&dir).expect("a folder for the spool");
    let settings = relais_config::Spool::default();
    let (opened, _) = Spool::open(&dir, &settings, Arc::new(RealDisk)).expect("the spool opens");
    let spool = opened.start(|_| ()).expect("the spool starts");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis();
    let filler = Arc::new(Filler {
        spool: spool.clone(),
        channels: channels.iter().map(|dead| dead.channel.clone()).collect(),
        messages,
        past,
        body: relais_tests::message("backlog", SIZE).into(),
        now: now as u64,
    });
    runtime.block_on(async {
        let writer = |first| tokio::spawn(Arc::clone(&filler).fill(first));
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        for writer in writers {
            writer.await.expect("the queue is built");
        }
        spool.close().await.expect("the spool closes");
    });
    let ready = (0..messages / channels.len()).filter(|turn| !past || turn % 4 != 3).count();
    Built { time: start.elapsed(), octets: spool.bytes(), ready }
}

struct Filler {
    spool: Spool,
    channels: Vec<String>,
    messages: usize,
    past: bool,
    body: Bytes,
    now: u64,
}

impl Filler {
    /// Every so-manieth message, so that one sync is for all writers.
    async fn fill(self: Arc<Self>, first: usize) {
        for number in (first..self.messages).step_by(WRITERS) {
            let content = NewContent::Whole(self.body.clone());
            let mut envelope = self.envelope(number).into();
            let stored = self.spool.append(&mut envelope, content).await.expect("is stored");
            let turn = number / self.channels.len();
            if self.past && turn % 4 == 3 {
                self.try_in_vain(&stored, 1 + (turn / 4 % 5) as u16);
            }
            while self.spool.state_backlog() > UNWRITTEN {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn try_in_vain(&self, stored: &Stored, attempts: u16) {
        let mut was = EntryState::Waiting { open: 1, attempts: 0, due: 0 };
        for attempts in 1..=attempts {
            let due = self.now - PAST_MS + (stored.id.0.wrapping_mul(7_919) % DUE_WITHIN_MS);
            let now = EntryState::Waiting { open: 1, attempts, due };
            self.spool.amend(Change {
                id: stored.id,
                place: stored.place,
                entry: 0,
                channel: stored.entries[0].channel.clone(),
                host: stored.entries[0].host.clone(),
                priority: stored.priority,
                size: stored.size,
                at: self.now,
                was,
                now,
                replies: [(0, Outcome::Deferred(REFUSED))].into(),
                reason: None,
                trip: None,
            });
            was = now;
        }
    }

    fn envelope(&self, number: usize) -> Envelope {
        let received = self.now - AGE_MS + number as u64 * AGE_MS / self.messages as u64;
        let address = format!("user{number}@relais.example");
        let entry = Entry {
            channel: self.channels[number % self.channels.len()].as_str().into(),
            host: "127.0.0.1".into(),
            recipients: vec![Recipient::new(address.clone(), address)],
        };
        Envelope {
            sender: "sender@sender.example".to_owned(),
            source_channel: "tcp_local".into(),
            client: "client.example [127.0.0.1]".into(),
            ..Envelope::plain(
                // The time of receipt above a count: so ids look when they are given out.
                MessageId(received << 20 | number as u64),
                received,
                vec![entry],
            )
        }
    }
}

const REFUSED: Reply = Reply::new(451, Enhanced(4, 4, 1), "Connection refused");
/// Octets of a message.
const SIZE: usize = 2_048;
/// How many wait for the same sync.
const WRITERS: usize = 2_000;
/// Octets of state changes that wait for the disk.
const UNWRITTEN: usize = 8 << 20;
/// The oldest came so long ago.
const AGE_MS: u64 = 55 * 60_000;
/// A tried entry is due somewhere between so long ago ...
const PAST_MS: u64 = 30 * 60_000;
/// ... and so long after that.
const DUE_WITHIN_MS: u64 = 4 * 3_600_000;
