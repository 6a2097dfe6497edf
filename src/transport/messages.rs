//! The body of a request that is a stream of gRPC messages, and so is not read whole in advance: limits the size and
//! the arrival time of each message, and the lifetime of the stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;
use tokio::time::{Instant, Sleep};

use super::answer::StreamRefusal;
use super::body::GRPC_PREFIX_BYTES;
use super::refusal::Refusal;

/// Limits of a stream of messages.
#[derive(Debug, Clone, Copy)]
pub struct MessageLimits {
    /// Longest message: bytes.
    pub max_bytes: usize,
    /// Time in which a message must arrive, from its first byte to its last.
    pub timeout: Duration,
    /// Time after which the stream is ended.
    pub lifetime: Duration,
}

/// Position of a stream, between messages or within one.
#[derive(Debug, Default)]
struct Position {
    prefix: [u8; GRPC_PREFIX_BYTES],
    filled: usize,
    /// Bytes of the message that have not arrived.
    left: usize,
}

impl Position {
    /// Advances by these bytes, and returns true if a message was completed.
    fn advance(&mut self, mut bytes: &[u8], max_bytes: usize) -> Result<bool, Refusal> {
        let mut completed = false;
        while !bytes.is_empty() {
            if self.filled < GRPC_PREFIX_BYTES {
                let (here, rest) = bytes.split_at(bytes.len().min(GRPC_PREFIX_BYTES - self.filled));
                self.prefix[self.filled..self.filled + here.len()].copy_from_slice(here);
                self.filled += here.len();
                bytes = rest;
                if self.filled < GRPC_PREFIX_BYTES {
                    break;
                }
                let [_, length @ ..] = self.prefix;
                self.left = u32::from_be_bytes(length) as usize;
                if self.left > max_bytes {
                    return Err(Refusal::TooLarge { max_bytes });
                }
            }
            let here = bytes.len().min(self.left);
            self.left -= here;
            bytes = &bytes[here..];
            if self.left == 0 {
                self.filled = 0;
                completed = true;
            }
        }
        Ok(completed)
    }

    fn is_within(&self) -> bool {
        self.filled > 0
    }
}

/// The stream of messages of a request.
pub struct Messages {
    body: Body,
    limits: MessageLimits,
    position: Position,
    /// End of the lifetime of the stream.
    until: Instant,
    /// Fires when the current message, or the stream, is overdue.
    timer: Pin<Box<Sleep>>,
    ended: StreamRefusal,
}

impl Messages {
    /// Returns the messages in `body`. Stores the refusal that ends them in `ended`.
    pub fn new(body: Body, limits: MessageLimits, ended: StreamRefusal) -> Self {
        let until = Instant::now() + limits.lifetime;
        Self {
            body,
            limits,
            position: Position::default(),
            until,
            timer: Box::pin(tokio::time::sleep_until(until)),
            ended,
        }
    }

    fn end(&mut self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.body = Body::empty();
        let error = axum::Error::new(refusal.clone());
        let _ = self.ended.set(refusal);
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for Messages {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.timer.as_mut().poll(context).is_ready() {
            if this.position.is_within() {
                return this.end(Refusal::TooSlow);
            }
            // The answer has a lifetime of its own, which ends it.
            this.body = Body::empty();
            return Poll::Ready(None);
        }
        let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(context)).transpose()? else {
            return Poll::Ready(None);
        };
        if let Some(data) = frame.data_ref() {
            let was_within = this.position.is_within();
            let completed = match this.position.advance(data, this.limits.max_bytes) {
                Ok(completed) => completed,
                Err(refusal) => return this.end(refusal),
            };
            let due = match this.position.is_within() {
                true if was_within && !completed => None,
                true => Some(this.until.min(Instant::now() + this.limits.timeout)),
                false => Some(this.until),
            };
            if let Some(due) = due {
                this.timer.as_mut().reset(due);
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 100;

    fn message(length: usize) -> Vec<u8> {
        [&[0][..], &u32::try_from(length).unwrap().to_be_bytes(), &vec![7; length]].concat()
    }

    #[test]
    fn a_message_is_as_long_as_it_may_be_and_not_one_byte_longer() {
        let mut position = Position::default();
        assert!(position.advance(&message(MAX), MAX).unwrap());
        assert!(!position.is_within());
        assert!(matches!(
            position.advance(&message(MAX + 1)[..GRPC_PREFIX_BYTES], MAX),
            Err(Refusal::TooLarge { max_bytes: MAX })
        ));
    }

    proptest! {
        #[test]
        fn however_messages_are_cut_they_end_where_they_end(
            lengths in prop::collection::vec(0..=MAX, 1..20),
            cuts in prop::collection::vec(1_usize..60, 1..20),
            missing in 0_usize..5,
        ) {
            let mut bytes: Vec<u8> = lengths.iter().flat_map(|length| message(*length)).collect();
            bytes.truncate(bytes.len() - missing);
            let (mut position, mut rest, mut cuts) = (Position::default(), &bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (part, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                position.advance(part, MAX).unwrap();
                rest = after;
            }
            let whole = missing == 0 || missing == GRPC_PREFIX_BYTES + lengths.last().unwrap();
            prop_assert_eq!(position.is_within(), !whole);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Position::default().advance(&bytes, MAX);
        }
    }
}
