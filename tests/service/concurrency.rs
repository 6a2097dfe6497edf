//! Concurrent requests: nothing is granted twice, and no cap is exceeded.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::ENGINE;
use crate::support::*;

/// Sends all requests at once, alternately over gRPC and JSON.
async fn race(service: &Arc<Service>, requests: impl IntoIterator<Item = Value>) -> Vec<Answer> {
    let mut calls = JoinSet::new();
    for (index, request) in requests.into_iter().enumerate() {
        let service = Arc::clone(service);
        calls.spawn(async move { service.earn(ENDPOINTS[index % 2], &request).await });
    }
    calls.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_16_times_at_once_grants_once() {
    let service = Arc::new(Service::start().await);
    for round in 0..5 {
        let mut request = documented_request();
        request["eventDetails"]["id"] = format!("round {round}").into();
        let answers = race(&service, vec![request; 16]).await;
        assert!(answers.iter().all(|answer| answer.body == answers[0].body), "{answers:?}");
        assert_eq!(service.granted().await, 2 * (round + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_of_3_under_24_racing_requests_grants_exactly_3() {
    let service = Arc::new(Service::start().await);
    let answers = race(&service, (0..24).map(|index| one_entry(&format!("event {index}"), CAPPED, 1))).await;
    let granted: HashSet<_> = answers.iter().flat_map(|answer| earn_ids(&answer.body)).collect();
    assert_eq!((granted.len(), service.granted().await), (3, 3));
    for answer in &answers {
        let entry = &answer.body["data"][0];
        let failed = entry["failedEarnCount"] == 1;
        assert_eq!(failed, entry["errorDetails"]["errorCode"] == 708, "{entry}");
    }
}

#[tokio::test]
async fn one_event_may_earn_more_than_is_looked_up_at_once() {
    let service = Service::start().await;
    let named = |earned_from_id: &str, count: usize| {
        let mut request = one_entry("event", TEN_OFF, i64::try_from(count).unwrap());
        request["earnedPromotions"][0]["earnedFromId"] = earned_from_id.into();
        request
    };
    let mut first = Vec::new();
    for (earned_from_id, count) in [("one", 99), ("two", 1), ("three", 1), ("four", 150)] {
        let ids = earn_ids(&service.earn(Endpoint::Grpc, &named(earned_from_id, count)).await.body);
        assert_eq!(ids.len(), count, "{earned_from_id}");
        first.push((earned_from_id, count, ids));
    }
    for endpoint in ENDPOINTS {
        for (earned_from_id, count, ids) in &first {
            let again = service.earn(endpoint, &named(earned_from_id, *count)).await;
            assert_eq!(&earn_ids(&again.body), ids, "{earned_from_id}");
        }
    }
    let more = earn_ids(&service.earn(Endpoint::Json, &named("two", 3)).await.body);
    assert_eq!((more.len(), &more[..1]), (3, first[1].2.as_slice()), "the recorded one, and two more");
    assert_eq!(service.granted().await, 253);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_counts_of_one_earning_grant_the_largest() {
    let service = Arc::new(Service::start().await);
    let answers = race(&service, (1..=20).map(|count| one_entry("event", TEN_OFF, count))).await;
    let longest = answers.iter().map(|answer| earn_ids(&answer.body)).max_by_key(Vec::len).unwrap();
    assert_eq!((longest.len(), service.granted().await), (20, 20));
    for answer in &answers {
        let ids = earn_ids(&answer.body);
        assert_eq!(ids, longest[..ids.len()], "each is told the first of them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_request_never_fails_its_neighbours() {
    let service = Arc::new(Service::start().await);
    // The database itself refuses the rows of one promotion, which no rule of the service would do.
    let refuse = match ENGINE {
        DatabaseKind::Sqlite => {
            "CREATE TRIGGER refuse BEFORE INSERT ON earned_promotions WHEN NEW.event_id = 'bad'
             BEGIN SELECT RAISE(ABORT, 'no'); END"
        }
        DatabaseKind::Postgres => {
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON earned_promotions
             FOR EACH ROW WHEN (NEW.event_id = 'bad') EXECUTE FUNCTION refuse()"
        }
    };
    service.database().execute(refuse).await;
    let events = |round: usize| {
        (0..32).map(move |index| if index == 13 { "bad".to_owned() } else { format!("{round} {index}") })
    };
    for round in 0..5 {
        let answers = race(&service, events(round).map(|event| one_entry(&event, TEN_OFF, 1))).await;
        let codes: Vec<_> = answers.iter().map(|answer| answer.code).filter(|code| *code != 0).collect();
        assert_eq!(codes, [500], "{answers:?}");
        assert_eq!(service.granted().await, 31 * i64::try_from(round + 1).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_and_organizations_do_not_see_each_other() {
    let service = Arc::new(Service::start().await);
    let mine = service.earn(Endpoint::Json, &one_entry("event", CAPPED, 3)).await;
    let mut theirs = one_entry("event", CAPPED, 3);
    theirs["customerId"] = 7.into();
    let theirs = service.earn(Endpoint::Json, &theirs).await;
    let ids: HashSet<_> = [mine, theirs].iter().flat_map(|answer| earn_ids(&answer.body)).collect();
    assert_eq!((ids.len(), service.granted().await), (6, 6));
    // Another organization has a promotion of the same id: the same request is another earning there.
    let mut other = one_entry("event", CAPPED, 3);
    other.as_object_mut().unwrap().remove("orgId");
    let answer = service.earn_as(Endpoint::Grpc, Some("other:other"), &other).await;
    let others: HashSet<_> = earn_ids(&answer.body).into_iter().collect();
    assert_eq!((others.len(), service.granted().await), (3, 9));
    assert!(ids.is_disjoint(&others));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_grant_once_and_keep_caps() {
    let one = Arc::new(Service::start().await);
    let other = Arc::new(one.beside().await);
    let mut calls = JoinSet::new();
    for index in 0..48 {
        let service = Arc::clone(if index % 2 == 0 { &one } else { &other });
        // Each request goes to both servers.
        let request = one_entry(&format!("event {}", index / 2), CAPPED, 1);
        calls.spawn(async move { service.earn(ENDPOINTS[index / 2 % 2], &request).await });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| answer.code == 0), "{answers:?}");
    let granted: HashSet<_> = answers.iter().flat_map(|answer| earn_ids(&answer.body)).collect();
    assert_eq!((granted.len(), one.granted().await), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_leaves_everything_whole() {
    let service = Arc::new(Service::start().await);
    for round in 0..30 {
        let caller = service.caller();
        let call = tokio::spawn(async move {
            let request = one_entry(&format!("event {round}"), TEN_OFF, 3);
            caller.earn(ENDPOINTS[round % 2], &request).await
        });
        tokio::time::sleep(std::time::Duration::from_micros(300 * u64::try_from(round).unwrap())).await;
        call.abort();
    }
    // Whether or not the first attempt was recorded, the repeat returns all three instances, and the wallet has no
    // more.
    for round in 0..30 {
        let answer = service.earn(ENDPOINTS[round % 2], &one_entry(&format!("event {round}"), TEN_OFF, 3)).await;
        assert_eq!(earn_ids(&answer.body).len(), 3, "{answer:?}");
    }
    assert_eq!(service.granted().await, 90);
}
