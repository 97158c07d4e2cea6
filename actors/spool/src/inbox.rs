//! The inbox of a thread: others leave work in it, the thread takes all of it at once. A thread
//! that is busy is not woken: most pieces of work cost a lock, and no system call.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Work on its way to one thread.
#[derive(Debug, Default)]
pub(crate) struct Inbox<T> {
    slot: Mutex<Slot<T>>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Slot<T> {
    work: T,
    /// The thread waits: only then it costs a call to wake it.
    asleep: bool,
    closed: bool,
}

impl<T: Default> Inbox<T> {
    /// Leaves something to do, after the end as well: then nobody comes for it.
    pub(crate) fn leave<R>(&self, leave: impl FnOnce(&mut T) -> R) -> R {
        self.leave_in(self.lock(), leave)
    }

    /// The same before the end only: `None` afterwards.
    pub(crate) fn leave_if_open<R>(&self, leave: impl FnOnce(&mut T) -> R) -> Option<R> {
        let slot = self.lock();
        (!slot.closed).then(|| self.leave_in(slot, leave))
    }

    fn leave_in<R>(&self, mut slot: MutexGuard<'_, Slot<T>>, leave: impl FnOnce(&mut T) -> R) -> R {
        let left = leave(&mut slot.work);
        if mem::take(&mut slot.asleep) {
            self.wake.notify_one();
        }
        left
    }

    /// Looks at the work that is left.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock().work)
    }

    /// Nothing more will come; the work that is there is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Takes the work, and says whether the inbox is closed. Waits `until` then, or for ever, while
    /// there is none; `gather` is how long to wait for company once there is some.
    pub(crate) fn take(
        &self,
        until: Option<Instant>,
        gather: Option<Duration>,
        is_idle: impl Fn(&T) -> bool,
    ) -> (T, bool) {
        let idle = |slot: &mut Slot<T>| {
            slot.asleep = is_idle(&slot.work) && !slot.closed;
            slot.asleep
        };
        let mut slot = match until {
            None => {
                let waited = self.wake.wait_while(self.lock(), idle);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                let waited = self.wake.wait_timeout_while(self.lock(), left, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if let Some(gather) = gather.filter(|_| !slot.closed) {
            drop(slot);
            thread::sleep(gather);
            slot = self.lock();
        }
        slot.asleep = false;
        (mem::take(&mut slot.work), slot.closed)
    }

    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_taken_at_once_and_the_last_of_it_after_the_end() {
        let inbox = Inbox::<Vec<u32>>::default();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let mut all = Vec::new();
                loop {
                    let (work, closed) = inbox.take(None, None, Vec::is_empty);
                    all.extend(work);
                    if closed {
                        return all;
                    }
                }
            });
            for number in 0..1000 {
                inbox.leave(|work| work.push(number));
            }
            inbox.close();
            assert_eq!(inbox.leave_if_open(|work| work.push(1000)), None);
            assert_eq!(thread.join().unwrap(), (0..1000).collect::<Vec<_>>());
        });
    }

    #[test]
    fn an_idle_inbox_is_waited_for_as_long_as_it_is_said() {
        let inbox = Inbox::<Vec<u32>>::default();
        let begun = Instant::now();
        let until = begun + Duration::from_millis(20);
        assert_eq!(inbox.take(Some(until), None, Vec::is_empty), (Vec::new(), false));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        inbox.leave(|work| work.push(1));
        assert_eq!(inbox.look(Vec::len), 1);
        assert_eq!(inbox.take(Some(until), None, Vec::is_empty), (vec![1], false));
    }
}
