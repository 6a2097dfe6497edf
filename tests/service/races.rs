//! Conflicting changes in four server processes on one database: each conflict has exactly one winner, and the wallet
//! is right afterwards.

use std::path::Path;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::catalog::inactive;
use crate::rpcs::{activate, create, deactivate, list, redeem, revoke};
use crate::server_process::{Process, verify};
use crate::support::*;
use crate::wallet::{granted, transaction};

const PROCESSES: usize = 4;
const ROUNDS: usize = 12;

/// Four processes on one database.
struct Four {
    database: Database,
    processes: Vec<Process>,
}

impl Four {
    async fn start(catalog: Value) -> Self {
        let database = Database::new().await;
        import(&database, &endless(catalog)).await.unwrap();
        let options = ["--database-url", database.url(), "--listen", "127.0.0.1:0"];
        let processes = (0..PROCESSES).map(|_| Process::start(Path::new("."), &options)).collect();
        Self { database, processes }
    }

    fn caller(&self, index: usize) -> TestCaller {
        self.processes[index % PROCESSES].caller.clone()
    }

    /// Sends all calls at once, each to another process, over gRPC or JSON.
    async fn race<F, A>(&self, calls: impl IntoIterator<Item = F>) -> Vec<Answer>
    where
        F: FnOnce(TestCaller, Endpoint) -> A + Send + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let mut set = JoinSet::new();
        for (index, call) in calls.into_iter().enumerate() {
            let (caller, endpoint) = (self.caller(index), ENDPOINTS[index % 2]);
            set.spawn(async move { (index, call(caller, endpoint).await) });
        }
        let mut answers = set.join_all().await;
        answers.sort_by_key(|(index, _)| *index);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Returns the number of a customer's earned promotions with this status.
    async fn count(&self, status: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM earned_promotions WHERE earned_status = '{status}'");
        self.database.count(&sql).await
    }
}

type RacingCall =
    Box<dyn FnOnce(TestCaller, Endpoint) -> std::pin::Pin<Box<dyn Future<Output = Answer> + Send>> + Send>;

fn redeeming(request: Value) -> RacingCall {
    Box::new(move |caller, endpoint| Box::pin(async move { redeem(&caller, endpoint, request).await }))
}

fn revoking(promotion: &'static str, id: &str) -> RacingCall {
    let request = json!({"customerId": CUSTOMER, "earnRevokeDetails": [{"promotionId": promotion, "earnIds": [id]}]});
    Box::new(move |caller, endpoint| Box::pin(async move { revoke(&caller, endpoint, request).await }))
}

fn earning(request: Value) -> RacingCall {
    Box::new(move |caller, endpoint| Box::pin(async move { caller.earn(endpoint, &request).await }))
}

fn revoked(answer: &Answer) -> bool {
    answer.body["data"]["revokedDetails"][0]["status"] == "SUCCESS"
}

#[tokio::test(flavor = "multi_thread")]
async fn of_transactions_that_redeem_the_same_one_wins_and_the_others_are_told_so() {
    let four = Four::start(catalog()).await;
    for round in 0..ROUNDS {
        let ids = granted(&four.caller(round), &format!("{round}"), TEN_OFF, 2).await;
        // Each request has another order, so that they may conflict in the middle.
        let calls = (0..6).map(|index| {
            let mut lines = [(TEN_OFF, ids[0].as_str()), (TEN_OFF, ids[1].as_str())];
            lines.rotate_left(index % 2);
            redeeming(transaction(&format!("{round} {index}"), CUSTOMER, &lines))
        });
        let answers = four.race(calls).await;
        let won = answers.iter().filter(|answer| answer.code == 0).count();
        let lost = answers.iter().filter(|answer| answer.code == 729).count();
        assert_eq!(
            (won, lost),
            (1, 5),
            "{:?}",
            answers.iter().map(|answer| (answer.code, answer.status, &answer.messages)).collect::<Vec<_>>()
        );
        // All processes get the same transaction at once.
        let ids = granted(&four.caller(round), &format!("{round} again"), TEN_OFF, 1).await;
        let request = transaction(&format!("{round} again"), CUSTOMER, &[(TEN_OFF, &ids[0])]);
        let answers = four.race((0..6).map(|_| redeeming(request.clone()))).await;
        assert!(
            answers.iter().all(|answer| answer.code == 0 && answer.body == answers[0].body),
            "{:?}",
            answers.iter().map(|answer| (answer.code, answer.status, &answer.messages)).collect::<Vec<_>>()
        );
        // The transaction has one name and another content for each process.
        let ids = granted(&four.caller(round), &format!("{round} other"), TEN_OFF, 6).await;
        let name = format!("{round} other");
        let answers = four.race(ids.iter().map(|id| redeeming(transaction(&name, CUSTOMER, &[(TEN_OFF, id)])))).await;
        let won = answers.iter().filter(|answer| answer.code == 0).count();
        let lost = answers.iter().filter(|answer| answer.code == 800).count();
        assert_eq!(
            (won, lost),
            (1, 5),
            "{:?}",
            answers.iter().map(|answer| (answer.code, answer.status, &answer.messages)).collect::<Vec<_>>()
        );
    }
    assert_eq!(four.count("REDEEMED").await, i64::try_from(ROUNDS * 4).unwrap());
    verify(four.database.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_revocation_and_a_redemption_one_wins_and_the_other_is_told_so() {
    let four = Four::start(catalog()).await;
    let (mut redeemed, mut taken_back) = (0, 0);
    for round in 0..2 * ROUNDS {
        let id = granted(&four.caller(round), &format!("{round}"), CAPPED, 1).await.remove(0);
        let mut calls = vec![
            redeeming(transaction(&format!("{round}"), CUSTOMER, &[(CAPPED, &id)])),
            revoking(CAPPED, &id),
            revoking(CAPPED, &id),
        ];
        calls.rotate_left(round % 3);
        let answers = four.race(calls).await;
        let mut answers = answers;
        answers.rotate_right(round % 3);
        let (redemption, revocations) = (&answers[0], &answers[1..]);
        if redemption.code == 0 {
            redeemed += 1;
            for revocation in revocations {
                assert_eq!(revocation.body["errors"][0]["code"], 729, "{answers:?}");
            }
            // A customer may hold three of a capped promotion, so the wallet is emptied.
            four.database.execute("UPDATE cap_usage SET used = 0").await;
            four.database.execute("DELETE FROM redemptions").await;
            four.database.execute("DELETE FROM earned_promotions").await;
        } else {
            taken_back += 1;
            assert_eq!(redemption.code, 731, "{answers:?}");
            assert!(revocations.iter().all(revoked), "{answers:?}");
            let used = four.database.count("SELECT used FROM cap_usage").await;
            assert_eq!(used, 0, "revoked once, however often it was asked for");
        }
    }
    assert!(redeemed > 0 && taken_back > 0, "{redeemed} redeemed, {taken_back} revoked: no race at all");
    verify(four.database.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_holds_while_what_is_held_is_revoked_and_more_is_earned() {
    let four = Four::start(catalog()).await;
    let mut held = granted(&four.caller(0), "first", CAPPED, 3).await;
    for round in 0..ROUNDS {
        let mut calls: Vec<_> = held.iter().take(2).map(|id| revoking(CAPPED, id)).collect();
        calls.extend((0..8).map(|index| earning(one_entry(&format!("{round} {index}"), CAPPED, 1))));
        calls.rotate_left(round % 5);
        four.race(calls).await;
        let answer = list(&four.caller(round), Endpoint::Json, json!({"customerId": CUSTOMER})).await;
        let now = answer.body["data"].as_array().unwrap();
        assert!((1..=3).contains(&now.len()), "{answer:?}");
        held = now.iter().map(|entry| entry["earnedPromotionId"].as_str().unwrap().to_owned()).collect();
        // After the race there is room for exactly the rest.
        let fill = four.caller(round).earn(Endpoint::Json, &one_entry(&format!("fill {round}"), CAPPED, 5)).await;
        assert_eq!(earn_ids(&fill.body).len(), 3 - held.len(), "{fill:?}");
        held.extend(earn_ids(&fill.body));
    }
    verify(four.database.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_activations_at_the_cap_of_250_one_wins() {
    let four = Four::start(catalog()).await;
    // Ten of the organization's promotions are active; 239 more leave room for one.
    let mut ids = Vec::new();
    for number in 0..239 + 6 {
        let mut promotion = inactive(&format!("Number {number}"));
        promotion["active"] = (number < 239).into();
        let answer = create(&four.caller(number), ENDPOINTS[number % 2], json!({"promotion": promotion})).await;
        ids.push(answer.body["data"]["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned());
    }
    let active = "SELECT count(*) FROM promotions WHERE org_id = 100737 AND active";
    assert_eq!(four.database.count(active).await, 249);
    for _ in 0..ROUNDS {
        let answers = four
            .race(ids[239..].iter().map(|id| {
                let request = json!({"promotionId": id});
                move |caller: TestCaller, endpoint| async move { activate(&caller, endpoint, request).await }
            }))
            .await;
        let won: Vec<_> = answers.iter().enumerate().filter(|(_, answer)| answer.code == 0).collect();
        let lost = answers.iter().filter(|answer| answer.code == 705).count();
        assert_eq!((won.len(), lost), (1, 5), "{answers:?}");
        assert_eq!(four.database.count(active).await, 250);
        let winner = &ids[239 + won[0].0];
        assert_eq!(deactivate(&four.caller(1), Endpoint::Json, json!({"promotionId": winner})).await.code, 0);
    }
    // Of several promotions with one name one is created, and the other calls are told its id.
    for round in 0..ROUNDS {
        let name = format!("Twin {round}");
        let answers = four
            .race((0..4).map(|_| {
                let mut promotion = inactive(&name);
                promotion["active"] = true.into();
                move |caller: TestCaller, endpoint| async move {
                    create(&caller, endpoint, json!({"promotion": promotion})).await
                }
            }))
            .await;
        let won: Vec<_> = answers.iter().filter(|answer| answer.code == 0).collect();
        let lost = answers.iter().filter(|answer| matches!(answer.code, 705 | 716)).count();
        assert_eq!((won.len(), lost), (1, 3), "{answers:?}");
        let id = &won[0].body["data"]["id"];
        assert_eq!(deactivate(&four.caller(2), Endpoint::Grpc, json!({"promotionId": id})).await.code, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_earns_while_its_promotion_is_switched_off_is_granted_or_told_709() {
    let four = Four::start(catalog()).await;
    for round in 0..3 {
        activate(&four.caller(0), Endpoint::Json, json!({"promotionId": TEN_OFF})).await;
        let mut calls: Vec<RacingCall> =
            (0..16).map(|index| earning(one_entry(&format!("{round} {index}"), TEN_OFF, 1))).collect();
        calls.insert(
            8,
            Box::new(|caller, endpoint| {
                Box::pin(async move { deactivate(&caller, endpoint, json!({"promotionId": TEN_OFF})).await })
            }),
        );
        let mut answers = four.race(calls).await;
        assert_eq!(answers.remove(8).body["data"]["active"], false);
        for (index, answer) in answers.iter().enumerate() {
            let entry = &answer.body["data"][0];
            let granted = entry["successfulEarnCount"] == 1;
            assert!(granted || entry["errorDetails"]["errorCode"] == 709, "{answer:?}");
            // A repeat is granted exactly if the first call was: the promotion is off, and recorded grants stay.
            let again = four.caller(0).earn(Endpoint::Grpc, &one_entry(&format!("{round} {index}"), TEN_OFF, 1)).await;
            assert_eq!(again.body["data"][0]["successfulEarnCount"] == 1, granted, "{again:?}");
        }
        for index in 0..PROCESSES {
            let late = four.caller(index).earn(Endpoint::Json, &one_entry("late", TEN_OFF, 1)).await;
            assert_eq!(late.body["data"][0]["errorDetails"]["errorCode"], 709, "{late:?}");
        }
    }
    verify(four.database.url());
}
