//! A database that is set back under a running server, as by a standby without the last commits or a restored backup:
//! the server answers like a newly started one, and leaves the database right.

use cart_promotions::app::import::ImportOptions;
use serde_json::{Value, json};

use crate::rpcs::{activate, deactivate, replace, revoke, upsert_customers};
use crate::stale::{plainly, verify};
use crate::support::*;
use crate::terms;

/// Every table, each after the tables that it refers to.
const TABLES: [&str; 10] = [
    "orgs",
    "promotions",
    "audiences",
    "customers",
    "api_clients",
    "earned_promotions",
    "cap_usage",
    "redemptions",
    "former_terms",
    "catalog_changes",
];
const ONE: &str = "00000000000000000000ba01";
const TWO: &str = "00000000000000000000ba02";
/// A promotion that gets a cap.
const CAPPED_LATE: &str = "00000000000000000000ba03";
/// A customer that is recorded after the first state.
const NEW_CUSTOMER: i64 = 900;
/// First of the customers of the probes, each of which has its own.
const FIRST_CUSTOMER: i64 = 100_001;
const PROBES: i64 = 60;

/// Copies the rows of every table aside, under this number.
async fn keep(database: &Database, state: usize) {
    database.let_changes_go().await;
    for table in TABLES {
        database.execute(&format!("CREATE TABLE kept_{state}_{table} AS SELECT * FROM {table}")).await;
    }
}

/// Sets every table back to the rows that were kept.
async fn set_back(database: &Database, state: usize) {
    let emptied = TABLES.iter().rev().map(|table| format!("DELETE FROM {table};"));
    let filled = TABLES.iter().map(|table| format!("INSERT INTO {table} SELECT * FROM kept_{state}_{table};"));
    let statements = emptied.chain(filled).collect::<String>();
    database.execute(&format!("BEGIN; {statements} COMMIT")).await;
}

fn promotion(id: &str) -> Value {
    json!({"id": id, "name": id, "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64})
}

fn first_state() -> Value {
    let promotions = [ONE, TWO, CAPPED_LATE].map(|id| {
        let mut promotion = promotion(id);
        promotion["orgId"] = ORG.into();
        promotion
    });
    let customers = (1..=PROBES).map(|number| json!({"orgId": ORG, "customerId": FIRST_CUSTOMER + number}));
    json!({
        "orgs": [{"id": ORG, "name": "Set back"}],
        "promotions": promotions,
        "customers": customers.collect::<Vec<_>>(),
        "apiClients": [{"username": "demo", "password": "demo", "orgId": ORG}]
    })
}

fn request(customer: i64, event: &str, promotion: &str, count: i64) -> Value {
    let mut request = one_entry(event, promotion, count);
    (request["customerId"], request["eventTime"]) = (customer.into(), NOW_MS.into());
    request
}

/// The next customer of the probes.
struct Probes(i64);

impl Probes {
    fn next(&mut self) -> i64 {
        self.0 += 1;
        assert!(self.0 <= PROBES);
        FIRST_CUSTOMER + self.0
    }

    /// Makes one call of every kind that depends on recorded facts. Returns the responses as text.
    async fn ask(&mut self, caller: &TestCaller) -> Vec<String> {
        let customer = self.next();
        let mut answers = Vec::new();
        for promotion in [CAPPED_LATE, ONE, TWO] {
            let answer = caller.earn(Endpoint::Grpc, &request(customer, "probe", promotion, 2)).await;
            answers.push(plainly(&answer, customer));
            let details = json!([{"promotionId": promotion, "earnIds": earn_ids_or_none(&answer)}]);
            let answer =
                revoke(caller, Endpoint::Json, json!({"customerId": customer, "earnRevokeDetails": details})).await;
            answers.push(plainly(&answer, customer));
        }
        let answer = caller.earn(Endpoint::Json, &request(customer, "probe", CAPPED_LATE, 4)).await;
        answers.push(plainly(&answer, customer));
        let unknown = caller.earn(Endpoint::Json, &request(NEW_CUSTOMER, &format!("of {customer}"), ONE, 1)).await;
        answers.push(plainly(&unknown, customer).replace(&format!("of {customer}"), ""));
        answers
    }
}

/// Returns the first earn id of the response, or an id that does not exist.
fn earn_ids_or_none(answer: &Answer) -> Vec<String> {
    let first = earn_ids(&answer.body).into_iter().next();
    vec![first.unwrap_or_else(|| "f".repeat(24))]
}

/// Makes the change that leads from the state of this number to the next. Returns false after the last state.
async fn go_on(caller: &TestCaller, state: usize) -> bool {
    let named = |id: &str| json!({"promotionId": id});
    let capped = |cap: i64| {
        let promotion = terms::with(promotion(CAPPED_LATE), &terms::cap(cap));
        json!({"promotionId": CAPPED_LATE, "promotion": promotion})
    };
    let answer = match state {
        0 => deactivate(caller, Endpoint::Json, named(ONE)).await,
        1 => upsert_customers(caller, Endpoint::Grpc, json!({"customerIds": [NEW_CUSTOMER]})).await,
        2 => replace(caller, Endpoint::Json, capped(1)).await,
        3 => activate(caller, Endpoint::Grpc, named(ONE)).await,
        4 => replace(caller, Endpoint::Grpc, capped(3)).await,
        5 => deactivate(caller, Endpoint::Json, named(TWO)).await,
        _ => return false,
    };
    assert_eq!(answer.code, 0, "{state}: {answer:?}");
    true
}

#[tokio::test]
async fn a_server_whose_database_is_set_back_answers_as_a_fresh_one() {
    let service = Service::start_with(&first_state(), &[]).await;
    let (database, mut probes) = (service.database(), Probes(0));
    keep(database, 0).await;
    let mut states = 1;
    while go_on(&service, states - 1).await {
        // The calls make the server remember this state.
        probes.ask(&service).await;
        keep(database, states).await;
        states += 1;
    }
    for state in (0..states).rev() {
        set_back(database, state).await;
        let fresh = service.beside().await;
        let (answered, expected) = (probes.ask(&service).await, probes.ask(&fresh).await);
        assert_eq!(answered, expected, "set back to state {state}");
        // The next change differs from the lost one, and has the same number of steps.
        for _ in 0..2 {
            assert_eq!(deactivate(&fresh, Endpoint::Json, json!({"promotionId": TWO})).await.code, 0);
            assert_eq!(activate(&fresh, Endpoint::Json, json!({"promotionId": ONE})).await.code, 0);
            let next = service.beside().await;
            let (answered, expected) = (probes.ask(&service).await, probes.ask(&next).await);
            assert_eq!(answered, expected, "changed after it was set back to state {state}");
            let off = service.earn(Endpoint::Grpc, &request(FIRST_CUSTOMER + 1, "off", TWO, 1)).await;
            assert_eq!(off.body["data"][0]["errorDetails"]["errorCode"], 709, "{off:?}");
            set_back(database, state).await;
            assert_eq!(deactivate(&fresh, Endpoint::Json, json!({"promotionId": TWO})).await.code, 0);
        }
        verify(database).await;
    }
}

#[tokio::test]
async fn that_a_promotion_was_earned_is_recorded_again_after_it_was_lost() {
    let service = Service::start_with(&first_state(), &[]).await;
    let database = service.database();
    keep(database, 0).await;
    for round in 0..3 {
        let earned = service.earn(Endpoint::Json, &request(FIRST_CUSTOMER + 1, "event", ONE, 1)).await;
        assert_eq!(earn_ids(&earned.body).len(), 1, "{round}: {earned:?}");
        let promotion = terms::with(promotion(ONE), &terms::days(7));
        let request = json!({"promotionId": ONE, "promotion": promotion});
        for caller in [&service, &service.beside().await] {
            let answer = replace(caller, Endpoint::Grpc, request.clone()).await;
            assert_eq!(answer.code, 400, "{round}: the expiry of what was earned is fixed: {answer:?}");
        }
        verify(database).await;
        set_back(database, 0).await;
    }
}

#[tokio::test]
async fn credentials_that_are_set_back_are_taken_and_the_later_ones_refused() {
    let service = Service::start_with(&first_state(), &[]).await;
    let database = service.database();
    keep(database, 0).await;
    let later = json!({"apiClients": [{"username": "demo", "password": "later", "orgId": ORG}]});
    let options = ImportOptions { replace_secrets: true, ..ImportOptions::default() };
    let request = request(FIRST_CUSTOMER + 1, "event", ONE, 1);
    for _ in 0..2 {
        import_with(database, &later, options).await.unwrap();
        taken(&service, ["demo:later", "demo:demo"], &request).await;
        set_back(database, 0).await;
        taken(&service, ["demo:demo", "demo:later"], &request).await;
    }
}

/// Waits until the first credentials are accepted, and the second refused.
async fn taken(service: &Service, [good, bad]: [&str; 2], request: &Value) {
    let so = async {
        loop {
            let answers = [
                service.earn_as(Endpoint::Json, Some(good), request).await,
                service.earn_as(Endpoint::Json, Some(bad), request).await,
            ];
            if answers.each_ref().map(|answer| answer.code) == [0, 401] {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(RECOVERED_WITHIN, so).await.unwrap_or_else(|_| panic!("{good} is not taken, or {bad} is"));
}
