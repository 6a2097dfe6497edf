//! Random requests and changes of the catalog, several at once to two servers on one database, compared with a plain
//! model in memory: the responses must be those of the model to the same requests in some order. A change through one
//! server leaves the memory of the other one out of date.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use cart_promotions::{app, server};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use serde_json::Value;
use tokio::runtime::Runtime;

use self::form::{ScriptedInstance, customer_id};
use self::oracle::{CUSTOMERS, FRIEND, PROMOTIONS, Reply, Request, ScriptedKey, Status, USUAL, WalletModel};
use self::script::{Script, ScriptedCall};
use crate::rpcs::{self, Rpc, redeem, replace, revoke};
use crate::support::*;

// The paths are explicit because both suites include this file.
#[path = "model/form.rs"]
mod form;
#[path = "model/oracle.rs"]
mod oracle;
#[path = "model/script.rs"]
mod script;

const CASES: u32 = 64;
const MAX_SHRINKS: u32 = 256;
/// Number of runs, which all share two servers because starting servers is slow.
const RUNS: u32 = CASES + MAX_SHRINKS + 1;

/// Returns the configuration. The scripts are the same every time, so that a failure can be repeated;
/// `PROPTEST_RNG_SEED` gives others.
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
    /// Every earn id of any response, with its run and slot.
    ids: RefCell<HashMap<String, (u32, ScriptedInstance)>>,
}

impl Servers {
    async fn start() -> Self {
        let in_every_run = |customer| (0..RUNS).map(move |run| customer_id(run, customer));
        let customers: Vec<_> = (0..CUSTOMERS).flat_map(in_every_run).collect();
        let audience: Vec<_> = in_every_run(FRIEND).collect();
        let first = Service::start_with(&oracle::catalog(&customers, &audience), &[]).await;
        let second = first.beside().await;
        Self { services: [first, second], runs: Cell::default(), ids: RefCell::default() }
    }

    /// Plays the script. Returns an error with the place if no order explains the responses.
    async fn play(&self, script: &Script) -> Result<(), String> {
        let run = self.runs.replace(self.runs.get() + 1);
        assert!(run < RUNS, "run {run} has no customers");
        self.restore().await?;
        let mut held = HeldInstances::new();
        let mut possible = vec![WalletModel::default()];
        for (at, group) in script.iter().enumerate() {
            let group: Vec<_> = group.iter().map(|call| resolved(call, &held)).collect();
            let (mut replies, mut answered) = (Vec::new(), Vec::new());
            for (call, answer) in group.iter().zip(self.send(run, &group).await) {
                let read = form::read(&call.request, run, &answer);
                let (reply, ids) =
                    read.map_err(|why| format!("Group {at}: {why}\n{call:?}\nis answered {answer:?}"))?;
                replies.push(reply);
                answered.push(ids);
            }
            held = self.look(run, &held, answered).await.map_err(|why| format!("Group {at}: {why}"))?;
            possible =
                follow(&possible, &group, &replies).map_err(|why| format!("Group {at}: no order explains\n{why}"))?;
            let wallet = || held.iter().map(|((key, ordinal), (_, status))| (*key, *ordinal, *status));
            possible.retain(|model| model.instances().eq(wallet()));
            if possible.is_empty() {
                return Err(format!("Group {at}: the wallets have {held:#?}, which no order leaves\n{group:#?}"));
            }
        }
        Ok(())
    }

    /// Resets the promotions to their first terms, which the script before may have changed. Each run has its own
    /// audience.
    async fn restore(&self) -> Result<(), String> {
        for promotion in 0..USUAL {
            let answer = replace(&self.services[0], Endpoint::Grpc, form::restored(promotion)).await;
            if answer.code != 0 {
                return Err(format!("the terms are not restored: {answer:?}"));
            }
        }
        Ok(())
    }

    /// Sends the calls of a group at once.
    async fn send(&self, run: u32, group: &[ScriptedCall]) -> Vec<Answer> {
        let sent = group.iter().map(|call| {
            let (caller, endpoint, request) =
                (self.services[call.server].caller(), call.endpoint, call.request.clone());
            tokio::spawn(async move {
                match request {
                    Request::Earn(earn) => caller.earn(endpoint, &form::earn_body(&earn, run)).await,
                    Request::Revoke(change) => revoke(&caller, endpoint, form::revoke_body(&change, run)).await,
                    Request::Redeem(transaction, change) => {
                        redeem(&caller, endpoint, form::redeem_body(transaction, &change, run)).await
                    }
                    Request::Catalog(change) => {
                        let (method, request) = form::catalog_body(&change, run);
                        rpcs::call(&caller, endpoint, Rpc::of_demo(method), request).await
                    }
                }
            })
        });
        let mut answers = Vec::new();
        for call in sent.collect::<Vec<_>>() {
            answers.push(call.await.unwrap());
        }
        answers
    }

    /// Reads the wallets, and checks that an instance always has the same id, that no other has this id, and that the
    /// answered instances are there in order.
    async fn look(
        &self,
        run: u32,
        before: &HeldInstances,
        answered: Vec<Vec<(ScriptedKey, String)>>,
    ) -> Result<HeldInstances, String> {
        let (first, last) = (customer_id(run, 0), customer_id(run, CUSTOMERS - 1));
        let sql = format!(
            "SELECT customer_id, promotion_id, event_id, earned_from_id, ordinal, earn_id, earned_status,
                 transaction_identifier
             FROM earned_promotions WHERE customer_id BETWEEN {first} AND {last}"
        );
        let rows = self.services[0].database().rows(&sql).await;
        let held: HeldInstances = rows.iter().map(|row| slot_of(row, first)).collect();
        if held.len() != rows.len() {
            return Err(format!("the wallets have an instance twice: {rows:#?}"));
        }
        for (slot, (id, _)) in before {
            if held.get(slot).is_none_or(|(now, _)| now != id) {
                return Err(format!("{slot:?} was {id} before, and now is {:?}", held.get(slot)));
            }
        }
        for (slot, (id, _)) in &held {
            let owner = *self.ids.borrow_mut().entry(id.clone()).or_insert((run, *slot));
            if owner != (run, *slot) {
                return Err(format!("{id} was of {owner:?} before, and now is of {:?}", (run, slot)));
            }
        }
        for answer in answered {
            let mut last = None;
            for (key, id) in answer {
                let (_, slot) = self.ids.borrow().get(&id).copied().ok_or_else(|| format!("{id} is nowhere"))?;
                // The first instance of an earning comes first.
                if slot.0 != key || last.is_some_and(|last: ScriptedInstance| last.0 == key && last.1 >= slot.1) {
                    return Err(format!("{id} is answered for {key:?}, and is {slot:?}"));
                }
                last = Some(slot);
            }
        }
        Ok(held)
    }

    /// Checks after all runs that the wallets have nothing that was never answered, and that the verifier finds
    /// nothing.
    async fn verify(&self) {
        let granted = self.services[0].granted().await;
        assert_eq!(granted, i64::try_from(self.ids.borrow().len()).unwrap());
        let store = server::open(&options(self.services[0].database().url(), &[]).common).await.unwrap();
        let mut checks = Vec::new();
        app::verify::verify(&store, |check| checks.push(check)).await.unwrap();
        store.close().await;
        assert!(granted > 0 && !checks.is_empty());
        assert!(checks.iter().all(|check| check.breaches.is_empty()), "{checks:#?}");
    }
}

/// The content of the wallets: the earn id and the status of each instance.
type HeldInstances = BTreeMap<ScriptedInstance, (String, Status)>;

/// Returns the call with the earn ids of the instances that it names.
fn resolved(call: &ScriptedCall, held: &HeldInstances) -> ScriptedCall {
    let mut call = call.clone();
    if let Request::Revoke(change) | Request::Redeem(_, change) = &mut call.request {
        let own: Vec<_> = held.keys().filter(|(key, _)| key.customer == change.customer).collect();
        for pick in &change.picks {
            if let Some(slot) = own.get(pick % own.len().max(1))
                && !change.slots.contains(slot)
            {
                change.slots.push(**slot);
            }
        }
        if change.slots.is_empty() {
            // The customer holds nothing yet.
            let key = ScriptedKey { customer: change.customer, event: 0, promotion: 0, earned_from: 0 };
            change.slots.push((key, 1));
        }
        change.known = change.slots.iter().map(|slot| held.get(slot).map(|(id, _)| id.clone())).collect();
    }
    call
}

/// Returns the instance of a row of the wallet, its earn id, and its status.
fn slot_of(row: &Value, first_customer: i64) -> (ScriptedInstance, (String, Status)) {
    let text = |name: &str| row[name].as_str().unwrap();
    let integer = |name: &str| row[name].as_i64().unwrap();
    let key = ScriptedKey {
        customer: usize::try_from(integer("customer_id") - first_customer).unwrap(),
        event: text("event_id").parse().unwrap(),
        promotion: PROMOTIONS.iter().position(|promotion| promotion.id == text("promotion_id")).unwrap(),
        earned_from: text("earned_from_id").parse().unwrap(),
    };
    let status = match text("earned_status") {
        "UNLOCKED" => Status::Unlocked,
        "REVOKED" => Status::Revoked,
        _ => Status::Redeemed(text("transaction_identifier").rsplit(' ').next().unwrap().parse().unwrap()),
    };
    ((key, integer("ordinal")), (text("earn_id").to_owned(), status))
}

/// Returns the models that are possible after these replies to a group. Returns an error with the reply of each model
/// if there are none.
fn follow(possible: &[WalletModel], group: &[ScriptedCall], replies: &[Reply]) -> Result<Vec<WalletModel>, String> {
    let (mut followed, mut otherwise) = (Vec::new(), String::new());
    for model in possible {
        for order in orders(group.len()) {
            let mut model = model.clone();
            let mut expected: Vec<_> = order.iter().map(|at| (*at, model.answer(&group[*at].request))).collect();
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

/// Returns every order of `0..length`.
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
