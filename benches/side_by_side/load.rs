//! Callers that send as fast as they are answered, or at a given rate.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cart_promotions::proto::{BulkEarnResponse, EarnResponse, ListEarnedPromotionsResponse, RedeemResponse};
use hdrhistogram::Histogram;
use prost::Message;
use tokio::runtime::Handle;

use crate::measure::float;
use crate::requests::{MeasuredCall, Requests};

/// Number of responses among which one is read in full.
const CHECK_ONE_IN: usize = 64;
/// Number of calls in flight at a given rate; beyond it the next call waits, and its wait counts.
const MAX_UNDER_WAY: usize = 2_000;
/// Longest latency that the histogram distinguishes, in microseconds.
const MAX_LATENCY_US: u64 = 60_000_000;

/// A caller that makes one call at a time.
pub trait LoadCaller: Send + 'static {
    /// Sends `request` and reads its response, which must be a success, or a refusal because too many requests wait:
    /// for that it returns false. The response is compared in full with `expected` if that is given.
    fn call(&mut self, request: Bytes, expected: Option<ExpectedContent>) -> impl Future<Output = bool> + Send;
}

/// The expected content of a response.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedContent {
    call: MeasuredCall,
    entries: usize,
}

impl ExpectedContent {
    /// Checks the response to a bulk earning: every entry was granted once.
    pub fn check(self, answer: &BulkEarnResponse) {
        let granted =
            answer.data.iter().filter(|entry| entry.successful_earn_count == 1 && entry.failed_earn_count == 0);
        assert_eq!(granted.count(), self.entries, "{answer:?}");
    }

    /// Checks the response to any call, as a message of gRPC.
    pub fn check_message(self, message: &[u8]) {
        match self.call {
            MeasuredCall::BulkEarn => self.check(&BulkEarnResponse::decode(message).unwrap()),
            MeasuredCall::Earn => assert!(EarnResponse::decode(message).unwrap().data.is_some()),
            MeasuredCall::Redeem => assert!(RedeemResponse::decode(message).unwrap().data.is_some()),
            MeasuredCall::List => assert!(!ListEarnedPromotionsResponse::decode(message).unwrap().data.is_empty()),
        }
    }
}

fn checked(index: usize, requests: &Requests) -> Option<ExpectedContent> {
    let expected = ExpectedContent { call: requests.call, entries: requests.entries };
    index.is_multiple_of(CHECK_ONE_IN).then_some(expected)
}

/// Sends all requests; each caller sends its next one when it has the response to the last. Returns the callers.
pub async fn closed<C: LoadCaller>(callers: Vec<C>, requests: &Arc<Requests>) -> Vec<C> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut under_way = Vec::with_capacity(callers.len());
    for mut caller in callers {
        let (next, requests) = (Arc::clone(&next), Arc::clone(requests));
        under_way.push(tokio::spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(index) else { return caller };
                assert!(caller.call(request, checked(index, &requests)).await, "refused");
            }
        }));
    }
    let mut callers = Vec::with_capacity(under_way.len());
    for caller in under_way {
        callers.push(caller.await.unwrap());
    }
    callers
}

/// Returns an empty histogram of latencies in microseconds.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_LATENCY_US, 3).unwrap()
}

/// Sends requests until a moment; each caller sends its next one when it has the response to the last. Returns the
/// latencies of answered requests, in microseconds, and the number of refusals.
pub async fn closed_until<C: LoadCaller>(
    callers: Vec<C>,
    requests: Arc<Requests>,
    end: Instant,
) -> (Histogram<u64>, usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let told = Arc::new(Mutex::new((histogram(), 0)));
    let mut under_way = Vec::with_capacity(callers.len());
    for mut caller in callers {
        let (next, requests, told) = (Arc::clone(&next), Arc::clone(&requests), Arc::clone(&told));
        under_way.push(tokio::spawn(async move {
            while Instant::now() < end {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let request = requests.get(index).expect("enough requests");
                let begun = Instant::now();
                let done = caller.call(request, checked(index, &requests)).await;
                let mut told = told.lock().unwrap();
                if done {
                    told.0.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap());
                } else {
                    told.1 += 1;
                }
            }
        }));
    }
    for caller in under_way {
        caller.await.unwrap();
    }
    let told = told.lock().unwrap();
    (told.0.clone(), told.1)
}

/// Sends all requests at `rate` per second, without waiting for earlier responses. Returns the latencies in
/// microseconds, each from the intended send time of its request.
pub fn open<C: LoadCaller + Clone>(
    runtime: &Handle,
    callers: &[C],
    requests: &Arc<Requests>,
    rate: f64,
) -> Histogram<u64> {
    let latencies = Arc::new(Mutex::new(histogram()));
    let under_way = Arc::new(());
    let begun = Instant::now();
    // A sleeping thread keeps time to 0.1 ms, the runtime's timers only to 1 ms.
    for index in 0..requests.len() {
        let intended = begun + Duration::from_secs(1).mul_f64(float(index) / rate);
        wait_until(intended, &under_way);
        let mut caller = callers[index % callers.len()].clone();
        let (request, checked) = (requests.get(index).unwrap(), checked(index, requests));
        let (latencies, under_way) = (Arc::clone(&latencies), Arc::clone(&under_way));
        runtime.spawn(async move {
            assert!(caller.call(request, checked).await, "refused");
            let latency = u64::try_from(intended.elapsed().as_micros()).unwrap();
            latencies.lock().unwrap().saturating_record(latency);
            drop(under_way);
        });
    }
    while Arc::strong_count(&under_way) > 1 {
        thread::sleep(Duration::from_millis(1));
    }
    let latencies = latencies.lock().unwrap();
    assert_eq!(latencies.len(), requests.len() as u64, "a call failed");
    latencies.clone()
}

/// Waits until the intended time, and until fewer than the limit of calls are in flight.
fn wait_until(intended: Instant, under_way: &Arc<()>) {
    loop {
        let early = intended.saturating_duration_since(Instant::now());
        if early.is_zero() && Arc::strong_count(under_way) <= MAX_UNDER_WAY {
            return;
        }
        thread::sleep(early.max(Duration::from_micros(50)));
    }
}
