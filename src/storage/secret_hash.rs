//! What is stored of a secret. Whoever has it can try secrets until one fits, so it is not shown either.

use std::fmt;

use sea_orm::DeriveValueType;

/// argon2id of a secret, as a PHC string.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct SecretHash(String);

impl SecretHash {
    /// Keeps `phc`.
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The text itself, to compare a secret with.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}
