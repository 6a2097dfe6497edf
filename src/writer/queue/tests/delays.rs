//! Tests of organizations that are delayed because of a lock.

use super::*;

/// Puts a taken batch back because of a lock, as a worker does.
fn put_back(scene: &mut QueueScene, batch: JobBatch) {
    let customers: Vec<_> = batch.iter().map(Job::customer).collect();
    scene.queue.delay(batch[0].customer().0, batch, cause());
    scene.queue.done(&customers);
}

#[test]
fn a_delayed_organization_is_for_waiting_workers_and_others_go_on() {
    let mut scene = QueueScene::new(LIMITS);
    for customer in 0..3 {
        scene.ask("one", customer, 1).unwrap();
    }
    let batch = scene.take().unwrap();
    let late = scene.ask("one", 3, 1).unwrap();
    put_back(&mut scene, batch);
    let other = scene.ask_of(&client_of(OTHER), 0, 1).unwrap();
    assert_eq!(numbers(scene.take().as_ref()), [other]);
    assert!(scene.queue.wakes_waiting_worker());
    let delayed = scene.queue.take_delayed().unwrap();
    assert_eq!((delayed.org_id, numbers(Some(&delayed.jobs))), (ORG, vec![0, 1, 2, late]), "each in its place");
    // One worker at a time has a batch of the organization.
    scene.ask("one", 9, 1).unwrap();
    assert!(!scene.queue.wakes_waiting_worker() && scene.queue.take_delayed().is_none());
    let customers: Vec<_> = delayed.jobs.iter().map(Job::customer).collect();
    scene.queue.done_delayed(ORG, &customers, false);
    assert!(scene.queue.wakes_waiting_worker(), "it is delayed still");
    let delayed = scene.queue.take_delayed().unwrap();
    let back = scene.ask("one", 10, 1).unwrap();
    scene.queue.done_delayed(ORG, &[delayed.jobs[0].customer()], true);
    scene.now += 2 * SLOW;
    assert_eq!(numbers(scene.take().as_ref()), [back], "as any other again");
}

#[test]
fn who_gives_up_while_a_request_is_put_back_is_told_that_nothing_is_recorded() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("one", 2);
    let batch = scene.take().unwrap();
    let given_up = |scene: &QueueScene, number: usize| {
        let caller = scene.callers[number].as_ref().unwrap();
        !caller.settled.swap(true, Ordering::Relaxed)
    };
    put_back(&mut scene, batch);
    assert!(given_up(&scene, 0), "it is in the queue");
    let mut delayed = scene.queue.take_delayed().unwrap();
    assert_eq!(numbers(Some(&delayed.jobs)), [1], "passed over");
    assert!(delayed.jobs[0].take());
    assert!(!given_up(&scene, 1), "it may be recorded");
}

#[test]
fn delayed_organizations_leave_half_of_the_places_and_are_served_in_turn() {
    let mut scene = QueueScene::new(WriterLimits { max_waiting: 8, max_batch_requests: 1, ..LIMITS });
    for org in [ORG, OTHER] {
        scene.ask_of(&client_of(org), 0, 1).unwrap();
        let batch = scene.take().unwrap();
        put_back(&mut scene, batch);
    }
    for customer in 1..3 {
        for org in [ORG, OTHER] {
            let _ = scene.ask_of(&client_of(org), customer, 1);
        }
    }
    assert_eq!(scene.queue.delays.ready(), 3, "of four places, each may have as many as are left");
    assert!(scene.ask_of(&client_of(OrgId(3)), 0, 1).is_ok());
    let mut served = Vec::new();
    while let Some(batch) = scene.queue.take_delayed() {
        served.push(batch.org_id);
        scene.queue.done_delayed(batch.org_id, &[batch.jobs[0].customer()], false);
    }
    assert_eq!(served, [ORG, OTHER, ORG]);
}

#[test]
fn a_worker_stays_until_what_is_delayed_is_written() {
    let mut scene = QueueScene::new(LIMITS);
    scene.ask_often("one", 1);
    let batch = scene.take().unwrap();
    scene.queue.close();
    assert!(!scene.queue.is_over_for_waiting_workers(), "it may be put back");
    put_back(&mut scene, batch);
    assert!(!scene.queue.is_over() && !scene.queue.is_over_for_waiting_workers());
    let batch = scene.queue.take_delayed().unwrap();
    assert!(scene.queue.is_over() && scene.queue.is_over_for_waiting_workers());
    scene.queue.done_delayed(ORG, &[batch.jobs[0].customer()], true);
    assert!(scene.is_forgotten());
}
