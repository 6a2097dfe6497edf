//! Access: the callers, and what they may do. Credentials against the recorded API clients, access tokens against the keys
//! that they are signed with.
//!
//! Called by `transport`, and by the commands and imports that write API clients. Knows neither proto nor HTTP and gRPC, nor
//! the database's library.

pub mod attempts;
mod caller;
pub mod claims;
pub mod credentials;
pub mod groups;
pub mod issuers;
pub mod jws;
pub mod secret;
pub mod shared_key;
pub mod tokens;

pub use caller::Caller;
