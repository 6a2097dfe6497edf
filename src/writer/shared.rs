//! The queue that the writer and its workers share, and how they wake each other.

use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::batch::Batches;
use super::limits::WriterLimits;
use super::queue::Queue;

/// The state that the writer and its workers share.
pub(super) struct SharedQueue<B: Batches> {
    queue: Mutex<Queue<B>>,
    workers: Notify,
    waiting_workers: Notify,
}

impl<B: Batches> SharedQueue<B> {
    /// Returns an empty queue for these limits.
    pub(super) fn new(limits: WriterLimits) -> Self {
        Self { queue: Mutex::new(Queue::new(limits)), workers: Notify::new(), waiting_workers: Notify::new() }
    }

    /// Returns the locked queue. Locked state is always consistent, so lock poisoning is ignored.
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue<B>> {
        self.queue.lock()
    }

    /// Wakes a free worker.
    pub(super) fn wake_worker(&self) {
        self.workers.notify_one();
    }

    /// Waits until a worker, or all of them, are woken.
    pub(super) fn worker_woken(&self) -> impl Future<Output = ()> {
        self.workers.notified()
    }

    /// Wakes a free waiting worker.
    pub(super) fn wake_waiting_worker(&self) {
        self.waiting_workers.notify_one();
    }

    /// Waits until a waiting worker, or all of them, are woken.
    pub(super) fn waiting_worker_woken(&self) -> impl Future<Output = ()> {
        self.waiting_workers.notified()
    }

    /// Changes the queue at the end of a batch, or of a part of one, and wakes the workers that then have something to
    /// do.
    pub(super) fn done(&self, change: impl FnOnce(&mut Queue<B>)) {
        let (wakes_worker, wakes_waiting_worker, is_closed) = {
            let mut queue = self.queue();
            let (ready, delayed) = (queue.ready(), queue.is_delayed());
            change(&mut queue);
            // A worker that ends a batch looks for the next one itself. Another one has to be woken for requests that
            // were delayed.
            let wakes_worker = delayed && queue.ready() > ready && queue.wakes_worker(Instant::now());
            (wakes_worker, queue.wakes_waiting_worker(), queue.is_closed())
        };
        if wakes_worker {
            self.wake_worker();
        }
        if wakes_waiting_worker {
            self.wake_waiting_worker();
        }
        if is_closed {
            // Free workers may end.
            self.wake_all();
        }
    }

    pub(super) fn wake_all(&self) {
        self.workers.notify_waiters();
        self.waiting_workers.notify_waiters();
    }
}
