//! Random scripts, over small domains so that requests conflict.

use std::collections::BTreeSet;
use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::oracle::{
    CUSTOMERS, EVENT_TIMES, Earn, NewTerms, PROMOTIONS, Request, ScriptedCatalogChange, ScriptedChange, ScriptedEntry,
    ScriptedKey, UNKNOWN_CUSTOMER, USUAL,
};
use crate::support::{ENDPOINTS, Endpoint};

/// Consecutive groups of calls; the calls of a group are sent at once.
pub type Script = Vec<Vec<ScriptedCall>>;

/// A request, and the way to send it.
#[derive(Clone)]
pub struct ScriptedCall {
    pub server: usize,
    pub endpoint: Endpoint,
    pub request: Request,
}

impl fmt::Debug for ScriptedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {} by {:?}: {:?}", self.server, self.endpoint, self.request)
    }
}

pub fn script() -> impl Strategy<Value = Script> {
    vec(group(), 1..=15)
}

fn group() -> impl Strategy<Value = Vec<ScriptedCall>> {
    let call = (way(), request()).prop_map(|((server, endpoint), request)| ScriptedCall { server, endpoint, request });
    let meeting =
        prop_oneof![3 => Just(Meeting::ByChance), 5 => Just(Meeting::AboutOneEvent), 1 => Just(Meeting::Retried)];
    (vec(call, 1..=3), meeting).prop_map(|(mut calls, meeting)| {
        let first = calls[0].request.clone();
        for ScriptedCall { request, .. } in &mut calls {
            match (meeting, &first, request) {
                (Meeting::Retried, _, request) => *request = first.clone(),
                (Meeting::AboutOneEvent, Request::Earn(first), Request::Earn(request)) => {
                    (request.customer, request.event) = (first.customer, first.event);
                }
                // One call revokes the instances that another redeems.
                (
                    Meeting::AboutOneEvent,
                    Request::Revoke(first) | Request::Redeem(_, first),
                    Request::Revoke(request) | Request::Redeem(_, request),
                ) => *request = first.clone(),
                _ => {}
            }
        }
        calls
    })
}

/// The way in which the calls of a group conflict.
#[derive(Debug, Clone, Copy)]
enum Meeting {
    ByChance,
    AboutOneEvent,
    Retried,
}

fn way() -> impl Strategy<Value = (usize, Endpoint)> {
    (0..2_usize, select(&ENDPOINTS[..]))
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        4 => earn().prop_map(Request::Earn),
        1 => change().prop_map(Request::Revoke),
        2 => (0..4_u8, change()).prop_map(|(transaction, change)| Request::Redeem(transaction, change)),
        2 => catalog_change().prop_map(Request::Catalog),
    ]
}

fn catalog_change() -> impl Strategy<Value = ScriptedCatalogChange> {
    let to = prop_oneof![
        4 => proptest::option::weighted(0.8, 1..=4_i64).prop_map(NewTerms::Cap),
        2 => any::<bool>().prop_map(NewTerms::Active),
        1 => any::<bool>().prop_map(NewTerms::Limited),
        1 => (0..CUSTOMERS, any::<bool>()).prop_map(|(customer, joins)| NewTerms::Audience(customer, joins)),
    ];
    (0..USUAL, to).prop_map(|(promotion, to)| ScriptedCatalogChange { promotion, to })
}

fn customer() -> impl Strategy<Value = usize> {
    // Most requests are for the same few customers, so that there are repeats and races.
    prop_oneof![6 => Just(0), 3 => 1..CUSTOMERS, 1 => Just(UNKNOWN_CUSTOMER)]
}

fn promotion() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..USUAL, 1 => USUAL..PROMOTIONS.len()]
}

fn event() -> impl Strategy<Value = u8> {
    prop_oneof![2 => Just(0), 1 => 1..3_u8]
}

prop_compose! {
    fn change()(
        customer in customer(),
        mut slots in vec((customer(), event(), promotion(), 0..2_u8, 1..=3_i64, any::<bool>()), 0..=1),
        picks in vec(0..6_usize, 1..=2),
    ) -> ScriptedChange {
        let slot = |(other, event, promotion, earned_from, ordinal, own): (usize, u8, usize, u8, i64, bool)| {
            let customer = if own { customer } else { other };
            (ScriptedKey { customer, event, promotion, earned_from }, ordinal)
        };
        let mut named = BTreeSet::new();
        let slots = slots.drain(..).map(slot).filter(|slot| named.insert(*slot)).collect();
        ScriptedChange { customer, slots, picks, known: vec![] }
    }
}

prop_compose! {
    fn earn()(
        customer in customer(),
        event in event(),
        event_time in select(&EVENT_TIMES[..]),
        earned_from_type in prop_oneof![6 => Just("ACTIVITY"), 1 => Just("MILESTONE")],
        note in proptest::option::of(0..2_u8),
        mut entries in vec(entry(), 1..=4),
    ) -> Earn {
        // A request may not name an earning twice.
        let mut named = BTreeSet::new();
        entries.retain(|entry| named.insert((entry.promotion, entry.earned_from)));
        Earn { customer, event, event_time, earned_from_type, note, entries }
    }
}

prop_compose! {
    fn entry()(
        promotion in promotion(),
        earned_from in 0..2_u8,
        count in 1..=4_i64,
    ) -> ScriptedEntry {
        ScriptedEntry { promotion, earned_from, count }
    }
}
