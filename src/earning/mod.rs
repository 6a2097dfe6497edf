//! The rules of earning, revoking and redeeming. They are pure: facts, a command and the time go in, and the outcome of
//! each entry comes out.
//!
//! `app` calls them. There is no I/O, no clock and no randomness here, and nothing is known of the other rooms: the
//! same input gives the same answer, so tables and properties can test every rule.
//!
//! # Glossary
//!
//! - **Organization**: the tenant that owns a catalog, customers and wallets. Every call acts for one organization.
//! - **Catalog**: the organization's settings and all its promotions. Every change gives the catalog a new version, and
//!   a write commits only against the version it was decided from.
//! - **Promotion**: the definition of a cart promotion: type, period, cap, expiry rule and audience. Only the types
//!   EARNING and REWARD can be earned.
//! - **Audience**: the customers who can earn a promotion that is limited to them.
//! - **Customer**: a person, identified by a positive number within an organization. An organization may accept
//!   customers who are not recorded.
//! - **Event**: what a customer earns for, identified by the caller's event id within the customer. It has a time and
//!   may have details.
//! - **Earning**: what one event earns its customer of one promotion under one `earnedFromId`. It has one or more
//!   instances.
//! - **Earning key**: the identity of an earning: organization, customer, event, promotion and `earnedFromId`.
//! - **Entry**: one element of a bulk earning. It names an earning and the number of instances that the earning should
//!   have.
//! - **Instance**: one of the earned promotions of an earning, numbered from 1 by its ordinal.
//! - **Earned promotion**: a promotion that a customer holds, with its earn id, end of validity and status: UNLOCKED,
//!   REDEEMED, REVOKED or EXPIRED.
//! - **Earn id**: the identifier of an earned promotion, never reused. The documented API calls it `earnedPromotionId`,
//!   and `earnIds` in a revocation.
//! - **Wallet**: the earned promotions of one customer.
//! - **Cap**: the number of instances of a promotion that one customer may earn. Revoked instances do not
//!   count towards it.
//! - **Cap period**: the number of times that a promotion got a cap after it had been earned without one; 0 for a cap
//!   from the beginning. Each of these times begins a new period.
//! - **Count**: the recorded number of unrevoked instances of a capped promotion that a customer holds, with its cap
//!   period. A count of another period is not used.
//! - **Expiry**: the promotion's rule for the end of validity: the end of the promotion, or a number of days after the
//!   event. An earned promotion is expired when its validity has ended before it was redeemed or revoked.
//! - **Validity**: the time in which an earned promotion can be redeemed, up to and including its last millisecond.
//! - **Transaction**: a purchase of a customer, identified by the caller's transaction identifier within the
//!   organization. Storage and the writer also use the word for transactions of the database.
//! - **Redemption**: the use of earned promotions in a transaction. Either all of its lines are redeemed or none is.
//! - **Revocation**: taking an unredeemed earned promotion back. A revoked instance keeps its ordinal, so no repeat of
//!   the earning grants it again.
//! - **Replay**: a repeated request, answered from the record. An entry with a larger number of instances grants only
//!   the difference.
//! - **Batch**: requests that are decided and written together, in one transaction of the database.
//! - **Write conflict**: a write fails because another transaction of the database changed what the batch was decided
//!   from. Nothing is written, and the batch is read and decided again.
//! - **Caller**: the program that makes a call, once its credentials are accepted: an API client, or the bearer of an
//!   access token of a trusted issuer.
//! - **API client**: a recorded username with a secret, which calls for one organization.
//! - **Access group**: a permission of a caller for one kind of call, such as `earn:write`.

pub mod amount;
pub mod catalog;
pub mod catalog_change;
pub mod change;
pub mod codes;
pub mod command;
pub mod decide;
pub mod draft;
pub mod expiry;
pub mod facts;
pub mod failure;
pub mod history;
pub mod limits;
pub mod object_id;
pub mod redeem;
pub mod redemption;
pub mod revoke;
pub mod time;

pub use amount::Amount;
pub use catalog::{Catalog, CatalogVersion, Expiry, FormerTerms, Org, Promotion, PromotionType};
pub use command::{BulkEarn, Details, EarnedFromType, Entry, ProgramType, SupplementaryCriteria};
pub use decide::{Decision, EntryOutcome, Scene, decide};
pub use draft::{CapDraft, PromotionDraft};
pub use facts::{EarningKey, Facts, Grant, Holder, Instance, RecordedEarning};
pub use failure::EarnFailure;
pub use object_id::{GivenId, ObjectId};
pub use redemption::{Redemption, RedemptionLine};
pub use time::Timestamp;

/// Identifier of an organization, 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrgId(pub i64);

/// Identifier of a customer within an organization, 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerId(pub i64);
