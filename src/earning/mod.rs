//! The rules of earning, and of what becomes of what was earned, pure: facts, a command and the time go in, the outcome of each entry comes out.
//!
//! Called by `app`. There is no I/O, no clock and no randomness here, and nothing is known of the other rooms: the
//! same input gives the same answer, which is what lets the tests hold every rule by tables and properties.

pub mod amount;
pub mod catalog;
pub mod catalog_change;
pub mod change;
pub mod command;
pub mod decide;
pub mod draft;
pub mod expiry;
pub mod facts;
pub mod failure;
pub mod object_id;
pub mod redemption;
pub mod time;

pub use amount::Amount;
pub use catalog::{Catalog, CatalogVersion, EarnExpiry, FormerTerms, Org, Promotion, PromotionType};
pub use command::{BulkEarn, Details, EarnedFromType, Entry, ProgramType, SupplementaryCriteria};
pub use decide::{Decision, EntryOutcome, Scene, decide};
pub use draft::{CapDraft, PromotionDraft};
pub use facts::{EarningKey, Facts, Grant, Holder, Instance, RecordedEarning};
pub use failure::EarnFailure;
pub use object_id::{Given, ObjectId};
pub use redemption::{Redemption, RedemptionLine};

/// Identifier of an organization (tenant), 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrgId(pub i64);

/// Identifier of a customer within an organization, 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerId(pub i64);
