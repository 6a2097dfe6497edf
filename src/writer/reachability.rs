//! Whether the database answers, as far as is known: so that calls that cannot be served are refused at once instead of
//! waiting for it one after the other.
//!
//! Whoever meets a broken connection raises a suspicion; the one task that probes the database (`server`) then looks, and
//! says what it found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, watch};

/// See the top of this file.
#[derive(Debug, Clone)]
pub struct Reachability {
    lost: watch::Sender<bool>,
    suspicion: Arc<Notify>,
    /// True once a statement took too long, until a write succeeds: it may have been waiting to commit.
    hangs: Arc<AtomicBool>,
}

impl Reachability {
    /// Of a database that was reached.
    pub fn new() -> Self {
        Self { lost: watch::Sender::new(false), suspicion: Arc::default(), hangs: Arc::default() }
    }

    /// Whether the last probe failed.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until a probe fails; not at all when the last one did.
    pub async fn lost(&self) {
        // The sender is here: it cannot be gone.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    /// What a probe found.
    pub fn found(&self, lost: bool) {
        self.lost.send_if_modified(|was| std::mem::replace(was, lost) != lost);
    }

    /// Asks for a probe now.
    pub fn suspect(&self) {
        self.suspicion.notify_one();
    }

    /// Notes that a statement took too long, and asks for a probe.
    pub fn timed_out(&self) {
        self.hangs.store(true, Ordering::Relaxed);
        self.suspect();
    }

    /// Returns true if a statement took too long since the last write that a probe tried.
    pub fn hangs(&self) -> bool {
        self.hangs.load(Ordering::Relaxed)
    }

    /// Notes that a write succeeded.
    pub fn wrote(&self) {
        self.hangs.store(false, Ordering::Relaxed);
    }

    /// Waits until somebody asks for a probe.
    pub async fn suspected(&self) {
        self.suspicion.notified().await;
    }
}
