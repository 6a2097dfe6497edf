//! Tests of each guarantee of the gate, and of a property over random callers.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;

type Entering = Pin<Box<dyn Future<Output = Result<Slot<u8>, GateFull>>>>;

const LIMITS: GateLimits = GateLimits { capacity: 2, per_key: 1, max_waiting_per_key: 3 };

/// Returns a caller of the gate, polled by hand.
fn enter(gate: &FairGate<u8>, key: u8) -> Entering {
    let gate = gate.clone();
    Box::pin(async move { gate.enter(key).await })
}

fn poll(entering: &mut Entering) -> Option<Result<Slot<u8>, GateFull>> {
    match entering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(entered) => Some(entered),
        Poll::Pending => None,
    }
}

fn enter_at_once(gate: &FairGate<u8>, key: u8) -> Slot<u8> {
    poll(&mut enter(gate, key)).expect("at once").unwrap()
}

/// Returns a caller that found no slot.
fn wait(gate: &FairGate<u8>, key: u8) -> Entering {
    let mut entering = enter(gate, key);
    assert!(poll(&mut entering).is_none(), "{key} is admitted");
    entering
}

fn is_forgotten(gate: &FairGate<u8>) -> bool {
    let state = gate.0.lock();
    state.taken == 0 && state.keys.is_empty() && state.next_keys.is_empty()
}

#[test]
fn one_key_holds_no_more_than_its_share_and_leaves_the_rest_to_others() {
    let gate = FairGate::new(LIMITS);
    let first = enter_at_once(&gate, 1);
    let mut second = wait(&gate, 1);
    let other = enter_at_once(&gate, 2);
    let mut third = wait(&gate, 3);
    drop(other);
    assert!(poll(&mut second).is_none(), "the first of its key is not gone");
    let third = poll(&mut third).expect("admitted").unwrap();
    drop(first);
    let second = poll(&mut second).expect("admitted").unwrap();
    drop((second, third));
    assert!(is_forgotten(&gate));
}

#[test]
fn more_callers_of_one_key_than_may_wait_are_refused_at_once() {
    let gate = FairGate::new(LIMITS);
    let slot = enter_at_once(&gate, 1);
    let waiting: Vec<_> = (0..LIMITS.max_waiting_per_key).map(|_| wait(&gate, 1)).collect();
    assert_eq!(poll(&mut enter(&gate, 1)).expect("at once").unwrap_err(), GateFull);
    let other = enter_at_once(&gate, 2);
    drop((waiting, slot, other));
    assert!(is_forgotten(&gate));
}

#[test]
fn keys_that_wait_are_admitted_in_turn_however_many_callers_one_has() {
    let gate = FairGate::new(GateLimits { capacity: 1, per_key: 1, max_waiting_per_key: 10 });
    let mut slot = enter_at_once(&gate, 0);
    let mut waiting: Vec<_> = [1, 1, 1, 1, 2, 2, 3].map(|key| (key, wait(&gate, key))).into();
    let mut order = Vec::new();
    while !waiting.is_empty() {
        drop(slot);
        let mut admitted = None;
        waiting.retain_mut(|(key, entering)| match poll(entering) {
            Some(entered) => {
                assert!(admitted.replace((*key, entered.unwrap())).is_none(), "two for one slot");
                false
            }
            None => true,
        });
        let (key, next) = admitted.expect("a free slot is taken");
        order.push(key);
        slot = next;
    }
    assert_eq!(order, [1, 2, 3, 1, 2, 1, 1]);
}

#[test]
fn a_caller_that_gives_up_after_it_was_admitted_hands_its_slot_on() {
    let gate = FairGate::new(GateLimits { capacity: 1, ..LIMITS });
    let slot = enter_at_once(&gate, 1);
    let (given_up, mut next) = (wait(&gate, 2), wait(&gate, 3));
    drop(slot);
    drop(given_up);
    drop(poll(&mut next).expect("admitted").unwrap());
    assert!(is_forgotten(&gate));
}

#[tokio::test]
async fn who_waits_is_woken_and_a_time_out_leaves_nothing_behind() {
    let gate = FairGate::new(GateLimits { capacity: 1, ..LIMITS });
    let slot = gate.enter(1).await.unwrap();
    let timed_out = tokio::time::timeout(std::time::Duration::from_millis(1), gate.enter(2)).await;
    assert!(timed_out.is_err());
    let entering = tokio::spawn({
        let gate = gate.clone();
        async move { gate.enter(2).await }
    });
    while gate.0.lock().next_keys.is_empty() {
        tokio::task::yield_now().await;
    }
    drop(slot);
    drop(entering.await.unwrap().unwrap());
    assert!(is_forgotten(&gate));
}

#[derive(Debug, Clone, Copy)]
enum GateStep {
    Enter(u8),
    Leave(usize),
    GiveUp(usize),
}

fn step() -> impl Strategy<Value = GateStep> {
    prop_oneof![
        4 => (0..4_u8).prop_map(GateStep::Enter),
        3 => any::<usize>().prop_map(GateStep::Leave),
        1 => any::<usize>().prop_map(GateStep::GiveUp),
    ]
}

/// A gate, the callers that hold a slot, and those that wait, in order of arrival.
struct WatchedGate {
    gate: FairGate<u8>,
    limits: GateLimits,
    inside: Vec<(u8, Slot<u8>)>,
    waiting: Vec<(u8, Entering)>,
    /// For each waiting key, the keys that were admitted since it began to wait.
    passed_by: HashMap<u8, Vec<u8>>,
}

impl WatchedGate {
    fn inside(&self, key: u8) -> usize {
        self.inside.iter().filter(|(other, _)| *other == key).count()
    }

    fn waits(&self, key: u8) -> bool {
        self.waiting.iter().any(|(other, _)| *other == key)
    }

    fn step(&mut self, step: GateStep) {
        match step {
            GateStep::Enter(key) => self.enter(key),
            GateStep::Leave(which) if !self.inside.is_empty() => {
                drop(self.inside.swap_remove(which % self.inside.len()));
            }
            GateStep::GiveUp(which) if !self.waiting.is_empty() => {
                drop(self.waiting.remove(which % self.waiting.len()));
            }
            GateStep::Leave(_) | GateStep::GiveUp(_) => {}
        }
        self.look();
    }

    fn enter(&mut self, key: u8) {
        let mut entering = enter(&self.gate, key);
        let waiting = self.waiting.iter().filter(|(other, _)| *other == key).count();
        let free = self.inside.len() < self.limits.capacity && self.inside(key) < self.limits.per_key;
        match poll(&mut entering) {
            Some(Ok(slot)) => {
                assert!(free, "admitted beyond a limit");
                self.inside.push((key, slot));
            }
            Some(Err(GateFull)) => {
                assert!(!free && waiting == self.limits.max_waiting_per_key, "refused, with room left");
            }
            None => {
                assert!(!free && waiting < self.limits.max_waiting_per_key);
                self.waiting.push((key, entering));
            }
        }
    }

    /// Polls the callers, and compares the admitted ones with the guarantees.
    fn look(&mut self) {
        let mut refused = Vec::<u8>::new();
        let mut still = Vec::new();
        for (key, mut entering) in std::mem::take(&mut self.waiting) {
            if let Some(entered) = poll(&mut entering) {
                assert!(!refused.contains(&key), "a later caller of {key} went before an earlier one");
                self.inside.push((key, entered.unwrap()));
                self.admitted(key);
            } else {
                refused.push(key);
                still.push((key, entering));
            }
        }
        self.waiting = still;
        self.passed_by.retain(|key, _| refused.contains(key));
        for key in refused {
            self.passed_by.entry(key).or_default();
        }
        assert!(self.inside.len() <= self.limits.capacity);
        for key in 0..4 {
            assert!(self.inside(key) <= self.limits.per_key);
            let may_enter = self.inside.len() < self.limits.capacity && self.inside(key) < self.limits.per_key;
            assert!(!(may_enter && self.waits(key)), "{key} waits beside a free slot");
        }
    }

    /// Checks that no waiting key below its limit is passed twice by the same other key.
    fn admitted(&mut self, key: u8) {
        let Self { inside, limits, passed_by, .. } = self;
        let inside = |key: u8| inside.iter().filter(|(other, _)| *other == key).count();
        let waiting = passed_by.iter_mut().filter(|(other, _)| **other != key && inside(**other) < limits.per_key);
        for (other, admitted) in waiting {
            assert!(!admitted.contains(&key), "{key} is admitted twice while {other} waits");
            admitted.push(key);
        }
        self.passed_by.remove(&key);
    }
}

proptest! {
    #[test]
    fn whatever_callers_do_no_limit_is_passed_no_slot_is_lost_and_no_key_is_passed_over(
        steps in prop::collection::vec(step(), 1..200),
        capacity in 1..5_usize,
        per_key in 1..5_usize,
    ) {
        let limits = GateLimits { capacity, per_key, max_waiting_per_key: 4 };
        let gate = FairGate::new(limits);
        let mut watched = WatchedGate {
            gate: gate.clone(), limits, inside: Vec::new(), waiting: Vec::new(), passed_by: HashMap::new(),
        };
        for step in steps {
            watched.step(step);
        }
        while !watched.inside.is_empty() {
            watched.step(GateStep::Leave(0));
        }
        prop_assert!(watched.waiting.is_empty(), "a caller is never admitted");
        prop_assert!(is_forgotten(&gate));
    }
}
