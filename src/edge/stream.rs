//! The byte stream of one connection, as hyper reads and writes it. Records in its [`Activity`] what the bytes tell.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::activity::Activity;
use super::frames::{FrameStanding, Frames, PREFACE};
use super::unread::MAX_DISCARDED_BYTES;

/// Position of the status in the head of a response.
const STATUS_IN_HEAD: std::ops::Range<usize> = 9..12;

/// Protocol of the peer, as far as it is known.
#[derive(Debug)]
enum Reading {
    /// Number of bytes received that match the HTTP/2 preface.
    Preface(usize),
    Http1,
    Http2(Frames),
}

/// A decrypted stream.
#[derive(Debug)]
pub struct Stream<S> {
    /// `Some` until drop.
    inner: Option<S>,
    /// Receives the stream if it is dropped without having been closed.
    left: Option<oneshot::Sender<LeftStream<S>>>,
    activity: Arc<Activity>,
    reading: Reading,
    /// Status of the answer that hyper gave by itself, and that is withheld.
    withheld: Option<StatusCode>,
    /// Bytes discarded since the sending half was closed; `None` while it is open.
    discarded: Option<usize>,
}

/// A stream that hyper dropped without having closed it.
#[derive(Debug)]
pub struct LeftStream<S> {
    /// The stream.
    pub inner: S,
    /// Status of the answer that hyper gave by itself to a head that is no request. None of its bytes were sent.
    pub withheld: Option<StatusCode>,
}

impl<S> Stream<S> {
    /// Returns the stream at its first byte, and a receiver of `inner` in case it is dropped without having been
    /// closed.
    pub fn new(inner: S, activity: Arc<Activity>) -> (Self, oneshot::Receiver<LeftStream<S>>) {
        let (leave, left) = oneshot::channel();
        let (inner, leave) = (Some(inner), Some(leave));
        let reading = Reading::Preface(0);
        let stream = Self { inner, left: leave, activity, reading, withheld: None, discarded: None };
        (stream, left)
    }

    fn note_read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Reading::Preface(seen) = self.reading {
            let (here, rest) = bytes.split_at(bytes.len().min(PREFACE.len() - seen));
            bytes = rest;
            self.reading = match seen + here.len() {
                seen_now if *here != PREFACE[seen..seen_now] => Reading::Http1,
                24 => Reading::Http2(Frames::new()),
                seen_now => Reading::Preface(seen_now),
            };
        }
        match &mut self.reading {
            // The time of the first headers has been running since the connection began.
            Reading::Preface(_) => {}
            Reading::Http1 if self.activity.bytes_of_http1(bytes) => {}
            Reading::Http1 => return Err(large_heads()),
            Reading::Http2(_) if bytes.is_empty() => {}
            Reading::Http2(frames) => match frames.feed(bytes, &self.activity.windows) {
                FrameStanding::Between => self.activity.head.completes(),
                FrameStanding::Within { is_next } => {
                    self.activity.head.begins(is_next);
                    // A completed list of headers no longer counts as memory held.
                    if !is_next && !self.activity.head.has_room_for(bytes.len()) {
                        return Err(large_heads());
                    }
                }
                FrameStanding::Flooded => return Err(io::Error::other("too many frames that carry no call")),
            },
        }
        Ok(())
    }

    /// Returns true if these bytes are an answer of hyper to a head that never became a call.
    fn withholds(&mut self, bytes: &[u8]) -> bool {
        if self.withheld.is_none() && !matches!(self.reading, Reading::Http2(_)) && self.activity.is_without_call() {
            let status = bytes.get(STATUS_IN_HEAD).and_then(|digits| StatusCode::from_bytes(digits).ok());
            self.withheld = Some(status.unwrap_or(StatusCode::BAD_REQUEST));
        }
        self.withheld.is_some()
    }

    fn note_written<'a>(&mut self, written: &Poll<io::Result<usize>>, parts: impl Iterator<Item = &'a [u8]>) {
        let Poll::Ready(Ok(written)) = *written else {
            return if written.is_pending() {
                self.activity.sending.write_waits();
            };
        };
        self.activity.sending.wrote(written);
        if let Reading::Http2(frames) = &mut self.reading {
            let mut left = written;
            for part in parts {
                let part = &part[..part.len().min(left)];
                left -= part.len();
                frames.sent(part);
            }
        }
    }

    fn note_flushed(&self, flushed: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if flushed.is_ready() {
            self.activity.sending.wrote_all();
        } else {
            self.activity.sending.write_waits();
        }
        flushed
    }
}

fn large_heads() -> io::Error {
    io::Error::other("headers that are not complete take too much memory")
}

impl<S: Unpin> Stream<S> {
    fn inner(&mut self) -> io::Result<Pin<&mut S>> {
        self.inner.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + Unpin> Stream<S> {
    /// Reads and discards the bytes after the last answer until the peer closes its side, within limits. An operating
    /// system that receives bytes for a closed connection resets it, and the peer then loses the part of the answer it
    /// has not read. The connection registry ends connections that take too long.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [MaybeUninit::uninit(); 16 * 1024];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            let read = self.inner()?.poll_read(context, &mut buffer);
            let discarded = self.discarded.get_or_insert(0);
            *discarded += buffer.filled().len();
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && *discarded <= MAX_DISCARDED_BYTES => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S> Drop for Stream<S> {
    fn drop(&mut self) {
        if self.discarded.is_none()
            && let (Some(left), Some(inner)) = (self.left.take(), self.inner.take())
        {
            let _ = left.send(LeftStream { inner, withheld: self.withheld });
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.inner()?.poll_read(context, buffer);
        let bytes = &buffer.filled()[before..];
        match read {
            Poll::Ready(Ok(())) if !bytes.is_empty() => Poll::Ready(self.note_read(bytes)),
            other => other,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.withholds(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = self.inner()?.poll_write(context, bytes);
        self.note_written(&written, std::iter::once(bytes));
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.withheld.is_some() {
            return Poll::Ready(Ok(()));
        }
        // hyper flushes once it has written all that it has.
        self.activity.flushes();
        let flushed = self.inner()?.poll_flush(context);
        self.note_flushed(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.withheld.is_some() {
            return Poll::Ready(Ok(()));
        }
        if self.discarded.is_none() {
            let shut_down = self.inner()?.poll_shutdown(context);
            ready!(self.note_flushed(shut_down))?;
            if !self.activity.lingers() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_discard(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.withholds(parts.first().map_or(&[], |part| part)) {
            return Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()));
        }
        let written = self.inner()?.poll_write_vectored(context, parts);
        self.note_written(&written, parts.iter().map(|part| &**part));
        written
    }
}
