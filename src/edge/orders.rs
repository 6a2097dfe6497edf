//! The orders that one connection is given: to leave, or to end at once.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::Notify;

use super::moment::{Beginning, Moment};

/// An order to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// An HTTP/2 connection leaves. Any other leaves with the answer of its present or next call: closed before, it would
    /// take a call along that is on its way.
    LastCall = 0,
    /// The connection finishes its running calls, accepts no others, and ends.
    Leave = 1,
    /// The connection ends at once.
    Cut = 2,
}

/// Orders to one connection.
#[derive(Debug)]
pub struct Orders {
    beginning: Beginning,
    /// Set if the connection is told to leave with its next call, or with the answer of the present one.
    last_call: AtomicBool,
    /// Set once a call came over HTTP/2.
    http2: AtomicBool,
    strongest: AtomicU8,
    /// Time at which the connection was told to leave.
    pub leaving_since: Moment,
    told: Notify,
}

impl Orders {
    /// Returns the state of a connection that has no order.
    pub fn none(beginning: Beginning) -> Self {
        Self {
            beginning,
            last_call: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            strongest: AtomicU8::new(0),
            leaving_since: Moment::never(),
            told: Notify::new(),
        }
    }

    /// Records that a call came over HTTP/2.
    pub fn note_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    /// Records that a call begins, which may be the last one.
    pub fn call_begins(&self) {
        if self.last_call.load(Ordering::Relaxed) {
            self.tell(Order::Leave);
        }
    }

    /// Returns true if no further call may come on the connection.
    pub fn is_leaving(&self) -> bool {
        self.last_call.load(Ordering::Relaxed) || self.leaving_since.is_set()
    }

    /// Gives the connection an order, unless one at least as strong was given before.
    pub fn tell(&self, order: Order) {
        if order == Order::LastCall {
            self.last_call.store(true, Ordering::Relaxed);
            if !self.http2.load(Ordering::Relaxed) {
                return;
            }
        }
        let order = order.max(Order::Leave);
        if self.strongest.fetch_max(order as u8, Ordering::SeqCst) < order as u8 {
            self.leaving_since.set(self.beginning);
            self.told.notify_one();
        }
    }

    /// Waits for the next order.
    pub async fn told(&self) -> Order {
        self.told.notified().await;
        if self.strongest.load(Ordering::SeqCst) == Order::Cut as u8 { Order::Cut } else { Order::Leave }
    }
}
