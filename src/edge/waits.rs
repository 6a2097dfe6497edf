//! Calls of one connection that wait for their peer.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::moment::{Beginning, NEVER};

/// Calls that wait for their peer, by call name, with the start of the wait.
#[derive(Debug)]
pub struct PeerWaits {
    beginning: Beginning,
    waits: Mutex<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    /// Waits for bytes of the request body.
    bodies: BTreeMap<u64, u64>,
    /// Waits for the peer to take more of the answer.
    answers: BTreeMap<u64, u64>,
}

impl PeerWaits {
    /// Returns the state of a connection without calls.
    pub fn none(beginning: Beginning) -> Self {
        Self { beginning, waits: Mutex::default() }
    }

    /// Records that a part of the answer to `call` is passed on that the peer need not take yet, after it took the one
    /// before.
    pub fn hold(&self, call: u64) {
        self.waits.lock().answers.insert(call, self.beginning.elapsed());
    }

    /// Records that the peer took all of the answer to `call` that was passed on, or that the call is abandoned.
    pub fn release(&self, call: u64) {
        self.waits.lock().answers.remove(&call);
    }

    /// Records whether `call` waits for the next bytes of its request.
    pub fn awaits_body(&self, call: u64, waits: bool) {
        if waits {
            self.waits.lock().bodies.insert(call, self.beginning.elapsed());
        } else {
            self.waits.lock().bodies.remove(&call);
        }
    }

    /// Returns the start of the longest wait for the peer to take an answer, or [`NEVER`].
    pub fn longest_held(&self) -> u64 {
        self.waits.lock().answers.values().min().copied().unwrap_or(NEVER)
    }

    /// Returns the time since when so many calls wait for their bodies, and so many for their answers to be taken, or
    /// [`NEVER`] if fewer do.
    pub fn all_wait_since(&self, bodies: usize, answers: usize) -> u64 {
        let waits = self.waits.lock();
        if waits.bodies.len() < bodies || waits.answers.len() < answers {
            return NEVER;
        }
        waits.bodies.values().chain(waits.answers.values()).max().copied().unwrap_or(0)
    }
}
