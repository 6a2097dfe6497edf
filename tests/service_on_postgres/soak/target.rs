//! The target of the load, which all of its parts share.

use crate::support::Caller;

/// The target of the load.
#[derive(Clone)]
pub struct Target {
    pub callers: Vec<Caller>,
    /// The URL of the database.
    pub url: String,
}
