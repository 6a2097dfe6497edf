//! The access of an API client: a set of access groups.

use std::fmt;

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

/// An access group: a set of calls that a client may be allowed to make.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray, VariantNames,
)]
pub enum AccessGroup {
    /// Allows no call yet: every call that earns also grants.
    #[strum(serialize = "earn:read")]
    EarnRead,
    /// Allows granting promotions.
    #[strum(serialize = "earn:write")]
    EarnWrite,
    /// Allows reading what customers hold.
    #[strum(serialize = "wallet:read")]
    WalletRead,
    /// Allows revoking and redeeming earned promotions.
    #[strum(serialize = "wallet:write")]
    WalletWrite,
    /// Allows reading promotions.
    #[strum(serialize = "catalog:read")]
    CatalogRead,
    /// Allows changing promotions and their audiences.
    #[strum(serialize = "catalog:write")]
    CatalogWrite,
    /// Allows reading which customers are recorded.
    #[strum(serialize = "customers:read")]
    CustomersRead,
    /// Allows recording customers.
    #[strum(serialize = "customers:write")]
    CustomersWrite,
    /// Allows no call yet: an operator works from a shell.
    #[strum(serialize = "admin:read")]
    AdminRead,
    /// Allows no call yet.
    #[strum(serialize = "admin:write")]
    AdminWrite,
}

impl AccessGroup {
    /// Returns the name of the group in records and messages.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The access of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Every group, including those that a later version adds.
    All,
    /// The listed groups.
    Of(Vec<AccessGroup>),
}

impl Access {
    /// Parses `text`, which [`Access`] wrote. Ignores the name of a group from a later version.
    pub fn parse(text: &str) -> Self {
        match text {
            EVERYTHING => Self::All,
            names => Self::Of(names.split(' ').filter_map(|name| name.parse().ok()).collect()),
        }
    }

    /// Returns true when the access includes `group`.
    pub fn includes(&self, group: AccessGroup) -> bool {
        match self {
            Self::All => true,
            Self::Of(groups) => groups.contains(&group),
        }
    }
}

/// The recorded access of a client that may do everything.
const EVERYTHING: &str = "*";

/// Writes the names with a space between them.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(EVERYTHING),
            Self::Of(groups) => {
                let names: Vec<_> = groups.iter().map(|group| group.name()).collect();
                f.write_str(&names.join(" "))
            }
        }
    }
}
