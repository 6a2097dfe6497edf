//! Stored hash of a secret. Secrets can be guessed against a hash, so `Debug` does not print it.

use std::fmt;

use sea_orm::DeriveValueType;

/// argon2id hash of a secret, as a PHC string.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct SecretHash(String);

impl SecretHash {
    /// Wraps a PHC string.
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    /// Returns the PHC string, for comparing a secret with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}
