//! What an API client may do.

use std::fmt;

/// Something that a client may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccessGroup {
    /// Nothing yet: every call that earns grants.
    EarnRead,
    /// Granting promotions.
    EarnWrite,
    /// Seeing what customers hold.
    WalletRead,
    /// Revoking and redeeming it.
    WalletWrite,
    /// Seeing promotions.
    CatalogRead,
    /// Changing promotions and their audiences.
    CatalogWrite,
    /// Seeing which customers are recorded.
    CustomersRead,
    /// Recording customers.
    CustomersWrite,
    /// Nothing yet: what an operator does is done from a shell.
    AdminRead,
    /// Nothing yet.
    AdminWrite,
}

impl AccessGroup {
    /// Every group there is.
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

    /// The name in records and messages.
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

    /// The group of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }
}

/// What a client may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everything, also what a later version adds.
    All,
    /// These groups.
    Of(Vec<AccessGroup>),
}

impl Access {
    /// What `text` says, which [`Access`] wrote; a name from a later version is nothing here.
    pub fn parse(text: &str) -> Self {
        match text {
            EVERYTHING => Self::All,
            names => Self::Of(names.split(' ').filter_map(AccessGroup::from_name).collect()),
        }
    }

    /// Whether `group` is among it.
    pub fn includes(&self, group: AccessGroup) -> bool {
        match self {
            Self::All => true,
            Self::Of(groups) => groups.contains(&group),
        }
    }
}

/// The record of a client that may do everything.
const EVERYTHING: &str = "*";

/// The names with a space between them.
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
