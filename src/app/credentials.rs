//! Who calls: credentials against the recorded API clients.
//!
//! Checking a secret is slow and large by design (argon2id), so checks go one at a time, in one piece of memory, once
//! for all requests that wait for the same pair. A pair that was found right is remembered for as long as its record
//! stays as it was, in memory, under a keyed hash; a wrong one too, so that a misconfigured program in a loop costs
//! nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::access::Access;
use super::secret::{Checker, Secret};
use crate::earning::OrgId;
use crate::storage::clients::ApiClient;
use crate::storage::{StorageError, Store};

/// How long a recorded client is used without asking the database again: a changed or removed one works this much
/// longer.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// Pairs that may wait for their check, which takes tens of milliseconds each. One more is refused at once.
const MAX_UNDER_CHECK: usize = 64;
/// Pairs remembered as right, and as wrong. Beyond it they are forgotten all at once and checked anew.
const MAX_REMEMBERED_RIGHT: usize = 10_000;
const MAX_REMEMBERED_WRONG: usize = 1_000;
/// Longest username and secret that are looked at: bytes.
const MAX_BYTES: usize = 1_000;

/// A program whose credentials were right.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Name of the API client.
    pub username: Arc<str>,
    /// Organization it calls for.
    pub org_id: OrgId,
    /// What it may do.
    pub access: Access,
}

/// Why credentials could not be checked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckError {
    /// As many pairs are being checked as may.
    #[error("too many credentials are being checked")]
    Overloaded,
    /// The database could not be asked.
    #[error("the API client could not be read")]
    Storage(#[source] Arc<StorageError>),
}

/// What a check says: the caller, or `None` for a wrong pair.
type Checked = Result<Option<Arc<Caller>>, CheckError>;

/// Names a username and secret without showing them.
type Pair = [u8; 32];

/// Checks credentials.
pub struct Credentials {
    store: Store,
    /// A new one for each process: what is remembered under it says nothing to anybody else.
    key: [u8; 32],
    remembered: Mutex<Remembered>,
    under_check: Mutex<HashMap<Pair, watch::Receiver<Option<Checked>>>>,
    checker: Arc<tokio::sync::Mutex<Checker>>,
}

#[derive(Default)]
struct Remembered {
    right: HashMap<Pair, Memory>,
    wrong: HashMap<Pair, Memory>,
}

#[derive(Clone)]
struct Memory {
    /// As it was recorded when the pair was checked.
    client: Option<Arc<ApiClient>>,
    /// `None`: the pair is wrong.
    caller: Option<Arc<Caller>>,
    at: Instant,
}

impl Credentials {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            key: rand::random(),
            remembered: Mutex::default(),
            under_check: Mutex::default(),
            checker: Arc::default(),
        }
    }

    /// The caller with this name and secret; `None` when they are wrong.
    ///
    /// # Errors
    /// When they could not be checked.
    pub async fn check(self: &Arc<Self>, username: &str, secret: Secret) -> Checked {
        if username.len() > MAX_BYTES || secret.expose().len() > MAX_BYTES {
            return Ok(None);
        }
        let pair = self.pair(username, &secret);
        let remembered = self.recall(&pair);
        if let Some(memory) = &remembered
            && memory.at.elapsed() < FRESH_FOR
        {
            return Ok(memory.caller.clone());
        }
        let mut checked = self.join_check(pair, username, secret, remembered)?;
        // The sender is dropped only with the runtime.
        let checked = checked.wait_for(Option::is_some).await.map_err(|_| CheckError::Overloaded)?;
        checked.clone().unwrap_or(Ok(None))
    }

    /// Joins the check of this pair that is under way, or begins one. It goes on though its callers hang up.
    fn join_check(
        self: &Arc<Self>,
        pair: Pair,
        username: &str,
        secret: Secret,
        remembered: Option<Memory>,
    ) -> Result<watch::Receiver<Option<Checked>>, CheckError> {
        let mut under_check = lock(&self.under_check);
        if let Some(checked) = under_check.get(&pair) {
            return Ok(checked.clone());
        }
        if under_check.len() >= MAX_UNDER_CHECK {
            return Err(CheckError::Overloaded);
        }
        let (tell, checked) = watch::channel(None);
        under_check.insert(pair, checked.clone());
        let (this, username) = (Arc::clone(self), username.to_owned());
        tokio::spawn(async move {
            let memory = this.check_anew(&username, secret, remembered).await;
            if let Ok(memory) = &memory {
                this.remember(pair, memory.clone());
            }
            lock(&this.under_check).remove(&pair);
            tell.send_replace(Some(memory.map(|memory| memory.caller)));
        });
        Ok(checked)
    }

    async fn check_anew(
        &self,
        username: &str,
        secret: Secret,
        remembered: Option<Memory>,
    ) -> Result<Memory, CheckError> {
        let client = self.store.api_client(username).await.map_err(|error| CheckError::Storage(Arc::new(error)))?;
        let at = Instant::now();
        if let Some(memory) = remembered
            && memory.client.as_deref() == client.as_ref()
        {
            // The record is the same, so the answer is.
            return Ok(Memory { at, ..memory });
        }
        let client = client.map(Arc::new);
        let mut checker = Arc::clone(&self.checker).lock_owned().await;
        let hash = client.as_ref().map(|client| client.secret_hash.clone());
        let right = tokio::task::spawn_blocking(move || checker.matches(&secret, hash.as_deref())).await;
        let caller = client.as_ref().filter(|_| right.unwrap_or(false)).map(|client| {
            Arc::new(Caller {
                username: client.username.as_str().into(),
                org_id: client.org_id,
                access: Access::parse(&client.access),
            })
        });
        Ok(Memory { client, caller, at })
    }

    fn pair(&self, username: &str, secret: &Secret) -> Pair {
        // The key makes the hash useless outside; the length keeps ("ab", "c") apart from ("a", "bc").
        Sha256::new()
            .chain_update(self.key)
            .chain_update(username.len().to_be_bytes())
            .chain_update(username)
            .chain_update(secret.expose())
            .finalize()
            .into()
    }

    fn recall(&self, pair: &Pair) -> Option<Memory> {
        let remembered = lock(&self.remembered);
        remembered.right.get(pair).or_else(|| remembered.wrong.get(pair)).cloned()
    }

    fn remember(&self, pair: Pair, memory: Memory) {
        let mut remembered = lock(&self.remembered);
        remembered.right.remove(&pair);
        remembered.wrong.remove(&pair);
        let right = memory.caller.is_some();
        let most = if right { MAX_REMEMBERED_RIGHT } else { MAX_REMEMBERED_WRONG };
        let pairs = if right { &mut remembered.right } else { &mut remembered.wrong };
        if pairs.len() >= most {
            pairs.clear();
        }
        pairs.insert(pair, memory);
    }
}

/// What is behind these locks is whole at any time, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}
