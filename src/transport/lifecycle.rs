//! Starting, serving, draining: which calls are taken, and when the last one taken is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// What the service does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It migrates: calls are refused.
    Starting,
    /// Calls are taken.
    Serving,
    /// What was taken is finished; new calls are refused.
    Draining,
}

/// The phase, and the calls that are under way.
#[derive(Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    under_way: AtomicUsize,
    answered: Notify,
}

impl Lifecycle {
    /// Of a service that starts.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: watch::Sender::new(Phase::Starting),
            under_way: AtomicUsize::new(0),
            answered: Notify::new(),
        })
    }

    /// Goes on to `phase`.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Tells of every change of the phase.
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Waits until no call is under way.
    pub async fn drained(&self) {
        loop {
            let answered = self.answered.notified();
            tokio::pin!(answered);
            // Listening before counting: a call that ends in between is heard.
            answered.as_mut().enable();
            if self.under_way.load(Ordering::SeqCst) == 0 {
                return;
            }
            answered.await;
        }
    }
}

/// A call that is under way until this is dropped, however it ends.
#[derive(Debug)]
pub struct UnderWay(Arc<Lifecycle>);

impl UnderWay {
    /// Counts a call; `None` while none is taken.
    pub fn enter(lifecycle: &Arc<Lifecycle>) -> Option<Self> {
        // Counted before the phase is looked at: a drain that begins in between waits for this call.
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
