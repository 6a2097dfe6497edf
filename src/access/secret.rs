//! Secrets: a text that is never printed, and the hash under which it is stored.

use std::fmt;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::storage::SecretHash;

/// A hash with the parameters of the hashes made here, which matches no known secret.
const OF_NOTHING: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A secret. Its memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Generates a secret: 32 random bytes in hexadecimal digits, which need no quoting in shells and forms.
    pub fn random() -> Self {
        Self::new(format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()))
    }

    /// Returns the text, for hashing and comparison.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Returns the text, to be shown once to the operator who had it generated.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Hashes the secret by argon2id with a random salt, as a PHC string. Takes tens of milliseconds and 19 MiB.
    ///
    /// # Errors
    /// Returns an error when the system provides no randomness.
    pub fn hash(&self) -> Result<SecretHash, HashError> {
        let hash = Argon2::default().hash_password(self.expose()).map_err(|_| HashError)?;
        Ok(SecretHash::new(hash.to_string()))
    }
}

/// Checks secrets against hashes, in memory that it keeps: 19 MiB for hashes made here.
#[derive(Default)]
pub struct Checker {
    blocks: Vec<Block>,
}

impl Checker {
    /// Returns true when `hash` is of this secret. Without a hash it takes as long and returns false, so that the time
    /// taken does not reveal which clients exist.
    pub fn matches(&mut self, secret: &Secret, hash: Option<&SecretHash>) -> bool {
        self.try_match(secret, hash.map_or(OF_NOTHING, SecretHash::expose)).unwrap_or(false) && hash.is_some()
    }

    fn try_match(&mut self, secret: &Secret, hash: &str) -> Option<bool> {
        let Readable { salt, expected, algorithm, version, params } = Readable::read(hash)?;
        self.blocks.resize(params.block_count(), Block::default());
        let mut computed = vec![0; expected.as_bytes().len()];
        Argon2::new(algorithm, version, params)
            .hash_password_into_with_memory(secret.expose(), salt.as_ref(), &mut computed, &mut self.blocks)
            .ok()?;
        Some(computed.ct_eq(expected.as_bytes()).into())
    }
}

/// Returns true if the hash can be parsed and compared with a secret.
pub fn is_readable(hash: &SecretHash) -> bool {
    Readable::read(hash.expose()).is_some()
}

/// The parts of a hash.
struct Readable {
    salt: Salt,
    expected: Output,
    algorithm: Algorithm,
    version: Version,
    params: Params,
}

impl Readable {
    fn read(hash: &str) -> Option<Self> {
        let hash = PasswordHash::new(hash).ok()?;
        Some(Self {
            salt: hash.salt?,
            expected: hash.hash?,
            algorithm: Algorithm::try_from(hash.algorithm.as_str()).ok()?,
            version: Version::try_from(hash.version?).ok()?,
            params: Params::try_from(&hash).ok()?,
        })
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checker")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_secret_and_no_other() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let hash = secret("demo").hash().unwrap();
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.expose());
        let mut checker = Checker::default();
        assert!(checker.matches(&secret("demo"), Some(&hash)));
        for wrong in ["", "Demo", "demo "] {
            assert!(!checker.matches(&secret(wrong), Some(&hash)), "{wrong:?}");
        }
        for no_hash in ["", "demo", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ"] {
            let no_hash = SecretHash::new(no_hash.to_owned());
            assert!(!checker.matches(&secret("demo"), Some(&no_hash)), "{}", no_hash.expose());
        }
        assert!(!checker.matches(&secret("demo"), None));
        assert_eq!(checker.try_match(&secret("demo"), OF_NOTHING), Some(false), "it is computed");
    }

    #[test]
    fn neither_a_secret_nor_its_hash_is_shown() {
        let secret = Secret::new("hunter2".to_owned());
        let hash = secret.hash().unwrap();
        let client = crate::storage::clients::ApiClient {
            username: "demo".to_owned(),
            secret_hash: hash.clone(),
            org_id: crate::earning::OrgId(1),
            access: "*".to_owned(),
            disabled: false,
            requests_per_minute: None,
        };
        let change = crate::storage::clients::ClientChange { secret_hash: Some(hash.clone()), ..Default::default() };
        let presented = format!("{secret:?} {hash:?} {client:?} {change:?}");
        assert!(!presented.contains("hunter2") && !presented.contains("argon2"), "{presented}");
    }
}
