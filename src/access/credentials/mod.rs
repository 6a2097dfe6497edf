//! Authenticates callers: by username and secret against the recorded API clients, and by access tokens against the
//! keys that sign them.
//!
//! Checking a secret is slow and takes much memory by design (argon2id). So few are checked at a time (`hashing`), once
//! for all requests that wait for the same credentials. Right credentials are remembered while their record is
//! unchanged, in memory, under a keyed hash; wrong ones are remembered too, so that a misconfigured program in a loop
//! costs little. Background work compares the records of credentials in use with the database, so that a call reads
//! none. When a record has to be read again, or a token is checked, the call does not wait for unknown callers: only
//! credentials that were right or are signed cause such a read.

mod check_error;
mod checks;
mod hashing;
mod joined;
mod memory;
mod refresh;
mod remembered;
mod token_memory;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

pub use check_error::CheckError;

use super::attempts::Attempts;
use super::caller::Caller;
use super::secret::Secret;
use super::tokens::{IssuedToken, Tokens};
use crate::clock::Clock;
use crate::earning::limits::PRESENTED_MAX_BYTES;
use crate::earning::{OrgId, Timestamp};
use crate::storage::clients::ApiClient;
use crate::storage::{StorageError, Store};
use crate::writer::Reachability;
use hashing::Hashing;
use joined::Joined;
use memory::{Digested, Memory, MemoryBasis};
use remembered::Remembered;

/// Time for which a recorded client is used after it was compared with the database: a changed or removed client works
/// this much longer.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// Maximum number of concurrent reads of records for credentials that were found wrong before; further ones wait.
const MAX_READS_OF_WRONG_PAIRS: usize = 2;

/// Username and secret of an API client, as presented.
#[derive(Debug, Clone)]
pub struct UsernameSecret {
    /// Name of the API client.
    pub username: String,
    /// The secret, not yet checked.
    pub secret: Secret,
}

/// The presented credentials.
#[derive(Debug, Clone)]
pub enum Presented {
    /// Username and secret.
    Pair(UsernameSecret),
    /// An access token.
    Token(Secret),
}

type FirstChecks = Joined<(Digested, Option<IpAddr>), Result<Memory, CheckError>>;

/// The time before a record was read, and the record.
type RecordRead = Result<(Instant, Option<Arc<ApiClient>>), CheckError>;

/// Checks credentials.
pub struct Credentials {
    store: Store,
    clock: Clock,
    reachability: Reachability,
    tokens: Tokens,
    attempts: Arc<Attempts>,
    /// A key that is random for each process, so that the remembered hashes are useless elsewhere.
    key: [u8; 32],
    remembered: Mutex<Remembered>,
    hashing: Arc<Hashing>,
    /// First checks under way. Each address has its own, as the wait depends on the address.
    first_checks: Arc<FirstChecks>,
    /// Reads of records under way, of usernames that were right or that a signed token names.
    reads: Arc<Joined<Arc<str>, RecordRead>>,
    reads_of_wrong_pairs: Semaphore,
    /// Reads under way of whether organizations that tokens of trusted issuers name are recorded.
    org_reads: Arc<Joined<OrgId, Result<bool, CheckError>>>,
}

impl Credentials {
    /// Returns checks of the credentials that are recorded in this database, and of these tokens.
    pub fn new(store: Store, clock: Clock, reachability: Reachability, tokens: Tokens) -> Self {
        Self {
            store,
            clock,
            reachability,
            tokens,
            attempts: Arc::default(),
            key: rand::random(),
            remembered: Mutex::default(),
            hashing: Hashing::new(),
            first_checks: Arc::default(),
            reads: Arc::default(),
            reads_of_wrong_pairs: Semaphore::new(MAX_READS_OF_WRONG_PAIRS),
            org_reads: Arc::default(),
        }
    }

    /// Returns the caller who presents these credentials, from `address` where it is known.
    ///
    /// # Errors
    /// Returns an error when the credentials are not accepted or could not be checked.
    pub async fn check(
        self: &Arc<Self>,
        presented: &Presented,
        address: Option<IpAddr>,
    ) -> Result<Arc<Caller>, CheckError> {
        self.find(presented, address).await?.caller.ok_or(CheckError::Wrong)
    }

    /// Issues a token for the API client with this username and secret.
    ///
    /// # Errors
    /// Returns an error like [`Self::check`].
    pub async fn give_token(
        self: &Arc<Self>,
        pair: UsernameSecret,
        address: Option<IpAddr>,
    ) -> Result<(Arc<Caller>, IssuedToken), CheckError> {
        let memory = self.find(&Presented::Pair(pair), address).await?;
        match (memory.caller, memory.basis) {
            (Some(caller), MemoryBasis::Record(_, Some(client))) => {
                Ok((caller, self.tokens.issue(&client, self.clock.now())?))
            }
            _ => Err(CheckError::Wrong),
        }
    }

    /// Checks the credentials, from memory or by a full check. Wrong username-secret credentials count as a failed login.
    async fn find(self: &Arc<Self>, presented: &Presented, address: Option<IpAddr>) -> Result<Memory, CheckError> {
        if let Presented::Pair(pair) = presented
            && !may_exist(pair)
        {
            self.attempts.impossible(address)?;
            return Err(CheckError::Wrong);
        }
        let digested = self.digested(presented);
        let remembered = self.recall(&digested);
        let memory = match remembered {
            Some(memory) if memory.at.elapsed() < FRESH_FOR => memory,
            _ if self.reachability.is_lost() => return Err(CheckError::Storage(Arc::new(StorageError::Lost))),
            remembered => match presented {
                Presented::Token(token) => {
                    let memory = self.check_token(token, remembered).await?;
                    self.remembered.lock().token(digested, memory.clone(), self.clock.now());
                    memory
                }
                Presented::Pair(pair) => match self.still(digested, &pair.username, remembered).await? {
                    Some(memory) => memory,
                    None => return self.first_check(digested, pair, address).await,
                },
            },
        };
        if let (Presented::Pair(pair), None) = (presented, &memory.caller) {
            self.attempts.failed(&pair.username, true, address)?;
        }
        Ok(memory)
    }

    fn digested(&self, presented: &Presented) -> Digested {
        // The key makes the hash useless outside this process; the length keeps ("ab", "c") apart from ("a", "bc"), and
        // a token, which has no username, from a username with a secret.
        let (length, username, secret) = match presented {
            Presented::Pair(UsernameSecret { username, secret }) => (username.len(), username.as_str(), secret),
            Presented::Token(token) => (usize::MAX, "", token),
        };
        Sha256::new()
            .chain_update(self.key)
            .chain_update(length.to_be_bytes())
            .chain_update(username)
            .chain_update(secret.expose())
            .finalize()
            .into()
    }

    fn recall(&self, digested: &Digested) -> Option<Memory> {
        let mut remembered = self.remembered.lock();
        let memory = remembered.get(digested)?;
        if memory.until != Timestamp::MAX && memory.until <= self.clock.now() {
            remembered.forget(digested);
            return None;
        }
        memory.used = true;
        Some(memory.clone())
    }
}

/// Returns false for credentials that no client can have, for which the database is not asked.
fn may_exist(pair: &UsernameSecret) -> bool {
    let secret = pair.secret.expose();
    may_be_a_username(&pair.username) && secret.len() <= PRESENTED_MAX_BYTES && !secret.contains(&0)
}

/// Returns false for a username that no client can have: no statement may have it as a parameter.
fn may_be_a_username(username: &str) -> bool {
    username.len() <= PRESENTED_MAX_BYTES && !username.contains(char::is_control)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}
