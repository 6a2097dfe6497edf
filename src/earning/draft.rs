//! A promotion as a message or a file describes it. The fields that it leaves out stay as recorded, or take their
//! defaults.

use super::{Expiry, ObjectId, Promotion, PromotionType, Timestamp};

/// Name in messages of the cap of a promotion.
pub const CAP: &str = "maxEarningPerCustomer";
/// Name in messages of the rule that sets the validity of an earned promotion.
pub const EXPIRY: &str = "earnExpiry";
/// Name in messages of the limitation to an audience.
pub const LIMITED: &str = "earnLimitedToSpecificAudience";

/// Cap as a message states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapDraft {
    /// No cap. A recorded one is removed.
    Unlimited,
    /// Cap of this many instances per customer.
    AtMost(u32),
}

/// Promotion as a message or a file describes it. Fields that are left out are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromotionDraft {
    /// Identifier of the promotion within the organization.
    pub id: ObjectId,
    /// Name of the promotion.
    pub name: Option<String>,
    /// Type of the promotion.
    pub kind: Option<PromotionType>,
    /// True if the promotion is switched on.
    pub active: Option<bool>,
    /// First millisecond of the promotion.
    pub start: Option<Timestamp>,
    /// Last millisecond of the promotion.
    pub end: Option<Timestamp>,
    /// Cap: number of instances that one customer can earn.
    pub cap: Option<CapDraft>,
    /// Rule that sets the validity of an earned promotion.
    pub expiry: Option<Expiry>,
    /// True if only the customers of its audience can earn the promotion.
    pub limited_to_audience: Option<bool>,
}

/// Violation of the form that shows once the draft is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DraftViolation {
    /// A new promotion lacks a field that has no default.
    #[error("is required for a new promotion")]
    Missing(&'static str),
    /// The promotion ends before it starts.
    #[error("must not be before startDate")]
    EndsBeforeStart,
}

impl DraftViolation {
    /// Returns the name of the field in messages.
    pub fn field(self) -> &'static str {
        match self {
            Self::Missing(field) => field,
            Self::EndsBeforeStart => "endDate",
        }
    }
}

impl PromotionDraft {
    /// Completes the draft from `recorded`, or with the defaults when the promotion is new. The result carries no
    /// history: it is not earned, and its cap period is 0.
    ///
    /// # Errors
    /// Returns every field that a new promotion lacks, or else an end before the start.
    pub fn complete(&self, recorded: Option<&Promotion>) -> Result<Promotion, Vec<DraftViolation>> {
        let mut missing = Vec::new();
        let mut lacks = |field| missing.push(DraftViolation::Missing(field));
        let name = self.name.clone().or_else(|| recorded.map(|recorded| recorded.name.clone()));
        let kind = self.kind.or(recorded.map(|recorded| recorded.kind));
        let start = self.start.or(recorded.map(|recorded| recorded.start));
        let end = self.end.or(recorded.map(|recorded| recorded.end));
        let promotion = Promotion {
            id: self.id,
            name: name.unwrap_or_else(|| {
                lacks("name");
                String::new()
            }),
            kind: kind.unwrap_or_else(|| {
                lacks("type");
                PromotionType::Earning
            }),
            active: self.active.unwrap_or(recorded.is_none_or(|recorded| recorded.active)),
            start: start.unwrap_or_else(|| {
                lacks("startDate");
                Timestamp::EPOCH
            }),
            end: end.unwrap_or_else(|| {
                lacks("endDate");
                Timestamp::MAX
            }),
            cap: match self.cap {
                None => recorded.and_then(|recorded| recorded.cap),
                Some(CapDraft::Unlimited) => None,
                Some(CapDraft::AtMost(cap)) => Some(cap),
            },
            cap_period: 0,
            expiry: self.expiry.unwrap_or(recorded.map_or(Expiry::WithPromotion, |recorded| recorded.expiry)),
            limited_to_audience: self
                .limited_to_audience
                .unwrap_or(recorded.is_some_and(|recorded| recorded.limited_to_audience)),
            earned: false,
        };
        if missing.is_empty() && promotion.end < promotion.start {
            missing.push(DraftViolation::EndsBeforeStart);
        }
        if missing.is_empty() { Ok(promotion) } else { Err(missing) }
    }
}

impl Promotion {
    /// Returns the fields that callers set: the name of each in messages, and its value as text.
    pub fn content(&self) -> [(&'static str, String); 8] {
        [
            ("name", format!("{:?}", self.name)),
            ("type", self.kind.name().to_owned()),
            ("active", self.active.to_string()),
            ("startDate", self.start.to_string()),
            ("endDate", self.end.to_string()),
            (CAP, self.cap.map_or("none".to_owned(), |cap| cap.to_string())),
            (EXPIRY, self.expiry.text()),
            (LIMITED, self.limited_to_audience.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Edit that sets one field of a draft.
    type DraftEdit = fn(&mut PromotionDraft);

    fn empty() -> PromotionDraft {
        PromotionDraft {
            id: ObjectId([7; 12]),
            name: None,
            kind: None,
            active: None,
            start: None,
            end: None,
            cap: None,
            expiry: None,
            limited_to_audience: None,
        }
    }

    fn full() -> PromotionDraft {
        PromotionDraft {
            id: ObjectId([7; 12]),
            name: Some("Ten off".to_owned()),
            kind: Some(PromotionType::Reward),
            active: Some(false),
            start: Some(Timestamp::from_millis(5)),
            end: Some(Timestamp::from_millis(9)),
            cap: Some(CapDraft::AtMost(3)),
            expiry: Some(Expiry::DaysFromEarning(30)),
            limited_to_audience: Some(true),
        }
    }

    #[test]
    fn what_a_draft_leaves_out_stays_as_recorded() {
        let recorded = full().complete(None).unwrap();
        assert_eq!(empty().complete(Some(&recorded)).unwrap().content(), recorded.content());
    }

    #[test]
    fn each_field_that_a_draft_names_changes_that_field_alone() {
        let recorded = full().complete(None).unwrap();
        let drafts: [(&str, DraftEdit); 8] = [
            ("name", |draft| draft.name = Some("Other".to_owned())),
            ("type", |draft| draft.kind = Some(PromotionType::Earning)),
            ("active", |draft| draft.active = Some(true)),
            ("startDate", |draft| draft.start = Some(Timestamp::from_millis(6))),
            ("endDate", |draft| draft.end = Some(Timestamp::from_millis(8))),
            (CAP, |draft| draft.cap = Some(CapDraft::Unlimited)),
            (EXPIRY, |draft| draft.expiry = Some(Expiry::WithPromotion)),
            (LIMITED, |draft| draft.limited_to_audience = Some(false)),
        ];
        for (field, change) in drafts {
            let mut draft = empty();
            change(&mut draft);
            let changed = draft.complete(Some(&recorded)).unwrap().content();
            let differs = changed.iter().zip(recorded.content()).filter(|(now, before)| **now != *before);
            assert_eq!(differs.map(|(now, _)| now.0).collect::<Vec<_>>(), [field]);
        }
    }

    #[test]
    fn a_new_promotion_has_defaults_for_all_but_four_fields() {
        let missing: Vec<_> = empty().complete(None).unwrap_err().into_iter().map(DraftViolation::field).collect();
        assert_eq!(missing, ["name", "type", "startDate", "endDate"]);
        let optional = empty();
        let new = PromotionDraft { active: optional.active, ..full() };
        let new = PromotionDraft { cap: None, expiry: None, limited_to_audience: None, ..new };
        let new = new.complete(None).unwrap();
        assert!(new.active && !new.limited_to_audience && new.cap.is_none());
        assert_eq!(new.expiry, Expiry::WithPromotion);
    }

    #[test]
    fn an_end_before_the_recorded_start_is_found() {
        let recorded = full().complete(None).unwrap();
        let early = PromotionDraft { end: Some(Timestamp::from_millis(4)), ..empty() };
        assert_eq!(early.complete(Some(&recorded)).unwrap_err(), [DraftViolation::EndsBeforeStart]);
    }
}
