//! Tests of the shares of clients: of batches, and of the slots of the queue.

use super::*;

#[test]
fn one_client_alone_gets_everything_in_its_order_in_one_batch() {
    let mut scene = QueueScene::new(LIMITS);
    assert_eq!(scene.ask_often("one", 500), 500);
    let batch = scene.take();
    assert_eq!(numbers(batch.as_ref()), (0..500).collect::<Vec<_>>());
    scene.done(&batch.unwrap());
    assert!(scene.take().is_none() && scene.is_forgotten());
}

#[test]
fn whoever_has_one_request_waits_for_one_batch_however_many_another_has() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("greedy", 2_000);
    let first = scene.take().unwrap();
    let modest = scene.ask("modest", 1, 1).unwrap();
    let second = scene.take().unwrap();
    assert_eq!(numbers(Some(&second))[0], modest, "it is the furthest behind");
    // The request is the first of the next batch, too, after the greedy client is served again.
    let again = scene.ask("modest", 2, 1).unwrap();
    scene.done(&first);
    scene.done(&second);
    assert!(numbers(scene.take().as_ref())[..2].contains(&again));
}

#[test]
fn two_clients_that_ask_for_more_than_there_is_get_alike() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("one", 1_000);
    scene.ask_often("other", 1_000);
    for _ in 0..10 {
        let batch = scene.take().unwrap();
        let (one, other) = (of(&batch, "one"), of(&batch, "other"));
        assert!(one.abs_diff(other) <= 1, "{one} and {other}");
        scene.done(&batch);
    }
}

#[test]
fn rows_count_so_that_large_requests_get_no_more_than_small_ones() {
    let mut scene = QueueScene::new(LIMITS);
    for customer in 0..100 {
        scene.ask("large", customer, 95).unwrap();
    }
    scene.ask_often("small", 1_000);
    let mut given = HashMap::new();
    for _ in 0..10 {
        let batch = scene.take().unwrap();
        for job in &batch {
            *given.entry(job.source().client).or_insert(0) += job.cost();
        }
        scene.done(&batch);
    }
    let (large, small) = (given["large"], given["small"]);
    assert!(large.abs_diff(small) <= 100, "{large} and {small}");
}

#[test]
fn while_several_clients_are_about_batches_are_small_and_grow_again_when_one_is_left() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("greedy", 2_000);
    scene.ask("modest", 1, 1).unwrap();
    for _ in 0..SHARED_FOR {
        let batch = scene.take().unwrap();
        scene.ask_often("greedy", batch.len());
        let cost: usize = batch.iter().map(Job::cost).sum();
        assert!(cost <= 2 * FAIR_SHARE, "{cost}, also while the modest one has nothing to give");
        scene.done(&batch);
    }
    assert_eq!(scene.take().unwrap().len(), LIMITS.max_batch_requests);
}

#[test]
fn a_client_may_have_as_many_waiting_as_there_are_places_left() {
    let mut scene = QueueScene::new(WriterLimits { max_waiting: 60, ..LIMITS });
    // The first client gets half of the places, the second half of the rest, and so on.
    assert_eq!(scene.ask_often("one", 100), 30);
    assert_eq!(scene.ask_often("two", 100), 15);
    assert_eq!(scene.ask_often("three", 100), 8);
    assert_eq!(scene.ask_often("one", 100), 0, "it has more than its share");
    assert!(matches!(scene.ask("one", 1, 1), Err(WalletError::Overloaded)));
    assert_eq!(scene.ask_often("four", 1), 1, "a client that becomes active finds a place");
    // Once there is room, the clients get the same shares.
    let batch = scene.take().unwrap();
    assert_eq!(batch.len(), 54);
    for _ in 0..60 {
        for client in ["one", "two", "three"] {
            scene.ask_often(client, 1);
        }
    }
    let has = |client: &str| scene.queue.clients[&Source { client: client.into(), org_id: ORG }].ready.len();
    assert_eq!((has("one"), has("two"), has("three")), (15, 15, 15));
}

#[test]
fn a_refused_client_leaves_nothing_behind() {
    let mut scene = QueueScene::new(WriterLimits { max_waiting: 1, ..LIMITS });
    assert_eq!(scene.ask_often("one", 5), 1);
    assert_eq!(scene.ask_often("other", 5), 0);
    assert_eq!(scene.queue.clients.len(), 1);
}
