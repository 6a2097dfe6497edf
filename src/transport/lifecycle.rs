//! Starting, serving, draining: which calls are taken, and when the last one taken is answered.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use http_body::{Frame, SizeHint};
use tokio::sync::{Notify, watch};

use super::refusal::Refusal;
use super::request_log::is_grpc;

/// What the service does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It migrates: calls are refused.
    Starting,
    /// Calls are taken.
    Serving,
    /// What was taken is finished; new calls are refused.
    Draining,
}

/// The phase, and the calls that are under way.
#[derive(Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    under_way: AtomicUsize,
    answered: Notify,
}

impl Lifecycle {
    /// Of a service that starts.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: watch::Sender::new(Phase::Starting),
            under_way: AtomicUsize::new(0),
            answered: Notify::new(),
        })
    }

    /// Goes on to `phase`.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Tells of every change of the phase.
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Waits until no call is under way.
    pub async fn drained(&self) {
        loop {
            let answered = self.answered.notified();
            tokio::pin!(answered);
            // Listening before counting: a call that ends in between is heard.
            answered.as_mut().enable();
            if self.under_way.load(Ordering::SeqCst) == 0 {
                return;
            }
            answered.await;
        }
    }
}

/// Counts a call for as long as it lives, however it ends.
struct UnderWay(Arc<Lifecycle>);

impl UnderWay {
    fn enter(lifecycle: Arc<Lifecycle>) -> Self {
        lifecycle.under_way.fetch_add(1, Ordering::SeqCst);
        Self(lifecycle)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        self.0.answered.notify_waiters();
    }
}

/// Takes calls only while serving.
pub async fn while_serving<A: Future<Output = Response<Body>>>(
    lifecycle: &Arc<Lifecycle>,
    request: Request<Body>,
    then: impl FnOnce(Request<Body>) -> A,
) -> Response<Body> {
    // Counted before the phase is looked at: a drain that begins in between waits for this call.
    let under_way = UnderWay::enter(Arc::clone(lifecycle));
    if lifecycle.phase() != Phase::Serving {
        return Refusal::NotServing.into_response(is_grpc(request.headers()));
    }
    then(request).await.map(|body| Body::new(Answer { body, _under_way: under_way }))
}

/// The body of an answer: its call is under way until the last of it is sent.
struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
