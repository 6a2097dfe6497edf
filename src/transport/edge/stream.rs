//! The bytes of one connection, as hyper reads and writes them: notes what they tell of it in its [`Activity`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::frames::{Frames, PREFACE, Standing};

/// How far the peer is.
#[derive(Debug)]
enum Reading {
    /// So many bytes are those of the preface of HTTP/2.
    Preface(usize),
    Http1,
    Http2(Frames),
}

/// A stream in plain text.
#[derive(Debug)]
pub struct Stream<S> {
    inner: S,
    activity: Arc<Activity>,
    reading: Reading,
}

impl<S> Stream<S> {
    /// At its first byte.
    pub fn new(inner: S, activity: Arc<Activity>) -> Self {
        Self { inner, activity, reading: Reading::Preface(0) }
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
            // What is to come is overdue since the connection began.
            Reading::Preface(_) => {}
            Reading::Http1 => self.activity.bytes_of_http1(),
            Reading::Http2(_) if bytes.is_empty() => {}
            Reading::Http2(frames) => match frames.feed(bytes) {
                Standing::Between => self.activity.head_between(),
                Standing::Within { anew } => self.activity.head_within(anew),
                Standing::Flooded => return Err(io::Error::other("too many frames that carry no call")),
            },
        }
        Ok(())
    }

    fn note_written<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.written(written.is_ready());
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        let bytes = &buffer.filled()[before..];
        match read {
            Poll::Ready(Ok(())) if !bytes.is_empty() => Poll::Ready(self.note_read(bytes)),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note_written(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.note_written(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = Pin::new(&mut self.inner).poll_shutdown(context);
        self.note_written(shut_down)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, parts);
        self.note_written(written)
    }
}
