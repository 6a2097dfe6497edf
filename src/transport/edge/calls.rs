//! The calls of one connection: counted from their headers to the last of their answer, and how they ended. Around the
//! doors.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use tonic::transport::server::TcpConnectInfo;

use super::activity::Activity;
use crate::app::credentials::Caller;
use crate::transport::Doors;

/// Most of an answer that is handed on at once: beyond it the library would hold what the peer does not take, and nobody
/// could tell. Bytes.
const MAX_PART_BYTES: usize = 16 * 1024;

/// What hyper hands the calls of a connection to.
pub fn service(
    doors: Doors,
    activity: Arc<Activity>,
    peer: TcpConnectInfo,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Answer>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Answer>, Infallible>> + Send,
> + Send {
    service_fn(move |mut request: Request<Incoming>| {
        let mut call = Call::begin(&activity, request.version());
        request.extensions_mut().insert(peer.clone());
        let doors = doors.clone();
        // It is large, and handed on a dozen times before it runs.
        Box::pin(async move {
            let response = doors.answer(request.map(Body::new)).await;
            // Left there by the layer that checks credentials.
            if response.extensions().get::<Arc<Caller>>().is_some() {
                call.activity.authenticate();
            }
            call.answer_begins();
            Ok(response.map(|body| {
                call.finished = body.is_end_stream();
                Answer { body, rest: Bytes::new(), call }
            }))
        })
    })
}

/// One call, for as long as it lives, however it ends.
#[derive(Debug)]
struct Call {
    activity: Arc<Activity>,
    name: u64,
    version: Version,
    answered: bool,
    held: bool,
    finished: bool,
}

impl Call {
    fn begin(activity: &Arc<Activity>, version: Version) -> Self {
        let name = activity.begin_call();
        Self { activity: Arc::clone(activity), name, version, answered: false, held: false, finished: false }
    }

    fn answer_begins(&mut self) {
        self.answered = true;
        self.activity.answer_begins();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            self.activity.answer_begins();
        }
        if self.held {
            self.activity.release(self.name);
        }
        // On HTTP/1.1 a call that is given up takes its connection with it.
        self.activity.end_call(self.finished || self.version != Version::HTTP_2);
    }
}

/// The body of an answer, in parts that are not too large.
#[derive(Debug)]
pub struct Answer {
    body: Body,
    /// Of a part that was too large.
    rest: Bytes,
    call: Call,
}

impl Answer {
    /// The first of `data`; the rest is for later.
    fn part(&mut self, mut data: Bytes) -> Frame<Bytes> {
        self.rest = if data.len() > MAX_PART_BYTES { data.split_off(MAX_PART_BYTES) } else { Bytes::new() };
        if !self.rest.is_empty() {
            self.call.held = true;
            self.call.activity.hold(self.call.name);
        } else if self.call.held {
            self.call.held = false;
            self.call.activity.release(self.call.name);
        }
        Frame::data(data)
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
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
