//! The body of an answer: counts its memory until the connection has taken the last byte, and ends it once its lifetime
//! is over.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Response};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::content::is_grpc;
use super::library_errors::documented;
use super::lifecycle::UnderWay;
use super::refusal::Refusal;
use super::shares::{CALL_BYTES, Share, ShareHolder, Shares, UsedUp};

/// Largest part of an answer that an API client receives even beyond its share of memory: bytes. The work of that call
/// is already done; the next call of the client is refused before any work.
const NEVER_REFUSED_BYTES: usize = 64 * 1024;

/// The refusal that ended the messages of a request, for the trailers of its answer.
pub type StreamRefusal = Arc<OnceLock<Refusal>>;

/// A part of an answer, or the error that ended it.
type FrameResult = Result<Frame<Bytes>, axum::Error>;

/// The memory and the limits of an answer while it is sent.
#[derive(Debug)]
pub struct Account {
    /// Memory that all answers share.
    pub answers: Shares,
    /// Holder that the memory is counted for.
    pub holder: ShareHolder,
    /// Memory of the call itself, which covers a small answer and each part of a stream.
    pub call: Option<Share>,
    /// Set for a stream: receives the refusal that ended its messages.
    pub ended: Option<StreamRefusal>,
    /// Keeps the call counted as running until this is dropped.
    #[expect(dead_code, reason = "it counts by being there")]
    pub under_way: Option<UnderWay>,
    /// Time that the answer may last.
    pub lifetime: Duration,
}

/// Bytes whose memory stays counted while they are referred to.
struct CountedBytes {
    data: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Account {
    /// Counts a part until its last byte is sent, because the HTTP library holds the bytes that the peer does not take.
    fn count(&mut self, data: Bytes) -> Result<Bytes, UsedUp> {
        if data.len() <= CALL_BYTES || self.ended.is_some() {
            let share = self.call.take_if(|_| self.ended.is_none());
            return Ok(match share {
                Some(share) => Bytes::from_owner(CountedBytes { data, _share: share }),
                None => data,
            });
        }
        let share = match &self.holder {
            client @ ShareHolder::Client(_) if data.len() <= NEVER_REFUSED_BYTES => {
                self.answers.take_anyway(client, data.len())
            }
            holder => self.answers.take(holder, data.len())?,
        };
        // The buffer behind `data` may have twice the capacity; the copy holds only what is counted.
        Ok(Bytes::from_owner(CountedBytes { data: Bytes::copy_from_slice(&data), _share: share }))
    }

    fn count_part(&mut self, part: FrameResult) -> Result<FrameResult, UsedUp> {
        Ok(match part.map(Frame::into_data) {
            Ok(Ok(data)) => Ok(Frame::data(self.count(data)?)),
            Ok(Err(trailers)) => Ok(self.explained(trailers)),
            Err(error) => Err(error),
        })
    }

    /// Replaces the trailers by the refusal that ended the messages of the request, if one did, and completes those of
    /// an error that the library produced.
    fn explained(&self, trailers: Frame<Bytes>) -> Frame<Bytes> {
        let refusal = self.ended.as_ref().and_then(|ended| ended.get()).cloned();
        let status = refusal.map(Status::from).or_else(|| documented(trailers.trailers_ref()?));
        let Some(status) = status else { return trailers };
        let mut explained = HeaderMap::new();
        match status.add_header(&mut explained) {
            Ok(()) => Frame::trailers(explained),
            Err(_) => trailers,
        }
    }
}

/// Counts the memory of an answer while it is sent. Makes the first two parts at once: the answer of a unary call has
/// no more, so the values it is encoded from are freed.
///
/// # Errors
/// Returns [`Refusal::Overloaded`] if the holder has no share of the answer memory left.
pub async fn counted(response: Response<Body>, mut account: Account) -> Result<Response<Body>, Refusal> {
    let grpc = is_grpc(response.headers());
    let (head, body) = response.into_parts();
    let mut parts = [None, None];
    let mut body = Some(body);
    for part in &mut parts {
        *part = match std::future::poll_fn(|context| Poll::Ready(next_part(&mut body, context))).await {
            Poll::Ready(Some(made)) => Some(account.count_part(made).map_err(|UsedUp| Refusal::Overloaded)?),
            _ => break,
        };
    }
    let until = Instant::now() + account.lifetime;
    let [first, second] = parts;
    Ok(Response::from_parts(head, Body::new(CountedAnswer { first, second, body, grpc, until, timer: None, account })))
}

/// Returns the next part of a body, and drops the body after the last one.
fn next_part(body: &mut Option<Body>, context: &mut Context<'_>) -> Poll<Option<FrameResult>> {
    let Some(open) = body else { return Poll::Ready(None) };
    let part = if open.is_end_stream() { None } else { ready!(Pin::new(&mut *open).poll_frame(context)) };
    if part.is_none() || open.is_end_stream() {
        *body = None;
    }
    Poll::Ready(part)
}

/// The body of an answer.
struct CountedAnswer {
    first: Option<FrameResult>,
    second: Option<FrameResult>,
    /// The remaining body; `None` after its last part.
    body: Option<Body>,
    grpc: bool,
    until: Instant,
    /// Set at the first wait, because few answers are streams.
    timer: Option<Pin<Box<Sleep>>>,
    account: Account,
}

impl CountedAnswer {
    /// Ends an answer whose lifetime is over. A gRPC stream ends with status OK, so that its client asks again.
    fn end(&mut self) -> FrameResult {
        self.body = None;
        if self.grpc {
            Ok(Frame::trailers(HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))])))
        } else {
            Err(axum::Error::new(LastedTooLong))
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the answer lasted longer than it may")]
struct LastedTooLong;

impl HttpBody for CountedAnswer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<FrameResult>> {
        let this = &mut *self;
        if let Some(part) = this.first.take().or_else(|| this.second.take()) {
            return Poll::Ready(Some(part));
        }
        let Poll::Ready(part) = next_part(&mut this.body, context) else {
            let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(this.until)));
            ready!(timer.as_mut().poll(context));
            return Poll::Ready(Some(this.end()));
        };
        Poll::Ready(
            part.map(|part| this.account.count_part(part).unwrap_or_else(|used_up| Err(axum::Error::new(used_up)))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.second.is_none() && self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = |part: &Option<FrameResult>| match part {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len) as u64,
            _ => 0,
        };
        let here = length(&self.first) + length(&self.second);
        let rest = self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + here);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + here);
        }
        hint
    }
}
