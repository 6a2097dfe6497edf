//! Random requests and locks: nothing is lost or written twice, and callers are told the truth.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum WriterStep {
    Ask(i64, i64),
    LockOrg(i64),
    LockCustomer(i64, i64),
    Unlock,
    HangUp(usize),
    Yield,
}

fn step() -> impl Strategy<Value = WriterStep> {
    prop_oneof![
        8 => (1..4_i64, 0..5_i64).prop_map(|(org, customer)| WriterStep::Ask(org, customer)),
        1 => (1..4_i64).prop_map(WriterStep::LockOrg),
        1 => (1..4_i64, 0..5_i64).prop_map(|(org, customer)| WriterStep::LockCustomer(org, customer)),
        1 => Just(WriterStep::Unlock),
        1 => any::<usize>().prop_map(WriterStep::HangUp),
        4 => Just(WriterStep::Yield),
    ]
}

/// Takes the steps, releases every lock, and compares the answers with what is written.
async fn told_the_truth(steps: Vec<WriterStep>, limits: WriterLimits) {
    let mut scene = WriterScene::start(limits);
    let mut calls = Vec::new();
    for step in steps {
        match step {
            WriterStep::Ask(org, customer) => calls.push(scene.ask(OrgId(org), customer)),
            WriterStep::LockOrg(org) => {
                scene.world.with(|state| {
                    state.locked_orgs.insert(OrgId(org));
                    state.changed_orgs.insert(OrgId(org));
                });
            }
            WriterStep::LockCustomer(org, customer) => {
                scene.world.with(|state| state.locked_customers.insert((OrgId(org), CustomerId(customer))));
            }
            WriterStep::Unlock => unlock(&scene.world),
            WriterStep::HangUp(which) if !calls.is_empty() => calls[which % calls.len()].abort(),
            WriterStep::HangUp(_) => {}
            WriterStep::Yield => tokio::task::yield_now().await,
        }
    }
    let world = scene.world.clone();
    // Some requests wait in vain, where the steps left a lock.
    world.with(|state| state.patience_is_over = true);
    tokio::time::sleep(Duration::from_millis(1)).await;
    unlock(&world);
    let mut told = Vec::new();
    for call in calls {
        told.push(tokio::time::timeout(SURELY, call).await.expect("answered"));
    }
    scene.end().await;
    let written = world.with(|state| state.written.clone());
    for (number, told) in told.into_iter().enumerate() {
        let times = written.iter().filter(|other| **other == number).count();
        match told {
            Ok(Ok(answer)) => assert_eq!((answer, times), (number, 1)),
            Ok(Err(WalletError::Busy(_))) => assert_eq!(times, 0, "{number} is told that nothing is recorded"),
            Ok(Err(error)) => panic!("{number}: {error}"),
            Err(_) => assert!(times <= 1, "{number} hung up"),
        }
    }
}

fn unlock(world: &World) {
    world.with(|state| {
        state.locked_orgs.clear();
        state.locked_customers.clear();
        state.changed_orgs.clear();
    });
}

proptest! {
    #[test]
    fn whatever_is_locked_nothing_is_lost_or_written_twice_and_callers_are_told_the_truth(
        steps in prop::collection::vec(step(), 1..120),
        workers in 1..3_usize,
        waiting_workers in 0..3_usize,
        max_batch_requests in 1..12_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(told_the_truth(steps, WriterLimits { workers, waiting_workers, max_batch_requests, ..LIMITS }));
    }
}
