//! The inbox of a thread: others leave work in it, the thread takes all of it at once. A thread
//! that is busy is not woken: most pieces of work cost a lock, and no system call.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Work that can wait in an inbox.
pub(crate) trait Work: Default {
    /// How much it is; nothing to do is 0.
    fn amount(&self) -> usize;
}

/// How long to wait for company once there is some work, and how much of it ends the wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather {
    pub(crate) longest: Duration,
    pub(crate) enough: usize,
}

/// Work on its way to one thread.
#[derive(Debug, Default)]
pub(crate) struct Inbox<T> {
    slot: Mutex<Slot<T>>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Slot<T> {
    work: T,
    /// The thread waits for this much work, and only then it costs a call to wake it; 0 while it is busy.
    awaited: usize,
    closed: bool,
}

impl<T: Work> Inbox<T> {
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
        if slot.awaited > 0 && slot.work.amount() >= slot.awaited {
            slot.awaited = 0;
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
    /// there is none.
    pub(crate) fn take(&self, until: Option<Instant>) -> (T, bool) {
        let mut slot = self.wait_for(self.lock(), 1, until);
        (mem::take(&mut slot.work), slot.closed)
    }

    /// The same, for ever, and then for company as `gather` says, which is told how much there was
    /// before any wait.
    pub(crate) fn take_with_company(
        &self,
        gather: impl FnOnce(usize) -> Option<Gather>,
    ) -> (T, bool) {
        let slot = self.lock();
        let gather = gather(slot.work.amount());
        let mut slot = self.wait_for(slot, 1, None);
        if let Some(Gather { longest, enough }) = gather {
            slot = self.wait_for(slot, enough, Some(Instant::now() + longest));
        }
        (mem::take(&mut slot.work), slot.closed)
    }

    /// Takes what is there, without waiting, and says whether the inbox is closed.
    pub(crate) fn take_now(&self) -> (T, bool) {
        let mut slot = self.lock();
        (mem::take(&mut slot.work), slot.closed)
    }

    /// Until there is so much work, or none will come any more, or `until` then.
    fn wait_for<'a>(
        &'a self,
        slot: MutexGuard<'a, Slot<T>>,
        amount: usize,
        until: Option<Instant>,
    ) -> MutexGuard<'a, Slot<T>> {
        let lacks = |slot: &mut Slot<T>| {
            let lacks = slot.work.amount() < amount && !slot.closed;
            slot.awaited = if lacks { amount } else { 0 };
            lacks
        };
        let mut slot = match until {
            None => self.wake.wait_while(slot, lacks).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                let waited = self.wake.wait_timeout_while(slot, left, lacks);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        slot.awaited = 0;
        slot
    }

    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    impl Work for Vec<u32> {
        fn amount(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn work_is_taken_at_once_and_the_last_of_it_after_the_end() {
        let inbox = Inbox::<Vec<u32>>::default();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let mut all = Vec::new();
                loop {
                    let (work, closed) = inbox.take(None);
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
        assert_eq!(inbox.take(Some(until)), (Vec::new(), false));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        inbox.leave(|work| work.push(1));
        assert_eq!(inbox.look(Vec::len), 1);
        assert_eq!(inbox.take(Some(until)), (vec![1], false));
    }

    #[test]
    fn company_is_waited_for_until_there_is_enough_or_the_time_is_up() {
        let inbox = Inbox::<Vec<u32>>::default();
        inbox.leave(|work| work.push(1));
        let gather = |longest| move |_| Some(Gather { longest, enough: 2 });
        let begun = Instant::now();
        let short = Duration::from_millis(20);
        assert_eq!(inbox.take_with_company(gather(short)), (vec![1], false));
        assert!(begun.elapsed() >= short);
        thread::scope(|scope| {
            let thread = scope.spawn(|| inbox.take_with_company(gather(Duration::from_secs(60))));
            for number in 0..2 {
                inbox.leave(|work| work.push(number));
            }
            assert_eq!(thread.join().unwrap(), (vec![0, 1], false));
        });
        thread::scope(|scope| {
            let thread = scope.spawn(|| inbox.take_with_company(gather(Duration::from_secs(60))));
            inbox.leave(|work| work.push(0));
            inbox.close();
            assert_eq!(thread.join().unwrap(), (vec![0], true));
        });
    }
}
