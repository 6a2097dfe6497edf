//! Timing of refusals: for records of another organization they take no longer than for records that do not exist.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::neighbour::record;
use super::{BULK_EARN, FIRST_CUSTOMER, catalog_that_takes, send};
use crate::credentials::with_clients;
use crate::support::*;

/// Number of calls of each kind, which alternate. Delays of the machine in some of them do not move the median.
const ROUNDS: usize = 31;
/// Number of checks of secrets, which take tens of milliseconds each, many times what a look-up takes.
const SECRET_ROUNDS: usize = 9;
/// Rest of a hashing worker after a wrong secret, as a multiple of the time that it took.
const REST: u32 = 3;
/// Greatest difference of medians: a quarter of the smaller, and a small constant. A look-up that reads the other
/// organization, or a check of a secret that is left out, makes a greater difference.
const QUARTER: u32 = 4;
const FLOOR: Duration = Duration::from_micros(300);
/// Number of measurements of one case. Other load of the machine spoils some of them; a real difference is in all.
const TRIES: usize = 5;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Measures until the two take equally long, and fails if they never do.
async fn assert_alike(what: &str, mut measure: impl AsyncFnMut(usize) -> [Vec<Duration>; 2]) {
    for attempt in 0..TRIES {
        let [theirs, nobodys] = measure(attempt).await.map(median);
        let _ = writeln!(
            std::io::stderr(),
            "{what}: {theirs:?} where another organization has it, {nobodys:?} where nobody has"
        );
        let (most, least) = (theirs.max(nobodys), theirs.min(nobodys));
        if most <= least + least / QUARTER + FLOOR {
            return;
        }
    }
    panic!("{what}: one takes longer than the other, every time");
}

#[tokio::test]
async fn saying_no_takes_as_long_for_what_another_organization_has() {
    let service = Service::start_with(&catalog_that_takes(true), &[]).await;
    let theirs = record(&service, FIRST_CUSTOMER).await;
    // A wallet of some size takes some time to read.
    let mut many = one_entry("many", OTHERS, 1_000);
    many["customerId"] = FIRST_CUSTOMER.into();
    many["eventTime"] = NOW_MS.into();
    many.as_object_mut().unwrap().remove("orgId");
    let answer = service.earn_as(Endpoint::Grpc, Some("other:other"), &many).await;
    assert_eq!(earn_ids(&answer.body).len(), 1_000, "{answer:?}");

    let nobodys_id = "6912d0e0ffffffffffffffff";
    let earning = |promotion: &str| one_entry("event", promotion, 1);
    let list = |customer: i64| json!({"customerId": customer, "limit": 1_000});
    let revoke = |id: &str| json!({"customerId": FIRST_CUSTOMER, "earnRevokeDetails": [{"promotionId": OTHERS, "earnIds": [id]}]});
    let cases: [(&str, Value, Value); 5] = [
        (
            "WalletService/GetEarnedPromotion",
            json!({"earnedPromotionId": theirs.earned[0]}),
            json!({"earnedPromotionId": nobodys_id}),
        ),
        ("WalletService/ListEarnedPromotions", list(FIRST_CUSTOMER), list(FIRST_CUSTOMER + 1)),
        ("WalletService/RevokeEarnedPromotions", revoke(&theirs.earned[0]), revoke(nobodys_id)),
        ("CustomerService/GetCustomer", json!({"customerId": FIRST_CUSTOMER}), json!({"customerId": 999_999})),
        (BULK_EARN, earning(OTHERS), earning(nobodys_id)),
    ];
    for (method, theirs, nobodys) in &cases {
        for endpoint in ENDPOINTS {
            assert_alike(&format!("{method} {endpoint:?}"), async |_| {
                let mut times = [Vec::new(), Vec::new()];
                for round in 0..ROUNDS {
                    for index in [round % 2, 1 - round % 2] {
                        let at = Instant::now();
                        send(&service, endpoint, method, [theirs, nobodys][index]).await;
                        times[index].push(at.elapsed());
                    }
                }
                times
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_name_are_told_the_same_and_as_quickly() {
    // Each try uses another address: checks from the same address would have to wait.
    let service = Service::start_with(&with_clients(2 * TRIES), &["--trusted-proxies", "127.0.0.1"]).await;
    for endpoint in ENDPOINTS {
        assert_alike(&format!("credentials {endpoint:?}"), async |attempt| {
            let mut times = [Vec::new(), Vec::new()];
            // No login was tried with these usernames before.
            let number = attempt + TRIES * endpoint as usize;
            let mut different = 0;
            for round in 0..SECRET_ROUNDS {
                let mut answers = Vec::new();
                // The secrets are new each time, because a known wrong secret is not checked again. The order
                // alternates.
                for index in [round % 2, 1 - round % 2] {
                    let name = ["till", "nobody"][index];
                    let pair = format!("{name} {number}:wrong {round}");
                    let caller = service.on_behalf_of(&format!("192.0.{number}.{}", 2 * round + index));
                    let at = Instant::now();
                    let mut answer = caller.earn_as(endpoint, Some(&pair), &documented_request()).await;
                    times[index].push(at.elapsed());
                    // Otherwise the next call waits for the rest, which is longer than what it takes itself.
                    tokio::time::sleep(at.elapsed() * REST).await;
                    // By now so many logins have failed for both usernames that the refusal says until when, to the
                    // second.
                    for changing in ["x-request-id", "date", "retry-after"] {
                        answer.headers.remove(changing);
                    }
                    answer.messages.iter_mut().for_each(|message| message.retain(|letter| !letter.is_ascii_digit()));
                    answer.metadata.remove("retryAfterSeconds");
                    answers.push(answer);
                }
                assert!(answers.iter().all(|answer| [401, 429].contains(&answer.code)), "{answers:?}");
                // A busy machine takes so long that one of the two has waited enough, and the other not yet.
                if answers[0].code == answers[1].code {
                    assert_eq!(answers[0], answers[1]);
                } else {
                    different += 1;
                }
            }
            assert!(different <= SECRET_ROUNDS / 4, "{different} of {SECRET_ROUNDS} rounds are told apart");
            times
        })
        .await;
    }
}
