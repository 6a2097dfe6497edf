//! The values that each column takes, beyond its type. Every column of every table is listed by name, so the build
//! fails when one is added.

use sea_orm::ActiveEnum;

use crate::earning::limits;
use crate::storage::batch::history::MAX_ACTOR_CHARACTERS;
use crate::storage::entity::stored::{StoredAction, StoredEarnedFromType, StoredPromotionType, StoredStatus};
use crate::storage::entity::{
    OrgOwned, api_client, audience, cap_usage, catalog_change, customer, earned_promotion, former_term, org, promotion,
    redemption,
};

/// Values that a column takes, within its type.
pub(super) enum Takes {
    /// Any value.
    Any,
    /// Texts that are checked elsewhere and never repeated in a breach.
    Hidden,
    /// Integers between two bounds, both inclusive.
    From(i64, i64),
    /// Texts of 1 to this number of characters.
    Text(usize),
    /// Ids: 24 hexadecimal digits in lower case.
    Id,
    /// These texts only.
    OneOf(Vec<String>),
}

const POSITIVE: Takes = Takes::From(1, i64::MAX);
const NOT_NEGATIVE: Takes = Takes::From(0, i64::MAX);
/// Counts from 1 that are read as 32 bits.
const COUNT: Takes = Takes::From(1, 0xffff_ffff);

impl Takes {
    /// Returns the condition that `column` holds another value; `None` if there is no other value.
    pub fn otherwise(&self, column: &str) -> Option<String> {
        match self {
            Self::Any | Self::Hidden => None,
            Self::From(least, most) => Some(format!("{column} NOT BETWEEN {least} AND {most}")),
            Self::Text(most) => Some(format!("length({column}) NOT BETWEEN 1 AND {most}")),
            // `trim` removes digits at both ends; any other character stays.
            Self::Id => Some(format!("length({column}) <> 24 OR trim({column}, '0123456789abcdef') <> ''")),
            Self::OneOf(texts) => Some(format!("{column} NOT IN ('{}')", texts.join("', '"))),
        }
    }
}

/// Entity with the values that its columns take.
pub(super) trait HasCursor: OrgOwned {
    /// Returns the values that a column takes.
    fn takes(column: Self::Column) -> Takes;
}

impl HasCursor for org::Entity {
    fn takes(column: org::Column) -> Takes {
        use org::Column;
        match column {
            Column::Id | Column::CatalogVersion => POSITIVE,
            Column::Name => Takes::Text(limits::org::NAME_MAX_LEN),
            Column::MaxActivePromotions => COUNT,
            Column::TimeZone | Column::AcceptUnknownCustomers => Takes::Any,
        }
    }
}

impl HasCursor for promotion::Entity {
    fn takes(column: promotion::Column) -> Takes {
        use promotion::Column;
        match column {
            Column::OrgId => POSITIVE,
            Column::Id => Takes::Id,
            Column::Name => Takes::Text(limits::promotion::NAME_MAX_LEN),
            Column::Kind => Takes::OneOf(StoredPromotionType::values()),
            Column::Cap | Column::ExpiryDays => COUNT,
            Column::CapPeriod => NOT_NEGATIVE,
            Column::Active | Column::StartMs | Column::EndMs | Column::LimitedToAudience | Column::Earned => Takes::Any,
        }
    }
}

impl HasCursor for audience::Entity {
    fn takes(column: audience::Column) -> Takes {
        use audience::Column;
        match column {
            Column::OrgId | Column::CustomerId => POSITIVE,
            Column::PromotionId => Takes::Id,
        }
    }
}

impl HasCursor for customer::Entity {
    fn takes(column: customer::Column) -> Takes {
        use customer::Column;
        match column {
            Column::OrgId | Column::CustomerId => POSITIVE,
        }
    }
}

impl HasCursor for api_client::Entity {
    fn takes(column: api_client::Column) -> Takes {
        use api_client::Column;
        match column {
            Column::Username => Takes::Text(limits::api_client::USERNAME_MAX_LEN),
            Column::SecretHash => Takes::Hidden,
            Column::OrgId => POSITIVE,
            Column::RequestsPerMinute => Takes::From(0, 0xffff_ffff),
            Column::Access | Column::Disabled => Takes::Any,
        }
    }
}

impl HasCursor for earned_promotion::Entity {
    fn takes(column: earned_promotion::Column) -> Takes {
        use earned_promotion::Column;
        match column {
            Column::OrgId | Column::CustomerId | Column::Ordinal => POSITIVE,
            Column::EarnId | Column::PromotionId => Takes::Id,
            Column::EventId => Takes::Text(limits::event_details::ID_MAX_LEN),
            Column::EventType => Takes::Text(limits::earn_event_details::TYPE_MAX_LEN),
            Column::EarnedFromId => Takes::Text(limits::promotion_to_earn::EARNED_FROM_ID_MAX_LEN),
            Column::TransactionIdentifier => Takes::Text(limits::redeem_request::TRANSACTION_IDENTIFIER_MAX_LEN),
            Column::EarnedFromType => Takes::OneOf(StoredEarnedFromType::values()),
            Column::EarnedStatus => Takes::OneOf(StoredStatus::values()),
            Column::EventTimeMs
            | Column::ValidTillMs
            | Column::GrantedAtMs
            | Column::ChangedAtMs
            | Column::SupplementaryCriteria => Takes::Any,
            Column::EventPayload => Takes::Hidden,
        }
    }
}

impl HasCursor for cap_usage::Entity {
    fn takes(column: cap_usage::Column) -> Takes {
        use cap_usage::Column;
        match column {
            Column::OrgId | Column::CustomerId => POSITIVE,
            Column::PromotionId => Takes::Id,
            Column::Used | Column::Cap | Column::CapPeriod => NOT_NEGATIVE,
            Column::LastChange => Takes::Any,
        }
    }
}

impl HasCursor for catalog_change::Entity {
    fn takes(column: catalog_change::Column) -> Takes {
        use catalog_change::Column;
        match column {
            Column::OrgId | Column::Version | Column::Part => POSITIVE,
            Column::Actor => Takes::Text(MAX_ACTOR_CHARACTERS),
            Column::RequestId => Takes::Text(limits::recorded_change::REQUEST_ID_MAX_LEN),
            Column::Action => Takes::OneOf(StoredAction::values()),
            Column::PromotionId => Takes::Id,
            Column::ChangedAtMs => Takes::Any,
            // Another check parses them.
            Column::Before | Column::After => Takes::Hidden,
        }
    }
}

impl HasCursor for redemption::Entity {
    fn takes(column: redemption::Column) -> Takes {
        use redemption::Column;
        match column {
            Column::OrgId | Column::CustomerId | Column::Instances => POSITIVE,
            Column::TransactionIdentifier => Takes::Text(limits::redeem_request::TRANSACTION_IDENTIFIER_MAX_LEN),
            Column::RedeemedAtMs => Takes::Any,
            Column::Digest | Column::Content => Takes::Hidden,
        }
    }
}

impl HasCursor for former_term::Entity {
    fn takes(column: former_term::Column) -> Takes {
        use former_term::Column;
        match column {
            Column::OrgId => POSITIVE,
            Column::PromotionId => Takes::Id,
            Column::EndMs | Column::TimeZone => Takes::Any,
        }
    }
}
