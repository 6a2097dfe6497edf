//! The key for access tokens that the servers on a database share when none is configured.
//!
//! The server that needs it first makes it, and the database keeps it. Nothing but the permissions of the database
//! protects it. Called by `tokens`.

use super::jws::{KeyError, SigningKey};
use crate::storage::{PrivateKeyPem, StorageError, Store};

/// Name of the key.
const KID: &str = "database";

/// The reason for which there is no shared key.
#[derive(Debug, thiserror::Error)]
pub enum SharedKeyError {
    /// The key cannot be generated.
    #[error("cannot generate a key for access tokens; configure one with --token-key")]
    Generate(#[source] KeyError),
    /// The recorded key cannot be used.
    #[error(
        "the key for access tokens in the database {0}; configure one with --token-key, or delete the row of token_keys: \
         a new key is made then, and tokens of the old one end"
    )]
    Unusable(UnusableKey),
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The reason for which a recorded key is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// Servers look for another name.
    #[error("is not the one that servers share, {KID:?}")]
    Name,
    /// The text is not a key.
    #[error("is not a private key in PEM")]
    Text,
}

/// Returns the key, and makes it first if there is none.
///
/// # Errors
/// Returns why there is no key.
pub(super) async fn read_or_make(store: &Store) -> Result<SigningKey, SharedKeyError> {
    let pem = if let Some(recorded) = store.token_key(KID).await? {
        recorded
    } else {
        let made = SigningKey::generate_pem().map_err(SharedKeyError::Generate)?;
        store.record_token_key(KID, PrivateKeyPem::new(made)).await?
    };
    parse(KID, &pem).map_err(SharedKeyError::Unusable)
}

/// Reads a recorded key.
///
/// # Errors
/// Returns why it is of no use.
pub fn parse(kid: &str, pem: &PrivateKeyPem) -> Result<SigningKey, UnusableKey> {
    if kid != KID {
        return Err(UnusableKey::Name);
    }
    SigningKey::from_pem(kid, pem.expose().as_bytes()).map_err(|_| UnusableKey::Text)
}
