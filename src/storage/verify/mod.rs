//! Verification of the database: finds every row that breaks an invariant. `docs/architecture.md` lists the invariants.
//!
//! All checks read one snapshot, while the service goes on writing. The database itself performs the checks that SQL can
//! state (`database_check`), with one text for each breach. Rows that SQL cannot judge are read in pages (`pages`) and
//! judged by `app`. A row that cannot be read is also a breach.

mod breaches;
mod catalog_rows;
mod columns;
mod database_check;
mod forms;
mod owners;
mod pages;
mod redemptions;
mod rows;
mod snapshot;
mod takes;
mod token_keys;
mod wallet;

pub use breaches::{Breaches, MAX_BREACHES};
pub use catalog_rows::{ApiClientRow, AudienceRow, ChangeRow, OrgRow, PromotionRow};
pub use database_check::DatabaseCheck;
pub use pages::{PageCursor, VerifyPage, Walked};
pub use redemptions::{RecordedRedemption, RedeemedInstance};
pub use rows::{EarnedRow, FormerTermRow, PromotionTerms, Terms, VerifiedDetailsRow};
pub use snapshot::Snapshot;
