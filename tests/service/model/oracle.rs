//! The expected responses of the service, written from the contract alone: this file uses no code of the service.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use crate::support::{NOW_MS, ORG};
use crate::terms;

/// Number of the customers of a script, and the index of one that is not recorded.
pub const CUSTOMERS: usize = 3;
pub const UNKNOWN_CUSTOMER: usize = CUSTOMERS;
/// The customer in the audience of the promotion that has one.
pub const FRIEND: usize = 0;

/// Greatest delay of a transaction, in milliseconds.
const LATE_MS: i64 = 7 * DAY_MS;
/// Offset of the organization's zone in milliseconds: India is 5 h 30 min ahead of UTC, all year.
const ZONE_MS: i64 = 19_800_000;
const DAY_MS: i64 = 86_400_000;
/// 2025-01-01T00:00:00Z and 2025-12-31T18:29:59.999Z.
const YEAR_START: i64 = 1_735_689_600_000;
const YEAR_END: i64 = 1_767_205_799_999;
/// 2025-06-15T12:00:00Z.
const MID_JUNE: i64 = 1_749_988_800_000;
/// 2025-11-06T00:00:00+05:30.
const MIDNIGHT: i64 = 1_762_367_400_000;

/// Times of events, at the bounds of the promotions below.
pub const EVENT_TIMES: [i64; 5] = [MIDNIGHT - 1, MIDNIGHT, NOW_MS, MID_JUNE, NOW_MS + DAY_MS];

/// Returns the time of the transaction of this name: now, two days ago, or at a bound of the earned promotions.
pub fn transaction_date(transaction: u8) -> i64 {
    [NOW_MS, NOW_MS - 2 * DAY_MS, NOW_MS + DAY_MS, MIDNIGHT - DAY_MS][usize::from(transaction % 4)]
}

/// A promotion that scripts ask for.
pub struct ScriptedPromotion {
    pub id: &'static str,
    pub name: &'static str,
    /// The type, or an empty text if the catalog does not have the promotion.
    kind: &'static str,
    active: bool,
    start: i64,
    end: i64,
    cap: Option<i64>,
    /// Days of validity from the earning, or `None` if the earned promotion is valid as long as the promotion.
    days: Option<i64>,
    limited: bool,
}

const PLAIN: ScriptedPromotion = ScriptedPromotion {
    id: "00000000000000000000c001",
    name: "Plain",
    kind: "EARNING",
    active: true,
    start: YEAR_START,
    end: YEAR_END,
    cap: None,
    days: None,
    limited: false,
};

/// Number of the first promotions that are earned in the usual way, so that scripts have long histories with them.
pub const USUAL: usize = 6;
pub const PROMOTIONS: [ScriptedPromotion; 14] = [
    PLAIN,
    ScriptedPromotion { id: "00000000000000000000c002", name: "Two", cap: Some(2), ..PLAIN },
    ScriptedPromotion { id: "00000000000000000000c003", name: "Three", cap: Some(3), kind: "REWARD", ..PLAIN },
    // An instance earned in June has expired by now, and midnight in India divides the other event times.
    ScriptedPromotion { id: "00000000000000000000c004", name: "Week", days: Some(7), kind: "REWARD", ..PLAIN },
    ScriptedPromotion { id: "00000000000000000000c005", name: "Friends", limited: true, ..PLAIN },
    ScriptedPromotion { id: "00000000000000000000c006", name: "Later", start: MIDNIGHT, ..PLAIN },
    // The promotion has ended, but an instance earned in its last moment is still valid.
    ScriptedPromotion { id: "00000000000000000000c007", name: "Over", end: MID_JUNE, days: Some(200), ..PLAIN },
    ScriptedPromotion { id: "00000000000000000000c008", name: "Last moment", end: NOW_MS, ..PLAIN },
    ScriptedPromotion { id: "00000000000000000000c009", name: "Off", active: false, ..PLAIN },
    ScriptedPromotion { id: "00000000000000000000c00a", name: "At the till", kind: "POS", ..PLAIN },
    ScriptedPromotion { id: "00000000000000000000c00b", name: "With a code", kind: "CODE", ..PLAIN },
    ScriptedPromotion { id: "00000000000000000000c00c", name: "Issued", kind: "CUSTOMER", ..PLAIN },
    ScriptedPromotion { id: "00000000000000000000c00d", name: "Nowhere", kind: "", ..PLAIN },
    ScriptedPromotion { id: "no id at all", name: "No id", kind: "", ..PLAIN },
];

/// Returns the promotions as a catalog with these customers; `audience` is that of the limited ones.
pub fn catalog(customers: &[i64], audience: &[i64]) -> Value {
    let promotions = PROMOTIONS.iter().filter(|promotion| !promotion.kind.is_empty()).map(|promotion| {
        let mut record = promotion.fixed();
        record["orgId"] = ORG.into();
        record["active"] = promotion.active.into();
        if let Some(cap) = promotion.cap {
            terms::set(&mut record, &terms::cap(cap));
        }
        if let Some(days) = promotion.days {
            terms::set(&mut record, &terms::days(days));
        }
        if promotion.limited {
            terms::set(&mut record, &terms::limited(true));
            record["audience"] = audience.into();
        }
        record
    });
    json!({
        "orgs": [{"id": ORG, "name": "Model", "timeZone": "Asia/Kolkata"}],
        "promotions": promotions.collect::<Vec<_>>(),
        "customers": customers.iter().map(|id| json!({"orgId": ORG, "customerId": id})).collect::<Vec<_>>(),
        "apiClients": [{"username": "demo", "password": "demo", "orgId": ORG}]
    })
}

/// A call, in the small numbers of a script.
#[derive(Debug, Clone)]
pub enum Request {
    Earn(Earn),
    Revoke(ScriptedChange),
    /// A redemption in the transaction of this name.
    Redeem(u8, ScriptedChange),
    Catalog(ScriptedCatalogChange),
}

/// A change of a promotion, by its place in the list above.
#[derive(Debug, Clone)]
pub struct ScriptedCatalogChange {
    pub promotion: usize,
    pub to: NewTerms,
}

/// The terms of a promotion that a change names. All others stay.
#[derive(Debug, Clone)]
pub enum NewTerms {
    /// The cap; `None` removes it.
    Cap(Option<i64>),
    Active(bool),
    /// True if the promotion is limited to its audience.
    Limited(bool),
    /// A customer, and true if the customer joins the audience, false if the customer leaves it.
    Audience(usize, bool),
}

/// The terms of a promotion that change.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptedTerms {
    pub active: bool,
    pub cap: Option<i64>,
    pub limited: bool,
    audience: BTreeSet<usize>,
}

impl ScriptedTerms {
    /// Returns the terms that the catalog above has of the promotion at this place.
    pub fn first(promotion: usize) -> Self {
        let ScriptedPromotion { active, cap, limited, .. } = PROMOTIONS[promotion];
        let audience = if limited { BTreeSet::from([FRIEND]) } else { BTreeSet::new() };
        Self { active, cap, limited, audience }
    }
}

/// A revocation or redemption of instances, which may not exist.
#[derive(Debug, Clone)]
pub struct ScriptedChange {
    pub customer: usize,
    /// The instances: the earning, and the ordinal in it.
    pub slots: Vec<(ScriptedKey, i64)>,
    /// Further instances by their index, modulo their number, among those that the customer holds when the call is
    /// sent.
    pub picks: Vec<usize>,
    /// The earn id of each instance that was answered before this call; the others are named by an id that does not
    /// exist.
    pub known: Vec<Option<String>>,
}

#[derive(Clone)]
pub struct Earn {
    pub customer: usize,
    pub event: u8,
    pub event_time: i64,
    pub earned_from_type: &'static str,
    /// A note in the payload of the event, if it has a payload.
    pub note: Option<u8>,
    pub entries: Vec<ScriptedEntry>,
}

#[derive(Debug, Clone)]
pub struct ScriptedEntry {
    /// The place in the list above.
    pub promotion: usize,
    pub earned_from: u8,
    pub count: i64,
}

impl fmt::Debug for Earn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { customer, event, event_time, earned_from_type, note, entries } = self;
        write!(f, "customer {customer}, event {event} at {event_time}, {earned_from_type}, note {note:?}:")?;
        for ScriptedEntry { promotion, earned_from, count } in entries {
            write!(f, " {count} of {:?} from {earned_from};", PROMOTIONS[*promotion].name)?;
        }
        Ok(())
    }
}

/// The reply to a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Refused(i64),
    Entries(Vec<Outcome>),
    /// The code of each instance, 0 if it is revoked.
    Revoked(Vec<i64>),
    Redeemed,
    /// The promotion after a change: true if it is active, true if it is limited, and the cap.
    Promotion(bool, bool, Option<i64>),
    /// The numbers of customers that joined the audience, and that left it.
    Audience(i64, i64),
}

#[derive(Clone, PartialEq)]
pub struct Outcome {
    pub failed: i64,
    pub code: Option<i64>,
    pub earned: Vec<EarnedFacts>,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The instances are nearly always alike.
        let mut different = self.earned.clone();
        different.dedup();
        write!(f, "{} earned {different:?}, {} failed {:?}", self.earned.len(), self.failed, self.code)
    }
}

/// The facts of an earned promotion besides its id and the content of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct EarnedFacts {
    pub event_time: i64,
    pub valid_till: i64,
    pub note: Option<u8>,
}

/// The earning key of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScriptedKey {
    pub customer: usize,
    pub event: u8,
    pub promotion: usize,
    pub earned_from: u8,
}

#[derive(Debug, Clone, PartialEq)]
struct Earning {
    earned_from_type: &'static str,
    event_time: i64,
    note: Option<u8>,
    instances: Vec<Status>,
}

/// The status of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Unlocked,
    Revoked,
    /// Redeemed by the transaction of this name.
    Redeemed(u8),
}

/// The wallets of the customers of one script, the transactions with their customers and redemptions, and the terms of
/// the promotions.
#[derive(Debug, Clone, PartialEq)]
pub struct WalletModel {
    terms: Vec<ScriptedTerms>,
    earnings: BTreeMap<ScriptedKey, Earning>,
    transactions: BTreeMap<u8, (usize, Vec<(ScriptedKey, i64)>)>,
}

impl Default for WalletModel {
    fn default() -> Self {
        let terms = (0..PROMOTIONS.len()).map(ScriptedTerms::first).collect();
        Self { terms, earnings: BTreeMap::new(), transactions: BTreeMap::new() }
    }
}

impl WalletModel {
    pub fn answer(&mut self, request: &Request) -> Reply {
        let customer = match request {
            Request::Earn(Earn { customer, .. })
            | Request::Revoke(ScriptedChange { customer, .. })
            | Request::Redeem(_, ScriptedChange { customer, .. }) => Some(*customer),
            Request::Catalog(_) => None,
        };
        if customer == Some(UNKNOWN_CUSTOMER) {
            return Reply::Refused(404);
        }
        match request {
            Request::Earn(earn) => Reply::Entries(earn.entries.iter().map(|entry| self.earn(earn, entry)).collect()),
            Request::Revoke(change) => Reply::Revoked(self.revoke(change)),
            Request::Redeem(transaction, change) => match self.redeem(*transaction, change) {
                Ok(()) => Reply::Redeemed,
                Err(code) => Reply::Refused(code),
            },
            Request::Catalog(change) => self.change_catalog(change),
        }
    }

    fn change_catalog(&mut self, change: &ScriptedCatalogChange) -> Reply {
        let terms = &mut self.terms[change.promotion];
        match change.to {
            NewTerms::Cap(cap) => terms.cap = cap,
            NewTerms::Active(active) => terms.active = active,
            NewTerms::Limited(limited) => terms.limited = limited,
            NewTerms::Audience(customer, true) => return Reply::Audience(terms.audience.insert(customer).into(), 0),
            NewTerms::Audience(customer, false) => return Reply::Audience(0, terms.audience.remove(&customer).into()),
        }
        Reply::Promotion(terms.active, terms.limited, terms.cap)
    }

    fn earn(&mut self, request: &Earn, entry: &ScriptedEntry) -> Outcome {
        let promotion = &PROMOTIONS[entry.promotion];
        let Earn { customer, event, event_time, earned_from_type, note, .. } = *request;
        let key = ScriptedKey { customer, event, promotion: entry.promotion, earned_from: entry.earned_from };
        let recorded = self.earnings.get(&key).cloned();
        let whole = match promotion.kind {
            "" => Some(404),
            "POS" | "CODE" => Some(707),
            "CUSTOMER" => Some(714),
            _ if recorded.as_ref().is_some_and(|earning| earning.earned_from_type != earned_from_type) => Some(713),
            _ => None,
        };
        if whole.is_some() {
            return Outcome { failed: entry.count, code: whole, earned: vec![] };
        }
        // The first event time and payload stay.
        let mut earning = recorded.unwrap_or(Earning { earned_from_type, event_time, note, instances: vec![] });
        let valid_till = promotion.valid_till(earning.event_time);
        let count = |count: usize| i64::try_from(count).unwrap();
        let asked_for: Vec<_> = earning.instances.iter().take(usize::try_from(entry.count).unwrap()).collect();
        let revoked = count(asked_for.iter().filter(|status| ***status == Status::Revoked).count());
        let (replayed, missing) = (count(asked_for.len()) - revoked, entry.count - count(asked_for.len()));
        let terms = &self.terms[entry.promotion];
        let refusal = promotion.refusal(terms, customer, earning.event_time);
        let granted = match (refusal, terms.cap) {
            (Some(_), _) => 0,
            (None, None) => missing,
            (None, Some(cap)) => missing.min((cap - self.held(customer, entry.promotion)).max(0)),
        };
        let failed = revoked + missing - granted;
        let one = EarnedFacts { event_time: earning.event_time, valid_till, note: earning.note };
        // A failure is not recorded.
        if granted > 0 {
            earning.instances.extend(vec![Status::Unlocked; usize::try_from(granted).unwrap()]);
            self.earnings.insert(key, earning);
        }
        let code = if revoked > 0 { Some(731) } else { (failed > 0).then(|| refusal.unwrap_or(708)) };
        Outcome { failed, code, earned: vec![one; usize::try_from(replayed + granted).unwrap()] }
    }

    fn held(&self, customer: usize, promotion: usize) -> i64 {
        let of_it = self.earnings.iter().filter(|(key, _)| key.customer == customer && key.promotion == promotion);
        let held = of_it.flat_map(|(_, earning)| &earning.instances).filter(|status| **status != Status::Revoked);
        i64::try_from(held.count()).unwrap()
    }

    /// Returns the status of an instance of a change, if it is the customer's and was known when the call was sent.
    fn find(&mut self, change: &ScriptedChange, index: usize) -> Option<&mut Status> {
        let (key, ordinal) = change.slots[index];
        if change.known[index].is_none() || key.customer != change.customer {
            return None;
        }
        let ordinal = usize::try_from(ordinal - 1).unwrap();
        self.earnings.get_mut(&key).and_then(|earning| earning.instances.get_mut(ordinal))
    }

    fn revoke(&mut self, change: &ScriptedChange) -> Vec<i64> {
        let revoke = |index: usize| match self.find(change, index) {
            _ if matches!(PROMOTIONS[change.slots[index].0.promotion].kind, "POS" | "CODE") => 730,
            None => 731,
            Some(Status::Redeemed(_)) => 729,
            Some(status) => {
                *status = Status::Revoked;
                0
            }
        };
        (0..change.slots.len()).map(revoke).collect()
    }

    fn redeem(&mut self, transaction: u8, change: &ScriptedChange) -> Result<(), i64> {
        // An unknown instance makes other content when it becomes known. The order makes no difference.
        let mut slots = change.slots.clone();
        slots.sort_unstable();
        let content = (change.customer, slots);
        let all_known = change.known.iter().all(Option::is_some);
        if let Some(recorded) = self.transactions.get(&transaction) {
            return if *recorded == content && all_known { Ok(()) } else { Err(800) };
        }
        for index in 0..change.slots.len() {
            match self.find(change, index) {
                None | Some(Status::Revoked) => return Err(731),
                Some(Status::Redeemed(_)) => return Err(729),
                Some(Status::Unlocked) => {}
            }
            let (key, _) = change.slots[index];
            let (date, event_time) = (transaction_date(transaction), self.earnings[&key].event_time);
            if date < event_time - DAY_MS {
                return Err(400);
            }
            if PROMOTIONS[key.promotion].valid_till(event_time) < date.max(NOW_MS - LATE_MS) {
                return Err(706);
            }
        }
        for index in 0..change.slots.len() {
            *self.find(change, index).unwrap() = Status::Redeemed(transaction);
        }
        self.transactions.insert(transaction, content);
        Ok(())
    }

    /// Returns every instance of the wallets: the earning, the ordinal in it, and the status.
    pub fn instances(&self) -> impl Iterator<Item = (ScriptedKey, i64, Status)> {
        let of = |(key, earning): (&ScriptedKey, &Earning)| {
            let key = *key;
            (1..).zip(earning.instances.clone()).map(move |(ordinal, status)| (key, ordinal, status))
        };
        self.earnings.iter().flat_map(of)
    }
}

impl ScriptedPromotion {
    /// Returns the fields that no script changes, as a record.
    pub fn fixed(&self) -> Value {
        json!({"id": self.id, "name": self.name, "type": self.kind, "startDate": self.start, "endDate": self.end})
    }

    fn valid_till(&self, event_time: i64) -> i64 {
        let Some(days) = self.days else { return self.end };
        let event_day = (event_time + ZONE_MS).div_euclid(DAY_MS);
        (event_day + days + 1) * DAY_MS - ZONE_MS - 1
    }

    /// Returns the code with which a new earning fails, the cap apart.
    fn refusal(&self, terms: &ScriptedTerms, customer: usize, event_time: i64) -> Option<i64> {
        if !terms.active || event_time < self.start {
            Some(709)
        } else if event_time > self.end || self.valid_till(event_time) < NOW_MS {
            Some(706)
        } else if terms.limited && !terms.audience.contains(&customer) {
            Some(715)
        } else {
            None
        }
    }
}
