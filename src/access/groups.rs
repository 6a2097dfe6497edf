//! The access of an API client: a set of access groups.

use std::fmt;

/// An access group: a set of calls that a client may be allowed to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccessGroup {
    /// Allows no call yet: every call that earns also grants.
    EarnRead,
    /// Allows granting promotions.
    EarnWrite,
    /// Allows reading what customers hold.
    WalletRead,
    /// Allows revoking and redeeming earned promotions.
    WalletWrite,
    /// Allows reading promotions.
    CatalogRead,
    /// Allows changing promotions and their audiences.
    CatalogWrite,
    /// Allows reading which customers are recorded.
    CustomersRead,
    /// Allows recording customers.
    CustomersWrite,
    /// Allows no call yet: an operator works from a shell.
    AdminRead,
    /// Allows no call yet.
    AdminWrite,
}

impl AccessGroup {
    /// Every access group.
    pub const ALL: [Self; 10] = [
        Self::EarnRead,
        Self::EarnWrite,
        Self::WalletRead,
        Self::WalletWrite,
        Self::CatalogRead,
        Self::CatalogWrite,
        Self::CustomersRead,
        Self::CustomersWrite,
        Self::AdminRead,
        Self::AdminWrite,
    ];

    /// Returns the name of the group in records and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::EarnRead => "earn:read",
            Self::EarnWrite => "earn:write",
            Self::WalletRead => "wallet:read",
            Self::WalletWrite => "wallet:write",
            Self::CatalogRead => "catalog:read",
            Self::CatalogWrite => "catalog:write",
            Self::CustomersRead => "customers:read",
            Self::CustomersWrite => "customers:write",
            Self::AdminRead => "admin:read",
            Self::AdminWrite => "admin:write",
        }
    }

    /// Returns the group of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
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
            names => Self::Of(names.split(' ').filter_map(AccessGroup::from_name).collect()),
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
