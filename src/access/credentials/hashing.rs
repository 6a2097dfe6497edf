//! Hashes secrets, each of which takes tens of milliseconds and 19 MiB, with a few workers and one queue for each
//! standing of the waiting callers.
//!
//! No other part of the service waits here: remembered credentials and tokens are checked without hashing. So unknown
//! callers can fill their own queues and nothing else.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use tokio::sync::oneshot;

use super::super::secret::{Checker, Secret};
use crate::storage::SecretHash;

/// The standing of a caller whose secret has to be hashed. Callers of the first standing that waits are served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallerStanding {
    /// This username was right before from this address, and its record or its secret changed, or it was forgotten.
    Known,
    /// No login from this address failed, and few are under check.
    Clean,
    /// Any other caller.
    Suspect,
}

/// Maximum number of secrets that may wait for a worker, by standing. A further one is refused at once.
const MAX_WAITING: [usize; 3] = [64, 64, 32];
/// Longest wait for a worker: at 60 ms a hash, one worker finishes all 160 that may wait within 9.6 s if they are right.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Rest of a worker after a secret that was wrong, as a multiple of the time that it took. However many unknown callers
/// present credentials, a worker takes a quarter of a core, so calls keep the others. Right secrets cost no rest: many clients
/// may log in at once after a restart.
const REST: u32 = 3;
/// Niceness of a thread that hashes: while other threads of the service want the processors, it gets a tenth of what one of
/// them gets.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// Number of processor cores for each hashing worker.
const CORES_OF_A_WORKER: usize = 2;

/// The queue is full, or the caller waited for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HashingFull;

/// The workers, and the queues of the callers that wait for one.
pub(super) struct Hashing(Mutex<HashingState>);

struct HashingState {
    idle: usize,
    /// The memory of one worker. The memory of others is freed when they become idle.
    kept: Option<Checker>,
    waiting: [VecDeque<oneshot::Sender<HashingWorker>>; 3],
}

/// A worker in use. When dropped, it goes to the next waiting caller.
pub(super) struct HashingWorker {
    hashing: Arc<Hashing>,
    checker: Checker,
}

impl Hashing {
    /// Returns one worker for every [`CORES_OF_A_WORKER`] cores of the machine, and at least one.
    pub fn new() -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::with_workers((cores / CORES_OF_A_WORKER).max(1))
    }

    fn with_workers(idle: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(HashingState { idle, kept: None, waiting: Default::default() })))
    }

    /// Waits for a worker.
    ///
    /// # Errors
    /// Returns an error when the queue of this standing is full, or after [`MAX_WAIT`].
    pub async fn worker(self: &Arc<Self>, standing: CallerStanding) -> Result<HashingWorker, HashingFull> {
        let called = {
            let mut workers = self.0.lock();
            if workers.idle > 0 {
                workers.idle -= 1;
                let checker = workers.kept.take().unwrap_or_default();
                return Ok(HashingWorker { hashing: Arc::clone(self), checker });
            }
            let waiting = &mut workers.waiting[standing as usize];
            waiting.retain(|call| !call.is_closed());
            if waiting.len() >= MAX_WAITING[standing as usize] {
                return Err(HashingFull);
            }
            let (call, called) = oneshot::channel();
            waiting.push_back(call);
            called
        };
        tokio::time::timeout(MAX_WAIT, called).await.ok().and_then(Result::ok).ok_or(HashingFull)
    }

    fn next(&self, checker: &mut Checker) -> Option<oneshot::Sender<HashingWorker>> {
        let mut workers = self.0.lock();
        let next = workers.waiting.iter_mut().find_map(VecDeque::pop_front);
        if next.is_none() {
            workers.idle += 1;
            workers.kept.get_or_insert_with(|| std::mem::take(checker));
        }
        next
    }
}

impl HashingWorker {
    /// Returns true when `hash` is of this secret. Takes as long without a hash.
    ///
    /// # Errors
    /// Returns an error when the system gives no thread.
    pub async fn matches(mut self, secret: Secret, hash: Option<SecretHash>) -> Result<bool, HashingFull> {
        let (tell, told) = oneshot::channel();
        // A thread of its own, as a thread cannot raise its priority again.
        let work = move || {
            yield_to_others();
            let begun = Instant::now();
            let matches = self.checker.matches(&secret, hash.as_ref());
            let taken = begun.elapsed();
            let _ = tell.send(matches);
            if !matches {
                std::thread::sleep(taken * REST);
            }
            drop(self);
        };
        std::thread::Builder::new().name("hashing".to_owned()).spawn(work).map_err(|_| HashingFull)?;
        Ok(told.await.unwrap_or(false))
    }
}

/// Lowers the priority of the calling thread where the platform has priorities of threads.
fn yield_to_others() {
    // Fails only for threads of other users.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

impl Drop for HashingWorker {
    fn drop(&mut self) {
        if let Some(next) = self.hashing.next(&mut self.checker) {
            let checker = std::mem::take(&mut self.checker);
            // A worker that is no longer awaited is dropped here, and goes to the next.
            drop(next.send(Self { hashing: Arc::clone(&self.hashing), checker }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CallerStanding::{Clean, Known, Suspect};
    use super::*;

    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn each_standing_has_a_bound_of_its_own_and_known_callers_go_first() {
        let hashing = Hashing::with_workers(1);
        let busy = hashing.worker(Suspect).await.unwrap();
        let mut waiting = Vec::new();
        for standing in [Suspect, Clean, Known] {
            for _ in 0..MAX_WAITING[standing as usize] {
                let hashing = Arc::clone(&hashing);
                waiting.push((standing, tokio::spawn(async move { hashing.worker(standing).await })));
            }
            settle().await;
            assert_eq!(hashing.worker(standing).await.err(), Some(HashingFull), "{standing:?}");
        }
        drop(busy);
        for standing in [Known, Clean, Suspect] {
            for _ in 0..MAX_WAITING[standing as usize] {
                settle().await;
                let at = waiting.iter().position(|(_, task)| task.is_finished()).expect("one is called");
                let (called, task) = waiting.remove(at);
                assert_eq!(called, standing);
                drop(task.await.unwrap().unwrap());
            }
        }
        assert_eq!(hashing.0.lock().idle, 1);
    }

    #[tokio::test]
    async fn who_gave_up_keeps_no_place_and_no_worker() {
        let hashing = Hashing::with_workers(1);
        let busy = hashing.worker(Clean).await.unwrap();
        for _ in 0..2 * MAX_WAITING[Clean as usize] {
            let hashing = Arc::clone(&hashing);
            let task = tokio::spawn(async move { hashing.worker(Clean).await.map(drop) });
            settle().await;
            task.abort();
            settle().await;
        }
        drop(busy);
        assert!(hashing.worker(Suspect).await.is_ok());
        assert_eq!(hashing.0.lock().idle, 1);
    }
}
