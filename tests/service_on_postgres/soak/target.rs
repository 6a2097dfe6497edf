//! The target of the load, which all of its parts share.

use crate::support::TestCaller;

/// The target of the load.
#[derive(Clone)]
pub struct LoadTarget {
    pub callers: Vec<TestCaller>,
    /// The URL of the database.
    pub url: String,
}
