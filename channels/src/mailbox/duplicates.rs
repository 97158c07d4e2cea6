//! Messages that a mailbox has got already, by their Message-ID.
//!
//! A delivery is written down here when it is safe, and not before: what a start finds was
//! delivered. What a crash kept from being written down a start finds in the journal; a large
//! message, which is not there, may be delivered twice then.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read, Write},
    sync::{Arc, Mutex, PoisonError},
};

use memchr::memchr_iter;
use relais_config::store::Duplicates;
use ring::digest::{SHA256, digest};
use tracing::warn;

use super::{dir::Dir, open_file::OpenFile};
use crate::clock;

/// The deliveries of the last while.
#[derive(Debug)]
pub(super) struct Delivered {
    /// Seconds.
    window: u64,
    most: usize,
    /// When each was made: seconds since 1970.
    seen: HashMap<Key, u64>,
    order: VecDeque<(Key, u64)>,
    /// Nothing while it cannot be written.
    file: Option<OpenFile>,
    /// Records in it.
    written: usize,
    suppressed: u64,
}

/// The deliveries that a start finds in the journal: remembered before the journal lets them go.
#[derive(Clone, Debug, Default)]
pub(super) struct Restored {
    config: Option<Duplicates>,
    delivered: Arc<Mutex<Option<Delivered>>>,
}

impl Restored {
    /// Without a configuration nothing is remembered.
    pub(super) fn of(config: Option<Duplicates>) -> Self {
        Self { config, delivered: Arc::default() }
    }

    /// The directory has this message. Only for who has locked the partition at `root`.
    pub(super) fn add(&self, root: &Dir, dir: &str, message: &[u8]) {
        let (Some(config), Some(id)) = (&self.config, message_id(message)) else { return };
        let mut delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        delivered.get_or_insert_with(|| Delivered::open(root, config)).add(root, dir, &id);
    }

    /// All that is remembered, once the journal is open.
    pub(super) fn take(&self, root: &Dir) -> Option<Delivered> {
        let config = self.config.as_ref()?;
        let delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner).take();
        Some(delivered.unwrap_or_else(|| Delivered::open(root, config)))
    }
}

/// The beginning of a digest of a directory and a Message-ID.
type Key = [u8; 16];

impl Delivered {
    /// Reads what was written down at `root`. A file that cannot be used is told of, and keeps no mail
    /// away.
    pub(super) fn open(root: &Dir, config: &Duplicates) -> Self {
        let most = usize::try_from(config.most).unwrap_or(usize::MAX);
        let (seen, order) = (HashMap::new(), VecDeque::new());
        let window = config.window.as_secs();
        let mut delivered =
            Self { window, most, seen, order, file: None, written: 0, suppressed: 0 };
        let loaded = delivered.load(root, now()).and_then(|()| delivered.rewrite(root));
        delivered.tell(loaded);
        delivered
    }

    fn load(&mut self, root: &Dir, now: u64) -> io::Result<()> {
        let Some(file) = root.read(FILE)? else { return Ok(()) };
        let most = self.most.saturating_mul(2).saturating_add(SLACK) * RECORD;
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes)?;
        for (key, at) in bytes.chunks_exact(RECORD).filter_map(decode) {
            // A clock that was put back makes nothing last for ever.
            if at <= now {
                self.remember(key, at);
            }
        }
        self.expire(now);
        Ok(())
    }

    /// Whether the directory got this message within the window.
    pub(super) fn has(&mut self, dir: &str, message_id: &[u8]) -> bool {
        self.has_at(dir, message_id, now())
    }

    fn has_at(&mut self, dir: &str, message_id: &[u8], now: u64) -> bool {
        self.expire(now);
        let has = self.seen.get(&key(dir, message_id)).is_some_and(|at| *at <= now + CLOCK);
        self.suppressed += u64::from(has);
        has
    }

    /// The directory has got this message, and no crash takes it away.
    pub(super) fn add(&mut self, root: &Dir, dir: &str, message_id: &[u8]) {
        self.add_at(root, dir, message_id, now());
    }

    fn add_at(&mut self, root: &Dir, dir: &str, message_id: &[u8], now: u64) {
        let key = key(dir, message_id);
        self.remember(key, now);
        let written = match &mut self.file {
            Some(file) => file.write_all(&encode(key, now)),
            None => return,
        };
        self.written += 1;
        let written = written.and_then(|()| {
            let long = self.written > self.most.saturating_mul(2).saturating_add(SLACK);
            if long { self.rewrite(root) } else { Ok(()) }
        });
        self.tell(written);
    }

    /// A mailbox has another name, or is gone: what is delivered under these names from now on was not
    /// delivered before.
    pub(super) fn forget_all(&mut self, root: &Dir) {
        self.seen.clear();
        self.order.clear();
        let written = self.rewrite(root);
        self.tell(written);
    }

    /// Deliveries that were suppressed since this was last asked.
    pub(super) fn take_suppressed(&mut self) -> u64 {
        std::mem::take(&mut self.suppressed)
    }

    fn remember(&mut self, key: Key, at: u64) {
        self.seen.insert(key, at);
        self.order.push_back((key, at));
        while self.order.len() > self.most {
            self.drop_oldest();
        }
    }

    fn expire(&mut self, now: u64) {
        while self.order.front().is_some_and(|(_, at)| at.saturating_add(self.window) < now) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((key, at)) = self.order.pop_front()
            && self.seen.get(&key) == Some(&at)
        {
            self.seen.remove(&key);
        }
    }

    /// Makes the file anew, of what is still remembered.
    fn rewrite(&mut self, root: &Dir) -> io::Result<()> {
        self.file = None;
        let records: Vec<u8> = self.order.iter().flat_map(|(key, at)| encode(*key, *at)).collect();
        let file = root.write(DRAFT, &records)?;
        // A power cut leaves the old file or the new one, never a new name without its records.
        file.sync_data()?;
        root.rename(DRAFT, root, FILE)?;
        (self.file, self.written) = (Some(file), self.order.len());
        Ok(())
    }

    fn tell(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.file = None;
            warn!(
                file = FILE, %error,
                "deliveries cannot be written down: after the next start duplicates may come"
            );
        }
    }
}

/// The value of the first Message-ID in a header, without its brackets; `None`: there is none.
pub(super) fn message_id(header: &[u8]) -> Option<Vec<u8>> {
    let mut begin = 0;
    let mut value: Option<Vec<u8>> = None;
    for end in memchr_iter(b'\n', header) {
        let line = header[begin..end].trim_ascii_end();
        begin = end + 1;
        let is_more = matches!(line.first(), Some(b' ' | b'\t'));
        match &mut value {
            Some(value) if is_more && value.len() < MAX_ID => value.extend_from_slice(line),
            Some(_) => break,
            None if line.is_empty() => return None,
            None => {
                let named = line.get(..FIELD.len()).filter(|name| name.eq_ignore_ascii_case(FIELD));
                value = named.map(|_| line[FIELD.len()..].to_vec());
            }
        }
    }
    let value = value?;
    let value = value.trim_ascii();
    let open = value.iter().position(|c| *c == b'<').map_or(value, |at| &value[at + 1..]);
    let id = open.iter().position(|c| *c == b'>').map_or(open, |at| &open[..at]).trim_ascii();
    (!id.is_empty() && id.len() <= MAX_ID).then(|| id.to_vec())
}

fn key(dir: &str, message_id: &[u8]) -> Key {
    let text = [dir.as_bytes(), b"\0", message_id].concat();
    let mut key = Key::default();
    key.copy_from_slice(&digest(&SHA256, &text).as_ref()[..16]);
    key
}

fn encode(key: Key, at: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..16].copy_from_slice(&key);
    record[16..24].copy_from_slice(&at.to_le_bytes());
    let sum = crc32c::crc32c(&record[..24]);
    record[24..].copy_from_slice(&sum.to_le_bytes());
    record
}

/// `None`: it was not written as a whole.
fn decode(record: &[u8]) -> Option<(Key, u64)> {
    let (key, rest) = record.split_first_chunk::<16>()?;
    let (at, sum) = rest.split_first_chunk::<8>()?;
    let well = crc32c::crc32c(&record[..24]).to_le_bytes() == *sum;
    well.then(|| (*key, u64::from_le_bytes(*at)))
}

fn now() -> u64 {
    clock::now().as_secs()
}

/// In the root of a partition.
const FILE: &str = ".duplicates";
const DRAFT: &str = ".duplicates.new";
const FIELD: &[u8] = b"message-id:";
/// Octets of a Message-ID; a line of mail has no more.
const MAX_ID: usize = 998;
/// Bytes of a record: key, time, checksum.
const RECORD: usize = 28;
/// Records that a file may have beside twice the most.
const SLACK: usize = 1_000;
/// Seconds that a clock may be put back by.
const CLOCK: u64 = 60;

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    #[test]
    fn the_first_message_id_of_the_header_counts() {
        let rows: [(&[u8], Option<&[u8]>); 10] = [
            (b"Subject: x\r\nMessage-ID: <a@b>\r\n\r\n", Some(b"a@b")),
            (b"message-id:<a@b>\nSubject: x\n\n", Some(b"a@b")),
            (b"Message-Id:\r\n <a@b>\r\nX: y\r\n\r\n", Some(b"a@b")),
            (b"Message-ID: <a@b> (comment)\r\nMessage-ID: <c@d>\r\n\r\n", Some(b"a@b")),
            (b"Message-ID: bare\r\n\r\n", Some(b"bare")),
            (b"Message-ID: <>\r\n\r\n", None),
            (b"Message-ID:\r\n\r\n", None),
            (b"X-Message-ID: <a@b>\r\n\r\nMessage-ID: <a@b>\r\n", None),
            (b"\r\nMessage-ID: <a@b>\r\n", None),
            (b"", None),
        ];
        for (header, want) in rows {
            let text = String::from_utf8_lossy(header);
            assert_eq!(message_id(header).as_deref(), want, "{text}");
        }
        let long = [b"Message-ID: <".as_slice(), &[b'x'; 5_000], b">\r\n\r\n"].concat();
        assert_eq!(message_id(&long), None);
    }

    #[test]
    fn deliveries_are_remembered_for_a_while_over_restarts_and_within_bounds() {
        let folder = tempfile::tempdir().expect("a directory");
        let root = Dir::root(folder.path()).expect("a directory");
        let config = Duplicates { window: Duration::from_secs(60), most: 10 };
        let open = || Delivered::open(&root, &config);
        let begin = now() - 40;
        let mut delivered = open();
        assert!(!delivered.has_at("d/u", b"a", begin));
        delivered.add_at(&root, "d/u", b"a", begin);
        let rows = [
            ("d/u", "a", 0, true),
            ("d/u", "a", 60, true),
            ("d/u", "b", 0, false),
            ("d/v", "a", 0, false),
            ("d/u", "a", 61, false),
        ];
        for (dir, id, after, want) in rows {
            assert_eq!(delivered.has_at(dir, id.as_bytes(), begin + after), want, "{dir} {id}");
        }
        assert_eq!((delivered.take_suppressed(), delivered.take_suppressed()), (2, 0));
        // A start remembers, whatever lies at the end of the file.
        let mut delivered = open();
        delivered.add_at(&root, "d/u", b"b", begin);
        let path = folder.path().join(FILE);
        let mut bytes = fs::read(&path).expect("a file");
        bytes.extend_from_slice(&[0; RECORD + 3]);
        fs::write(&path, bytes).expect("room");
        let mut delivered = open();
        assert!(delivered.has_at("d/u", b"b", begin) && delivered.has_at("d/u", b"a", begin));
        // The newest ten, in a file that does not grow without end.
        for n in 0..3_000 {
            delivered.add_at(&root, "d/u", format!("{n}").as_bytes(), begin);
        }
        assert!(!delivered.has_at("d/u", b"a", begin) && !delivered.has_at("d/u", b"2989", begin));
        assert!(delivered.has_at("d/u", b"2990", begin) && delivered.has_at("d/u", b"2999", begin));
        assert!(fs::metadata(&path).expect("a file").len() <= (1_021 * RECORD) as u64);
        assert_eq!((delivered.seen.len(), delivered.order.len()), (10, 10));
        // A clock that was put back far.
        assert!(!delivered.has_at("d/u", b"2999", begin - 3_600));
        delivered.forget_all(&root);
        assert!(!open().has_at("d/u", b"2999", begin));
    }
}
