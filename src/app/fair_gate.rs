//! A gate with a limited number of slots, shared fairly between keys: API clients, or organizations.
//!
//! At most `capacity` callers hold a slot at a time, at most `per_key` of them for one key. Callers of one key are
//! admitted in order of arrival; waiting keys are admitted round-robin, one caller each. A caller that stops waiting
//! leaves nothing behind, and the caller itself bounds how long it waits (`tokio::time::timeout`).

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use tokio::sync::oneshot;

/// Limits of a [`FairGate`].
#[derive(Debug, Clone, Copy)]
pub struct GateLimits {
    /// Number of slots.
    pub capacity: usize,
    /// Maximum number of slots that callers of one key hold at a time.
    pub per_key: usize,
    /// Maximum number of waiting callers of one key; a further one is refused at once.
    pub max_waiting_per_key: usize,
}

/// The maximum number of waiting callers of the key is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many callers are waiting")]
pub struct GateFull;

/// A gate with fair admission. Its clones are the same gate.
#[derive(Debug)]
pub struct FairGate<K: GateKey>(Arc<Mutex<GateState<K>>>);

/// A key for a group of callers that share their slots.
pub trait GateKey: Eq + Hash + Clone + Debug {}

impl<K: Eq + Hash + Clone + Debug> GateKey for K {}

impl<K: GateKey> Clone for FairGate<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A slot, held until this is dropped.
#[derive(Debug)]
pub struct Slot<K: GateKey> {
    gate: FairGate<K>,
    key: K,
}

impl<K: GateKey> Drop for Slot<K> {
    fn drop(&mut self) {
        self.gate.0.lock().leave(&self.key);
    }
}

impl<K: GateKey> FairGate<K> {
    /// Returns a gate with every slot free.
    pub fn new(limits: GateLimits) -> Self {
        Self(Arc::new(Mutex::new(GateState {
            limits,
            taken: 0,
            arrived: 0,
            keys: HashMap::new(),
            next_keys: VecDeque::new(),
        })))
    }

    /// Waits for a slot.
    ///
    /// # Errors
    /// Returns an error when the maximum number of callers of the key wait.
    pub async fn enter(&self, key: K) -> Result<Slot<K>, GateFull> {
        let entered = self.0.lock().enter(&key)?;
        let mut waiting = match entered {
            Entered::AtOnce => return Ok(Slot { gate: self.clone(), key }),
            Entered::Waiting(number, admitted) => Waiting { gate: self, key: Some(key), number, admitted },
        };
        // The sender is dropped only with the gate, or when this caller stops waiting.
        let _ = (&mut waiting.admitted).await;
        waiting.key.take().map(|key| Slot { gate: self.clone(), key }).ok_or(GateFull)
    }
}

/// A waiting caller. When it is dropped with its key, it stops waiting.
struct Waiting<'a, K: GateKey> {
    gate: &'a FairGate<K>,
    key: Option<K>,
    number: u64,
    admitted: oneshot::Receiver<()>,
}

impl<K: GateKey> Drop for Waiting<'_, K> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.gate.0.lock().give_up(&key, self.number);
        }
    }
}

#[derive(Debug)]
struct GateState<K> {
    limits: GateLimits,
    taken: usize,
    /// Number of callers that had to wait so far.
    arrived: u64,
    /// Keys that hold a slot or wait for one.
    keys: HashMap<K, WaitingCallers>,
    /// Waiting keys, in the order of admission.
    next_keys: VecDeque<K>,
}

/// The callers of one key.
#[derive(Debug, Default)]
struct WaitingCallers {
    taken: usize,
    /// Waiting callers in order of arrival, and so by number.
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

enum Entered {
    AtOnce,
    Waiting(u64, oneshot::Receiver<()>),
}

impl<K: GateKey> GateState<K> {
    /// Takes a slot or a place in the queue. While a slot is free, every waiting key holds as many as it may
    /// ([`Self::admit`]).
    fn enter(&mut self, key: &K) -> Result<Entered, GateFull> {
        let GateLimits { capacity, per_key, max_waiting_per_key } = self.limits;
        let callers = self.keys.get(key);
        let (taken, waiting) = callers.map_or((0, 0), |callers| (callers.taken, callers.waiting.len()));
        if self.taken < capacity && taken < per_key {
            self.taken += 1;
            self.keys.entry(key.clone()).or_default().taken += 1;
            return Ok(Entered::AtOnce);
        }
        if waiting >= max_waiting_per_key {
            return Err(GateFull);
        }
        if waiting == 0 {
            self.next_keys.push_back(key.clone());
        }
        self.arrived += 1;
        let (admit, admitted) = oneshot::channel();
        self.keys.entry(key.clone()).or_default().waiting.push_back((self.arrived, admit));
        Ok(Entered::Waiting(self.arrived, admitted))
    }

    fn leave(&mut self, key: &K) {
        self.taken -= 1;
        if let Some(callers) = self.keys.get_mut(key) {
            callers.taken -= 1;
        }
        self.forget_if_gone(key);
        self.admit();
    }

    /// Removes a waiting caller, or returns the slot that it was admitted to and did not take.
    fn give_up(&mut self, key: &K, number: u64) {
        let Some(callers) = self.keys.get_mut(key) else { return };
        match callers.waiting.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => drop(callers.waiting.remove(at)),
            Err(_) => return self.leave(key),
        }
        if callers.waiting.is_empty() {
            self.next_keys.retain(|other| other != key);
        }
        self.forget_if_gone(key);
    }

    fn forget_if_gone(&mut self, key: &K) {
        if self.keys.get(key).is_some_and(|callers| callers.taken == 0 && callers.waiting.is_empty()) {
            self.keys.remove(key);
        }
    }

    /// Gives every free slot to the next key that may have one.
    fn admit(&mut self) {
        let GateLimits { capacity, per_key, .. } = self.limits;
        while self.taken < capacity {
            let may_enter = |key: &K| self.keys.get(key).is_some_and(|callers| callers.taken < per_key);
            let Some(at) = self.next_keys.iter().position(may_enter) else { return };
            let Some(key) = self.next_keys.remove(at) else { return };
            let Some(callers) = self.keys.get_mut(&key) else { return };
            let Some((_, admit)) = callers.waiting.pop_front() else { return };
            // The caller drops its receiver under the same lock, so the receiver still exists; if the caller stops
            // waiting now, it returns the slot.
            let _ = admit.send(());
            callers.taken += 1;
            self.taken += 1;
            if !callers.waiting.is_empty() {
                self.next_keys.push_back(key);
            }
        }
    }
}

#[cfg(test)]
#[path = "fair_gate_tests.rs"]
mod tests;
