//! Request limits and limits of failed logins, over gRPC and JSON.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::rpcs;
use crate::support::*;

/// Returns the values of the headers: quota, remainder, seconds until the whole quota is available again.
fn told(answer: &Answer) -> (String, u32, u32) {
    let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    let (policy, state) = (header("ratelimit-policy"), header("ratelimit"));
    let number = |name: &str| {
        let mut parts = state.split(';');
        parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok()).unwrap()
    };
    (policy, number("r"), number("t"))
}

#[tokio::test]
async fn a_client_has_1000_requests_a_minute_and_every_answer_says_what_is_left() {
    for endpoint in ENDPOINTS {
        let service = Service::start_with(&catalog(), &["--requests-per-minute", "1000"]).await;
        let policy = "\"requests\";q=1000;w=60".to_owned();
        let answer = service.earn(endpoint, &documented_request()).await;
        assert_eq!((answer.code, told(&answer)), (0, (policy.clone(), 999, 60)));
        // Refusals of the request itself count, and have the headers too.
        let answer = service.earn(endpoint, &json!({"orgId": 2})).await;
        assert_eq!((answer.code, told(&answer).0), (403, policy.clone()));
        assert!((997..=999).contains(&told(&answer).1), "{:?}", told(&answer));
        let answer = service.earn(endpoint, &json!({})).await;
        assert_eq!((answer.code, told(&answer).0), (400, policy.clone()));
        let missing = rpcs::get(&service, endpoint, json!({"earnedPromotionId": "0123456789abcdef01234567"})).await;
        assert_eq!((missing.code, told(&missing).0), (404, policy));
        // No limit applies before the caller is known.
        let answer = service.earn_as(endpoint, Some("demo:wrong"), &documented_request()).await;
        assert!(!answer.headers.contains_key("ratelimit"));
    }
}

#[tokio::test]
async fn beyond_it_a_client_is_refused_and_told_when_there_is_room_and_others_are_not() {
    for endpoint in ENDPOINTS {
        let service = Service::start_with(&catalog(), &["--requests-per-minute", "60"]).await;
        let begun = Instant::now();
        for _ in 0..60 {
            assert_eq!(service.earn(endpoint, &documented_request()).await.code, 0, "all of it at once");
        }
        let took = u64::from(begun.elapsed() > Duration::ZERO) + begun.elapsed().as_secs();
        let refused = service.earn(endpoint, &documented_request()).await;
        let (policy, left, whole) = told(&refused);
        assert_eq!((refused.code, policy.as_str(), left), (429, "\"requests\";q=60;w=60", 0));
        let wait = retry_after(endpoint, &refused);
        // The wait is for the first charge, the reset for the last.
        assert!((60 - took..=60).contains(&wait) && wait <= u64::from(whole) && whole <= 60, "{wait}, {whole}");
        assert_eq!(service.earn_as(endpoint, Some("other:other"), &json!({"orgId": 1})).await.code, 403);
        // A refusal costs nothing, so trying does not lengthen the wait.
        let again = service.earn(endpoint, &documented_request()).await;
        assert!(again.code == 429 && retry_after(endpoint, &again) <= wait, "{again:?}");
    }
}

/// Returns the seconds that a refused caller is told to wait.
fn retry_after(endpoint: Endpoint, refused: &Answer) -> u64 {
    match endpoint {
        Endpoint::Json => refused.headers["retry-after"].to_str().unwrap().parse().unwrap(),
        Endpoint::Grpc => refused.metadata["retryAfterSeconds"].parse().unwrap(),
    }
}

/// Returns the catalog, with a limit of its own for this client.
fn with_limit(username: &str, requests_per_minute: Value) -> Value {
    let mut catalog = catalog();
    let clients = catalog["apiClients"].as_array_mut().unwrap();
    let client = clients.iter_mut().find(|client| client["username"] == username).unwrap();
    client["requestsPerMinute"] = requests_per_minute;
    catalog
}

#[tokio::test]
async fn a_client_may_have_a_limit_of_its_own_or_none() {
    let service = Service::start_with(&with_limit("demo", 7.into()), &["--requests-per-minute", "5"]).await;
    for endpoint in ENDPOINTS {
        let answer = service.earn(endpoint, &json!({"orgId": 2})).await;
        assert_eq!(told(&answer).0, "\"requests\";q=7;w=60");
        let answer = service.earn_as(endpoint, Some("other:other"), &json!({"orgId": 2})).await;
        assert_eq!(told(&answer).0, "\"requests\";q=5;w=60");
    }
    service.import(&with_limit("demo", 0.into())).await;
    // The limit belongs to the client, not to the catalog.
    tokio::time::sleep(CLIENT_CHANGED_WITHIN).await;
    for endpoint in ENDPOINTS {
        for _ in 0..10 {
            let answer = service.earn(endpoint, &documented_request()).await;
            assert!(answer.code == 0 && !answer.headers.contains_key("ratelimit"), "{answer:?}");
        }
    }
    let refused = import(service.database(), &with_limit("demo", (-1).into())).await.unwrap_err();
    assert!(refused.starts_with("apiClients[0].requestsPerMinute: must be 0 or more"), "{refused}");
}

#[tokio::test]
async fn a_request_may_cost_as_much_as_it_grants() {
    let options = ["--requests-per-minute", "100", "--rate-limit-cost", "grants"];
    for endpoint in ENDPOINTS {
        let service = Service::start_with(&catalog(), &options).await;
        let answer = service.earn(endpoint, &one_entry("a", TEN_OFF, 90)).await;
        let (policy, left, _) = told(&answer);
        assert_eq!((answer.code, policy.as_str()), (0, "\"grants\";q=100;w=60"));
        assert_eq!(left, 10);
        let answer = service.earn(endpoint, &one_entry("b", TEN_OFF, 50)).await;
        assert_eq!((answer.code, told(&answer).1), (429, 10), "what is left is told, not that nothing is: {answer:?}");
        assert!((50..=60).contains(&retry_after(endpoint, &answer)), "{answer:?}");
        assert_eq!(service.granted().await, 90, "nothing is recorded");
        // A call that grants nothing costs 1.
        let listed = rpcs::list(&service, endpoint, json!({"customerId": CUSTOMER})).await;
        assert_eq!((listed.code, told(&listed).1), (0, 9), "{listed:?}");
        // A malformed request grants nothing either, and costs 1 too.
        let wrong = service.earn(endpoint, &json!({})).await;
        assert_eq!((wrong.code, told(&wrong).1), (400, 8), "{wrong:?}");
        // The call takes exactly the remainder.
        let last = service.earn(endpoint, &one_entry("c", TEN_OFF, 8)).await;
        assert_eq!((last.code, told(&last).1), (0, 0), "{last:?}");
        let wrong = service.earn(endpoint, &json!({})).await;
        assert_eq!((wrong.code, told(&wrong).1), (429, 0), "{wrong:?}");
        assert_eq!(service.granted().await, 98);
    }
}

#[tokio::test]
async fn a_call_that_costs_more_than_the_whole_limit_passes_when_nothing_is_spent() {
    let options = ["--requests-per-minute", "10", "--rate-limit-cost", "grants"];
    for endpoint in ENDPOINTS {
        for count in [9, 10, 11, 25] {
            let service = Service::start_with(&catalog(), &options).await;
            let answer = service.earn(endpoint, &one_entry("a", TEN_OFF, count)).await;
            let left = u32::try_from((10 - count).max(0)).unwrap();
            assert_eq!((answer.code, told(&answer).1), (0, left), "{count}: {answer:?}");
            let second = service.earn(endpoint, &one_entry("b", TEN_OFF, count)).await;
            assert_eq!((second.code, told(&second).1), (429, left), "{count}: {second:?}");
            assert!((50..=60).contains(&retry_after(endpoint, &second)), "{second:?}");
            assert_eq!(service.granted().await, count);
        }
    }
}

/// Number of wrong secrets that are told to wait: each waits longer than the one before it.
const TOLD_TO_WAIT: usize = 3;
/// Number of wrong secrets at most. Some failures are forgotten meanwhile on a slow machine, which lets more through.
const GUESSES: usize = 40;

#[tokio::test]
async fn guesses_are_told_to_wait_and_the_owner_is_let_in_all_the_same() {
    tokio::join!(guesses_over(Endpoint::Json), guesses_over(Endpoint::Grpc));
}

async fn guesses_over(endpoint: Endpoint) {
    let service = Service::start().await;
    let mut said = Vec::new();
    let begun = Instant::now();
    while said.iter().filter(|code| **code == 429).count() < TOLD_TO_WAIT && said.len() < GUESSES {
        let guess = format!("demo:guess {}", said.len());
        let answer = service.earn_as(endpoint, Some(&guess), &documented_request()).await;
        if answer.code == 429 {
            match endpoint {
                Endpoint::Json => assert!(answer.headers.contains_key("retry-after")),
                Endpoint::Grpc => assert_eq!(answer.reason, "TOO_MANY_FAILED_LOGINS"),
            }
        }
        said.push(answer.code);
    }
    // Without a wait each is checked as fast as a hash is made.
    assert!(begun.elapsed() > Duration::from_millis(250 + 500), "{:?}", begun.elapsed());
    let free = said.iter().position(|code| *code == 429).expect("told to wait");
    let most = most_guesses_checked(begun.elapsed());
    assert!((10..=most).contains(&free), "ten are free, and {most} at most: {said:?}");
    assert!(said.iter().all(|code| [401, 429].contains(code)), "{said:?}");
    // A right secret that is new here, from the same address, is checked later, but in time.
    let begun = Instant::now();
    assert_eq!(service.earn(endpoint, &documented_request()).await.code, 0);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    // From now on it is known, and nothing delays it, though the guesses continue.
    let guesses = tokio::spawn({
        let caller = service.caller();
        async move {
            for guess in 0..40 {
                let guess = format!("demo:other guess {guess}");
                caller.earn_as(Endpoint::Grpc, Some(&guess), &documented_request()).await;
            }
        }
    });
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(service.earn(endpoint, &documented_request()).await.code, 0);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    guesses.abort();
}

#[tokio::test]
async fn a_flood_of_guesses_from_one_address_is_refused_at_once_and_slows_nobody_elsewhere() {
    let options = ["--trusted-proxies", "127.0.0.1"];
    let service = Service::start_with(&catalog(), &options).await;
    let from = |address: &str, credentials: String| {
        let caller = service.on_behalf_of(address);
        async move {
            let begun = Instant::now();
            (caller.earn_as(Endpoint::Json, Some(&credentials), &json!({"orgId": 1})).await.status, begun.elapsed())
        }
    };
    let guesses: JoinSet<_> = (0..150).map(|guess| from("192.0.2.1", format!("user {guess}:x"))).collect();
    let statuses: Vec<_> = guesses.join_all().await.into_iter().map(|(status, _)| status).collect();
    let refused = statuses.iter().filter(|status| [429, 503].contains(*status)).count();
    assert!(refused > 50, "{statuses:?}");
    let (status, took) = from("192.0.2.2", "other:other".to_owned()).await;
    assert_eq!(status, 403, "let in, and told that the request is for another organization");
    assert!(took < Duration::from_secs(2), "{took:?}");
}
