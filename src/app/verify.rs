//! Verifying a database: recounts the wallet against everything that must never be untrue.

use crate::earning::expiry::valid_till_ms;
use crate::earning::{Catalogue, OrgId, PromotionType};
use crate::storage::verify::{EarnedRow, MAX_BREACHES, Question, Snapshot};
use crate::storage::{StorageError, Store};

/// What was looked at, and what is wrong with it.
#[derive(Debug)]
pub struct Check {
    /// What was checked, in words.
    pub what: String,
    /// What breaks it, in words; of many, the first.
    pub breaches: Vec<String>,
}

const QUESTIONS: [(Question, &str); 4] = [
    (Question::EarnIds, "earn ids: none is given twice"),
    (Question::Earnings, "earnings: the instances of each are numbered 1 to n, of one type and one event time"),
    (Question::Counts, "counts: what is counted under each cap is what the wallet holds"),
    (
        Question::Redemptions,
        "redemptions: what is redeemed is redeemed by one recorded transaction of its customer, and each transaction \
         redeemed as many as it says",
    ),
];

/// Recounts everything, in one snapshot of the database.
///
/// # Errors
/// Of the database.
pub async fn verify(store: &Store) -> Result<Vec<Check>, StorageError> {
    let snapshot = store.snapshot().await?;
    let mut checks = Vec::new();
    for (question, what) in QUESTIONS {
        checks.push(Check { what: what.to_owned(), breaches: snapshot.breaches(question).await? });
    }
    checks.push(validity(&snapshot).await?);
    Ok(checks)
}

/// Reads every earned promotion and compares its validity with the rules of its promotion.
async fn validity(snapshot: &Snapshot) -> Result<Check, StorageError> {
    let (mut checked, mut older, mut breaches) = (0_u64, 0_u64, Vec::new());
    for org_id in snapshot.org_ids().await? {
        let Some(catalogue) = snapshot.catalogue(org_id).await? else { continue };
        let mut page = snapshot.page(org_id, None).await?;
        while let Some(last) = page.last().cloned() {
            for row in &page {
                checked += 1;
                match breach_of_validity(&catalogue, row) {
                    Ok(compared) => older += u64::from(!compared),
                    Err(breach) if breaches.len() < MAX_BREACHES => breaches.push(breach),
                    Err(_) => {}
                }
            }
            page = snapshot.page(org_id, Some(&last)).await?;
        }
    }
    let earned = snapshot.earned().await?;
    if earned != checked {
        breaches.push(format!("{} of {earned} earned promotions are of no organization", earned - checked));
    }
    let what = format!(
        "validity: each of {checked} earned promotions is valid as the rules of its promotion say; {older} of them were \
         granted before those rules changed, and are not compared"
    );
    Ok(Check { what, breaches })
}

/// Whether the row could be compared with the present rules, or what is wrong with it.
fn breach_of_validity(catalogue: &Catalogue, row: &EarnedRow) -> Result<bool, String> {
    let OrgId(org_id) = catalogue.org.id;
    let EarnedRow { earn_id, promotion_id, .. } = row;
    let Some(promotion) = catalogue.promotions.get(promotion_id) else {
        return Err(format!("{earn_id} is of promotion {promotion_id}, which organization {org_id} has not"));
    };
    if !matches!(promotion.kind, PromotionType::Earning | PromotionType::Reward) {
        return Err(format!("{earn_id} is of promotion {promotion_id}, of type {}", promotion.kind.name()));
    }
    let zone = catalogue.org.time_zone;
    let expected_ms = valid_till_ms(promotion.earn_expiry, promotion.end_ms, row.event_time_ms, zone);
    if row.valid_till_ms != expected_ms {
        let is = row.valid_till_ms;
        return Err(format!("{earn_id} of promotion {promotion_id} is valid until {is}, by the rules {expected_ms}"));
    }
    Ok(true)
}
