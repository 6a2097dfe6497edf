//! What an HTTP/2 peer allows to be sent: the windows of its connection and of a new stream, as far as the frames that
//! it sends tell.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

/// Both windows of a peer that says nothing: bytes.
const DEFAULT_WINDOW_BYTES: u32 = 65_535;

/// The windows of one connection.
#[derive(Debug)]
pub struct Windows {
    /// Of every stream, unless more is allowed for it later.
    stream: AtomicU32,
    /// Of all streams together, less everything that was handed on for them.
    connection: AtomicI64,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            stream: AtomicU32::new(DEFAULT_WINDOW_BYTES),
            connection: AtomicI64::new(i64::from(DEFAULT_WINDOW_BYTES)),
        }
    }
}

impl Windows {
    /// Records the window of streams that the peer's settings name.
    pub fn set_stream(&self, bytes: u32) {
        self.stream.store(bytes, Ordering::Relaxed);
    }

    /// Records that the peer allows so many more bytes on the connection.
    pub fn widen(&self, bytes: u32) {
        self.connection.fetch_add(i64::from(bytes), Ordering::Relaxed);
    }

    /// Takes so many bytes, with which `of_stream` were handed on for their stream. Returns whether the peer surely
    /// takes them, whatever it does from now on.
    pub fn fit(&self, bytes: usize, of_stream: u64) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.connection.fetch_sub(bytes, Ordering::Relaxed) >= bytes
            && of_stream <= u64::from(self.stream.load(Ordering::Relaxed))
    }

    /// Gives back what was taken and is not handed on.
    pub fn give_back(&self, bytes: u32) {
        self.widen(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_on_fits_while_both_windows_allow_it() {
        let windows = Windows::default();
        assert!(windows.fit(65_535, 65_535));
        assert!(!windows.fit(1, 1), "the connection's window is full");
        windows.widen(1_001);
        assert!(windows.fit(1_000, 65_535));
        windows.widen(10);
        assert!(!windows.fit(10, 65_536), "the stream's window is full");
        windows.set_stream(0);
        windows.widen(10);
        assert!(!windows.fit(1, 1));
    }
}
