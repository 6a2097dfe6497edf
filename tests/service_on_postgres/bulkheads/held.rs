//! Locks of one organization that the test holds, and the calls of that organization that wait for each.

use serde_json::json;

use super::routes::{BULK_EARN, MethodCall, earning, earning_one, revoking};
use crate::catalog::inactive;
use crate::support::*;
use crate::terms;
use crate::wallet::{granted_to, transaction};

/// Number of calls that wait for one lock, which is more than a server has connections.
pub const WAITING: i64 = 24;
/// The first of the customers, each of whom one call is about.
pub const FIRST: i64 = 10_000;
/// A promotion that is not active.
const OFF: &str = "0000000000000000000000a4";
/// A promotion that is limited to an audience.
const FRIENDS: &str = "0000000000000000000000a8";
/// A customer who is not in that audience.
const NEW_MEMBER: i64 = 70;

/// A lock, and calls that wait for it.
pub struct HeldLock {
    pub name: &'static str,
    /// A short name.
    pub tag: &'static str,
    /// The statements that take the lock.
    pub lock: String,
    pub calls: Vec<MethodCall>,
}

/// Three earned promotions of each customer.
pub struct Wallets(Vec<Vec<String>>);

/// Returns the documented catalog, with the customers of these calls and a cap that leaves room.
pub fn catalog() -> serde_json::Value {
    let mut catalog = crate::support::catalog();
    let customers = customers().map(|customer| json!({"orgId": ORG, "customerId": customer}));
    catalog["customers"].as_array_mut().unwrap().extend(customers);
    for promotion in catalog["promotions"].as_array_mut().unwrap() {
        if promotion["id"] == CAPPED {
            terms::set(promotion, &terms::cap(1_000));
        }
    }
    catalog
}

fn customers() -> impl Iterator<Item = i64> {
    FIRST..FIRST + WAITING
}

/// Grants the earned promotions that the calls name.
pub async fn fill(caller: &TestCaller, tag: &str) -> Wallets {
    let mut wallets = Vec::new();
    for customer in customers() {
        granted_to(caller, customer, one_entry(&format!("{tag} counted"), CAPPED, 1)).await;
        wallets.push(granted_to(caller, customer, one_entry(&format!("{tag} held"), TEN_OFF, 3)).await);
    }
    Wallets(wallets)
}

/// Returns a call for each customer.
fn each(method: &'static str, request: impl Fn(i64) -> serde_json::Value) -> Vec<MethodCall> {
    customers().map(|customer| (method, request(customer))).collect()
}

impl Wallets {
    fn of(&self, customer: i64) -> &[String] {
        &self.0[usize::try_from(customer - FIRST).unwrap()]
    }

    /// Returns a lock for every way in which a write may wait for one.
    pub fn cases(&self, tag: &str) -> Vec<HeldLock> {
        let mut cases = self.of_rows(tag);
        cases.extend(of_catalog(tag));
        cases
    }

    /// Returns locks of rows of the wallet.
    fn of_rows(&self, tag: &str) -> Vec<HeldLock> {
        let last = FIRST + WAITING - 1;
        let counts = format!(
            "SELECT 1 FROM cap_usage WHERE org_id = {ORG} AND customer_id BETWEEN {FIRST} AND {last} FOR UPDATE"
        );
        let keys = format!(
            "INSERT INTO earned_promotions (org_id, customer_id, earn_id, promotion_id, event_id, earned_from_id, ordinal,
                earned_from_type, event_time_ms, valid_till_ms, granted_at_ms)
             SELECT {ORG}, customer, lpad(customer::text, 24, 'e'), '{TEN_OFF}', '{tag} key', 'earning', 1, 'BULK_ISSUE', 0,
                0, 0 FROM generate_series({FIRST}, {last}) AS customer"
        );
        let rows = |from: usize| {
            let ids: Vec<_> = self.0.iter().flat_map(|ids| &ids[from..=from]).cloned().collect();
            format!("SELECT 1 FROM earned_promotions WHERE earn_id IN ('{}') FOR UPDATE", ids.join("', '"))
        };
        let transactions = format!(
            "INSERT INTO redemptions (org_id, transaction_identifier, customer_id, instances, redeemed_at_ms, digest,
                content)
             SELECT {ORG}, '{tag} named ' || customer, customer, 1, 0, 'digest', 'content'
             FROM generate_series({FIRST}, {last}) AS customer"
        );
        let redeeming = |name: &str, place: usize| {
            each("WalletService/Redeem", |customer| {
                let name = format!("{tag} {name} {customer}");
                transaction(&name, customer, &[(TEN_OFF, &self.of(customer)[place])])
            })
        };
        let mut earnings = each(BULK_EARN, |customer| earning(customer, &format!("{tag} capped"), CAPPED, 1));
        earnings
            .extend(each("EarnService/Earn", |customer| earning_one(customer, &format!("{tag} capped one"), CAPPED)));
        let same_keys = each(BULK_EARN, |customer| earning(customer, &format!("{tag} key"), TEN_OFF, 1));
        let revoking = each("WalletService/RevokeEarnedPromotions", |customer| {
            revoking(customer, TEN_OFF, &self.of(customer)[..1])
        });
        vec![
            HeldLock { tag: "cap", name: "earning under a cap whose count is held", lock: counts, calls: earnings },
            HeldLock { tag: "key", name: "earning what another transaction is writing", lock: keys, calls: same_keys },
            HeldLock { tag: "revoke", name: "revoking what is held", lock: rows(0), calls: revoking },
            HeldLock { tag: "redeem", name: "redeeming what is held", lock: rows(1), calls: redeeming("row", 1) },
            HeldLock {
                tag: "transaction",
                name: "redeeming by a name that another transaction is writing",
                lock: transactions,
                calls: redeeming("named", 2),
            },
        ]
    }
}

/// Returns locks that changes of the catalog, of audiences and of customers wait for.
fn of_catalog(tag: &str) -> Vec<HeldLock> {
    let advisory = |name: i64| format!("SELECT pg_advisory_xact_lock({name})");
    let adding = |member: i64| {
        each(
            "CatalogService/ChangeAudience",
            move |customer| json!({"promotionId": FRIENDS, "add": [customer, member]}),
        )
    };
    // Decisions from the catalog also wait for a lock of the whole catalog, as an import takes it.
    let mut of_catalog =
        each("CatalogService/CreatePromotion", |customer| json!({"promotion": inactive(&format!("{tag} {customer}"))}));
    let replacement = || json!({"promotionId": OFF, "promotion": inactive(&format!("{tag} off"))});
    for method in
        ["CatalogService/ReplacePromotion", "CatalogService/ActivatePromotion", "CatalogService/DeactivatePromotion"]
    {
        let replaces = method.ends_with("ReplacePromotion");
        of_catalog.extend(each(method, |_| if replaces { replacement() } else { json!({"promotionId": OFF}) }));
    }
    of_catalog.extend(each(BULK_EARN, |customer| earning(customer, &format!("{tag} catalog"), TEN_OFF, 1)));
    let last = FIRST + WAITING - 1;
    let new = |customer: i64| customer + 10_000;
    vec![
        HeldLock { tag: "catalog", name: "a catalog that is held", lock: advisory(ORG), calls: of_catalog },
        HeldLock { tag: "audiences", name: "audiences that are held", lock: advisory(-ORG), calls: adding(7) },
        HeldLock {
            tag: "member",
            name: "a member of an audience whom another transaction is writing",
            lock: format!(
                "INSERT INTO audiences (org_id, customer_id, promotion_id) VALUES ({ORG}, {NEW_MEMBER}, '{FRIENDS}')"
            ),
            calls: adding(NEW_MEMBER),
        },
        HeldLock {
            tag: "customers",
            name: "customers whom another transaction is writing",
            lock: format!(
                "INSERT INTO customers (org_id, customer_id)
                 SELECT {ORG}, customer FROM generate_series({}, {}) AS customer",
                new(FIRST),
                new(last)
            ),
            calls: each(
                "CustomerService/UpsertCustomers",
                |customer| json!({"customerIds": [new(customer), customer]}),
            ),
        },
    ]
}
