//! What may become of a promotion of the catalog.

use super::draft::{DraftViolation, PromotionDraft};
use super::time::iso;
use super::{Catalog, EarnExpiry, ObjectId, Promotion, PromotionType};

/// Why a promotion stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogRefusal {
    /// 404.
    #[error("promotion {0} not found")]
    NotFound(ObjectId),
    /// 409: a promotion is created with the id of a recorded one, and other content.
    #[error("promotion {promotion_id} is recorded with other content ({})", differing.join(", "))]
    Exists {
        /// The promotion.
        promotion_id: ObjectId,
        /// The fields that differ, by their names in messages.
        differing: Vec<&'static str>,
    },
    /// 400: a new promotion lacks a field, or ends before it starts. Holds the first fault.
    #[error(transparent)]
    Incomplete(DraftViolation),
    /// 400.
    #[error("cannot change: it is {}", .0.name())]
    TypeFixed(PromotionType),
    /// 400: something was earned already.
    #[error("cannot change once the promotion was earned: it is {}", .0.text())]
    ExpiryFixed(EarnExpiry),
    /// 706: it would run after its end.
    #[error("promotion {promotion_id} cannot be activated: it ended at {}", iso(*end_ms))]
    Ended {
        /// The promotion.
        promotion_id: ObjectId,
        /// Its last millisecond, since 1970-01-01T00:00:00Z.
        end_ms: i64,
    },
    /// 705: more would be active than may be.
    #[error("the organization has {active} active promotions, and may have {cap}; deactivate one first")]
    TooManyActive {
        /// How many are active.
        active: u32,
        /// How many may be.
        cap: u32,
    },
    /// 716: another active one has its name.
    #[error("{name:?} is the name of active promotion {other}")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        other: ObjectId,
    },
}

impl CatalogRefusal {
    /// The documented number.
    pub fn code(&self) -> i32 {
        match self {
            Self::NotFound(_) => 404,
            Self::Incomplete(_) | Self::TypeFixed(_) | Self::ExpiryFixed(_) => 400,
            Self::Exists { .. } => 409,
            Self::TooManyActive { .. } => 705,
            Self::Ended { .. } => 706,
            Self::NameTaken { .. } => 716,
        }
    }

    /// Returns the field that is refused, by its name in messages, where the refusal is of one field.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Incomplete(fault) => Some(fault.field()),
            Self::TypeFixed(_) => Some("type"),
            Self::ExpiryFixed(_) => Some("earnExpiry"),
            _ => None,
        }
    }
}

impl From<Vec<DraftViolation>> for CatalogRefusal {
    fn from(faults: Vec<DraftViolation>) -> Self {
        // A draft that cannot be completed has at least one.
        Self::Incomplete(faults.first().copied().unwrap_or(DraftViolation::EndsBeforeStart))
    }
}

/// What is done to a promotion.
#[derive(Debug, Clone)]
pub enum CatalogChange {
    /// It is new. A recorded one of its id and content stays as it is.
    Create(PromotionDraft),
    /// It takes the place of the one of its id, and keeps what the draft leaves out.
    Replace(PromotionDraft),
    /// It runs from now on, or no longer.
    SetActive(ObjectId, bool),
}

/// The promotion as it is after `change`, at `now_ms` (milliseconds since 1970-01-01T00:00:00Z); `None` when it is so
/// already.
///
/// # Errors
/// Why it stays as it is.
pub fn apply(change: CatalogChange, catalog: &Catalog, now_ms: i64) -> Result<Option<Promotion>, CatalogRefusal> {
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
            may_start(&promotion, catalog, now_ms)?;
        }
        let mut others = catalog.promotions.values().filter(|other| other.active && other.id != promotion.id);
        if let Some(other) = others.find(|other| other.name == promotion.name) {
            return Err(CatalogRefusal::NameTaken { name: promotion.name, other: other.id });
        }
    }
    Ok(Some(promotion))
}

/// Returns the promotion that `draft` makes of `before` and holds the rules that a replacement by a call and
/// one by an import share.
///
/// # Errors
/// The reason why it stays as it is.
pub fn replace(draft: &PromotionDraft, before: &Promotion) -> Result<Promotion, CatalogRefusal> {
    let promotion = draft.complete(Some(before))?;
    if promotion.kind != before.kind {
        return Err(CatalogRefusal::TypeFixed(before.kind));
    }
    if before.earned && promotion.earn_expiry != before.earn_expiry {
        return Err(CatalogRefusal::ExpiryFixed(before.earn_expiry));
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

/// Whether one more may run.
fn may_start(promotion: &Promotion, catalog: &Catalog, now_ms: i64) -> Result<(), CatalogRefusal> {
    let (active, cap) = (catalog.active_promotions, catalog.org.max_active_promotions);
    if active >= cap {
        return Err(CatalogRefusal::TooManyActive { active, cap });
    }
    if promotion.end_ms < now_ms {
        return Err(CatalogRefusal::Ended { promotion_id: promotion.id, end_ms: promotion.end_ms });
    }
    Ok(())
}
