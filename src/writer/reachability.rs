//! Tracks whether the database answers, so that calls that cannot be served are refused at once instead of each waiting
//! for it.
//!
//! A task that meets a broken connection requests a probe; the one task that probes the database (`server`) then runs
//! it, and reports the result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, watch};

/// The shared state of the database's reachability.
#[derive(Debug, Clone)]
pub struct Reachability {
    lost: watch::Sender<bool>,
    suspicion: Arc<Notify>,
    /// True once a statement took too long, until a write succeeds: the statement may have been waiting to commit.
    hangs: Arc<AtomicBool>,
}

impl Default for Reachability {
    /// Returns the state for a database that was reached.
    fn default() -> Self {
        Self { lost: watch::Sender::new(false), suspicion: Arc::default(), hangs: Arc::default() }
    }
}

impl Reachability {
    /// Returns true when the last probe failed.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until a probe fails; returns at once when the last one did.
    pub async fn lost(&self) {
        // The sender is held here, so it is never dropped.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    /// Records the result of a probe.
    pub fn found(&self, lost: bool) {
        self.lost.send_if_modified(|was| std::mem::replace(was, lost) != lost);
    }

    /// Requests a probe.
    pub fn suspect(&self) {
        self.suspicion.notify_one();
    }

    /// Records that a statement took too long, and requests a probe.
    pub fn timed_out(&self) {
        self.hangs.store(true, Ordering::Relaxed);
        self.suspect();
    }

    /// Returns true if a statement took too long since the last successful trial write.
    pub fn hangs(&self) -> bool {
        self.hangs.load(Ordering::Relaxed)
    }

    /// Records that a write succeeded.
    pub fn wrote(&self) {
        self.hangs.store(false, Ordering::Relaxed);
    }

    /// Waits until a probe is requested.
    pub async fn suspected(&self) {
        self.suspicion.notified().await;
    }
}
