//! Checks of credentials under load: wrong credentials from other addresses lock no known client out, and no client
//! displaces the credentials of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cart_promotions::earning::limits::PRESENTED_MAX_BYTES;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::plain_http::PlainHttp;
use crate::support::*;
use crate::tokens::{PATH as TOKEN_PATH, ask, token_of};

/// Number of addresses that send wrong credentials, and of simultaneous calls from them.
const STRANGERS: usize = 1_000;
const STRANGERS_AT_ONCE: usize = 100;
/// Number of wrong credentials that are hashed during one call of a known client at most: fewer than wait for a hash.
const HASHED_MEANWHILE: usize = 20;
/// Longest time of a call whose secret waits for few others, and of many calls that wait for no hash.
const SLOWEST: Duration = Duration::from_secs(3);
/// Time after which a new client among callers that are new too is given up.
const NEWCOMER: Duration = Duration::from_mins(5);

/// Returns the catalog with this number of further clients of the first organization.
pub fn with_clients(count: usize) -> Value {
    let mut catalog = catalog();
    let clients = catalog["apiClients"].as_array_mut().unwrap();
    clients.extend((0..count).map(|index| json!({"username": format!("till {index}"), "password": "x", "orgId": ORG})));
    catalog
}

/// Returns the status and the duration of a call with these credentials for a record that does not exist.
async fn let_in(caller: &TestCaller, endpoint: Endpoint, presented: &str) -> (i64, Duration) {
    let begun = Instant::now();
    let answer = caller.earn_as(endpoint, Some(presented), &json!({"orgId": 1})).await;
    (answer.status, begun.elapsed())
}

/// Callers with wrong credentials.
#[derive(Default, Clone)]
struct Strangers {
    stop: Arc<AtomicBool>,
    /// Number of credentials that were hashed and found wrong.
    hashed: Arc<AtomicUsize>,
}

impl Strangers {
    fn hashed(&self) -> usize {
        self.hashed.load(Ordering::Relaxed)
    }
}

/// Sends wrong credentials of unknown usernames, each from another address, until they are to stop.
fn strangers(service: &Service, strangers: &Strangers) -> JoinSet<()> {
    let next = Arc::new(AtomicUsize::new(0));
    (0..STRANGERS_AT_ONCE)
        .map(|_| {
            let (caller, strangers, next) = (service.caller(), strangers.clone(), Arc::clone(&next));
            async move {
                while !strangers.stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let from = number % STRANGERS;
                    let stranger = caller.on_behalf_of(&format!("198.51.{}.{}", from / 250, from % 250));
                    let pair = format!("stranger {number}:x");
                    let answer = stranger.earn_as(Endpoint::Json, Some(&pair), &json!({})).await;
                    assert!([401, 429, 503].contains(&answer.status), "{answer:?}");
                    strangers.hashed.fetch_add(usize::from(answer.status == 401), Ordering::Relaxed);
                    // This limits the processor time of callers that are refused at once.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_pairs_from_a_thousand_addresses_refuse_no_client_that_was_right() {
    let service = Service::start_with(&with_clients(0), &["--trusted-proxies", "127.0.0.1"]).await;
    let known = service.on_behalf_of("192.0.2.1");
    assert_eq!(let_in(&known, Endpoint::Json, "demo:demo").await.0, 403);
    let first = token_of(&known, "demo", "demo").await;
    let wrong = Strangers::default();
    let mut strangers = strangers(&service, &wrong);
    // By now the wrong credentials wait for each other.
    tokio::time::sleep(Duration::from_millis(500)).await;
    // A new client from an address of its own is admitted as well, although it is one of many until a login failed from each
    // of their addresses.
    let (elsewhere, hashed) = (service.on_behalf_of("192.0.2.2"), wrong.clone());
    let newcomer = tokio::spawn(async move {
        let seen = async { while let_in(&elsewhere, Endpoint::Json, "other:other").await.0 != 403 {} };
        tokio::time::timeout(NEWCOMER, seen).await.expect("let in at last");
        assert!(hashed.hashed() <= STRANGERS + STRANGERS_AT_ONCE, "{}", hashed.hashed());
    });
    let mut most = 0;
    for round in 0..12 {
        // Some rounds take longer than credentials are used without a comparison with their record.
        tokio::time::sleep(Duration::from_millis(if round % 4 == 0 { 1_500 } else { 100 })).await;
        let before = wrong.hashed();
        let (status, _, body) = ask(&known, &json!({"key": "demo", "secret": "demo"})).await;
        assert_eq!(status, 200, "{body}");
        most = most.max(wrong.hashed() - before);
        let new = body["data"]["accessToken"].as_str().unwrap().to_owned();
        for endpoint in ENDPOINTS {
            for presented in ["demo:demo".to_owned(), format!("Bearer {new}"), format!("Token {first}")] {
                let before = wrong.hashed();
                let (status, _) = let_in(&known, endpoint, &presented).await;
                assert_eq!(status, if endpoint == Endpoint::Json { 403 } else { 7 }, "{presented}");
                most = most.max(wrong.hashed() - before);
            }
        }
    }
    newcomer.await.unwrap();
    // The test does not wait for guesses whose secret is still to be checked.
    wrong.stop.store(true, Ordering::Relaxed);
    while let Some(stranger) = strangers.try_join_next() {
        stranger.unwrap();
    }
    assert!(most <= HASHED_MEANWHILE, "{most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_guesses_at_once_from_one_address_for_one_name_only_the_free_ones_are_checked_at_once() {
    let service = Service::start_with(&catalog(), &["--trusted-proxies", "127.0.0.1"]).await;
    let from_one = service.on_behalf_of("192.0.2.1");
    let begun = Instant::now();
    let mut under_way: JoinSet<_> = (0..64)
        .map(|guess| {
            let caller = from_one.clone();
            async move { let_in(&caller, Endpoint::Json, &format!("demo:guess {guess}")).await.0 }
        })
        .collect();
    let mut statuses = Vec::new();
    while let Some(status) = under_way.join_next().await {
        statuses.push(status.unwrap());
    }
    // On a busy machine a check may wait for too long for its hash.
    assert!(statuses.iter().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
    let checked: Vec<_> = (0..64).filter(|index| statuses[*index] != 429).collect();
    let most = most_guesses_checked(begun.elapsed());
    assert!((10..=most).contains(&checked.len()), "ten are free, and {most} at most: {statuses:?}");
    // The others did not wait for a hash: most were refused before ten were hashed.
    assert!(checked[9] > 40, "{statuses:?}");
    // The owner is admitted from another address.
    assert_eq!(let_in(&service.on_behalf_of("192.0.2.2"), Endpoint::Json, "demo:demo").await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_a_token_before_each_call_pushes_nobody_out() {
    /// Number of tokens, which is more than the service remembers.
    const TOKENS: usize = 10_120;
    /// Number of clients, which is more than may wait for a hash from one address.
    const CLIENTS: usize = 100;
    let service = Service::start_with(&with_clients(CLIENTS), &[]).await;
    let mut tokens = Vec::new();
    for index in 0..CLIENTS {
        assert_eq!(let_in(&service, Endpoint::Json, &format!("till {index}:x")).await.0, 403);
        let token = token_of(&service, &format!("till {index}"), "x").await;
        assert_eq!(let_in(&service, Endpoint::Json, &format!("Bearer {token}")).await.0, 403);
        tokens.push(token);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let greedy: JoinSet<_> = (0..8)
        .map(|_| {
            let (caller, next) = (service.caller(), Arc::clone(&next));
            async move {
                let mut plain = PlainHttp::connect(caller.address).await;
                while next.fetch_add(1, Ordering::Relaxed) < TOKENS {
                    let pair = r#"{"key": "demo", "secret": "demo"}"#;
                    let (status, body) = plain.post(TOKEN_PATH, None, pair).await;
                    assert_eq!(status, 200, "{body}");
                    let body: Value = serde_json::from_str(&body).unwrap();
                    let token = body["data"]["accessToken"].as_str().unwrap();
                    let (status, body) = plain.post(PATH, Some(&format!("Bearer {token}")), r#"{"orgId": 1}"#).await;
                    assert_eq!(status, 403, "{body}");
                }
            }
        })
        .collect();
    greedy.join_all().await;
    let pairs = (0..CLIENTS).map(|index| format!("till {index}:x"));
    let all: Vec<_> = pairs.chain(tokens.into_iter().map(|token| format!("Bearer {token}"))).collect();
    let calls: JoinSet<_> = all
        .into_iter()
        .map(|presented| {
            let caller = service.caller();
            async move { let_in(&caller, Endpoint::Json, &presented).await }
        })
        .collect();
    // Forgotten credentials are hashed again, one after the other.
    for (status, took) in calls.join_all().await {
        assert_eq!(status, 403);
        assert!(took < SLOWEST, "{took:?}");
    }
}

#[tokio::test]
async fn a_name_that_no_client_can_have_is_unknown_without_a_look_up_and_counts_as_a_failed_login() {
    let service = Service::start_with(&catalog(), &["--trusted-proxies", "127.0.0.1"]).await;
    let mut address = 0;
    for name in ["a\0b", "\0", "demo\0", "a\nb", "\u{7f}", "a\u{85}b", "\u{9b}", &"x".repeat(PRESENTED_MAX_BYTES + 1)] {
        address += 1;
        let caller = service.on_behalf_of(&format!("192.0.2.{address}"));
        for endpoint in ENDPOINTS {
            let answer = caller.earn_as(endpoint, Some(&format!("{name}:x")), &documented_request()).await;
            assert_eq!(
                (answer.code, answer.status),
                (401, if endpoint == Endpoint::Json { 401 } else { 16 }),
                "{name:?}"
            );
        }
        let (status, _, body) = ask(&caller, &json!({"key": name, "secret": "x"})).await;
        assert_eq!((status, &body["errors"][0]["code"]), (401, &json!(320_001)), "{name:?}: {body}");
    }
    for secret in ["a\0b", &"x".repeat(PRESENTED_MAX_BYTES + 1)] {
        assert_eq!(let_in(&service, Endpoint::Json, &format!("demo:{secret}")).await.0, 401);
        let (status, ..) = ask(&service, &json!({"key": "demo", "secret": secret})).await;
        assert_eq!(status, 401);
    }
    // Such logins count for the address, and are refused without waiting because no look-up is made.
    let caller = service.on_behalf_of("198.51.100.1");
    let statuses = async {
        let mut statuses = Vec::new();
        for index in 0..40 {
            statuses.push(let_in(&caller, Endpoint::Json, &format!("a\0{index}:x")).await.0);
        }
        statuses
    };
    let statuses = tokio::time::timeout(SLOWEST, statuses).await.expect("no waiting");
    assert_eq!(statuses, [[401; 30].as_slice(), &[429; 10]].concat());
    let file = json!({"apiClients": [{"username": "a\tb", "password": "x", "orgId": ORG}]});
    let refused = import(service.database(), &file).await.unwrap_err();
    assert!(refused.contains("apiClients[0].username: must not contain control characters"), "{refused}");
}
