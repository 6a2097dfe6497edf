//! Every kind of write beside every other one, over the same few rows in random order: no caller sees a deadlock.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde_json::{Value, json};

use crate::rpcs::{Rpc, try_call};
use crate::server_process::{Process, run, verify};
use crate::support::*;
use crate::terms::{self, UNLIMITED};
use crate::wallet::transaction;

const CUSTOMERS: i64 = 300;
const PROMOTIONS: usize = 4;
/// Number of simultaneous callers, beside those that run commands.
const CALLERS: usize = 12;
const COMMANDS: usize = 3;
const LASTS: Duration = Duration::from_secs(10);
/// The two organizations that imports change together.
const ORGS: [i64; 2] = [ORG, 2];

fn promotion_id(number: usize) -> String {
    format!("{:024x}", 0x3ee7_0000 + number)
}

/// Returns a record of a promotion, with or without a cap.
fn promotion(org: i64, number: usize) -> Value {
    let id = promotion_id(number);
    let mut promotion = json!({"id": id, "orgId": org, "name": id, "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64});
    match rand::random_range(0..3) {
        0 => terms::set(&mut promotion, &terms::cap(rand::random_range(1..4))),
        1 => terms::set(&mut promotion, &terms::unlimited()),
        _ => {}
    }
    promotion
}

/// Returns some of the customers, in random order.
fn some_customers() -> Vec<i64> {
    let mut customers: Vec<_> = (1..=CUSTOMERS).collect();
    customers.shuffle(&mut rand::rng());
    customers.truncate(rand::random_range(1..usize::try_from(CUSTOMERS).unwrap()));
    customers
}

/// Returns a file of both organizations with audiences, everything in random order.
fn file() -> Value {
    let mut promotions = Vec::new();
    for org in ORGS {
        for number in 0..PROMOTIONS {
            let mut promotion = promotion(org, number);
            terms::set(&mut promotion, &terms::limited(rand::random()));
            promotion["audience"] = some_customers().into();
            // This field is for calls only.
            promotion.as_object_mut().unwrap().remove(UNLIMITED);
            promotions.push(promotion);
        }
    }
    promotions.shuffle(&mut rand::rng());
    promotions.truncate(rand::random_range(2..=promotions.len()));
    let mut orgs: Vec<_> =
        ORGS.iter().map(|id| json!({"id": id, "name": format!("O{id}"), "acceptUnknownCustomers": true})).collect();
    orgs.shuffle(&mut rand::rng());
    let customers = some_customers();
    let customer = |id| json!({"orgId": ORGS.choose(&mut rand::rng()), "customerId": id});
    json!({"orgs": orgs, "promotions": promotions, "customers": customers.into_iter().map(customer).collect::<Vec<_>>()})
}

/// The first kind of call, by number, that does not wait for a locked catalog, and so may conflict with an import in
/// the middle.
const WITHOUT_CATALOG: u32 = 6;
const KINDS: u32 = 10;

/// Returns the method and the request of a call of this kind.
fn request(kind: u32, number: u64, earned: &[String]) -> (&'static str, Value) {
    let mut customers = some_customers();
    let (customer, which) = (customers[0], rand::random_range(0..PROMOTIONS));
    let id = promotion_id(which);
    let named = json!({"promotionId": id});
    match kind {
        0 | 1 => {
            let mut entries: Vec<_> = (0..PROMOTIONS)
                .map(|which| json!({"promotionId": promotion_id(which), "earnCount": 1, "earnedFromId": "e"}))
                .collect();
            entries.shuffle(&mut rand::rng());
            let mut request = one_entry(&format!("event {}", number % 20), &id, 1);
            (request["customerId"], request["earnedPromotions"]) = (customer.into(), entries.into());
            ("", request)
        }
        2 => {
            let mut request = crate::wallet::one_to_earn();
            (request["customerId"], request["promotionId"]) = (customer.into(), id.into());
            request["eventDetails"]["id"] = format!("one {}", number % 20).into();
            ("EarnService/Earn", request)
        }
        3 => ("CatalogService/DeactivatePromotion", named),
        4 => ("CatalogService/ActivatePromotion", named),
        5 => {
            let mut promotion = promotion(ORG, which);
            promotion["active"] = true.into();
            ("CatalogService/ReplacePromotion", json!({"promotionId": id, "promotion": promotion}))
        }
        6 => ("CatalogService/ChangeAudience", json!({"promotionId": id, "add": customers})),
        7 => {
            let remove = customers.split_off(customers.len() / 2);
            ("CatalogService/ChangeAudience", json!({"promotionId": id, "add": customers, "remove": remove}))
        }
        8 => ("CustomerService/UpsertCustomers", json!({"customerIds": customers})),
        _ => match earned {
            [] => ("CustomerService/GetCustomer", json!({"customerId": customer})),
            earned => taking(number, earned),
        },
    }
}

/// Revokes or redeems a granted instance; each is "customer promotion id".
fn taking(number: u64, earned: &[String]) -> (&'static str, Value) {
    let taken: Vec<_> = earned.choose(&mut rand::rng()).unwrap().split(' ').collect();
    let customer: i64 = taken[0].parse().unwrap();
    if number.is_multiple_of(2) {
        let details = json!([{"promotionId": taken[1], "earnIds": [taken[2]]}]);
        ("WalletService/RevokeEarnedPromotions", json!({"customerId": customer, "earnRevokeDetails": details}))
    } else {
        let name = format!("transaction {}", number % 50);
        ("WalletService/Redeem", transaction(&name, customer, &[(taken[1], taken[2])]))
    }
}

/// Makes random calls until `over` is set. Returns the number of calls that were answered, and of those refused as
/// busy.
async fn call_at_random(callers: [TestCaller; 2], first_kind: u32, over: Arc<AtomicBool>) -> (u64, u64) {
    let (mut answered, mut busy) = (0, 0);
    let mut earned = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let number = rand::random::<u64>() % 10_000;
        let (method, request) = request(rand::random_range(first_kind..KINDS), number, &earned);
        let caller = &callers[usize::try_from(number % 2).unwrap()];
        // Only gRPC has the reason of a refusal.
        let endpoint = Endpoint::Grpc;
        let answer = match method {
            "" => caller.earn(endpoint, &request).await,
            method => try_call(caller, endpoint, Rpc::of_demo(method), &request).await.unwrap(),
        };
        match answer.status {
            14 | 13 | 4 => {
                assert_eq!(answer.reason, "BUSY", "{method} {request}: {answer:?}");
                busy += 1;
            }
            _ => answered += 1,
        }
        if answer.code == 0 && method.is_empty() {
            let all = answer.body["data"].as_array().unwrap().iter();
            for one in all.flat_map(|entry| entry["customerEarnedPromotions"].as_array().unwrap()) {
                let text = |name: &str| one[name].as_str().unwrap();
                earned.push(format!("{} {} {}", request["customerId"], text("promotionId"), text("id")));
            }
        }
    }
    (answered, busy)
}

/// Imports files and customers until `over` is set. Each import must succeed.
fn import_at_random(url: &str, over: &AtomicBool, done: &AtomicU64) {
    let directory = tempfile::tempdir().unwrap();
    while !over.load(Ordering::Relaxed) {
        let (json, csv) = (directory.path().join("file.json"), directory.path().join("customers.csv"));
        std::fs::write(&json, file().to_string()).unwrap();
        let lines: Vec<_> = some_customers().iter().map(i64::to_string).collect();
        std::fs::write(&csv, format!("customerId\n{}\n", lines.join("\n"))).unwrap();
        let (json, csv) = (json.to_str().unwrap(), csv.to_str().unwrap());
        let org = ORG.to_string();
        let secret = ["clients", "add", "--database-url", url, "--org", &org, "till", "--new-secret"];
        let commands = [
            &["import", "--database-url", url, json][..],
            &["customers", "import", "--database-url", url, "--org", &org, csv],
            &secret,
        ];
        for command in commands {
            let output = run(Path::new("."), command);
            assert!(output.status.success(), "{command:?}: {output:?}");
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_written_at_once_in_whatever_order_nobody_is_told_of_a_deadlock() {
    let database = Database::new().await;
    let mut first = file();
    let all = |org: i64| (0..PROMOTIONS).map(move |number| (org, number));
    let promotions = ORGS.into_iter().flat_map(all).map(|(org, number)| {
        let mut promotion = promotion(org, number);
        promotion.as_object_mut().unwrap().remove(UNLIMITED);
        promotion
    });
    first["promotions"] = promotions.collect();
    first["apiClients"] = json!([{"username": "demo", "password": "demo", "orgId": ORG}, {"username": "till", "password": "till", "orgId": ORG}]);
    import(&database, &first).await.unwrap();
    let options = ["--database-url", database.url(), "--listen", "127.0.0.1:0"];
    let processes = [(); 2].map(|()| Process::start(Path::new("."), &options));
    let (over, imports) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let callers = processes.each_ref().map(|process| process.caller.clone());
        let first_kind = if caller % 2 == 0 { WITHOUT_CATALOG } else { 0 };
        calls.spawn(call_at_random(callers, first_kind, Arc::clone(&over)));
    }
    let mut commands = tokio::task::JoinSet::new();
    for _ in 0..COMMANDS {
        let (url, over, imports) = (database.url().to_owned(), Arc::clone(&over), Arc::clone(&imports));
        commands.spawn_blocking(move || import_at_random(&url, &over, &imports));
    }
    let begun = Instant::now();
    let mut failed = None;
    while begun.elapsed() < LASTS && failed.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        // A task that ends early has failed.
        failed = calls.try_join_next().and_then(Result::err).or(commands.try_join_next().and_then(Result::err));
    }
    over.store(true, Ordering::Relaxed);
    assert!(failed.is_none(), "{failed:?}");
    let counts = calls.join_all().await;
    commands.join_all().await;
    let (answered, busy) = counts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let imports = imports.load(Ordering::Relaxed);
    let deadlocks = database.count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await;
    let told = format!(
        "{answered} calls and {imports} commands beside one another, {busy} in each other's way, {deadlocks} deadlocks"
    );
    let _ = writeln!(std::io::stderr(), "{told}");
    assert!(answered > 200 && imports > 5, "{answered} calls, {imports} commands");
    assert!(deadlocks == 0 || busy == 0, "a caller was told of one of {deadlocks} deadlocks");
    verify(database.url());
}
