//! Flow control windows of an HTTP/2 peer: for its connection and for a new stream, as announced in its frames.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

/// Windows of a peer that announces none: bytes.
const DEFAULT_WINDOW_BYTES: u32 = 65_535;

/// The windows of one connection.
#[derive(Debug)]
pub struct Windows {
    /// Window of each stream, unless the peer widens it later.
    stream: AtomicU32,
    /// Window of all streams together, less the bytes passed on for them.
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
    /// Records the stream window from the settings of the peer.
    pub fn set_stream(&self, bytes: u32) {
        self.stream.store(bytes, Ordering::Relaxed);
    }

    /// Records that the peer widens the connection window by `bytes`.
    pub fn widen(&self, bytes: u32) {
        self.connection.fetch_add(i64::from(bytes), Ordering::Relaxed);
    }

    /// Takes `bytes` from the connection window; `of_stream` is the number passed on for their stream so far. Returns
    /// true if the peer has already allowed both.
    pub fn fit(&self, bytes: usize, of_stream: u64) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.connection.fetch_sub(bytes, Ordering::Relaxed) >= bytes
            && of_stream <= u64::from(self.stream.load(Ordering::Relaxed))
    }

    /// Returns bytes that were taken but are not passed on.
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
