//! The unread part of a request whose answer is ready. Many clients lose an answer that arrives while they still send,
//! and an operating system that receives bytes for a closed connection destroys the answer on its way. The rest is
//! therefore read and discarded, within limits: here on HTTP/2, and by `stream` on HTTP/1.1.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, header};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::activity::{Activity, LINGER_TIMEOUT};

/// Limits the part of a request that is read after its answer: bytes. Twice the amount that stock clients are known to
/// send before they read an answer.
pub const MAX_DISCARDED_BYTES: usize = 32 * 1024 * 1024;
/// Limits a rest that is read before the answer is sent: bytes.
const SMALL_REST_BYTES: usize = 64 * 1024;
/// Limits the time in which such a rest is read. If it suffices, the connection can stay open and the client cannot lose
/// the answer.
const SMALL_REST_WITHIN: Duration = Duration::from_millis(250);

/// The body of a request, as the endpoints read it.
struct WatchedBody {
    body: Option<Incoming>,
    waits: bool,
    activity: Arc<Activity>,
    call: u64,
    unread: Unread,
}

/// State of a body, which the endpoints may drop before its end.
type Unread = Arc<Mutex<Left>>;

#[derive(Debug)]
enum Left {
    /// The endpoints have the body.
    Reading,
    /// The body was read to its end.
    Nothing,
    /// The endpoints dropped the body.
    Body(Incoming),
}

/// The part of one request that the endpoints leave unread.
#[derive(Debug)]
pub struct UnreadRest {
    unread: Unread,
    /// Set if the peer waits for a permission to send its body (`Expect`).
    expects: bool,
}

/// Passes the body of `request` to the endpoints, and returns the handle of its unread part, or `None` if there is no
/// body.
pub fn watch(request: Request<Incoming>, activity: &Arc<Activity>, call: u64) -> (Request<Body>, Option<UnreadRest>) {
    if request.body().is_end_stream() {
        return (request.map(|_| Body::empty()), None);
    }
    let unread = Unread::new(Mutex::new(Left::Reading));
    let rest = UnreadRest { unread: Arc::clone(&unread), expects: request.headers().contains_key(header::EXPECT) };
    let activity = Arc::clone(activity);
    let request = request.map(|body| Body::new(WatchedBody { body: Some(body), waits: false, activity, call, unread }));
    (request, Some(rest))
}

impl UnreadRest {
    /// Returns true if the request was read to its end. Reads a small rest first.
    pub async fn is_read(&self) -> bool {
        let left = self.take();
        let mut body = match left {
            Left::Reading => return false,
            Left::Nothing => return self.leave(Left::Nothing),
            Left::Body(body) => body,
        };
        if !self.expects && body.size_hint().lower() <= SMALL_REST_BYTES as u64 {
            let read = tokio::time::timeout(SMALL_REST_WITHIN, read(&mut body, SMALL_REST_BYTES)).await;
            if matches!(read, Ok(true)) {
                return self.leave(Left::Nothing);
            }
        }
        self.leave(Left::Body(body))
    }

    fn take(&self) -> Left {
        std::mem::replace(&mut *self.unread.lock(), Left::Reading)
    }

    /// Stores the state, and returns true if nothing is unread.
    fn leave(&self, left: Left) -> bool {
        let nothing = matches!(left, Left::Nothing);
        *self.unread.lock() = left;
        nothing
    }

    /// Reads and discards the rest while the answer is sent, within limits.
    pub fn discard(self) {
        if let (Left::Body(mut body), Ok(runtime)) = (self.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _ = tokio::time::timeout(LINGER_TIMEOUT, read(&mut body, MAX_DISCARDED_BYTES)).await;
            });
        }
    }
}

/// Reads and discards a body. Returns true if it ended within `most` bytes.
async fn read(body: &mut Incoming, most: usize) -> bool {
    let mut body = Limited::new(body, most);
    loop {
        match body.frame().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => return false,
            None => return true,
        }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if polled.is_pending() != self.waits {
            self.waits = !self.waits;
            self.activity.waits.awaits_body(self.call, self.waits);
        }
        match &polled {
            Poll::Ready(None) => {
                self.body = None;
                *self.unread.lock() = Left::Nothing;
            }
            // After an error nothing can be read, even if the peer sends more.
            Poll::Ready(Some(Err(_))) => self.body = None,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if self.waits {
            self.activity.waits.awaits_body(self.call, false);
        }
        if let Some(body) = self.body.take() {
            let left = if body.is_end_stream() { Left::Nothing } else { Left::Body(body) };
            *self.unread.lock() = left;
        }
    }
}
