//! Batches: what a batch of requests reads and writes, and the protocol by which it does so exactly (`session`).

pub mod catalogs;
pub mod changes;
pub(super) mod counts;
pub mod earnings;
pub(super) mod read;
pub mod session;
pub(super) mod write;
