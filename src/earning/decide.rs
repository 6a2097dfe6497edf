//! The decision on a bulk earning: which entries are granted or replayed, and which fail.

use std::sync::Arc;

use super::expiry::valid_till;
use super::failure::OtherFailures;
use super::object_id::MAX_ECHOED_CHARACTERS;
use super::{
    BulkEarn, Catalog, Details, EarnFailure, EarningKey, Entry, Facts, Grant, Holder, Instance, ObjectId, Promotion,
    PromotionType, RecordedEarning, Timestamp,
};

/// Outcome of one entry: `instances` succeed, and the rest of its `earn_count` fails with `failure`.
#[derive(Debug, Clone)]
pub struct EntryOutcome {
    /// Time of the event of the earning.
    pub event_time: Timestamp,
    /// Details of the earning.
    pub details: Option<Arc<Details>>,
    /// Instances that the customer holds for the earning, at most `earn_count`.
    pub instances: Vec<Instance>,
    /// Number of the instances, the first ones, that were recorded before.
    pub replayed: usize,
    /// Reason why there are fewer than `earn_count` instances; `None` when there are not.
    pub failure: Option<EarnFailure>,
}

/// Outcomes of all entries, in order, and the grants to be saved.
#[derive(Debug, Default)]
pub struct Decision {
    /// Outcomes, one per entry of the command.
    pub outcomes: Vec<EntryOutcome>,
    /// New instances among the outcomes.
    pub grants: Vec<Grant>,
}

/// Input of a decision, besides the command.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Catalog of the command's organization.
    pub catalog: &'a Catalog,
    /// Recorded facts. Grants are added to them, so that the next entry and the next command of a batch see them.
    pub facts: &'a mut Facts,
    /// Current time.
    pub now: Timestamp,
}

/// Decides every entry of `command`, in order.
///
/// `new_id` returns an earn id that was never returned before. The check that the customer may earn at all comes
/// earlier.
pub fn decide(command: &BulkEarn, scene: &mut Scene<'_>, mut new_id: impl FnMut() -> ObjectId) -> Decision {
    let mut decision = Decision::default();
    for entry in &command.entries {
        let (outcome, grant) = decide_entry(command, entry, scene, &mut new_id);
        if let Some(grant) = grant {
            scene.facts.record(&grant);
            decision.grants.push(grant);
        }
        debug_assert!(
            outcome.instances.len() <= entry.earn_count as usize
                && outcome.failure.is_none() == (outcome.instances.len() == entry.earn_count as usize),
            "an entry has as many instances as it asks for, or a failure"
        );
        decision.outcomes.push(outcome);
    }
    debug_assert_eq!(decision.outcomes.len(), command.entries.len(), "each entry has one outcome");
    decision
}

fn decide_entry(
    command: &BulkEarn,
    entry: &Entry,
    scene: &Scene<'_>,
    new_id: &mut impl FnMut() -> ObjectId,
) -> (EntryOutcome, Option<Grant>) {
    let mut outcome = EntryOutcome {
        event_time: command.event_time,
        details: command.details.clone(),
        instances: Vec::new(),
        replayed: 0,
        failure: None,
    };
    let Some((key, promotion)) = EarningKey::of(command, entry)
        .and_then(|key| scene.catalog.promotions.get(&key.promotion_id).map(|promotion| (key, promotion)))
    else {
        // The message repeats the given text; a text that is not an id may be long.
        let given = entry.promotion_id_given.chars().take(MAX_ECHOED_CHARACTERS).collect();
        outcome.failure = Some(EarnFailure::PromotionNotFound { given });
        return (outcome, None);
    };
    let recorded = scene.facts.earnings.get(&key);
    outcome.failure = refuse_whole_entry(command, promotion, recorded);
    if outcome.failure.is_some() {
        return (outcome, None);
    }
    let mut known = 0;
    if let Some(recorded) = recorded {
        // The first event time and details of an earning stay, for the instances that are added to it as well.
        outcome.event_time = recorded.event_time;
        outcome.details.clone_from(&recorded.details);
        let asked_for = recorded.instances.iter().take(entry.earn_count as usize);
        known = asked_for.len();
        outcome.instances.extend(asked_for.filter(|instance| !instance.revoked));
        outcome.replayed = outcome.instances.len();
    }
    // A revoked instance keeps its ordinal in the earning.
    let revoked = known - outcome.replayed;
    let missing = entry.earn_count - u32::try_from(known).unwrap_or(entry.earn_count);
    let event_time = outcome.event_time;
    let zone = scene.catalog.org.time_zone;
    let valid_till = valid_till(promotion.expiry, promotion.end, event_time, zone);
    let (fitting, refused) =
        grantable(promotion, &NewInstances { holder: key.holder(), missing, event_time, valid_till }, scene);
    outcome.failure = match revoked {
        0 => refused,
        revoked => {
            let rest = refused.map(|cause| Box::new(OtherFailures { count: missing - fitting, cause }));
            Some(EarnFailure::Revoked { promotion_id: promotion.id, revoked, rest })
        }
    };
    if fitting == 0 {
        return (outcome, None);
    }
    let grant = Grant {
        earned_from_type: command.earned_from_type,
        event_time,
        details: outcome.details.clone(),
        cap: promotion.cap,
        first_ordinal: entry.earn_count - missing + 1,
        instances: (0..fitting).map(|_| Instance { earn_id: new_id(), valid_till, revoked: false }).collect(),
        key,
    };
    outcome.instances.extend_from_slice(&grant.instances);
    (outcome, Some(grant))
}

/// The instances of an entry that are not recorded yet.
struct NewInstances {
    holder: Holder,
    /// Number of instances.
    missing: u32,
    /// Time of the event.
    event_time: Timestamp,
    /// End of validity.
    valid_till: Timestamp,
}

/// Returns how many of the missing instances can be granted, and the failure of the others.
fn grantable(promotion: &Promotion, new: &NewInstances, scene: &Scene<'_>) -> (u32, Option<EarnFailure>) {
    if new.missing == 0 {
        return (0, None);
    }
    match refuse_new(promotion, new, scene) {
        Some(refused) => (0, Some(refused)),
        None => fit_under_cap(promotion, new.holder, new.missing, scene.facts),
    }
}

/// Returns the failure that takes precedence over a replay, if any.
fn refuse_whole_entry(
    command: &BulkEarn,
    promotion: &Promotion,
    recorded: Option<&RecordedEarning>,
) -> Option<EarnFailure> {
    let promotion_id = promotion.id;
    match promotion.kind {
        kind @ (PromotionType::Pos | PromotionType::Code) => {
            return Some(EarnFailure::TypeNotSupported { promotion_id, kind });
        }
        kind @ PromotionType::Customer => return Some(EarnFailure::TypeNotEarnable { promotion_id, kind }),
        PromotionType::Earning | PromotionType::Reward => {}
    }
    let recorded = recorded?.earned_from_type;
    let given = command.earned_from_type;
    (recorded != given).then_some(EarnFailure::EarnedFromTypeChanged { recorded, given })
}

/// Returns the failure that applies to any new instance, apart from the cap.
fn refuse_new(promotion: &Promotion, new: &NewInstances, scene: &Scene<'_>) -> Option<EarnFailure> {
    let NewInstances { holder, event_time, valid_till, .. } = *new;
    let promotion_id = promotion.id;
    let (active, cap) = (scene.catalog.active_promotions, scene.catalog.org.max_active_promotions);
    if active > cap {
        return Some(EarnFailure::TooManyActivePromotions { active, cap });
    }
    if !promotion.active {
        return Some(EarnFailure::Inactive { promotion_id });
    }
    if event_time < promotion.start {
        return Some(EarnFailure::NotStarted { promotion_id, event_time, start: promotion.start });
    }
    if event_time > promotion.end {
        return Some(EarnFailure::Ended { promotion_id, event_time, end: promotion.end });
    }
    if valid_till < scene.now {
        return Some(EarnFailure::NoLongerValid { promotion_id, event_time, valid_till });
    }
    if promotion.limited_to_audience && !scene.facts.audiences.contains(&holder) {
        return Some(EarnFailure::NotInAudience { promotion_id, customer_id: holder.customer_id.0 });
    }
    None
}

/// Returns how many of `missing` the cap still allows, and the failure of the rest.
fn fit_under_cap(promotion: &Promotion, holder: Holder, missing: u32, facts: &Facts) -> (u32, Option<EarnFailure>) {
    let Some(cap) = promotion.cap else { return (missing, None) };
    let used = facts.used.get(&holder).copied().unwrap_or(0);
    // The cap may have been lowered below the number that the customer holds.
    let left = cap.saturating_sub(used);
    let fitting = missing.min(left);
    let refused = missing - fitting;
    let failure =
        (refused > 0).then_some(EarnFailure::CapReached { promotion_id: promotion.id, cap, used, left, refused });
    (fitting, failure)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
pub(crate) mod tests;
