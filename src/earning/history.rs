//! The history of a catalog: the kinds of changes, and who makes them.

use std::fmt;
use std::sync::Arc;

use super::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantNames};

/// Kind of a recorded change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ChangeAction {
    /// The organization was recorded.
    OrganizationCreated,
    /// Settings of the organization changed.
    OrganizationChanged,
    /// A promotion was created.
    PromotionCreated,
    /// A promotion changed in other ways than those below.
    PromotionChanged,
    /// A promotion was activated, and nothing else of it changed.
    PromotionActivated,
    /// A promotion was deactivated, and nothing else of it changed.
    PromotionDeactivated,
    /// A promotion was earned for the first time; its earn expiry is fixed from then on.
    PromotionEarned,
    /// Customers were added to the audience of a promotion, or removed from it.
    AudienceChanged,
    /// An API client was added.
    ClientCreated,
    /// An API client changed, or got a new secret.
    ClientChanged,
    /// An API client was removed.
    ClientRemoved,
}

impl ChangeAction {
    /// Returns the documented name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Program or person that makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// API client, by its name.
    Client(Arc<str>),
    /// Operator at the command line, by the user and the machine: `USER@HOST`.
    Operator(Arc<str>),
    /// The service itself, when it notes that a promotion was earned for the first time.
    Service,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(name) => write!(f, "client {name}"),
            Self::Operator(name) => write!(f, "operator {name}"),
            Self::Service => f.write_str("service"),
        }
    }
}

/// Origin of a change.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Program or person that makes the change.
    pub actor: Actor,
    /// Request id of the call that makes it.
    pub request_id: Option<Arc<str>>,
    /// Time of the change.
    pub at: Timestamp,
}
