//! Tables of thousands of rows that share the beginnings of their keys, and calls of every route about few of them.

use std::path::Path;

use serde_json::{Value, json};

use crate::bulkheads::routes::{BULK_EARN, MethodCall, earning, earning_one, revoking, send};
use crate::catalog::inactive;
use crate::rpcs::METHODS;
use crate::server_process::run;
use crate::support::*;
use crate::terms::{self, LIMITED_COLUMN};
use crate::wallet::transaction;

/// Number of rows of each table, and of one large wallet.
const ROWS: i64 = 20_000;
const WALLET: i64 = 3_000;
/// The customer of the large wallet, in the organization that takes any customer.
const OWNER: i64 = 7;
/// The first customer who has earned nothing.
const NEWCOMERS: i64 = 4_000_000;
/// A promotion that is limited to an audience.
const FRIENDS: &str = "0000000000000000000000a8";

/// Fills every table, so that a search by less than the key finds thousands of rows.
pub async fn fill(database: &Database) {
    let columns = "org_id, customer_id, earn_id, promotion_id, event_id, earned_from_id, ordinal, earned_from_type,
                   event_time_ms, valid_till_ms, granted_at_ms";
    for statement in [
        format!("INSERT INTO orgs SELECT 1000 + n, 'org', 'UTC', 250, true, 1 FROM generate_series(1, {ROWS}) AS n"),
        format!(
            "INSERT INTO promotions (org_id, id, name, type, active, start_ms, end_ms, {LIMITED_COLUMN},
                earned, cap_period)
             SELECT 1000 + n, '{TEN_OFF}', 'promotion', 'EARNING', true, 0, 4000000000000, false, true, 0
             FROM generate_series(1, {ROWS}) AS n"
        ),
        format!(
            "INSERT INTO customers SELECT {ORG}, 1000000 + n FROM generate_series(1, {ROWS}) AS n;
             INSERT INTO audiences (org_id, customer_id, promotion_id)
             SELECT {ORG}, 1000000 + n, '{FRIENDS}' FROM generate_series(1, {ROWS}) AS n"
        ),
        format!(
            "INSERT INTO api_clients (username, secret_hash, org_id, access)
             SELECT 'client ' || n, 'none', 1000 + n, '' FROM generate_series(1, {ROWS}) AS n"
        ),
        format!(
            "INSERT INTO cap_usage (org_id, customer_id, promotion_id, used, cap, cap_period, last_change)
             SELECT {ORG}, 1000000 + n, '{CAPPED}', 1, 3, 0, 0 FROM generate_series(1, {ROWS}) AS n"
        ),
        format!(
            "INSERT INTO redemptions SELECT {ORG}, 'transaction ' || n, 1000000 + n, 1, 0, 'digest', 'content'
             FROM generate_series(1, {ROWS}) AS n"
        ),
        format!(
            "INSERT INTO former_terms SELECT {ORG}, lpad(to_hex(n), 24, '0'), n, 'UTC' FROM generate_series(1, {ROWS}) AS n"
        ),
        // All customers share one event, as of a campaign, and the owner has a wallet of its own size.
        format!(
            "INSERT INTO earned_promotions ({columns})
             SELECT {ORG}, 1000000 + n, 'a' || lpad(to_hex(n), 23, '0'), '{TEN_OFF}', 'campaign', 'earning', 1, 'BULK_ISSUE', 0,
                4000000000000, 0 FROM generate_series(1, {ROWS}) AS n"
        ),
        format!(
            "INSERT INTO earned_promotions ({columns})
             SELECT 3, {OWNER}, 'b' || lpad(to_hex(n), 23, '0'), '{OTHERS}', 'campaign ' || n, 'earning', 1, 'BULK_ISSUE', 0,
                4000000000000 + n, 0 FROM generate_series(1, {WALLET}) AS n"
        ),
    ] {
        database.execute(&statement).await;
    }
}

/// Sends a call over gRPC or JSON, and requires that it succeeds.
async fn done(caller: &TestCaller, credentials: &str, call: MethodCall) -> Value {
    let endpoint = if call.1.to_string().len().is_multiple_of(2) { Endpoint::Json } else { Endpoint::Grpc };
    let answer = send(caller, endpoint, credentials, &call).await;
    assert_eq!(answer.code, 0, "{call:?}: {answer:?}");
    answer.body
}

/// Calls every route, with lists of this length; `number` counts the rounds.
pub async fn call_every_route(caller: &TestCaller, number: i64, length: usize) {
    let tag = &format!("time {number}");
    let recorded = CalledWallet { credentials: "demo:demo", promotion: TEN_OFF, customer: CUSTOMER, tag };
    let any = CalledWallet { credentials: "other:other", promotion: OTHERS, customer: OWNER, tag };
    for wallet in [recorded, any] {
        wallet.call(caller, length).await;
    }
    catalog(caller, number, length).await;
    assert!(METHODS.len() == 15, "a method was added: call it here");
}

/// A wallet that is called for, and the promotions that are earned.
struct CalledWallet<'a> {
    credentials: &'static str,
    promotion: &'static str,
    customer: i64,
    tag: &'a str,
}

impl CalledWallet<'_> {
    /// Earns, revokes, redeems and lists.
    async fn call(&self, caller: &TestCaller, length: usize) {
        let Self { credentials, promotion, customer, tag } = *self;
        let count = i64::try_from(length).unwrap();
        let several = |event: &str, promotions: &[&str]| {
            let mut request = earning(customer, event, promotion, 1);
            let each = length.div_ceil(promotions.len());
            let entries = promotions.iter().flat_map(|promotion| {
                (0..each).map(move |number| {
                json!({"promotionId": promotion, "earnCount": 1, "earnedFromId": format!("earning {number}")})
            })
            });
            request["earnedPromotions"] = entries.collect();
            request
        };
        let mut promotions = vec![promotion, CAPPED];
        if credentials == "demo:demo" {
            promotions.push(FRIENDS);
        }
        for event in [format!("{tag} several"), format!("{tag} again")] {
            for _ in 0..2 {
                // The second call is a repeat.
                done(caller, credentials, (BULK_EARN, several(&event, &promotions))).await;
                done(caller, credentials, (BULK_EARN, several(&format!("{event} of one kind"), &promotions[..1])))
                    .await;
            }
        }
        // One event has earnings of thousands of customers, and one has more instances than others.
        done(caller, credentials, (BULK_EARN, earning(customer, "campaign", promotion, 1))).await;
        // A page of the wallet has more than one part, from the first time on.
        done(caller, credentials, (BULK_EARN, earning(customer, "a page", promotion, 60))).await;
        let ids = earned(caller, credentials, earning(customer, &format!("{tag} many"), promotion, 3 * count)).await;
        let more = earned(caller, credentials, earning(customer, &format!("{tag} many"), promotion, 4 * count)).await;
        assert_eq!(more[..ids.len()], ids);
        done(caller, credentials, ("EarnService/Earn", earning_one(customer, &format!("{tag} one"), promotion))).await;
        done(caller, credentials, ("WalletService/GetEarnedPromotion", json!({"earnedPromotionId": ids[0]}))).await;
        let revoke = revoking(customer, promotion, &ids[..length]);
        done(caller, credentials, ("WalletService/RevokeEarnedPromotions", revoke.clone())).await;
        done(caller, credentials, ("WalletService/RevokeEarnedPromotions", revoke)).await;
        let lines: Vec<_> = ids[length..2 * length].iter().map(|id| (promotion, id.as_str())).collect();
        for _ in 0..2 {
            done(caller, credentials, ("WalletService/Redeem", transaction(tag, customer, &lines))).await;
        }
        for more in [
            json!({}),
            json!({"earnedStatus": ["UNLOCKED", "REVOKED"]}),
            json!({"promotionId": vec![promotion; length]}),
        ] {
            let mut page = json!({"customerId": customer, "limit": 3});
            page.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let first = done(caller, credentials, ("WalletService/ListEarnedPromotions", page.clone())).await;
            page["pageToken"] = first["nextPageToken"].clone();
            done(caller, credentials, ("WalletService/ListEarnedPromotions", page)).await;
        }
    }
}

async fn earned(caller: &TestCaller, credentials: &str, request: Value) -> Vec<String> {
    earn_ids(&done(caller, credentials, (BULK_EARN, request)).await)
}

/// Changes the catalog, an audience and the customer base, and reads them.
async fn catalog(caller: &TestCaller, number: i64, length: usize) {
    let (tag, newcomer) = (&format!("time {number}"), NEWCOMERS + number);
    let demo = async |method: &'static str, request: Value| done(caller, "demo:demo", (method, request)).await;
    let new = inactive(tag);
    let id = demo("CatalogService/CreatePromotion", json!({"promotion": new})).await["data"]["id"].clone();
    // A cap that is set after something was earned is compared with the wallet, whose rows are all read then.
    demo("CustomerService/UpsertCustomers", json!({"customerIds": [newcomer]})).await;
    let mut open = new.clone();
    open["active"] = true.into();
    demo("CatalogService/ReplacePromotion", json!({"promotionId": id, "promotion": open})).await;
    let id_text = id.as_str().unwrap();
    for event in 0..2 {
        earned(caller, "demo:demo", earning(newcomer, &format!("{tag} before {event}"), id_text, 1)).await;
    }
    terms::set(&mut open, &terms::cap(10));
    demo("CatalogService/ReplacePromotion", json!({"promotionId": id, "promotion": open})).await;
    for event in 0..2 {
        let ids = earned(caller, "demo:demo", earning(newcomer, &format!("{tag} after {event}"), id_text, 1)).await;
        demo("WalletService/RevokeEarnedPromotions", revoking(newcomer, id_text, &ids)).await;
    }
    demo("CatalogService/DeactivatePromotion", json!({"promotionId": id})).await;
    demo("CatalogService/ActivatePromotion", json!({"promotionId": id})).await;
    demo("CatalogService/DeactivatePromotion", json!({"promotionId": id})).await;
    demo("CatalogService/ListPromotions", json!({"promotionIds": vec![id.clone(); length]})).await;
    demo("CatalogService/ListPromotions", json!({})).await;
    demo("CatalogService/ListCatalogChanges", json!({"promotionId": id})).await;
    let first = demo("CatalogService/ListCatalogChanges", json!({"limit": 2})).await["nextPageToken"].clone();
    demo("CatalogService/ListCatalogChanges", json!({"limit": 2, "pageToken": first})).await;
    let customers: Vec<_> = (0..length).map(|number| 2_000_000 + number).collect();
    let members: Vec<_> = customers.iter().copied().chain([566_881_933]).collect();
    demo("CustomerService/UpsertCustomers", json!({"customerIds": customers})).await;
    demo("CustomerService/GetCustomer", json!({"customerId": CUSTOMER})).await;
    demo("CatalogService/ChangeAudience", json!({"promotionId": FRIENDS, "add": members})).await;
    // Some of the customers are members, and some never were.
    demo("CatalogService/ChangeAudience", json!({"promotionId": FRIENDS, "remove": customers})).await;
    demo("CatalogService/ChangeAudience", json!({"promotionId": FRIENDS, "remove": customers})).await;
}

/// Runs the commands that look things up or change few of them, with files of this length.
pub fn run_commands(url: &str, tag: &str, length: usize) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let customers: Vec<_> = (0..length).map(|number| 3_000_000 + number).collect();
    let lines = customers.iter().map(|customer| format!("{{\"customerId\": {customer}}}"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    std::fs::write(path("customers.ndjson"), lines).unwrap();
    let promotions = (0..length).map(|number| {
        let mut promotion = inactive(&format!("{tag} {number}"));
        promotion["id"] = format!("{:024x}", 0xf000_0000 + number).into();
        promotion["orgId"] = ORG.into();
        promotion
    });
    let file = json!({
        "promotions": promotions.collect::<Vec<_>>(),
        "customers": customers.iter().map(|customer| json!({"orgId": ORG, "customerId": customer})).collect::<Vec<_>>(),
        "apiClients": (0..length.min(2)).map(|number| json!({"username": format!("imported {number}"), "password": "secret",
            "orgId": ORG})).collect::<Vec<_>>()
    });
    std::fs::write(path("file.json"), file.to_string()).unwrap();
    let org = ORG.to_string();
    for arguments in [
        &["import", &path("file.json")][..],
        &["import", &path("file.json")],
        &["customers", "import", "--org", &org, &path("customers.ndjson")],
        &["promotions", "list", "--org", &org],
        &["promotions", "activate", "--org", &org, TEN_OFF],
        &["wallet", "show", "--org", &org, &CUSTOMER.to_string()],
    ] {
        let output = run(Path::new("."), &[arguments, &["--database-url", url]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}
