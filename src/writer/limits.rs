//! Limits of the writer.

use std::time::Duration;

/// Limits of the writer: queue and batch sizes, and times.
#[derive(Debug, Clone, Copy)]
pub struct WriterLimits {
    /// Maximum number of concurrent transactions.
    pub workers: usize,
    /// Maximum number of further transactions that wait for locks; 0 means that the first ones wait for them.
    pub waiting_workers: usize,
    /// Maximum number of waiting requests of all clients. A further one is refused at once, and so is a request of a
    /// client that has as many waiting as there are free slots.
    pub max_waiting: usize,
    /// Maximum number of requests in one transaction.
    pub max_batch_requests: usize,
    /// Maximum number of wallet rows that one transaction writes; a larger single request is written alone.
    pub max_batch_rows: usize,
    /// Maximum time for which a request waits for its answer.
    pub request_timeout: Duration,
    /// Maximum time of a transaction.
    pub transaction_timeout: Duration,
    /// Longest time after its transaction at which a redemption is judged as if it had been reported at once.
    pub late_redemption: Duration,
}
