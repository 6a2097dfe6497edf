//! The rule of redeeming earned promotions in a transaction.

// The part of the standard library's module that reads no clock.
use core::time::Duration;
use std::collections::HashSet;
use std::sync::Arc;

use super::change::{ChangeFacts, InstanceKey, RecordedStatus, Redeem};
use super::object_id::MAX_ECHOED_CHARACTERS;
use super::redemption::{Redemption, RedemptionLine};
use super::time::DAY;
use super::{ObjectId, Timestamp};

/// Limits how long before the event of an earned promotion the transaction that redeems it may be dated: one day. The
/// clocks of tills and of the systems that send events differ, and an event may be dated as far ahead of the server's
/// clock.
pub const MAX_BEFORE_EVENT: Duration = DAY;

/// Limits the option `--late-redemption-days`: the number of days after a transaction within which its redemption is
/// judged by the date of the transaction.
pub const MAX_LATE_REDEMPTION_DAYS: u32 = 365;

/// Reason why a transaction is not redeemed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedeemFailure {
    /// The transaction is recorded with other content.
    #[error("transaction {transaction_identifier:?} is recorded with other content: {field} differs")]
    OtherContent {
        /// Identifier of the transaction.
        transaction_identifier: Arc<str>,
        /// Path of the first field that differs.
        field: String,
    },
    /// The customer has no such earned promotion of the promotion.
    #[error("{0:?} is not an earned promotion of this customer and promotion")]
    NotHeld(String),
    /// The earned promotion was revoked.
    #[error("earned promotion {0} was revoked")]
    Revoked(ObjectId),
    /// The earned promotion was redeemed by another transaction.
    #[error("earned promotion {earn_id} was redeemed by another transaction, {by:?}")]
    Redeemed {
        /// Earn id of the earned promotion.
        earn_id: ObjectId,
        /// Transaction that redeemed it.
        by: Arc<str>,
    },
    /// The transaction is dated too long before the event for which the promotion was earned.
    #[error(
        "must not be more than 24 hours before {event_time}, the eventTime of earned promotion {earn_id}: it is \
         {transaction_date}"
    )]
    BeforeEvent {
        /// Earn id of the earned promotion.
        earn_id: ObjectId,
        /// Date of the transaction.
        transaction_date: Timestamp,
        /// Time of the event.
        event_time: Timestamp,
    },
    /// The earned promotion is no longer valid.
    #[error("earned promotion {earn_id} had expired at {judged_at}: it was valid until {valid_till}")]
    Expired {
        /// Earn id of the earned promotion.
        earn_id: ObjectId,
        /// Instant at which it had to be valid.
        judged_at: Timestamp,
        /// Last millisecond at which it was valid.
        valid_till: Timestamp,
    },
}

/// Outcome of a transaction that is redeemed.
#[derive(Debug)]
pub struct Redeemed {
    /// Content as it is recorded.
    pub redemption: Arc<Redemption>,
    /// Earned promotions that are newly redeemed; empty when the transaction was recorded already.
    pub newly: Vec<InstanceKey>,
}

/// Decides whether every line of `redeem` can be redeemed. A transaction dated before `late_from` is judged as if it had occurred at `late_from`.
///
/// # Errors
/// Returns the first reason why the transaction is not redeemed.
pub fn redeem(redeem: &Redeem, facts: &mut ChangeFacts, late_from: Timestamp) -> Result<Redeemed, RedeemFailure> {
    let name = (redeem.org_id, Arc::clone(&redeem.transaction_identifier));
    if let Some(recorded) = facts.transactions.get(&name) {
        return match recorded.first_difference(&redeem.transaction) {
            None => Ok(Redeemed { redemption: Arc::clone(&recorded.redemption), newly: Vec::new() }),
            Some(field) => Err(RedeemFailure::OtherContent { transaction_identifier: name.1, field }),
        };
    }
    let redemption = &redeem.transaction.redemption;
    let judged_at = redemption.transaction_date.max(late_from);
    let mut newly = Vec::new();
    let mut seen = HashSet::new();
    for line in redemption.lines() {
        let key = redeemable(redeem, line, facts, judged_at)?;
        // An earned promotion may be in both lists.
        if seen.insert(key) {
            newly.push(key);
        }
    }
    for key in &newly {
        if let Some(held) = facts.held.get_mut(key) {
            debug_assert_eq!(held.status, RecordedStatus::Unlocked, "an earned promotion is redeemed once");
            held.status = RecordedStatus::Redeemed;
            held.redeemed_by = Some(Arc::clone(&name.1));
        }
    }
    facts.transactions.insert(name, redeem.transaction.clone());
    Ok(Redeemed { redemption: Arc::clone(redemption), newly })
}

/// Returns the key of the earned promotion of `line` if it can be redeemed by a transaction that is judged at
/// `judged_at`.
fn redeemable(
    redeem: &Redeem,
    line: &RedemptionLine,
    facts: &ChangeFacts,
    judged_at: Timestamp,
) -> Result<InstanceKey, RedeemFailure> {
    let redemption = &redeem.transaction.redemption;
    let given = &line.earned_promotion;
    let not_held = || RedeemFailure::NotHeld(given.text.chars().take(MAX_ECHOED_CHARACTERS).collect());
    let earn_id = given.id.ok_or_else(not_held)?;
    let key = InstanceKey { org_id: redeem.org_id, customer_id: redemption.customer_id, earn_id };
    let held = facts.held.get(&key).filter(|held| Some(held.promotion_id) == line.promotion.id).ok_or_else(not_held)?;
    match held.status {
        RecordedStatus::Revoked => return Err(RedeemFailure::Revoked(earn_id)),
        RecordedStatus::Redeemed => {
            let by = held.redeemed_by.clone().unwrap_or_default();
            return Err(RedeemFailure::Redeemed { earn_id, by });
        }
        RecordedStatus::Unlocked => {}
    }
    let transaction_date = redemption.transaction_date;
    if transaction_date < held.event_time - MAX_BEFORE_EVENT {
        let event_time = held.event_time;
        return Err(RedeemFailure::BeforeEvent { earn_id, transaction_date, event_time });
    }
    if held.valid_till < judged_at {
        return Err(RedeemFailure::Expired { earn_id, judged_at, valid_till: held.valid_till });
    }
    Ok(key)
}

#[cfg(test)]
#[path = "redeem_tests.rs"]
mod tests;
