//! The fence of a batch: the conditions on which its writes are made.

use super::catalogs::CatalogVersions;

use crate::earning::Timestamp;

/// Source of the facts that a write depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Presumed facts; the write requires that they hold.
    Presumed,
    /// Facts that were read.
    Read,
}

/// Conditions of a write, and the time that it records.
#[derive(Debug)]
pub struct Fence<'a> {
    /// Catalogs that must be current.
    pub catalogs: &'a CatalogVersions,
    /// Source of the facts that the batch was decided from.
    pub basis: Basis,
    /// Time of the write.
    pub now: Timestamp,
}
