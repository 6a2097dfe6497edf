//! The rule of revoking earned promotions.

use super::change::{ChangeFacts, InstanceKey, RecordedStatus, Revoke};
use super::codes;
use super::{Catalog, ObjectId, PromotionType};

/// Reason why an earn id cannot be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevokeFailure {
    /// The earned promotion was redeemed.
    #[error("already redeemed")]
    Redeemed,
    /// Customers do not hold promotions of this type.
    #[error("the promotion is of type {}, which customers do not hold", .0.name())]
    NobodyHolds(PromotionType),
    /// The customer has no such earned promotion of the promotion.
    #[error("not an earn id of this customer and promotion")]
    NotHeld,
}

impl RevokeFailure {
    /// Returns the documented number.
    pub fn code(self) -> i32 {
        match self {
            Self::Redeemed => codes::ALREADY_REDEEMED,
            Self::NobodyHolds(_) => codes::NOBODY_HOLDS,
            Self::NotHeld => codes::REVOKED_OR_NOT_HELD,
        }
    }
}

/// Outcome for the earn ids of one promotion, as indices into the command's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedDetail {
    /// Indices of the earn ids that are revoked, by this call or an earlier one.
    pub revoked: Vec<usize>,
    /// Indices of the earn ids that are not revoked, by reason.
    pub failed: Vec<(RevokeFailure, Vec<usize>)>,
}

/// Decides which earn ids of `revoke` are revoked. Returns the outcome for each promotion, and the keys that are newly
/// revoked.
pub fn revoke(revoke: &Revoke, catalog: &Catalog, facts: &mut ChangeFacts) -> (Vec<RevokedDetail>, Vec<InstanceKey>) {
    let mut newly = Vec::new();
    let details = revoke.details.iter().map(|(promotion, earn_ids)| {
        let kind = promotion.id.and_then(|id| catalog.promotions.get(&id)).map(|promotion| promotion.kind);
        let mut detail = RevokedDetail::default();
        for (place, earn_id) in earn_ids.iter().enumerate() {
            let failure = match kind {
                Some(kind @ (PromotionType::Pos | PromotionType::Code)) => Some(RevokeFailure::NobodyHolds(kind)),
                _ => match revoke_one(revoke, promotion.id, earn_id.id, facts) {
                    Ok(key) => {
                        newly.extend(key);
                        None
                    }
                    Err(failure) => Some(failure),
                },
            };
            match failure {
                None => detail.revoked.push(place),
                Some(failure) => match detail.failed.iter_mut().find(|(other, _)| *other == failure) {
                    Some((_, places)) => places.push(place),
                    None => detail.failed.push((failure, vec![place])),
                },
            }
        }
        debug_assert_eq!(
            detail.revoked.len() + detail.failed.iter().map(|(_, places)| places.len()).sum::<usize>(),
            earn_ids.len(),
            "each earn id is revoked or fails, and none does both"
        );
        detail
    });
    (details.collect(), newly)
}

/// Marks one earned promotion as revoked. Returns its key; `None` when it was revoked already.
fn revoke_one(
    revoke: &Revoke,
    promotion_id: Option<ObjectId>,
    earn_id: Option<ObjectId>,
    facts: &mut ChangeFacts,
) -> Result<Option<InstanceKey>, RevokeFailure> {
    let earn_id = earn_id.ok_or(RevokeFailure::NotHeld)?;
    let key = InstanceKey { org_id: revoke.org_id, customer_id: revoke.customer_id, earn_id };
    let held = facts.held.get_mut(&key).filter(|held| Some(held.promotion_id) == promotion_id);
    let held = held.ok_or(RevokeFailure::NotHeld)?;
    match held.status {
        RecordedStatus::Redeemed => Err(RevokeFailure::Redeemed),
        RecordedStatus::Revoked => Ok(None),
        RecordedStatus::Unlocked => {
            held.status = RecordedStatus::Revoked;
            Ok(Some(key))
        }
    }
}
