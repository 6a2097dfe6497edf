//! Reads the whole body of a call before any other work is done for it; every call except a stream is one message.
//!
//! A call is accepted once its body has arrived. Before that it may be refused because the body is too large or too
//! slow, or because the service stops.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use http_body_util::BodyExt;

use super::content::is_grpc;
use super::lifecycle::{Lifecycle, Phase};
use super::refusal::Refusal;
use super::shares::{Share, UsedUp};
use crate::wire::Violations;

/// Limits the body of a call: bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Limits the body of a route that takes none, or only a few fields: bytes.
pub const SMALL_BODY_BYTES: usize = 4 * 1024;
/// Length of the prefix of a gRPC message: bytes.
pub const GRPC_PREFIX_BYTES: usize = 5;

/// Limits of one body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits<'a> {
    /// Longest body or gRPC message: bytes.
    pub max_bytes: usize,
    /// Time in which the body must arrive.
    pub timeout: Duration,
    /// Set if the body is refused once the service drains.
    pub until_draining: Option<&'a Lifecycle>,
}

/// Checks the declared length of a body of at most `max_bytes`.
///
/// # Errors
/// Returns the refusal of a body that is too large.
pub fn check_length(headers: &HeaderMap, max_bytes: usize) -> Result<(), Refusal> {
    let reader = Reader { max_bytes, grpc: is_grpc(headers) };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > reader.most() as u64) { Err(reader.too_large()) } else { Ok(()) }
}

/// Reads a body into memory, and counts its bytes in `share`.
pub async fn collect(
    headers: &HeaderMap,
    body: &mut Body,
    limits: BodyLimits<'_>,
    share: &mut Share,
) -> Result<Bytes, Refusal> {
    let reader = Reader { max_bytes: limits.max_bytes, grpc: is_grpc(headers) };
    let draining = async {
        match limits.until_draining {
            Some(lifecycle) => drop(lifecycle.watch().wait_for(|phase| *phase == Phase::Draining).await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        all = reader.read(body, share) => all,
        () = draining => Err(Refusal::NotServing),
        () = tokio::time::sleep(limits.timeout) => Err(Refusal::TooSlow),
    }
}

/// Reads one body.
#[derive(Debug, Clone, Copy)]
struct Reader {
    max_bytes: usize,
    grpc: bool,
}

impl Reader {
    fn most(self) -> usize {
        self.max_bytes + if self.grpc { GRPC_PREFIX_BYTES } else { 0 }
    }

    fn too_large(self) -> Refusal {
        Refusal::TooLarge { max_bytes: self.max_bytes }
    }

    async fn read(self, body: &mut Body, share: &mut Share) -> Result<Bytes, Refusal> {
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::Invalid(Violations::of("", broken(&error))))?;
            let Ok(data) = frame.into_data() else { continue };
            let length = all.len() + data.len();
            if length > self.most() {
                return Err(self.too_large());
            }
            take(share, length)?;
            // Most bodies arrive in one piece.
            if all.is_empty() && body.is_end_stream() {
                self.check_declared(&data)?;
                self.check_end(&data)?;
                return Ok(data);
            }
            // A piece is copied, because it would keep the whole read buffer of the connection in memory.
            all.extend_from_slice(&data);
            take(share, all.capacity())?;
            self.check_declared(&all)?;
        }
        self.check_end(&all)?;
        Ok(all.freeze())
    }

    /// Refuses a gRPC message by its declared length, before the library refuses it with another status.
    fn check_declared(self, bytes: &[u8]) -> Result<(), Refusal> {
        match bytes {
            [_, a, b, c, d, ..] if self.grpc && u32::from_be_bytes([*a, *b, *c, *d]) as usize > self.max_bytes => {
                Err(self.too_large())
            }
            _ => Ok(()),
        }
    }

    /// Refuses bytes after the one message of a gRPC call, which the library ignores on some routes.
    fn check_end(self, bytes: &[u8]) -> Result<(), Refusal> {
        match bytes {
            [_, a, b, c, d, message @ ..] if self.grpc => {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                if message.len() <= length {
                    return Ok(());
                }
                Err(Refusal::Invalid(Violations::of("", "the call has more than one message")))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the reason for which a body could not be read to its end. Only the error of broken chunks reaches the caller,
/// because otherwise the connection or the stream is gone.
fn broken(error: &(dyn Error + 'static)) -> &'static str {
    let mut causes = std::iter::successors(Some(error), |cause| (*cause).source());
    let malformed = causes.any(|cause| {
        let cause = cause.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| matches!(cause.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData))
    });
    if malformed {
        "the chunks of the body are malformed: send each as its length in hexadecimal digits, CRLF, its bytes, CRLF"
    } else {
        "the body ended early"
    }
}

fn take(share: &mut Share, bytes: usize) -> Result<(), Refusal> {
    share.grow_to(bytes).map_err(|UsedUp| Refusal::Overloaded)
}
