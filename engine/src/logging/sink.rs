//! A bounded buffer between those who log and the file that is written to.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// The near end: takes whole lines, never waits for the far end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sink(Arc<LogBuffer>);

#[derive(Debug, Default)]
struct LogBuffer {
    state: Mutex<State>,
    /// Lines have come, or a flush is wanted.
    filled: Condvar,
    /// Everything was written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    lost: u64,
    lost_since_report: u64,
    writing: bool,
    flushing: bool,
}

impl Sink {
    /// Starts the thread that writes to `out`.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(LogBuffer::default());
        let far_end = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || far_end.write_out(out))?;
        Ok(Self(shared))
    }

    /// Lines thrown away so far.
    pub fn lost(&self) -> u64 {
        self.0.lock().lost
    }

    /// Waits until everything is written, or `patience` is over.
    pub fn flush(&self, patience: Duration) {
        let mut state = self.0.lock();
        state.flushing = true;
        self.0.filled.notify_one();
        let busy = |state: &mut State| state.writing || !state.lines.is_empty();
        // Poisoned or timed out: there is nothing better to do than to go on and end.
        let waited = self.0.emptied.wait_timeout_while(state, patience, busy);
        if let Ok((mut state, _)) = waited {
            state.flushing = false;
        }
    }

    /// Takes whole lines.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.0.lock();
        if state.lines.len() + line.len() > BUFFER {
            state.lost += 1;
            state.lost_since_report += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        let first = state.lines.len() == line.len();
        drop(state);
        if first {
            self.0.filled.notify_one();
        }
    }
}

impl LogBuffer {
    /// The state is whole at any time, so a panic elsewhere does no harm to it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_out(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let lost = self.take(&mut lines);
            // There is no place to tell that the log cannot be written.
            let _ = out.write_all(&lines);
            if lost > 0 {
                let _ = writeln!(
                    out,
                    "{{\"level\":\"WARN\",\"message\":\"log lines lost\",\"lines\":{lost}}}"
                );
            }
            let _ = out.flush();
            lines.clear();
            lines.shrink_to(KEPT);
            let mut state = self.lock();
            state.writing = false;
            if state.lines.is_empty() {
                self.emptied.notify_all();
            }
        }
    }

    /// Waits for lines, then a moment longer so that many go out in one piece, and takes them.
    fn take(&self, lines: &mut Vec<u8>) -> u64 {
        let mut state = self.lock();
        while state.lines.is_empty() {
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.flushing {
            drop(state);
            thread::sleep(GATHER);
            state = self.lock();
        }
        mem::swap(&mut state.lines, lines);
        state.writing = true;
        mem::take(&mut state.lost_since_report)
    }
}

/// Octets that may wait: about a second of transaction lines at full speed.
const BUFFER: usize = 4 << 20;
/// Octets of an empty buffer that are kept for the next lines.
const KEPT: usize = 64 << 10;
/// Waking a thread costs as much as formatting several lines; 100 times a second is fresh enough.
const GATHER: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Writes nothing until it is told to.
    struct Stuck(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_costs_lines_but_nobody_waits() {
        let (release, stuck) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink::start(Stuck(stuck, Arc::clone(&written))).unwrap();
        let line = vec![b'x'; 1 << 20];
        sink.push(b"first\n");
        while !sink.0.lock().writing {
            thread::yield_now();
        }
        for _ in 0..6 {
            sink.push(&line);
        }
        assert_eq!(sink.lost(), 2, "four of them fit");
        sink.flush(Duration::from_millis(1));
        drop(release);
        sink.flush(Duration::from_secs(10));
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(written.starts_with("first\nx"));
        assert!(written.ends_with("\"lines\":2}\n"), "{}", &written[written.len() - 80..]);
    }

    #[test]
    fn lines_come_out_in_order() {
        let (release, stuck) = mpsc::channel();
        drop(release);
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink::start(Stuck(stuck, Arc::clone(&written))).unwrap();
        let mut want = Vec::new();
        for n in 0..10_000 {
            let line = format!("line {n}\n");
            sink.push(line.as_bytes());
            want.extend_from_slice(line.as_bytes());
        }
        sink.flush(Duration::from_secs(10));
        assert_eq!(*written.lock().unwrap(), want);
        assert_eq!(sink.lost(), 0);
    }
}
