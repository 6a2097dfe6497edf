//! Random requests, several at once to two servers on one database, against a plain model in memory: what is answered
//! must be what the model answers to the same requests in some order.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use cart_promotions::{app, server};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use serde_json::Value;
use tokio::runtime::Runtime;

use self::form::{Slot, customer_id};
use self::oracle::{CUSTOMERS, FRIEND, Key, Model, PROMOTIONS, Reply};
use self::script::{Call, Script};
use crate::support::*;

// Paths that are the same from both suites, which include this file.
#[path = "model/form.rs"]
mod form;
#[path = "model/oracle.rs"]
mod oracle;
#[path = "model/script.rs"]
mod script;

const CASES: u32 = 64;
const MAX_SHRINKS: u32 = 256;
/// All runs share two servers, so that starting them costs nothing.
const RUNS: u32 = CASES + MAX_SHRINKS + 1;

/// The scripts are the same every time, so that one that fails can be had again; `PROPTEST_RNG_SEED` gives others.
fn config() -> Config {
    let given = Config::default();
    let rng_seed = if given.rng_seed == RngSeed::Random { RngSeed::Fixed(1) } else { given.rng_seed };
    Config { cases: CASES, max_shrink_iters: MAX_SHRINKS, failure_persistence: None, rng_seed, ..given }
}

#[test]
fn racing_requests_are_answered_as_a_model_answers_them_in_some_order() {
    let runtime = Runtime::new().unwrap();
    let servers = runtime.block_on(Servers::start());
    let result = TestRunner::new(config())
        .run(&script::script(), |script| runtime.block_on(servers.play(&script)).map_err(TestCaseError::fail));
    match result {
        Ok(()) => runtime.block_on(servers.verify()),
        Err(TestError::Fail(why, script)) => panic!("{why}\nThe script:\n{}", written(&script)),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// Two servers on one database.
struct Servers {
    services: [Service; 2],
    runs: Cell<u32>,
    /// Every earn id that was ever answered, and the run and the slot that it is of.
    ids: RefCell<HashMap<String, (u32, Slot)>>,
}

impl Servers {
    async fn start() -> Self {
        let in_every_run = |customer| (0..RUNS).map(move |run| customer_id(run, customer));
        let customers: Vec<_> = (0..CUSTOMERS).flat_map(in_every_run).collect();
        let audience: Vec<_> = in_every_run(FRIEND).collect();
        let first = Service::start_with(&oracle::catalogue(&customers, &audience), &[]).await;
        let second = first.beside().await;
        Self { services: [first, second], runs: Cell::default(), ids: RefCell::default() }
    }

    /// Plays the script; else says where it is answered as no order explains.
    async fn play(&self, script: &Script) -> Result<(), String> {
        let run = self.runs.replace(self.runs.get() + 1);
        assert!(run < RUNS, "run {run} has no customers");
        let mut answered = BTreeMap::new();
        let mut possible = vec![Model::default()];
        for (at, group) in script.iter().enumerate() {
            let mut replies = Vec::new();
            for (call, answer) in group.iter().zip(self.send(run, group).await) {
                let reply = form::read(&call.request, run, &answer)
                    .and_then(|(reply, ids)| self.recognize(run, ids, &mut answered).map(|()| reply));
                replies.push(reply.map_err(|why| format!("Group {at}: {why}\n{call:?}\nis answered {answer:?}"))?);
            }
            possible =
                follow(&possible, group, &replies).map_err(|why| format!("Group {at}: no order explains\n{why}"))?;
        }
        self.compare_wallet(run, &answered, &possible).await
    }

    /// Sends the calls of a group at once.
    async fn send(&self, run: u32, group: &[Call]) -> Vec<Answer> {
        let sent = group.iter().map(|call| {
            let (caller, door) = (self.services[call.server].caller(), call.door);
            let body = form::body(&call.request, run);
            tokio::spawn(async move { caller.earn(door, &body).await })
        });
        let mut answers = Vec::new();
        for call in sent.collect::<Vec<_>>() {
            answers.push(call.await.unwrap());
        }
        answers
    }

    /// The same instance has the same id for ever, and no other has it.
    fn recognize(
        &self,
        run: u32,
        ids: Vec<(Slot, String)>,
        answered: &mut BTreeMap<Slot, String>,
    ) -> Result<(), String> {
        for (slot, id) in ids {
            let before = answered.entry(slot).or_insert_with(|| id.clone());
            if *before != id {
                return Err(format!("{slot:?} was {before} before, and now is {id}"));
            }
            let owner = *self.ids.borrow_mut().entry(id.clone()).or_insert((run, slot));
            if owner != (run, slot) {
                return Err(format!("{id} was of {owner:?} before, and now is of {:?}", (run, slot)));
            }
        }
        Ok(())
    }

    /// The wallets hold what was answered, and what a model that is still possible holds.
    async fn compare_wallet(
        &self,
        run: u32,
        answered: &BTreeMap<Slot, String>,
        possible: &[Model],
    ) -> Result<(), String> {
        let (first, last) = (customer_id(run, 0), customer_id(run, CUSTOMERS - 1));
        let sql = format!(
            "SELECT customer_id, promotion_id, event_id, earned_from_id, ordinal, earn_id FROM earned_promotions
             WHERE customer_id BETWEEN {first} AND {last}"
        );
        let rows = self.services[0].database().rows(&sql).await;
        let held: BTreeMap<Slot, String> = rows.iter().map(|row| slot_of(row, first)).collect();
        if held.len() != rows.len() || held != *answered {
            return Err(format!("The wallets have {} rows, {held:#?}\nbut answered was {answered:#?}", rows.len()));
        }
        if !possible.iter().any(|model| model.instances().eq(held.keys().copied())) {
            return Err(format!("The wallets have {held:#?}\nbut possible are {possible:#?}"));
        }
        Ok(())
    }

    /// After all runs: the wallets have nothing that was never answered, and the verifier finds nothing.
    async fn verify(&self) {
        let granted = self.services[0].granted().await;
        assert_eq!(granted, i64::try_from(self.ids.borrow().len()).unwrap());
        let store = server::open(&options(self.services[0].database().url(), &[]).common).await.unwrap();
        let checks = app::verify::verify(&store).await.unwrap();
        store.close().await;
        assert!(granted > 0 && !checks.is_empty());
        assert!(checks.iter().all(|check| check.breaches.is_empty()), "{checks:#?}");
    }
}

/// The instance that a row of the wallet is, and its earn id.
fn slot_of(row: &Value, first_customer: i64) -> (Slot, String) {
    let text = |name: &str| row[name].as_str().unwrap();
    let integer = |name: &str| row[name].as_i64().unwrap();
    let key = Key {
        customer: usize::try_from(integer("customer_id") - first_customer).unwrap(),
        event: text("event_id").parse().unwrap(),
        promotion: PROMOTIONS.iter().position(|promotion| promotion.id == text("promotion_id")).unwrap(),
        earned_from: text("earned_from_id").parse().unwrap(),
    };
    ((key, integer("ordinal")), text("earn_id").to_owned())
}

/// The models that are possible after a group was answered so. There are none: what each would have answered.
fn follow(possible: &[Model], group: &[Call], replies: &[Reply]) -> Result<Vec<Model>, String> {
    let (mut followed, mut otherwise) = (Vec::new(), String::new());
    for model in possible {
        for order in orders(group.len()) {
            let mut model = model.clone();
            let mut expected: Vec<_> = order.iter().map(|at| (*at, model.bulk_earn(&group[*at].request))).collect();
            expected.sort_by_key(|(at, _)| *at);
            if !expected.iter().map(|(_, reply)| reply).eq(replies) {
                let _ = write!(otherwise, "\nIn the order {order:?} the model answers");
                for (at, reply) in expected {
                    let _ = write!(otherwise, "\n  {at}: {reply:?}");
                }
            } else if !followed.contains(&model) {
                followed.push(model);
            }
        }
    }
    if followed.is_empty() {
        let answered = group.iter().zip(replies).enumerate();
        let answered = answered.map(|(at, (call, reply))| format!("  {at}: {call:?}\n     is answered {reply:?}"));
        return Err(answered.collect::<Vec<_>>().join("\n") + &otherwise);
    }
    Ok(followed)
}

/// Every order of `0..length`.
fn orders(length: usize) -> Vec<Vec<usize>> {
    let Some(last) = length.checked_sub(1) else { return vec![vec![]] };
    let with_last =
        |order: Vec<usize>| (0..length).map(move |place| [&order[..place], &[last], &order[place..]].concat());
    orders(last).into_iter().flat_map(with_last).collect()
}

fn written(script: &Script) -> String {
    let mut text = String::new();
    for (at, group) in script.iter().enumerate() {
        let _ = writeln!(text, "  group {at}");
        for call in group {
            let _ = writeln!(text, "    {call:?}");
        }
    }
    text
}
