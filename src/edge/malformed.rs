//! Heads of requests that the HTTP/1.1 library (hyper) refuses before there is a call. Its own answer has no body, and no
//! other part of the service would know of it, so `stream` withholds that answer, and the endpoints give theirs.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Collected};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::activity::Activity;
use super::calls::{CLOSE, CallGuard};
use super::handler::{Answered, Handler, MalformedHead, Received};
use super::stream::Stream;

/// Limits the headers of one call on HTTP/1.1.
pub const MAX_HEADERS: usize = 100;
/// Limits the request target on HTTP/1.1, as the library does: bytes.
pub const MAX_TARGET_BYTES: usize = 64 * 1024;
/// Lines of a head with as many headers: that of the target, and theirs.
const MAX_HEAD_LINES: usize = 1 + MAX_HEADERS;

impl MalformedHead {
    /// Returns the head that ended a connection with this error, or `None` if something else ended it. `withheld` is the
    /// status of the library's answer.
    pub fn of(error: &hyper::Error, withheld: Option<StatusCode>, activity: &Activity) -> Option<Self> {
        // The library gives no answer to a preface of HTTP/2 behind a request of HTTP/1.1.
        let status = withheld.or(error.is_parse_version_h2().then_some(StatusCode::BAD_REQUEST))?;
        let (bytes, lines) = activity.head.size();
        // The library takes a body longer than 2^64 - 3 bytes for a head that is too long. Of a head that arrived along
        // with the request before it, the size is not known.
        let short = (1..MAX_TARGET_BYTES).contains(&bytes) && lines < MAX_HEAD_LINES;
        let status = match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if short => StatusCode::PAYLOAD_TOO_LARGE,
            status => status,
        };
        Some(Self { status, violation: error.to_string(), peer: None })
    }

    /// Sends the answer of the endpoints on a connection that the library has left, and closes its sending half.
    ///
    /// # Errors
    /// Returns an error of the connection.
    pub async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        handler: &Handler,
        inner: S,
        activity: &Arc<Activity>,
    ) -> io::Result<()> {
        let mut call = CallGuard::begin(activity, Version::HTTP_11);
        let Answered { response, .. } = handler(Received::Malformed(self)).await;
        call.answer_begins();
        let (mut stream, _) = Stream::new(inner, Arc::clone(activity));
        stream.write_all(&encode(response).await).await?;
        drop(call);
        activity.leave_unread();
        stream.shutdown().await
    }
}

/// Encodes a response that is the last one of its connection.
async fn encode(response: Response<Body>) -> Vec<u8> {
    let (mut parts, body) = response.into_parts();
    // The body of a refusal is in memory, and cannot fail.
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    parts.headers.insert(header::CONNECTION, CLOSE);
    parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
    if let Ok(date) = httpdate::fmt_http_date(SystemTime::now()).try_into() {
        parts.headers.insert(header::DATE, date);
    }
    let mut bytes = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}
