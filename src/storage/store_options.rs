//! The options for opening the database.

use std::time::Duration;

/// Options for opening the database.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Largest number of connections of the writer.
    pub writers: u32,
    /// Largest number of connections for changes that may wait for a lock.
    pub changes: u32,
    /// Largest number of connections for look-ups and for listings.
    pub reads: u32,
    /// Limits a wait for a connection, and on SQLite the wait for another writer.
    pub timeout: Duration,
    /// Limits a statement, and on PostgreSQL a wait for a lock. `None` sets no limit, for maintenance.
    pub statement_timeout: Option<Duration>,
    /// True for verification: statements read whole tables with a plan of PostgreSQL's choice, and a missing file of
    /// SQLite is not created. All other uses look rows up by their whole key, whatever statistics PostgreSQL has of the
    /// tables.
    pub recounts: bool,
}
