//! `cart-promotions verify`: it finds no breach in rows that the service wrote, and every breach that a test makes.

use std::process::Output;

use cart_promotions::app::verify::Check;
use cart_promotions::{app, server};
use serde_json::json;

use crate::ENGINE;
use crate::rpcs::{earn, redeem, revoke};
use crate::server_process::run;
use crate::support::*;
use crate::terms;
use crate::wallet::{granted, one_to_earn, transaction};

// The paths are explicit because both suites include this file.
#[path = "verify/columns.rs"]
mod columns;
#[path = "verify/loose.rs"]
mod loose;
#[path = "verify/mutations.rs"]
mod mutations;

/// Number of checks.
const CHECKS: usize = 17;
/// The promotion of the catalog with a validity of some days from earning.
const SHORT: &str = "0000000000000000000000a7";

fn verify(service: &Service) -> Output {
    run(&std::env::temp_dir(), &["verify", "--database-url", service.database().url(), "--log-format", "json"])
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Returns the whole lines that name checks.
fn checks_of<'a>(text: &'a str, verdict: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.strip_prefix(verdict)?.strip_prefix(' '))
}

/// Starts a service whose wallet has an instance of every kind.
pub async fn filled() -> Service {
    let service = Service::start().await;
    for (event, promotion, count) in
        [("one", TEN_OFF, 3), ("two", FREE_DELIVERY, 1), ("three", CAPPED, 2), ("four", SHORT, 2)]
    {
        // The promotion with an expiry of its own is earned today, because it would have expired a few days later.
        let mut request = one_entry(event, promotion, count);
        request["eventTime"] = NOW_MS.into();
        assert_eq!(service.earn(Endpoint::Grpc, &request).await.body["data"][0]["successfulEarnCount"], count);
    }
    let revoked = granted(&service, "five", CAPPED, 1).await;
    let details = json!([{"promotionId": CAPPED, "earnIds": revoked}]);
    revoke(&service, Endpoint::Grpc, json!({"customerId": CUSTOMER, "earnRevokeDetails": details})).await;
    for (transaction_identifier, event, count) in [("txn", "six", 2), ("other", "seven", 1)] {
        let spent = granted(&service, event, TEN_OFF, count).await;
        let spent: Vec<_> = spent.iter().map(|id| (TEN_OFF, id.as_str())).collect();
        let answer = redeem(&service, Endpoint::Grpc, transaction(transaction_identifier, CUSTOMER, &spent)).await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }
    let answer = earn(&service, Endpoint::Grpc, one_to_earn()).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    service
}

#[tokio::test]
async fn what_the_service_wrote_is_right() {
    let output = verify(&filled().await);
    assert!(output.status.success(), "{output:?}");
    let text = text(&output);
    assert_eq!((checks_of(&text, "ok    ").count(), text.lines().count()), (CHECKS, CHECKS), "{text}");
    assert!(text.contains("each of 13 earned promotions") && text.contains(", 0 of them by former terms"), "{text}");
}

/// Makes every check in this process; `between` runs after each, with the number of checks made.
async fn made(service: &Service, mut between: impl FnMut(usize)) -> (Vec<Check>, Result<(), String>) {
    let store = server::open(&options(service.database().url(), &[]).common).await.unwrap();
    let mut checks = Vec::new();
    let told = |check| {
        checks.push(check);
        between(checks.len());
    };
    let ended = app::verify::verify(&store, told).await.map_err(|error| error.to_string());
    store.close().await;
    (checks, ended)
}

/// Runs a statement on another thread while this one waits for it.
fn execute_beside(service: &Service, sql: &str) {
    std::thread::scope(|scope| {
        let run = || tokio::runtime::Runtime::new().unwrap().block_on(service.database().execute(sql));
        scope.spawn(run).join().unwrap();
    });
}

#[tokio::test]
async fn everything_is_read_at_one_moment_beside_a_running_service() {
    let service = filled().await;
    let change = |made| {
        if made == 1 {
            execute_beside(&service, "UPDATE cap_usage SET used = 1");
        }
    };
    let (checks, ended) = made(&service, change).await;
    assert!(ended.is_ok() && checks.iter().all(|check| check.breaches.is_empty()), "{ended:?} {checks:#?}");
    assert_eq!(verify(&service).status.code(), Some(1), "the next one sees it");
}

#[tokio::test]
async fn a_database_that_goes_away_ends_it_with_the_checks_made_so_far() {
    if ENGINE == DatabaseKind::Sqlite {
        // A process that has a file open keeps it.
        return;
    }
    let service = filled().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let change = |made| {
        if made == 3 {
            execute_beside(&service, end);
        }
    };
    let (checks, ended) = made(&service, change).await;
    assert!(ended.is_err(), "{checks:#?}");
    assert_eq!(checks.len(), 3, "{checks:#?}");
}

#[tokio::test]
async fn of_many_breaches_the_first_are_named_and_more_are_told() {
    let service = filled().await;
    let database = service.database();
    let insert = |first: u32, last: u32| {
        let rows: Vec<_> = (first..=last).map(|customer| format!("(9, {customer})")).collect();
        loose::statement(&format!("INSERT INTO customers (org_id, customer_id) VALUES {}", rows.join(", ")))
    };
    loose::loosen(database).await;
    database.execute(&insert(1, 100)).await;
    let output = verify(&service);
    let named =
        |text: &str| text.lines().filter(|line| line.starts_with("       customers (org_id 9, customer_id ")).count();
    let told = text(&output);
    assert!(named(&told) == 100 && !told.contains("and more"), "{told}");
    database.execute(&insert(101, 101)).await;
    let told = text(&verify(&service));
    assert!(named(&told) == 100 && told.contains("\n       and more\n"), "{told}");
}

#[tokio::test]
async fn a_wallet_of_several_pages_is_read_to_its_end() {
    let service = filled().await;
    let database = service.database();
    // Each is of one event, and its earn id is after all others.
    let earn_id = match ENGINE {
        DatabaseKind::Sqlite => "printf('f%023x', n)",
        DatabaseKind::Postgres => "'f' || lpad(to_hex(n), 23, '0')",
    };
    let columns = "org_id, customer_id, promotion_id, earned_from_id, ordinal, earned_from_type, event_time_ms, valid_till_ms, \
                   granted_at_ms";
    let insert = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000)
         INSERT INTO earned_promotions ({columns}, earn_id, event_id, event_payload)
         SELECT {columns}, {earn_id}, 'page' || n, '{{}}' FROM earned_promotions, numbers WHERE event_id = 'two'"
    );
    database.execute(&insert).await;
    let output = verify(&service);
    assert!(output.status.success() && text(&output).contains("each of 3013 earned promotions"), "{output:?}");
    let last = "UPDATE earned_promotions SET valid_till_ms = valid_till_ms + 1, event_payload = '7' WHERE event_id = 'page3000'";
    database.execute(last).await;
    let text = text(&verify(&service));
    let named = text.lines().filter(|line| line.starts_with("       ") && line.contains("f00000000000000000000bb8"));
    assert_eq!(named.count(), 2, "{text}");
}

#[tokio::test]
async fn changed_rules_do_not_make_what_was_granted_wrong() {
    let service = filled().await;
    let mut changed = catalog();
    changed["orgs"][0]["timeZone"] = "America/New_York".into();
    changed["promotions"][1]["endDateISO"] = "2026-12-31T23:59:59.999+05:30".into();
    terms::set(&mut changed["promotions"][10], &terms::cap(1));
    service.import(&changed).await;
    let output = verify(&service);
    assert!(output.status.success(), "{output:?}");
    // These are the one whose end changed, and the two whose days ended in the other zone.
    assert!(
        text(&output).contains("each of 13 earned promotions") && text(&output).contains(", 3 of them by former terms"),
        "{output:?}"
    );
}

#[tokio::test]
async fn a_cap_that_is_set_later_counts_what_is_held_already() {
    let service = Service::start().await;
    let other = service.beside().await;
    assert_eq!(earn_ids(&service.earn(Endpoint::Json, &one_entry("before", TEN_OFF, 2)).await.body).len(), 2);
    let mut capped = catalog();
    terms::set(&mut capped["promotions"][0], &terms::cap(3));
    service.import(&capped).await;
    for (server, event, granted) in [(&service, "a", 1), (&other, "b", 0), (&service, "before", 2), (&other, "a", 1)] {
        let answer = server.earn(Endpoint::Grpc, &one_entry(event, TEN_OFF, 2)).await;
        assert_eq!(earn_ids(&answer.body).len(), granted, "{event}: {answer:?}");
    }
    // The cap is set below the number held, raised, removed and set again.
    for (cap, event, granted) in [(Some(1), "c", 0), (Some(4), "c", 1), (None, "d", 2), (Some(7), "e", 1)] {
        let mut changed = catalog();
        terms::set(&mut changed["promotions"][0], &terms::cap_or_none(cap));
        service.import(&changed).await;
        let answer = other.earn(Endpoint::Grpc, &one_entry(event, TEN_OFF, 2)).await;
        assert_eq!(earn_ids(&answer.body).len(), granted, "{cap:?}: {answer:?}");
    }
    assert_eq!(service.granted().await, 7, "{ENGINE:?}");
    let output = verify(&service);
    assert!(output.status.success(), "{output:?}");
}
