//! The calls of one connection, counted from their headers to the last byte of their answer, along with how they ended.
//! Wraps the endpoints.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use tonic::transport::server::TcpConnectInfo;

use super::activity::Activity;
use super::crowd::RunningCall;
use super::handler::{Answered, Handler, Received};
use super::unread::{self, UnreadRest};

/// Limits the part of an answer that is passed on at once: bytes. The library would buffer a larger one where the
/// peer's progress cannot be observed.
const MAX_PART_BYTES: usize = 16 * 1024;
/// Value of the `Connection` header of the last answer on an HTTP/1.1 connection.
pub const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Returns the hyper service that answers the calls of a connection.
pub fn service(
    handler: Handler,
    activity: Arc<Activity>,
    peer: TcpConnectInfo,
) -> impl Service<
    Request<Incoming>,
    Response = Response<CountedBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<CountedBody>, Infallible>> + Send,
> + Send {
    service_fn(move |mut request: Request<Incoming>| {
        let mut call = CallGuard::begin(&activity, request.version());
        request.extensions_mut().insert(peer.clone());
        let (request, rest) = unread::watch(request, &activity, call.name);
        call.rest = rest;
        let answered = (!call.is_too_many()).then(|| handler(Received::Request(request)));
        async move {
            let Some(answered) = answered else {
                call.activity.give_way();
                call.answer_begins();
                let body = CountedBody { body: Body::empty(), rest: Bytes::new(), handed_on: 0, call };
                return Ok(refused(body));
            };
            let Answered { mut response, is_authenticated } = answered.await;
            if is_authenticated {
                call.activity.authenticate();
            }
            let is_read = match &mut call.rest {
                Some(rest) => rest.is_read().await,
                None => true,
            };
            if call.version != Version::HTTP_2 && (!is_read || call.activity.orders.is_leaving()) {
                response.headers_mut().insert(header::CONNECTION, CLOSE);
                call.activity.leave_unread();
            }
            call.answer_begins();
            Ok(response.map(|body| {
                call.finished = body.is_end_stream();
                CountedBody { body, rest: Bytes::new(), handed_on: 0, call }
            }))
        }
    })
}

/// Returns the answer to a call that is not processed, on a connection that is being closed.
fn refused(body: CountedBody) -> Response<CountedBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// One running call, which ends on drop.
#[derive(Debug)]
pub struct CallGuard {
    activity: Arc<Activity>,
    name: u64,
    version: Version,
    answered: bool,
    held: bool,
    finished: bool,
    /// The unread part of the request.
    rest: Option<UnreadRest>,
    /// The count of the call, without credentials.
    running: Option<RunningCall>,
}

impl CallGuard {
    /// Records that the headers of a call are complete.
    pub fn begin(activity: &Arc<Activity>, version: Version) -> Self {
        if version == Version::HTTP_2 {
            activity.orders.note_http2();
        }
        let (name, running) = activity.begin_call();
        Self {
            activity: Arc::clone(activity),
            name,
            version,
            answered: false,
            held: false,
            finished: false,
            rest: None,
            running,
        }
    }

    /// Returns true if the call is beyond the limit of calls without credentials.
    fn is_too_many(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.is_too_many)
    }

    /// Records that the answer of the call begins.
    pub fn answer_begins(&mut self) {
        self.answered = true;
        self.activity.answer_begins();
    }

    fn hold(&mut self) {
        self.held = true;
        self.activity.waits.hold(self.name);
    }

    fn release(&mut self) {
        if self.held {
            self.held = false;
            self.activity.waits.release(self.name);
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        if !self.answered {
            self.activity.answer_begins();
        }
        self.release();
        if self.version == Version::HTTP_2
            && let Some(rest) = self.rest.take()
        {
            rest.discard();
        }
        // On HTTP/1.1 an abandoned call ends its connection.
        self.activity.end_call(self.finished || self.version != Version::HTTP_2);
    }
}

/// The body of an answer, in parts of limited size.
#[derive(Debug)]
pub struct CountedBody {
    body: Body,
    /// Remainder of a part that was too large, or that the peer may not take yet.
    rest: Bytes,
    /// Bytes of the answer that were passed on.
    handed_on: u64,
    call: CallGuard,
}

impl CountedBody {
    /// Returns the first part of `data`, and keeps the rest for later.
    ///
    /// The library (hyper on h2) takes a part once the peer allows a single byte of it, and buffers the remainder where
    /// its progress cannot be observed. If the windows of the peer may not admit a part, its time is measured until the
    /// next part is requested, and its last byte becomes a part of its own: the library takes that byte only once all
    /// bytes before it fit.
    fn part(&mut self, mut data: Bytes) -> Frame<Bytes> {
        let mut length = data.len().min(MAX_PART_BYTES);
        if self.call.version == Version::HTTP_2 && length > 0 {
            self.handed_on += length as u64;
            if !self.call.activity.windows.fit(length, self.handed_on) {
                self.call.hold();
                if length == data.len() && length > 1 {
                    length -= 1;
                    self.handed_on -= 1;
                    self.call.activity.windows.give_back(1);
                }
            }
        }
        self.rest = if length < data.len() { data.split_off(length) } else { Bytes::new() };
        Frame::data(data)
    }
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        this.call.release();
        if !this.rest.is_empty() {
            let rest = std::mem::take(&mut this.rest);
            let part = this.part(rest);
            this.call.finished = this.is_end_stream();
            return Poll::Ready(Some(Ok(part)));
        }
        let polled = Pin::new(&mut this.body).poll_frame(context);
        Poll::Ready(match std::task::ready!(polled) {
            Some(Ok(frame)) => {
                let last = frame.is_trailers();
                let frame = match frame.into_data() {
                    Ok(data) => this.part(data),
                    Err(frame) => frame,
                };
                this.call.finished = last || this.is_end_stream();
                Some(Ok(frame))
            }
            None => {
                this.call.finished = true;
                None
            }
            failed @ Some(Err(_)) => failed,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(inner.lower() + rest);
        hint
    }
}
