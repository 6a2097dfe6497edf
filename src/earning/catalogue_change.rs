//! What may become of a promotion of the catalogue.

use super::time::iso;
use super::{Catalogue, EarnExpiry, ObjectId, Promotion, PromotionType};

/// Why a promotion stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueRefusal {
    /// 404.
    #[error("promotion {0} not found")]
    NotFound(ObjectId),
    /// 400: a promotion is created under the id of another.
    #[error("is the id of a promotion already")]
    IdTaken,
    /// 400.
    #[error("cannot change: it is {}", .0.name())]
    TypeFixed(PromotionType),
    /// 400: something was earned already.
    #[error("cannot change once the promotion was earned: it is {}", expiry(*.0))]
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

fn expiry(expiry: EarnExpiry) -> String {
    match expiry {
        EarnExpiry::WithPromotion => "WITH_PROMOTION".to_owned(),
        EarnExpiry::DaysFromEarning(days) => format!("DAYS_FROM_EARNING with {days} days"),
    }
}

impl CatalogueRefusal {
    /// The documented number.
    pub fn code(&self) -> i32 {
        match self {
            Self::NotFound(_) => 404,
            Self::IdTaken | Self::TypeFixed(_) | Self::ExpiryFixed(_) => 400,
            Self::TooManyActive { .. } => 705,
            Self::Ended { .. } => 706,
            Self::NameTaken { .. } => 716,
        }
    }
}

/// What is done to a promotion.
#[derive(Debug, Clone)]
pub enum CatalogueChange {
    /// It is new.
    Create(Promotion),
    /// It takes the place of the one of its id.
    Replace(Promotion),
    /// It runs from now on, or no longer.
    SetActive(ObjectId, bool),
}

/// The promotion as it is after `change`, at `now_ms` (milliseconds since 1970-01-01T00:00:00Z); `None` when it is so
/// already.
///
/// # Errors
/// Why it stays as it is.
pub fn apply(
    change: CatalogueChange,
    catalogue: &Catalogue,
    now_ms: i64,
) -> Result<Option<Promotion>, CatalogueRefusal> {
    let recorded = |id| catalogue.promotions.get(&id).ok_or(CatalogueRefusal::NotFound(id));
    let (promotion, before) = match change {
        CatalogueChange::Create(promotion) if catalogue.promotions.contains_key(&promotion.id) => {
            return Err(CatalogueRefusal::IdTaken);
        }
        CatalogueChange::Create(promotion) => (promotion, None),
        CatalogueChange::Replace(promotion) => {
            let before = recorded(promotion.id)?;
            if promotion.kind != before.kind {
                return Err(CatalogueRefusal::TypeFixed(before.kind));
            }
            if before.earned && promotion.earn_expiry != before.earn_expiry {
                return Err(CatalogueRefusal::ExpiryFixed(before.earn_expiry));
            }
            (promotion.replacing(before), Some(before))
        }
        CatalogueChange::SetActive(id, active) => {
            let before = recorded(id)?;
            if before.active == active {
                return Ok(None);
            }
            (Promotion { active, ..before.clone() }, Some(before))
        }
    };
    if promotion.active {
        if !before.is_some_and(|before| before.active) {
            may_start(&promotion, catalogue, now_ms)?;
        }
        let mut others = catalogue.promotions.values().filter(|other| other.active && other.id != promotion.id);
        if let Some(other) = others.find(|other| other.name == promotion.name) {
            return Err(CatalogueRefusal::NameTaken { name: promotion.name, other: other.id });
        }
    }
    Ok(Some(promotion))
}

/// Whether one more may run.
fn may_start(promotion: &Promotion, catalogue: &Catalogue, now_ms: i64) -> Result<(), CatalogueRefusal> {
    let (active, cap) = (catalogue.active_promotions, catalogue.org.max_active_promotions);
    if active >= cap {
        return Err(CatalogueRefusal::TooManyActive { active, cap });
    }
    if promotion.end_ms < now_ms {
        return Err(CatalogueRefusal::Ended { promotion_id: promotion.id, end_ms: promotion.end_ms });
    }
    Ok(())
}
