//! A batch: whole events, as they are posted.

use std::time::Duration;

use serde::Deserialize;

/// A place in what waits for a webhook.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    /// Octets of it.
    pub(crate) offset: u64,
}

/// The bounds of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) events: usize,
    /// Milliseconds since 1970: events before that are left out.
    pub(crate) not_before: u64,
}

/// Events that are posted together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) from: Position,
    pub(crate) to: Position,
    /// A list of JSON.
    pub(crate) body: Vec<u8>,
    pub(crate) events: u64,
    /// The id of the first one.
    pub(crate) first: String,
    /// Milliseconds since 1970.
    pub(crate) oldest: u64,
    pub(crate) newest: u64,
    /// Left out, since they are too old.
    pub(crate) aged: u64,
    /// Left out, since they are none.
    pub(crate) damaged: u64,
}

/// The fields of an event that a batch looks at.
#[derive(Deserialize)]
struct Head<'a> {
    event: &'a str,
    time: &'a str,
}

impl Batch {
    /// The whole lines of what was read at a place, as far as there is room for them.
    pub(crate) fn of(from: Position, read: &[u8], bounds: Bounds) -> Self {
        let mut batch = Self {
            from,
            to: from,
            body: Vec::with_capacity(read.len().min(MOST_OCTETS) + 2),
            events: 0,
            first: String::new(),
            oldest: 0,
            newest: 0,
            aged: 0,
            damaged: 0,
        };
        batch.body.push(b'[');
        for line in read.split_inclusive(|c| *c == b'\n') {
            let Some(json) = line.strip_suffix(b"\n") else { break };
            let is_full = batch.events >= bounds.events as u64
                || batch.body.len() + json.len() > MOST_OCTETS && batch.events > 0;
            if is_full {
                break;
            }
            batch.to.offset += line.len() as u64;
            batch.add(json, bounds.not_before);
        }
        batch.body.push(b']');
        batch
    }

    fn add(&mut self, json: &[u8], not_before: u64) {
        let head = serde_json::from_slice::<Head<'_>>(json).ok();
        let timed = head.and_then(|head| Some((head.event, millis(head.time)?)));
        let Some((event, time)) = timed else {
            self.damaged += 1;
            return;
        };
        if time < not_before {
            self.aged += 1;
            return;
        }
        if self.events == 0 {
            event.clone_into(&mut self.first);
            self.oldest = time;
        } else {
            self.body.push(b',');
        }
        self.newest = time;
        self.events += 1;
        self.body.extend_from_slice(json);
    }

    /// All lines of it, those that are left out included.
    pub(crate) fn lines(&self) -> u64 {
        self.events + self.aged + self.damaged
    }

    /// The header `webhook-id`: the same whenever the same events are posted.
    pub(crate) fn id(&self) -> String {
        format!("{}-{}", self.first, self.events)
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(time: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(time).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).ok()
}

/// Octets of a post; a single event may have more.
pub(crate) const MOST_OCTETS: usize = 1 << 20;
