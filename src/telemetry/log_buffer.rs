//! The bounded buffer between the tasks that log and standard error, and the thread that empties it.
//!
//! Logging a line copies it and returns. While the reader of standard error stalls, the buffer fills up; a line that
//! does not fit is dropped and counted. Once the thread can write again, it logs how many lines were dropped.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use tracing_subscriber::fmt::MakeWriter;

use super::metrics::LineCounter;

/// Maximum number of bytes that wait for the thread: about a second of lines at ten thousand calls a second. The thread
/// holds as much again while it writes.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// Capacity in bytes that the thread keeps for the next lines after a write.
const KEPT_BYTES: usize = 64 << 10;
/// Time for which the thread lets lines gather before it writes them, so that a busy service wakes it once for many
/// lines.
const GATHER: Duration = Duration::from_millis(10);
/// Time after which the thread retries a write to a nonblocking standard error that is full.
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// Maximum time for which the end of the program waits for the last lines to be written.
const FLUSHED_WITHIN: Duration = Duration::from_secs(1);

thread_local! {
    /// True on the thread that writes: its line about dropped lines is never dropped itself.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// The log. Lines that were logged before its last handle is dropped are still written.
#[derive(Debug, Clone)]
pub struct Log(Arc<SharedBuffer>);

#[derive(Debug)]
struct SharedBuffer {
    state: Mutex<BufferState>,
    /// Wakes the thread when lines wait.
    filled: Condvar,
    /// Wakes a flush when everything is written.
    emptied: Condvar,
    max_waiting_bytes: usize,
    /// Counts the lines that were dropped, once it is set.
    dropped: OnceLock<LineCounter>,
}

#[derive(Debug, Default)]
struct BufferState {
    waiting: Vec<u8>,
    /// Number of lines that were dropped and not reported yet.
    dropped: u64,
    /// True while the thread holds lines that it took.
    writing: bool,
    /// True while the thread waits to be woken.
    idle: bool,
}

impl Log {
    /// Starts the thread that writes to standard error.
    ///
    /// # Errors
    /// Returns an error when the system cannot start a thread.
    pub fn start() -> std::io::Result<Self> {
        Self::start_with(std::io::stderr(), MAX_WAITING_BYTES)
    }

    fn start_with(out: impl Write + Send + 'static, max_waiting_bytes: usize) -> std::io::Result<Self> {
        let shared = Arc::new(SharedBuffer {
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            max_waiting_bytes,
            dropped: OnceLock::new(),
        });
        let log = Self(Arc::clone(&shared));
        // The thread is never joined: a write that blocks forever ends with the process.
        std::thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_all_to(out))?;
        Ok(log)
    }

    /// Writes a line of the program itself, after the lines that were logged before. The line is never dropped.
    pub fn say(&self, line: &str) {
        self.0.push(format!("{line}\n").as_bytes(), true);
    }

    /// Counts the lines that are dropped from now on.
    pub fn count_dropped(&self, counter: LineCounter) {
        // A process has one service.
        let _ = self.0.dropped.set(counter);
    }

    /// Waits until everything that was logged is written, at most one second.
    pub fn flush(&self) {
        let is_pending = |state: &mut BufferState| state.writing || !state.waiting.is_empty();
        self.0.emptied.wait_while_for(&mut self.0.state(), is_pending, FLUSHED_WITHIN);
    }
}

impl SharedBuffer {
    /// Returns the locked state. The state is always consistent, so lock poisoning is ignored.
    fn state(&self) -> MutexGuard<'_, BufferState> {
        self.state.lock()
    }

    fn count(&self, dropped: u64) {
        if let Some(counter) = self.dropped.get() {
            counter.inc_by(dropped);
        }
    }

    fn push(&self, line: &[u8], always: bool) {
        let mut state = self.state();
        if !always && state.waiting.len() + line.len() > self.max_waiting_bytes {
            state.dropped += 1;
            self.count(1);
            return;
        }
        state.waiting.extend_from_slice(line);
        let wakes = std::mem::take(&mut state.idle);
        drop(state);
        if wakes {
            self.filled.notify_one();
        }
    }

    /// Writes lines for as long as the process runs.
    fn write_all_to(&self, mut out: impl Write) {
        WRITES.set(true);
        let mut lines = Vec::new();
        loop {
            {
                let mut state = self.state();
                while state.waiting.is_empty() {
                    state.idle = true;
                    self.filled.wait(&mut state);
                }
            }
            std::thread::sleep(GATHER);
            {
                let mut state = self.state();
                std::mem::swap(&mut state.waiting, &mut lines);
                state.writing = true;
            }
            let lost = write(&mut out, &lines);
            lines.clear();
            lines.shrink_to(KEPT_BYTES);
            self.written(lost);
        }
    }

    /// Records that the taken lines are written, except `lost` of them.
    fn written(&self, lost: u64) {
        self.count(lost);
        let mut state = self.state();
        state.dropped += lost;
        // When a write fails, as on a full disk, a line about it would fail too.
        let dropped = if lost == 0 { std::mem::take(&mut state.dropped) } else { 0 };
        if dropped > 0 {
            drop(state);
            tracing::error!(dropped, "{dropped} log lines were dropped");
            state = self.state();
        }
        state.writing = false;
        let is_empty = state.waiting.is_empty();
        drop(state);
        if is_empty {
            self.emptied.notify_all();
        }
    }
}

/// Writes the lines; returns the number of lines that could not be written.
fn write(out: &mut impl Write, mut lines: &[u8]) -> u64 {
    while !lines.is_empty() {
        match out.write(lines) {
            Ok(written) if written > 0 => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_AFTER),
            _ => break,
        }
    }
    lines.split(|byte| *byte == b'\n').skip(1).count() as u64
}

/// A writer that takes one line in one piece, as the formatting layer writes it.
#[derive(Debug)]
pub struct LogLine<'a>(&'a SharedBuffer);

impl Write for LogLine<'_> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.push(line, WRITES.get());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// A writer that blocks until it is allowed to write, one write at a time.
    struct Stalled(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stalled {
        fn write(&mut self, lines: &[u8]) -> std::io::Result<usize> {
            self.0.recv().map_err(|_| std::io::Error::from(ErrorKind::BrokenPipe))?;
            self.1.lock().extend_from_slice(lines);
            Ok(lines.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Waits until the thread took the logged lines.
    fn taken(log: &Log) {
        while !log.0.state().writing {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_that_do_not_fit_and_nobody_waits_for_it() {
        let (let_it, stalled) = channel();
        let written = Arc::default();
        let log = Log::start_with(Stalled(stalled, Arc::clone(&written)), 10).unwrap();
        log.make_writer().write_all(b"12345678\n").unwrap();
        taken(&log);
        for line in [b"abcd\n", b"efgh\n", b"ijkl\n", b"mnop\n"] {
            log.make_writer().write_all(line).unwrap();
        }
        assert_eq!(log.0.state().dropped, 2);
        log.say("the last");
        // The flush returns after its time limit, or this test never ends.
        log.flush();
        let_it.send(()).unwrap();
        let_it.send(()).unwrap();
        log.flush();
        assert_eq!(String::from_utf8_lossy(&written.lock()), "12345678\nabcd\nefgh\nthe last\n");
        assert_eq!(log.0.state().dropped, 0, "it was told of");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_not_told_of_until_one_can() {
        let (_, broken) = channel();
        let log = Log::start_with(Stalled(broken, Arc::default()), 1_000).unwrap();
        for _ in 0..3 {
            log.say("x");
            log.flush();
        }
        let state = log.0.state();
        assert_eq!((state.dropped, state.waiting.is_empty()), (3, true));
    }

    /// A writer that takes three bytes at a time, as a nearly full pipe does, and refuses every other write.
    struct Slow(Vec<u8>, bool);

    impl Write for Slow {
        fn write(&mut self, lines: &[u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.0.extend(lines.iter().take(3));
            Ok(lines.len().min(3))
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_that_takes_little_at_a_time_gets_everything() {
        let mut slow = Slow(Vec::new(), false);
        assert_eq!(write(&mut slow, b"one\ntwo\nthree\n"), 0);
        assert_eq!(slow.0, b"one\ntwo\nthree\n");
    }
}
