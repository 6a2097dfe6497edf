//! The phases of a service that has its database: serving, draining. Counts running calls, so that a drain can wait for
//! the last one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// Phase of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The service accepts calls.
    Serving,
    /// The service finishes accepted calls, and refuses new ones.
    Draining,
}

/// The phase, and the number of running calls.
#[derive(Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    under_way: AtomicUsize,
    answered: Notify,
}

impl Lifecycle {
    /// Returns the lifecycle of a service that serves.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: watch::Sender::new(Phase::Serving),
            under_way: AtomicUsize::new(0),
            answered: Notify::new(),
        })
    }

    /// Moves to `phase`.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Returns the phase.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns a receiver that sees every change of the phase.
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Waits until no call is running.
    pub async fn drained(&self) {
        loop {
            let answered = self.answered.notified();
            tokio::pin!(answered);
            // Waiting is enabled before counting, so that a call that ends in between is noticed.
            answered.as_mut().enable();
            if self.under_way.load(Ordering::SeqCst) == 0 {
                return;
            }
            answered.await;
        }
    }
}

/// A running call, counted until this is dropped.
#[derive(Debug)]
pub struct UnderWay(Arc<Lifecycle>);

impl UnderWay {
    /// Counts a call, or returns `None` if the service does not accept calls.
    pub fn enter(lifecycle: &Arc<Lifecycle>) -> Option<Self> {
        // The call is counted before the phase is read, so that a drain that begins in between waits for it.
        lifecycle.under_way.fetch_add(1, Ordering::SeqCst);
        let under_way = Self(Arc::clone(lifecycle));
        (lifecycle.phase() == Phase::Serving).then_some(under_way)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        self.0.answered.notify_waiters();
    }
}
