//! Between proto messages and the typed commands and outcomes of the rules: one file per RPC, and the JSON form of the
//! messages.
//!
//! Called by `transport` and by the command line. Knows neither the database nor HTTP and gRPC.

pub mod access;
pub mod bulk_earn;
pub mod catalog;
pub mod customers;
pub mod earn;
pub mod event;
pub mod files;
pub mod json;
pub mod page;
pub mod payload;
pub mod promotion;
mod response_size;
pub mod text;
pub mod time;
pub mod violation;
pub mod wallet;

/// A count as messages have it: no request asks for more than fit.
pub fn count<N>(count: N) -> i32
where
    i32: TryFrom<N>,
{
    i32::try_from(count).unwrap_or(i32::MAX)
}

pub use event::Fault;
pub use violation::{Violation, Violations};
