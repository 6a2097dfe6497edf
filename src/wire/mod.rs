//! Conversions between proto messages and the typed commands and outcomes of the rules: one file per service or method,
//! and the JSON form of the messages.
//!
//! `transport` and the command line call this module. It knows neither the database nor HTTP and gRPC.

pub mod access;
pub mod bulk_earn;
pub mod catalog;
pub mod customers;
pub mod earn;
pub mod event;
pub mod files;
pub mod history;
pub mod json;
pub mod page;
pub mod payload;
pub mod promotion;
pub mod redeem;
mod response_size;
pub mod revoke;
pub mod text;
pub mod time;
pub mod violation;
pub mod wallet;

/// Converts a count to the type of messages, which holds every count that a request can ask for.
pub fn count<N>(count: N) -> i32
where
    i32: TryFrom<N>,
{
    i32::try_from(count).unwrap_or(i32::MAX)
}

pub use event::InvalidRequest;
pub use violation::{Violation, Violations};
