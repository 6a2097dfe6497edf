//! Limits of the writer.

use std::time::Duration;

/// Limits of the writer: the amounts that it holds and takes at once, and the times that things may take.
#[derive(Debug, Clone, Copy)]
pub struct WriterLimits {
    /// Transactions that may be in flight.
    pub lanes: usize,
    /// Transactions besides that may wait for locks. 0: the others wait for them.
    pub waiting_lanes: usize,
    /// Requests that may wait, of all clients. One more is refused at once, and so is one of a client that has as many
    /// waiting as there are places left.
    pub max_waiting: usize,
    /// Requests of one transaction.
    pub max_batch_requests: usize,
    /// Rows of the wallet that one transaction writes; a request that is larger on its own still goes, alone.
    pub max_batch_rows: usize,
    /// How long a request waits for its answer.
    pub request_timeout: Duration,
    /// How long a transaction may take, in all.
    pub transaction_timeout: Duration,
    /// Longest time after its transaction at which a redemption is judged as if it had been told at once.
    pub late_redemption: Duration,
}
