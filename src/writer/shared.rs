//! The queue that the writer and its lanes share, and how they call each other.

use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::batch::Batches;
use super::limits::WriterLimits;
use super::queue::Queue;

/// What the writer and its lanes share.
pub(super) struct Shared<B: Batches> {
    queue: Mutex<Queue<B>>,
    lanes: Notify,
    waiting_lanes: Notify,
}

impl<B: Batches> Shared<B> {
    /// Returns an empty queue for these limits.
    pub(super) fn new(limits: WriterLimits) -> Self {
        Self { queue: Mutex::new(Queue::new(limits)), lanes: Notify::new(), waiting_lanes: Notify::new() }
    }

    /// The queue, for a moment. It is whole at any time, so a panic elsewhere does not spoil it.
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue<B>> {
        self.queue.lock()
    }

    /// Calls a lane that is free.
    pub(super) fn call(&self) {
        self.lanes.notify_one();
    }

    /// Waits until a lane is called, or all are.
    pub(super) fn called(&self) -> impl Future<Output = ()> {
        self.lanes.notified()
    }

    /// Calls a waiting lane that is free.
    pub(super) fn call_waiting_lane(&self) {
        self.waiting_lanes.notify_one();
    }

    /// Waits until a waiting lane is called, or all are.
    pub(super) fn waiting_lane_called(&self) -> impl Future<Output = ()> {
        self.waiting_lanes.notified()
    }

    /// Changes the queue at the end of a batch, or of a part of one, and calls whoever has something to do then.
    pub(super) fn done(&self, change: impl FnOnce(&mut Queue<B>)) {
        let (calls, calls_waiting_lane, is_closed) = {
            let mut queue = self.queue();
            let (ready, delayed) = (queue.ready(), queue.is_delayed());
            change(&mut queue);
            // A lane that ends a batch looks for the next one by itself. Another has to be called for what was delayed.
            let calls = delayed && queue.ready() > ready && queue.calls(Instant::now());
            (calls, queue.calls_waiting_lane(), queue.is_closed())
        };
        if calls {
            self.call();
        }
        if calls_waiting_lane {
            self.call_waiting_lane();
        }
        if is_closed {
            // Lanes that are free may end.
            self.call_all();
        }
    }

    pub(super) fn call_all(&self) {
        self.lanes.notify_waiters();
        self.waiting_lanes.notify_waiters();
    }
}
