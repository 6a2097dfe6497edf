//! Conversions from the errors of the other modules to refusals.

use std::sync::Arc;

use super::refusal::{Refusal, Unauthenticated, whole_seconds};
use crate::access::credentials::CheckError;
use crate::app::catalog::CatalogError;
use crate::earning::catalog_change::CatalogRefusal;
use crate::earning::object_id::MAX_ECHOED_CHARACTERS;
use crate::earning::redeem::RedeemFailure;
use crate::earning::{EarnFailure, ObjectId};
use crate::proto::Reason;
use crate::wire::{InvalidRequest, Violations};
use crate::writer::WalletError;

impl From<CheckError> for Refusal {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Wrong => Self::Unauthenticated(Unauthenticated::Credentials),
            CheckError::WrongToken => Self::Unauthenticated(Unauthenticated::Token),
            CheckError::Expired => Self::Unauthenticated(Unauthenticated::ExpiredToken),
            CheckError::KeysNotRead => Self::KeysNotRead,
            CheckError::TooManyFailures(wait) => Self::TooManyFailedLogins { retry_after: whole_seconds(wait) },
            CheckError::Overloaded => Self::Overloaded,
            CheckError::Storage(error) => Self::of_database(error.outage(), error),
            error @ CheckError::Key(_) => Self::Internal(Arc::new(error)),
        }
    }
}

impl From<InvalidRequest> for Refusal {
    fn from(problem: InvalidRequest) -> Self {
        match problem {
            InvalidRequest::Invalid(violations) => Self::Invalid(violations),
            InvalidRequest::InvalidCustomerId(id) => Self::InvalidCustomerId(id),
            InvalidRequest::InvalidPromotionId(id) => {
                Self::InvalidPromotionId(id.chars().take(MAX_ECHOED_CHARACTERS).collect())
            }
        }
    }
}

impl From<EarnFailure> for Refusal {
    fn from(failure: EarnFailure) -> Self {
        let of = |id: &ObjectId| ("promotionId", id.to_string());
        let (reason, values) = match &failure {
            EarnFailure::PromotionNotFound { given } => return Self::PromotionNotFound(given.clone()),
            EarnFailure::TypeNotSupported { promotion_id, kind } => {
                (Reason::TypeNotSupported, vec![of(promotion_id), ("type", kind.name().to_owned())])
            }
            EarnFailure::TypeNotEarnable { promotion_id, kind } => {
                (Reason::TypeNotEarnable, vec![of(promotion_id), ("type", kind.name().to_owned())])
            }
            EarnFailure::EarnedFromTypeChanged { recorded, given } => (
                Reason::EarnedFromTypeChanged,
                vec![("recorded", recorded.name().to_owned()), ("given", given.name().to_owned())],
            ),
            EarnFailure::Revoked { promotion_id, revoked, rest } => {
                let mut values = vec![of(promotion_id), ("revoked", revoked.to_string())];
                if let Some(rest) = rest {
                    values.push(("notGranted", rest.count.to_string()));
                    values.extend(Self::from(rest.cause.clone()).values());
                }
                (Reason::RevokedOrNotHeld, values)
            }
            EarnFailure::TooManyActivePromotions { active, cap } => {
                (Reason::TooManyActivePromotions, vec![("active", active.to_string()), ("cap", cap.to_string())])
            }
            EarnFailure::Inactive { promotion_id } => (Reason::NotRunning, vec![of(promotion_id)]),
            EarnFailure::NotStarted { promotion_id, event_time, start } => (
                Reason::NotRunning,
                vec![
                    of(promotion_id),
                    ("eventTime", event_time.millis().to_string()),
                    ("startDate", start.millis().to_string()),
                ],
            ),
            EarnFailure::Ended { promotion_id, event_time, end } => (
                Reason::Expired,
                vec![
                    of(promotion_id),
                    ("eventTime", event_time.millis().to_string()),
                    ("endDate", end.millis().to_string()),
                ],
            ),
            EarnFailure::NoLongerValid { promotion_id, event_time, valid_till } => (
                Reason::Expired,
                vec![
                    of(promotion_id),
                    ("eventTime", event_time.millis().to_string()),
                    ("validTill", valid_till.millis().to_string()),
                ],
            ),
            EarnFailure::NotInAudience { promotion_id, customer_id } => {
                (Reason::NotInAudience, vec![of(promotion_id), ("customerId", customer_id.to_string())])
            }
            EarnFailure::CapReached { promotion_id, cap, used, left, refused } => {
                let counts = [("cap", cap), ("used", used), ("left", left), ("refused", refused)];
                let counts = counts.into_iter().map(|(name, count)| (name, count.to_string()));
                (Reason::CapReached, std::iter::once(of(promotion_id)).chain(counts).collect())
            }
        };
        Self::Precondition { reason, message: failure.to_string(), values }
    }
}

impl From<RedeemFailure> for Refusal {
    fn from(failure: RedeemFailure) -> Self {
        let of = |id: &ObjectId| ("earnedPromotionId", id.to_string());
        let (reason, values) = match &failure {
            RedeemFailure::OtherContent { transaction_identifier, field } => (
                Reason::OtherTransaction,
                vec![("transactionIdentifier", transaction_identifier.to_string()), ("field", field.clone())],
            ),
            RedeemFailure::NotHeld(given) => (Reason::RevokedOrNotHeld, vec![("earnedPromotionId", given.clone())]),
            RedeemFailure::Revoked(id) => (Reason::RevokedOrNotHeld, vec![of(id)]),
            RedeemFailure::Redeemed { earn_id, by } => {
                (Reason::AlreadyRedeemed, vec![of(earn_id), ("transactionIdentifier", by.to_string())])
            }
            RedeemFailure::BeforeEvent { .. } => {
                return Self::Invalid(Violations::of("transactionDate", failure.to_string()));
            }
            RedeemFailure::Expired { earn_id, judged_at, valid_till } => (
                Reason::Expired,
                vec![
                    of(earn_id),
                    ("judgedAt", judged_at.millis().to_string()),
                    ("validTill", valid_till.millis().to_string()),
                ],
            ),
        };
        Self::Precondition { reason, message: failure.to_string(), values }
    }
}

impl From<CatalogError> for Refusal {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Unavailable(error) | CatalogError::Storage(error) => Self::of_database(error.outage(), error),
            error @ CatalogError::NoOrganization(_) => Self::Internal(Arc::new(error)),
            CatalogError::Refused(refused) => refused.into(),
        }
    }
}

impl From<CatalogRefusal> for Refusal {
    fn from(refusal: CatalogRefusal) -> Self {
        let of = |id: &ObjectId| ("promotionId", id.to_string());
        if let Some(field) = refusal.field() {
            return Self::Invalid(Violations::of(&format!("promotion.{field}"), refusal.to_string()));
        }
        let (reason, values) = match &refusal {
            CatalogRefusal::NotFound(id) => return Self::PromotionNotFound(id.to_string()),
            CatalogRefusal::Exists { promotion_id, differing } => {
                return Self::PromotionExists {
                    promotion_id: promotion_id.to_string(),
                    differing: differing.join(", "),
                };
            }
            // Violations of one field, which are handled above.
            CatalogRefusal::Incomplete(_) | CatalogRefusal::TypeFixed(_) | CatalogRefusal::ExpiryFixed(_) => {
                return Self::Invalid(Violations::of("promotion", refusal.to_string()));
            }
            CatalogRefusal::Ended { promotion_id, end } => {
                (Reason::Expired, vec![of(promotion_id), ("endDate", end.millis().to_string())])
            }
            CatalogRefusal::TooManyActive { active, cap } => {
                (Reason::TooManyActivePromotions, vec![("active", active.to_string()), ("cap", cap.to_string())])
            }
            CatalogRefusal::NameTaken { name, other } => (Reason::NameTaken, vec![("name", name.clone()), of(other)]),
        };
        Self::Precondition { reason, message: refusal.to_string(), values }
    }
}

impl From<WalletError> for Refusal {
    fn from(error: WalletError) -> Self {
        match error {
            WalletError::CustomerNotFound(id) => Self::CustomerNotFound(id.0),
            WalletError::CustomerLookupFailed(id, source) => match source.outage() {
                Some(outage) => Self::CustomerLookupFailed { customer_id: id.0, outage, cause: source },
                None => Self::Internal(source),
            },
            WalletError::AnswerTooLong => Self::Invalid(Violations::of(
                "earnedPromotions",
                "is recorded with a longer eventPayload and would make the response too long; request fewer at a time",
            )),
            WalletError::Overloaded => Self::Overloaded,
            WalletError::ShuttingDown => Self::NotServing,
            WalletError::Busy(source) | WalletError::Unavailable(source) | WalletError::Internal(source) => {
                Self::of_database(source.outage(), source)
            }
        }
    }
}
