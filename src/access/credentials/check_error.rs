//! Errors of the check of credentials.

use std::sync::Arc;
use std::time::Duration;

use super::super::attempts::TooMany;
use super::super::claims::TokenRefusal;
use super::super::jws::KeyError;
use super::hashing::HashingFull;
use crate::storage::StorageError;

/// The reason for which credentials are not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckError {
    /// No credentials are presented, or they are wrong.
    #[error("wrong credentials")]
    Wrong,
    /// The token is wrong.
    #[error("wrong token")]
    WrongToken,
    /// The token was valid, and has expired.
    #[error("the token has expired")]
    Expired,
    /// The keys of the token's issuer have not been read yet.
    #[error("the keys of the token's issuer were not read yet")]
    KeysNotRead,
    /// Too many logins failed. Holds the time until another attempt is admitted.
    #[error("too many logins failed")]
    TooManyFailures(Duration),
    /// The limit of concurrent checks is reached.
    #[error("too many credentials are being checked")]
    Overloaded,
    /// The database could not be read.
    #[error("the API client could not be read")]
    Storage(#[source] Arc<StorageError>),
    /// A token could not be signed.
    #[error("no token can be given out")]
    Key(#[from] KeyError),
}

impl From<TooMany> for CheckError {
    fn from(TooMany(wait): TooMany) -> Self {
        Self::TooManyFailures(wait)
    }
}

impl From<HashingFull> for CheckError {
    fn from(HashingFull: HashingFull) -> Self {
        Self::Overloaded
    }
}

impl From<TokenRefusal> for CheckError {
    fn from(problem: TokenRefusal) -> Self {
        match problem {
            TokenRefusal::Expired => Self::Expired,
            TokenRefusal::Wrong => Self::WrongToken,
            TokenRefusal::KeysNotRead => Self::KeysNotRead,
        }
    }
}
