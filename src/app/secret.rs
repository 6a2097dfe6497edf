//! Secrets: a text that is never printed, and the hash that is stored of it.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};

/// A caller's secret.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// argon2id of it with a salt of its own, as a PHC string. Takes tens of milliseconds and 19 MiB.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn hash(&self) -> Result<String, HashError> {
        Ok(Argon2::default().hash_password(self.expose()).map_err(|_| HashError)?.to_string())
    }

    /// Whether `hash`, a PHC string, is of this secret. Takes as long as hashing.
    pub fn matches(&self, hash: &str) -> bool {
        PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(self.expose(), &hash).is_ok())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("a secret could not be hashed")]
pub struct HashError;
