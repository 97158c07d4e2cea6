//! Where events are told: a buffer that the writer empties.

use std::{
    cell::Cell,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use relais_config::EventKind;

use crate::{
    event::Event,
    figures::{Figures, Loss},
};

/// Takes events. Cheap to clone; usable from any thread; never waits.
#[derive(Clone, Debug, Default)]
pub struct Tap(pub(crate) Arc<Shared>);

#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// A bit for each kind that somebody wants.
    pub(crate) wanted: AtomicU32,
    /// One for all threads: who appended first is read first. It is held for the copy of an event.
    buffer: Mutex<Vec<u8>>,
    /// The writer has been told that there is something.
    pub(crate) is_awake: AtomicBool,
    wake: Mutex<bool>,
    pub(crate) woken: Condvar,
    pub(crate) figures: Figures,
}

/// An event in the buffer.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) bit: u32,
    /// An object of JSON.
    pub(crate) json: &'a [u8],
}

impl Tap {
    /// Whether somebody wants events of this kind. Costs a load.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.0.wanted.load(Relaxed) & bit(kind) != 0
    }

    /// Tells an event. Thrown away where nobody wants its kind.
    pub fn tell(&self, event: &Event<'_>) {
        if !self.wants(event.kind) {
            return;
        }
        let shared = &*self.0;
        let mut json = JSON.take();
        json.clear();
        json.extend_from_slice(&[0; HEAD]);
        // Writing to memory cannot fail, and no event has keys that are no texts.
        let _ = serde_json::to_writer(&mut json, event);
        let length = (json.len() - HEAD) as u32;
        json[..4].copy_from_slice(&bit(event.kind).to_le_bytes());
        json[4..HEAD].copy_from_slice(&length.to_le_bytes());
        let mut buffer = shared.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = buffer.len();
        let is_full = before + json.len() > MAX_BUFFER;
        if !is_full {
            buffer.extend_from_slice(&json);
        }
        // The one that fills a quarter says so: the others need not ask whether it was heard.
        let is_much = (before..buffer.len()).contains(&(MAX_BUFFER / 4));
        drop(buffer);
        if is_full {
            shared.figures.lose(Loss::Memory, 1);
        } else {
            shared.figures.told(event.kind);
        }
        if json.capacity() <= KEPT {
            JSON.set(json);
        }
        if is_much || !shared.is_awake.load(Relaxed) && !shared.is_awake.swap(true, Relaxed) {
            shared.wake(is_much);
        }
    }

    /// The numbers so far.
    pub fn figures(&self) -> &Figures {
        &self.0.figures
    }
}

impl Shared {
    /// Wakes the writer; at once, or after its usual pause.
    pub(crate) fn wake(&self, hurry: bool) {
        let mut hurries = self.hurries();
        if !*hurries {
            *hurries |= hurry;
            self.woken.notify_one();
        }
    }

    pub(crate) fn hurries(&self) -> MutexGuard<'_, bool> {
        self.wake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what has been told since, in exchange for an empty buffer.
    pub(crate) fn take(&self, empty: &mut Vec<u8>) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *buffer, empty);
    }
}

/// The events of a buffer, in order.
pub(crate) fn events(mut buffer: &[u8]) -> impl Iterator<Item = Told<'_>> {
    std::iter::from_fn(move || {
        let (bit, rest) = buffer.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (json, rest) = rest.split_at_checked(length)?;
        buffer = rest;
        Some(Told { bit: u32::from_le_bytes(*bit), json })
    })
}

/// The bit of a kind.
pub(crate) const fn bit(kind: EventKind) -> u32 {
    1 << kind as u32
}

thread_local! {
    /// The event before.
    static JSON: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Octets in front of an event: its bit and its length.
const HEAD: usize = 8;
/// Octets of the buffer: some ten thousand events.
const MAX_BUFFER: usize = 16 << 20;
/// Octets of a thread's room that are kept.
const KEPT: usize = 64 << 10;
