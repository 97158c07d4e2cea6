//! A fixed set of threads for work that blocks.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
};

use tokio::sync::oneshot;

type Task = Box<dyn FnOnce() + Send>;

/// The threads end when this is dropped and nothing is left to do.
pub(super) struct Threads(Sender<Task>);

impl Threads {
    /// Starts them.
    pub(super) fn new(name: &str, count: usize) -> io::Result<Self> {
        let (jobs, waiting) = channel::<Task>();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..count {
            let waiting = waiting.clone();
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                loop {
                    let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    // The caller that waits learns that its job is gone; the thread lives on.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            })?;
        }
        Ok(Self(jobs))
    }

    /// Runs `work` on one of them.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        let job = move || {
            // Nobody may be waiting any more.
            let _ = done.send(work());
        };
        self.0.send(Box::new(job)).map_err(|_| io::Error::other("the threads are gone"))?;
        result.await.map_err(io::Error::other)
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Threads")
    }
}
