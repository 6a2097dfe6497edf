//! Random steps of callers and workers: everybody is taken once and in order, and nothing is left.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum QueueStep {
    Ask(u8, i64, usize),
    Take,
    Done(usize),
    HangUp(usize),
    Wait,
    /// A worker has to wait for a lock of the organization of the first request of a batch.
    Delay(usize),
    TakeDelayed,
    /// A waiting worker ends a batch, after waiting for a lock or not.
    DoneDelayed(usize, bool),
}

fn step() -> impl Strategy<Value = QueueStep> {
    prop_oneof![
        6 => (0..4_u8, 0..6_i64, prop_oneof![4 => 0..3_usize, 1 => 0..40_usize])
            .prop_map(|(client, customer, rows)| QueueStep::Ask(client, customer, rows)),
        3 => Just(QueueStep::Take),
        2 => any::<usize>().prop_map(QueueStep::Done),
        1 => any::<usize>().prop_map(QueueStep::HangUp),
        1 => Just(QueueStep::Wait),
        1 => any::<usize>().prop_map(QueueStep::Delay),
        2 => Just(QueueStep::TakeDelayed),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, met_no_lock)| QueueStep::DoneDelayed(which, met_no_lock)),
    ]
}

/// The observations of a random scene.
struct WatchedQueue {
    scene: QueueScene,
    limits: WriterLimits,
    /// The customers that each batch keeps, and its requests.
    in_flight: Vec<(Vec<Customer>, JobBatch)>,
    delayed_in_flight: Vec<DelayedBatch<Nothing>>,
    taken: HashSet<usize>,
    /// Number of requests that were put back.
    put_back: usize,
    /// The last request that was taken of each client and customer.
    last: HashMap<(Source, Customer), usize>,
}

impl WatchedQueue {
    fn step(&mut self, step: QueueStep) {
        match step {
            QueueStep::Ask(client, customer, rows) => self.ask(client, customer, rows),
            QueueStep::Take => self.take(),
            QueueStep::Done(which) if !self.in_flight.is_empty() => {
                let (customers, _) = self.in_flight.swap_remove(which % self.in_flight.len());
                self.scene.queue.done(&customers);
            }
            QueueStep::Delay(which) if !self.in_flight.is_empty() => self.delay(which % self.in_flight.len()),
            QueueStep::TakeDelayed => self.take_delayed(),
            QueueStep::DoneDelayed(which, met_no_lock) if !self.delayed_in_flight.is_empty() => {
                let batch = self.delayed_in_flight.swap_remove(which % self.delayed_in_flight.len());
                let customers: Vec<_> = batch.jobs.iter().map(Job::customer).collect();
                self.scene.queue.done_delayed(batch.org_id, &customers, met_no_lock);
                assert_eq!(self.scene.queue.delayed_by(batch.org_id).is_none(), met_no_lock);
            }
            QueueStep::HangUp(which) if !self.scene.callers.is_empty() => {
                self.scene.hang_up(which % self.scene.callers.len());
            }
            QueueStep::Wait => self.scene.now += 2 * SLOW,
            QueueStep::Done(_) | QueueStep::HangUp(_) | QueueStep::Delay(_) | QueueStep::DoneDelayed(..) => {}
        }
        let queue = &self.scene.queue;
        let aside: usize = queue.clients.values().map(|client_queue| client_queue.aside).sum();
        assert_eq!(aside, queue.aside);
        assert!(queue.waiting() <= self.limits.max_waiting + self.put_back);
        assert!(
            queue.clients.values().all(|client_queue| client_queue.ready.len() + client_queue.aside > 0),
            "an empty client queue is kept"
        );
        for org in [None, Some(ORG), Some(OTHER)] {
            let is_of = |source: &&Source| match org {
                None => queue.delayed_by(source.org_id).is_none(),
                Some(org) => source.org_id == org && queue.delayed_by(org).is_some(),
            };
            let with_ready =
                queue.clients.iter().filter(|(source, client_queue)| is_of(source) && !client_queue.ready.is_empty());
            let ready: usize = with_ready.clone().map(|(_, client_queue)| client_queue.ready.len()).sum();
            let with_ready: HashSet<_> = with_ready.map(|(source, _)| source.clone()).collect();
            let (with_turn, counted) = queue.order_of(org);
            assert_eq!(with_turn, with_ready, "the order has the client queues with ready requests");
            assert_eq!(counted, ready);
        }
    }

    fn ask(&mut self, client: u8, customer: i64, rows: usize) {
        let org = if client < 2 { ORG } else { OTHER };
        let source = Source { client: client.to_string().into(), org_id: org };
        let queue = &self.scene.queue;
        let has = queue.clients.get(&source).map_or(0, |client_queue| client_queue.ready.len() + client_queue.aside);
        let left = self.limits.max_waiting.saturating_sub(queue.waiting());
        let delayed = queue.order_of(Some(ORG)).1 + queue.order_of(Some(OTHER)).1;
        let left_to_delayed = self.limits.max_waiting.div_ceil(2).saturating_sub(delayed);
        let left = if queue.delayed_by(org).is_some() { left.min(left_to_delayed) } else { left };
        assert_eq!(self.scene.ask_of(&source, customer, rows).is_ok(), has < left);
    }

    fn take(&mut self) {
        if self.in_flight.len() == self.limits.workers {
            return;
        }
        let Some(batch) = self.scene.take() else {
            let queue = &self.scene.queue;
            assert!(queue.batches > 0 || queue.order.ready == 0, "a request is ready, and no worker takes it");
            return;
        };
        assert!(batch.iter().all(|job| self.scene.queue.delayed_by(job.customer().0).is_none()), "it is delayed");
        self.watch(&batch);
        self.in_flight.push((batch.iter().map(Job::customer).collect(), batch));
    }

    fn take_delayed(&mut self) {
        if self.delayed_in_flight.len() == self.limits.waiting_workers {
            assert!(!self.scene.queue.wakes_waiting_worker(), "no worker is free");
            return;
        }
        let woken = self.scene.queue.wakes_waiting_worker();
        let Some(batch) = self.scene.queue.take_delayed() else { return };
        assert!(woken, "an idle worker would not be woken");
        let org_id = batch.org_id;
        assert!(
            self.delayed_in_flight.iter().all(|other| other.org_id != org_id),
            "two workers work on one organization"
        );
        assert!(batch.jobs.iter().all(|job| job.customer().0 == org_id));
        self.watch(&batch.jobs);
        self.delayed_in_flight.push(batch);
    }

    /// Compares a taken batch with the guarantees.
    fn watch(&mut self, batch: &JobBatch) {
        assert!(!batch.is_empty() && batch.len() <= self.limits.max_batch_requests);
        let rows: usize = batch.iter().map(Job::rows).sum();
        assert!(batch.len() == 1 || rows <= self.limits.max_batch_rows, "{rows} rows");
        let delayed = self.delayed_in_flight.iter().flat_map(|batch| batch.jobs.iter().map(Job::customer));
        let busy = self.in_flight.iter().flat_map(|(customers, _)| customers.iter().copied());
        let busy: HashSet<_> = busy.chain(delayed).collect();
        for job in batch {
            assert!(!busy.contains(&job.customer()), "a customer is in two batches");
            let number = job.command.number;
            assert!(self.taken.insert(number), "taken twice");
            assert!(self.scene.callers[number].is_some(), "its caller is gone");
            let before = self.last.insert((job.source(), job.customer()), number);
            assert!(before.is_none_or(|before| before < number), "overtaken by a later one");
        }
    }

    /// Puts the requests of one organization back, and continues with the rest of the batch.
    fn delay(&mut self, which: usize) {
        let (customers, batch) = &mut self.in_flight[which];
        let Some(org_id) = batch.first().map(|job| job.customer().0) else { return };
        let jobs: Vec<_> = batch.extract_if(.., |job| job.customer().0 == org_id).collect();
        let released: Vec<_> = customers.extract_if(.., |customer| customer.0 == org_id).collect();
        for job in &jobs {
            self.taken.remove(&job.command.number);
            self.last.remove(&(job.source(), job.customer()));
        }
        self.put_back += jobs.len();
        self.scene.queue.delay(org_id, jobs, cause());
        self.scene.queue.release(&released);
        assert!(self.scene.queue.delayed_by(org_id).is_some());
    }
}

proptest! {
    #[test]
    fn whatever_happens_everybody_who_waits_is_taken_once_in_order_and_nothing_is_left(
        steps in prop::collection::vec(step(), 1..200),
        workers in 1..4_usize,
        max_waiting in 1..40_usize,
    ) {
        let limits = WriterLimits { workers, max_waiting, max_batch_requests: 8, max_batch_rows: 20, ..LIMITS };
        let mut watched = WatchedQueue {
            scene: QueueScene::new(limits),
            limits,
            in_flight: Vec::new(),
            delayed_in_flight: Vec::new(),
            taken: HashSet::new(),
            put_back: 0,
            last: HashMap::new(),
        };
        for step in steps {
            watched.step(step);
        }
        let is_over = |watched: &WatchedQueue| {
            watched.scene.queue.waiting() == 0 && watched.in_flight.is_empty() && watched.delayed_in_flight.is_empty()
        };
        while !is_over(&watched) {
            watched.step(QueueStep::Done(0));
            watched.step(QueueStep::Take);
            watched.step(QueueStep::TakeDelayed);
            watched.step(QueueStep::DoneDelayed(0, true));
        }
        let waited = watched.scene.callers.iter().enumerate().filter(|(_, caller)| caller.is_some());
        for (number, _) in waited {
            prop_assert!(watched.taken.contains(&number), "{} is forgotten", number);
        }
        prop_assert!(watched.scene.is_forgotten());
    }
}
