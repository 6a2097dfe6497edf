//! Column types: the enums, ids and composite texts of the tables, each tied to its type in the rules.

use std::fmt;
use std::str::FromStr;

use sea_orm::{DbErr, DeriveActiveEnum, DeriveValueType, EnumIter, TryFromU64};

use crate::earning::change::RecordedStatus;
use crate::earning::history::ChangeAction;
use crate::earning::{EarnedFromType, ObjectId, PromotionType, SupplementaryCriteria};

/// Declares an enum that is stored as text, with its conversions to and from the enum of the rules.
macro_rules! stored_enum {
    ($(#[$doc:meta])* $stored:ident, $rule:ident, { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
        #[sea_orm(rs_type = "String", db_type = "Text")]
        pub enum $stored {
            $(#[sea_orm(string_value = $text)] $variant,)*
        }

        impl $stored {
            /// Returns the stored text of a value of the rules.
            pub fn text(value: $rule) -> &'static str {
                match value {
                    $($rule::$variant => $text,)*
                }
            }
        }

        impl From<$stored> for $rule {
            fn from(stored: $stored) -> Self {
                match stored {
                    $($stored::$variant => Self::$variant,)*
                }
            }
        }

        impl From<$rule> for $stored {
            fn from(value: $rule) -> Self {
                match value {
                    $($rule::$variant => Self::$variant,)*
                }
            }
        }
    };
}

stored_enum! {
    /// Stored status of an earned promotion.
    StoredStatus, RecordedStatus, {
        Unlocked = "UNLOCKED",
        Redeemed = "REDEEMED",
        Revoked = "REVOKED",
    }
}

stored_enum! {
    /// Stored type under which a promotion was earned.
    StoredEarnedFromType, EarnedFromType, {
        BulkIssue = "BULK_ISSUE",
        Activity = "ACTIVITY",
        Milestone = "MILESTONE",
        Reward = "REWARD",
    }
}

stored_enum! {
    /// Stored type of a promotion.
    StoredPromotionType, PromotionType, {
        Pos = "POS",
        Code = "CODE",
        Customer = "CUSTOMER",
        Earning = "EARNING",
        Reward = "REWARD",
    }
}

stored_enum! {
    /// Stored kind of a change of a catalog.
    StoredAction, ChangeAction, {
        OrganizationCreated = "ORGANIZATION_CREATED",
        OrganizationChanged = "ORGANIZATION_CHANGED",
        PromotionCreated = "PROMOTION_CREATED",
        PromotionChanged = "PROMOTION_CHANGED",
        PromotionActivated = "PROMOTION_ACTIVATED",
        PromotionDeactivated = "PROMOTION_DEACTIVATED",
        PromotionEarned = "PROMOTION_EARNED",
        AudienceChanged = "AUDIENCE_CHANGED",
        ClientCreated = "CLIENT_CREATED",
        ClientChanged = "CLIENT_CHANGED",
        ClientRemoved = "CLIENT_REMOVED",
    }
}

/// Id of a promotion or of an earned promotion, stored as 24 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct Id(pub ObjectId);

/// Error of a column that holds a text outside its type.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a value of the column's type")]
pub struct NotOfItsType(String);

impl FromStr for Id {
    type Err = NotOfItsType;

    fn from_str(text: &str) -> Result<Self, NotOfItsType> {
        ObjectId::parse(text).map(Self).ok_or_else(|| NotOfItsType(text.to_owned()))
    }
}

/// Refuses the conversion: SeaORM requires it of every column of a primary key, but no database generates these ids.
impl TryFromU64 for Id {
    fn try_from_u64(_: u64) -> Result<Self, DbErr> {
        Err(DbErr::ConvertFromU64("Id"))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Supplementary loyalty program, stored as its three parts separated by spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct StoredCriteria(pub SupplementaryCriteria);

impl FromStr for StoredCriteria {
    type Err = NotOfItsType;

    fn from_str(text: &str) -> Result<Self, NotOfItsType> {
        let wrong = || NotOfItsType(text.to_owned());
        let [loyalty, kind, partner] = text.split(' ').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        Ok(Self(SupplementaryCriteria {
            loyalty_program_id: loyalty.parse().map_err(|_| wrong())?,
            program_type: kind.parse().map_err(|_| wrong())?,
            partner_program_id: partner.parse().map_err(|_| wrong())?,
        }))
    }
}

impl fmt::Display for StoredCriteria {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SupplementaryCriteria { loyalty_program_id, program_type, partner_program_id } = self.0;
        write!(f, "{loyalty_program_id} {} {partner_program_id}", program_type.name())
    }
}

/// Converts a count or a limit, which no table allows below 0.
pub fn count(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
