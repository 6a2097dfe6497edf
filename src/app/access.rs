//! What an API client may do.

use std::fmt;

/// Something that a client may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccessGroup {
    /// Granting promotions.
    EarnWrite,
}

impl AccessGroup {
    /// Every group there is.
    pub const ALL: [Self; 1] = [Self::EarnWrite];

    /// The name in records and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::EarnWrite => "earn:write",
        }
    }

    /// The group of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }
}

/// What a client may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access(Vec<AccessGroup>);

impl Access {
    /// These groups.
    pub fn of(groups: Vec<AccessGroup>) -> Self {
        Self(groups)
    }

    /// Everything.
    pub fn all() -> Self {
        Self(AccessGroup::ALL.to_vec())
    }

    /// The groups named in `text`, which [`Access`] wrote; a name from a later version is nothing here.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.split(' ').filter_map(AccessGroup::from_name).collect())
    }

    /// Whether `group` is among them.
    pub fn includes(&self, group: AccessGroup) -> bool {
        self.0.contains(&group)
    }
}

/// The names with a space between them.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|group| group.name()).collect();
        f.write_str(&names.join(" "))
    }
}
