//! Batches: the reads and writes of a batch of requests, and the protocol that makes them exact (`session`).

pub mod catalogs;
pub(super) mod change_read;
mod change_work;
mod change_write;
pub mod changes;
pub(super) mod counts;
mod earning_work;
pub mod earnings;
pub(super) mod fence;
mod held_catalogs;
pub mod history;
mod outcome;
pub(super) mod read;
pub mod session;
mod session_connection;
mod work;
pub(super) mod write;
