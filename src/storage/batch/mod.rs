//! Batches: the reads and writes of a batch of requests, and the protocol that makes them exact (`session`).

pub mod catalogs;
pub mod changes;
pub(super) mod counts;
pub mod earnings;
pub(super) mod read;
pub mod session;
pub(super) mod write;
