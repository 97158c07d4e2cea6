//! Holds and releases that the log and the history have yet to be told of. Knows no actor.

use std::{mem, sync::Arc};

use relais_channels::mail::Envelope;
use relais_storage::{EncodedEnvelope, EntryState, PageReader, Place};
use tracing::warn;

use super::entry::Tracked;
use crate::{events::HoldChanged, metrics::Metrics};

/// Lines to come, in order.
#[derive(Debug, Default)]
pub(super) struct HoldLines {
    waiting: Vec<HoldLine>,
    /// Lines that found no room.
    lost: u64,
    /// Some are being told.
    pub(super) is_telling: bool,
}

/// One entry that was held, or released.
#[derive(Debug)]
pub(super) struct HoldLine {
    entry: Tracked,
    is_held: bool,
    /// `None`: its channel holds all its mail.
    reason: Option<Arc<str>>,
}

impl HoldLines {
    /// Notes a change that holds or releases an entry.
    pub(super) fn note(
        &mut self,
        entry: &Tracked,
        (was, now): (EntryState, EntryState),
        reason: Option<&Arc<str>>,
    ) {
        let is_held = match (was, now) {
            (EntryState::Held { .. }, EntryState::Waiting { .. }) => false,
            (EntryState::Held { .. }, _) => return,
            (_, EntryState::Held { .. }) => true,
            _ => return,
        };
        if self.waiting.len() >= MOST_WAITING {
            self.lost += 1;
            return;
        }
        let entry = Tracked { open: now.open(), attempts: now.attempts(), ..*entry };
        self.waiting.push(HoldLine { entry, is_held, reason: reason.cloned() });
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes those behind so many.
    pub(super) fn take_after(&mut self, before: usize) -> Vec<HoldLine> {
        self.waiting.split_off(before.min(self.waiting.len()))
    }

    /// Takes all that are to be told.
    pub(super) fn take(&mut self) -> Vec<HoldLine> {
        let lost = mem::take(&mut self.lost);
        if lost > 0 {
            warn!(lost, "entries were held or released faster than the log can be told");
        }
        mem::take(&mut self.waiting)
    }
}

impl HoldLine {
    /// Tells it.
    pub(super) fn emit(&self, envelope: &Envelope, metrics: &Metrics) {
        let Tracked { entry, open: recipients, attempts, .. } = self.entry;
        let channel = || envelope.entries.get(usize::from(entry)).map_or("", |its| &its.channel);
        let by_channel = || format!("channel {} holds all its mail", channel()).into();
        let reason: &str = &self.reason.clone().unwrap_or_else(by_channel);
        let is_held = self.is_held;
        HoldChanged { is_held, envelope, entry, recipients, attempts, reason }.emit(metrics);
    }
}

/// Tells these.
pub(super) fn tell(pages: &PageReader, lines: &[HoldLine], metrics: &Metrics) {
    let places: Vec<Place> = lines.iter().map(|line| line.entry.place).collect();
    pages.each_envelope(&places, |numbers, encoded| {
        let envelope = encoded.ok().and_then(EncodedEnvelope::decode);
        for line in numbers.iter().map(|number| &lines[*number]) {
            let Some(envelope) = &envelope else {
                let (id, held, reason) = (line.entry.id, line.is_held, &line.reason);
                warn!(%id, held, ?reason, "not readable any more: not in the history");
                continue;
            };
            line.emit(envelope, metrics);
        }
    });
}

/// Lines that wait at once: 10 MB.
const MOST_WAITING: usize = 100_000;

#[cfg(test)]
mod tests {
    use relais_channels::mail::{MessageId, Priority};

    use super::*;

    #[test]
    fn holds_and_releases_are_told_and_no_other_change() {
        let place = Place { segment: 1, offset: 0, length: 9 };
        let entry = Tracked {
            id: MessageId(1),
            entry: 0,
            place,
            open: 0b111,
            attempts: 2,
            due: 0,
            priority: Priority::default(),
            size: 1,
        };
        let held = EntryState::Held { open: 0b101, attempts: 2 };
        let waiting = EntryState::Waiting { open: 0b101, attempts: 2, due: 0 };
        // was, is, whether it is held then
        let rows = [
            (waiting, held, Some(true)),
            (held, waiting, Some(false)),
            (held, held, None),
            (waiting, waiting, None),
            (held, EntryState::Done, None),
        ];
        for (was, now, want) in rows {
            let mut lines = HoldLines::default();
            lines.note(&entry, (was, now), Some(&"x".into()));
            let told: Vec<_> =
                lines.take().iter().map(|line| (line.is_held, line.entry.open)).collect();
            assert_eq!(told, want.map(|is_held| (is_held, 0b101)).into_iter().collect::<Vec<_>>());
        }
        let mut lines = HoldLines::default();
        for _ in 0..=MOST_WAITING {
            lines.note(&entry, (waiting, held), None);
        }
        assert_eq!((lines.lost, lines.take().len(), lines.lost), (1, MOST_WAITING, 0));
    }
}
