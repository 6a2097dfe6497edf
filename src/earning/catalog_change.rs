//! Changes of a promotion in the catalog, and the rules that refuse them.

use super::codes;
use super::draft::{DraftViolation, EXPIRY, PromotionDraft};
use super::{Catalog, Expiry, ObjectId, Promotion, PromotionType, Timestamp};

/// Reason to refuse a change of a promotion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogRefusal {
    /// The organization has no such promotion.
    #[error("promotion {0} not found")]
    NotFound(ObjectId),
    /// A promotion is created with the id of a recorded one, and other content.
    #[error("promotion {promotion_id} is recorded with other content ({})", differing.join(", "))]
    Exists {
        /// The promotion.
        promotion_id: ObjectId,
        /// The fields that differ, by their names in messages.
        differing: Vec<&'static str>,
    },
    /// A new promotion lacks a field, or ends before it starts. Holds the first violation.
    #[error(transparent)]
    Incomplete(DraftViolation),
    /// The type of a promotion cannot change.
    #[error("cannot change: it is {}", .0.name())]
    TypeFixed(PromotionType),
    /// The expiry rule of a promotion cannot change once the promotion was earned.
    #[error("cannot change once the promotion was earned: it is {}", .0.text())]
    ExpiryFixed(Expiry),
    /// The promotion would be activated after its end.
    #[error("promotion {promotion_id} cannot be activated: it ended at {end}")]
    Ended {
        /// The promotion.
        promotion_id: ObjectId,
        /// Last millisecond of the promotion.
        end: Timestamp,
    },
    /// More promotions would be active than the organization may have.
    #[error("the organization has {active} active promotions, and may have {cap}; deactivate one first")]
    TooManyActive {
        /// Number of active promotions.
        active: u32,
        /// Number of promotions that may be active.
        cap: u32,
    },
    /// Another active promotion has the same name.
    #[error("{name:?} is the name of active promotion {other}")]
    NameTaken {
        /// The name.
        name: String,
        /// Active promotion that has the name.
        other: ObjectId,
    },
}

impl CatalogRefusal {
    /// Returns the documented number.
    pub fn code(&self) -> i32 {
        match self {
            Self::NotFound(_) => codes::PROMOTION_NOT_FOUND,
            Self::Incomplete(_) | Self::TypeFixed(_) | Self::ExpiryFixed(_) => codes::INVALID_REQUEST,
            Self::Exists { .. } => codes::PROMOTION_EXISTS,
            Self::TooManyActive { .. } => codes::TOO_MANY_ACTIVE_PROMOTIONS,
            Self::Ended { .. } => codes::EXPIRED,
            Self::NameTaken { .. } => codes::NAME_TAKEN,
        }
    }

    /// Returns the name in messages of the refused field, where the refusal concerns one field.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Incomplete(problem) => Some(problem.field()),
            Self::TypeFixed(_) => Some("type"),
            Self::ExpiryFixed(_) => Some(EXPIRY),
            _ => None,
        }
    }
}

impl From<Vec<DraftViolation>> for CatalogRefusal {
    fn from(problems: Vec<DraftViolation>) -> Self {
        // A draft that cannot be completed has at least one violation.
        Self::Incomplete(problems.first().copied().unwrap_or(DraftViolation::EndsBeforeStart))
    }
}

/// Change of one promotion.
#[derive(Debug, Clone)]
pub enum CatalogChange {
    /// Creates a promotion. A recorded promotion with the same id and content stays as it is.
    Create(PromotionDraft),
    /// Replaces the promotion with the same id, and keeps the fields that the draft leaves out.
    Replace(PromotionDraft),
    /// Activates the promotion if true, deactivates it if false.
    SetActive(ObjectId, bool),
}

/// Returns the promotion as it is after `change`, at `now`; `None` when
/// `change` changes nothing.
///
/// # Errors
/// Returns the reason to refuse the change.
pub fn apply(change: CatalogChange, catalog: &Catalog, now: Timestamp) -> Result<Option<Promotion>, CatalogRefusal> {
    let recorded = |id| catalog.promotions.get(&id).ok_or(CatalogRefusal::NotFound(id));
    let (promotion, before) = match change {
        CatalogChange::Create(draft) => {
            let promotion = draft.complete(None)?;
            if let Some(recorded) = catalog.promotions.get(&promotion.id) {
                return same_content(&promotion, recorded).map(|()| None);
            }
            (promotion, None)
        }
        CatalogChange::Replace(draft) => {
            let before = recorded(draft.id)?;
            (replace(&draft, before)?, Some(before))
        }
        CatalogChange::SetActive(id, active) => {
            let before = recorded(id)?;
            if before.active == active {
                return Ok(None);
            }
            (Promotion { active, ..before.clone() }, Some(before))
        }
    };
    if promotion.active {
        if !before.is_some_and(|before| before.active) {
            may_start(&promotion, catalog, now)?;
        }
        let mut others = catalog.promotions.values().filter(|other| other.active && other.id != promotion.id);
        if let Some(other) = others.find(|other| other.name == promotion.name) {
            return Err(CatalogRefusal::NameTaken { name: promotion.name, other: other.id });
        }
    }
    Ok(Some(promotion))
}

/// Returns the promotion that results from replacing `before` by `draft`. These are the rules that a replacement by a
/// call and one by an import share.
///
/// # Errors
/// Returns the reason to refuse the replacement.
pub fn replace(draft: &PromotionDraft, before: &Promotion) -> Result<Promotion, CatalogRefusal> {
    let promotion = draft.complete(Some(before))?;
    if promotion.kind != before.kind {
        return Err(CatalogRefusal::TypeFixed(before.kind));
    }
    if before.earned && promotion.expiry != before.expiry {
        return Err(CatalogRefusal::ExpiryFixed(before.expiry));
    }
    Ok(promotion.replacing(before))
}

/// Refuses to create `promotion` under the id of a recorded one with other content.
fn same_content(promotion: &Promotion, recorded: &Promotion) -> Result<(), CatalogRefusal> {
    let fields = promotion.content().into_iter().zip(recorded.content());
    let differing: Vec<_> = fields.filter(|(given, recorded)| given != recorded).map(|(given, _)| given.0).collect();
    if differing.is_empty() {
        return Ok(());
    }
    Err(CatalogRefusal::Exists { promotion_id: promotion.id, differing })
}

/// Checks that one more promotion may be activated.
fn may_start(promotion: &Promotion, catalog: &Catalog, now: Timestamp) -> Result<(), CatalogRefusal> {
    let (active, cap) = (catalog.active_promotions, catalog.org.max_active_promotions);
    if active >= cap {
        return Err(CatalogRefusal::TooManyActive { active, cap });
    }
    if promotion.end < now {
        return Err(CatalogRefusal::Ended { promotion_id: promotion.id, end: promotion.end });
    }
    Ok(())
}
