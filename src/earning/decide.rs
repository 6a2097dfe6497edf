//! The decision: which entries of a bulk earning are granted, replayed or refused.

use std::sync::Arc;

use super::expiry::valid_till_ms;
use super::failure::Rest;
use super::object_id::MAX_ECHOED_CHARACTERS;
use super::{
    BulkEarn, Catalog, Details, EarnFailure, EarningKey, Entry, Facts, Grant, Holder, Instance, ObjectId, Promotion,
    PromotionType, RecordedEarning,
};

/// What became of one entry: `instances` succeed, and the rest of its `earn_count` fails for `failure`.
#[derive(Debug, Clone)]
pub struct EntryOutcome {
    /// When the event of the earning occurred, milliseconds since 1970-01-01T00:00:00Z.
    pub event_time_ms: i64,
    /// Those of the earning.
    pub details: Option<Arc<Details>>,
    /// What the wallet holds for it, at most `earn_count`.
    pub instances: Vec<Instance>,
    /// Why there are not `earn_count` of them; `None` when there are.
    pub failure: Option<EarnFailure>,
}

/// The outcome of every entry, in order, and what has to be saved.
#[derive(Debug, Default)]
pub struct Decision {
    /// One element per entry of the command.
    pub outcomes: Vec<EntryOutcome>,
    /// The new instances among them.
    pub grants: Vec<Grant>,
}

/// What a decision is made from, besides the command.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Catalog of the command's organization.
    pub catalog: &'a Catalog,
    /// What is recorded. What is granted is added to it, so that the next entry and the next command of a batch see it.
    pub facts: &'a mut Facts,
    /// Now, milliseconds since 1970-01-01T00:00:00Z.
    pub now_ms: i64,
}

/// Decides every entry of `command`, in order.
///
/// `new_id` gives an earn id that was never given before. That the customer may earn at all is asked before.
pub fn decide(command: &BulkEarn, scene: &mut Scene<'_>, mut new_id: impl FnMut() -> ObjectId) -> Decision {
    let mut decision = Decision::default();
    for entry in &command.entries {
        let (outcome, grant) = decide_entry(command, entry, scene, &mut new_id);
        if let Some(grant) = grant {
            scene.facts.record(&grant);
            decision.grants.push(grant);
        }
        decision.outcomes.push(outcome);
    }
    decision
}

fn decide_entry(
    command: &BulkEarn,
    entry: &Entry,
    scene: &Scene<'_>,
    new_id: &mut impl FnMut() -> ObjectId,
) -> (EntryOutcome, Option<Grant>) {
    let mut outcome = EntryOutcome {
        event_time_ms: command.event_time_ms,
        details: command.details.clone(),
        instances: Vec::new(),
        failure: None,
    };
    let Some((key, promotion)) = EarningKey::of(command, entry)
        .and_then(|key| scene.catalog.promotions.get(&key.promotion_id).map(|promotion| (key, promotion)))
    else {
        // Whatever was given is echoed; what is no id may be long.
        let given = entry.promotion_id_given.chars().take(MAX_ECHOED_CHARACTERS).collect();
        outcome.failure = Some(EarnFailure::PromotionNotFound { given });
        return (outcome, None);
    };
    let recorded = scene.facts.earnings.get(&key);
    outcome.failure = refuse_whole_entry(command, promotion, recorded);
    if outcome.failure.is_some() {
        return (outcome, None);
    }
    let mut replayed = 0;
    if let Some(recorded) = recorded {
        // The first event time and details of an earning stay, for the instances that are added to it as well.
        outcome.event_time_ms = recorded.event_time_ms;
        outcome.details.clone_from(&recorded.details);
        let asked_for = recorded.instances.iter().take(entry.earn_count as usize);
        replayed = asked_for.len();
        outcome.instances.extend(asked_for.filter(|instance| !instance.revoked));
    }
    // What was taken back keeps its place in the earning.
    let revoked = replayed - outcome.instances.len();
    let missing = entry.earn_count - u32::try_from(replayed).unwrap_or(entry.earn_count);
    let event_time_ms = outcome.event_time_ms;
    let zone = scene.catalog.org.time_zone;
    let valid_till_ms = valid_till_ms(promotion.earn_expiry, promotion.end_ms, event_time_ms, zone);
    let (fitting, refused) = grantable(promotion, key.holder(), missing, (event_time_ms, valid_till_ms), scene);
    outcome.failure = match revoked {
        0 => refused,
        revoked => {
            let rest = refused.map(|cause| Box::new(Rest { count: missing - fitting, cause }));
            Some(EarnFailure::Revoked { promotion_id: promotion.id, revoked, rest })
        }
    };
    if fitting == 0 {
        return (outcome, None);
    }
    let grant = Grant {
        earned_from_type: command.earned_from_type,
        event_time_ms,
        details: outcome.details.clone(),
        cap: promotion.max_earning_per_customer,
        first_ordinal: entry.earn_count - missing + 1,
        instances: (0..fitting).map(|_| Instance { earn_id: new_id(), valid_till_ms, revoked: false }).collect(),
        key,
    };
    outcome.instances.extend_from_slice(&grant.instances);
    (outcome, Some(grant))
}

/// How many of `missing` can be granted, and why not the rest. The two times are the event's and the end of validity.
fn grantable(
    promotion: &Promotion,
    holder: Holder,
    missing: u32,
    times_ms: (i64, i64),
    scene: &Scene<'_>,
) -> (u32, Option<EarnFailure>) {
    if missing == 0 {
        return (0, None);
    }
    match refuse_new(promotion, holder, times_ms, scene) {
        Some(refused) => (0, Some(refused)),
        None => fit_under_cap(promotion, holder, missing, scene.facts),
    }
}

/// The refusals that come before a replay.
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

/// The refusals of anything new, but for the cap. The two times are the event's and the end of validity.
fn refuse_new(
    promotion: &Promotion,
    holder: Holder,
    (event_time_ms, valid_till_ms): (i64, i64),
    scene: &Scene<'_>,
) -> Option<EarnFailure> {
    let promotion_id = promotion.id;
    let (active, cap) = (scene.catalog.active_promotions, scene.catalog.org.max_active_promotions);
    if active > cap {
        return Some(EarnFailure::TooManyActivePromotions { active, cap });
    }
    if !promotion.active {
        return Some(EarnFailure::Inactive { promotion_id });
    }
    if event_time_ms < promotion.start_ms {
        return Some(EarnFailure::NotStarted { promotion_id, event_time_ms, start_ms: promotion.start_ms });
    }
    if event_time_ms > promotion.end_ms {
        return Some(EarnFailure::Ended { promotion_id, event_time_ms, end_ms: promotion.end_ms });
    }
    if valid_till_ms < scene.now_ms {
        return Some(EarnFailure::NoLongerValid { promotion_id, event_time_ms, valid_till_ms });
    }
    if promotion.limited_to_audience && !scene.facts.audiences.contains(&holder) {
        return Some(EarnFailure::NotInAudience { promotion_id, customer_id: holder.customer_id.0 });
    }
    None
}

/// How many of `missing` the cap still allows, and the failure of the rest.
fn fit_under_cap(promotion: &Promotion, holder: Holder, missing: u32, facts: &Facts) -> (u32, Option<EarnFailure>) {
    let Some(cap) = promotion.max_earning_per_customer else { return (missing, None) };
    let used = facts.used.get(&holder).copied().unwrap_or(0);
    // The cap may have been lowered below what is held.
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
