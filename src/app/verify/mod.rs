//! Verifies a database: recounts every invariant that `docs/architecture.md` lists.
//!
//! Each check is reported as soon as it is made. A row that cannot be read is a breach of the check that reads it, and
//! the other checks continue; only a database that does not answer ends the verification early.

mod changes;
mod readable;
mod redemptions;
mod rows;
mod validity;

use crate::storage::verify::{Breaches, DatabaseCheck};
use crate::storage::{StorageError, Store};

/// One check, and its result.
#[derive(Debug)]
pub struct Check {
    /// The invariant, in words.
    pub what: String,
    /// The breaches that it found.
    pub breaches: Breaches,
}

/// Recounts everything in one snapshot of the database, and reports each check when it is made.
///
/// # Errors
/// Returns the error of the database.
pub async fn verify(store: &Store, mut told: impl FnMut(Check)) -> Result<(), StorageError> {
    let snapshot = store.snapshot().await?;
    let mut tell = |what: &str, breaches| told(Check { what: what.to_owned(), breaches });
    let run = |check| snapshot.breaches(check);
    tell("values: each column holds a value that it takes", run(DatabaseCheck::Values).await?);
    tell("keys: no row is there twice", run(DatabaseCheck::Keys).await?);
    tell("owners: each row is of an organization, and of a promotion, that exists", run(DatabaseCheck::Owners).await?);
    tell("active names: no two active promotions of an organization have one", run(DatabaseCheck::ActiveNames).await?);
    tell("catalogs: names and time zones can be read", readable::catalogs(&snapshot).await?);
    tell("API clients: hashes and access groups can be read", readable::clients(&snapshot).await?);
    tell("token keys: the key that the servers share can be used", readable::token_keys(&snapshot).await?);
    tell("earn ids: none is given twice", run(DatabaseCheck::EarnIds).await?);
    let earnings = "earnings: the instances of each are numbered 1 to n, of one type and one event time, and the first alone \
                    has details";
    tell(earnings, run(DatabaseCheck::Earnings).await?);
    tell("details: payloads and supplementary criteria can be read", readable::details(&snapshot).await?);
    let marks = "marks: what was earned is of promotions that can be earned and are marked as earned";
    tell(marks, run(DatabaseCheck::Marks).await?);
    tell("statuses: time and transaction of each change go with its status", run(DatabaseCheck::Statuses).await?);
    let (what, breaches) = validity::check(&snapshot).await?;
    tell(&what, breaches);
    let counts =
        "counts: the number counted under each cap is the number that the wallet holds, and none passes its cap";
    tell(counts, run(DatabaseCheck::Counts).await?);
    let mut redeemed = redemptions::check(&snapshot).await?;
    redeemed.contents.extend(run(DatabaseCheck::Redemptions).await?);
    let contents = "redemptions: each redeemed earned promotion is named by one recorded transaction of its customer, and each \
                    transaction redeemed those that its content names";
    tell(contents, redeemed.contents);
    tell("redemption times: each transaction redeemed what was valid", redeemed.times);
    let replayed = "changes: replaying the recorded changes gives the catalogs, the audiences and the API clients";
    tell(replayed, changes::check(&snapshot).await?);
    Ok(())
}
