//! Stored private key. `Debug` does not print it.

use std::fmt;

use sea_orm::DeriveValueType;

/// Private key, as the text of a PEM file.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct PrivateKeyPem(String);

impl PrivateKeyPem {
    /// Wraps the text of a PEM file.
    pub fn new(pem: String) -> Self {
        Self(pem)
    }

    /// Returns the text of the PEM file, for signing with the key.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyPem(…)")
    }
}
