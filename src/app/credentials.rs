//! Who calls: credentials against the recorded API clients.
//!
//! Checking a secret is slow and large by design (argon2id), so checks go one at a time, in one piece of memory, once
//! for all requests that wait for the same pair. A pair that was found right is remembered for as long as its record
//! stays as it was, in memory, under a keyed hash; a wrong one too, so that a misconfigured program in a loop costs
//! nothing. The records of pairs in use are compared with the database beside the calls, so that a call reads none.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::access::Access;
use super::reachability::Reachability;
use super::secret::{Checker, Secret};
use crate::earning::OrgId;
use crate::storage::clients::ApiClient;
use crate::storage::{StorageError, Store};

/// How long a recorded client is used after it was compared with the database: a changed or removed one works this much
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
    reachability: Reachability,
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

impl Remembered {
    fn pairs(&mut self) -> impl Iterator<Item = (&Pair, &mut Memory)> {
        self.right.iter_mut().chain(&mut self.wrong)
    }

    fn get(&mut self, pair: &Pair) -> Option<&mut Memory> {
        self.right.get_mut(pair).or_else(|| self.wrong.get_mut(pair))
    }

    fn forget(&mut self, pair: &Pair) {
        self.right.remove(pair);
        self.wrong.remove(pair);
    }
}

#[derive(Clone)]
struct Memory {
    username: Arc<str>,
    /// As it was recorded when the pair was checked.
    client: Option<Arc<ApiClient>>,
    /// `None`: the pair is wrong.
    caller: Option<Arc<Caller>>,
    at: Instant,
    /// Whether it was asked for since it was last compared.
    used: bool,
}

impl Credentials {
    pub(super) fn new(store: Store, reachability: Reachability) -> Self {
        Self {
            store,
            reachability,
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
        if self.reachability.is_lost() {
            return Err(CheckError::Storage(Arc::new(StorageError::Lost)));
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
            return Ok(Memory { at, used: true, ..memory });
        }
        let client = client.map(Arc::new);
        let mut checker = Arc::clone(&self.checker).lock_owned().await;
        let hash = client.as_ref().map(|client| client.secret_hash.clone());
        let right = tokio::task::spawn_blocking(move || checker.matches(&secret, hash.as_deref())).await;
        let caller = client.as_ref().filter(|client| right.unwrap_or(false) && !client.disabled).map(|client| {
            Arc::new(Caller {
                username: client.username.as_str().into(),
                org_id: client.org_id,
                access: Access::parse(&client.access),
            })
        });
        Ok(Memory { username: username.into(), client, caller, at, used: true })
    }

    /// Compares the records of the pairs that were used since the last time with the database.
    ///
    /// # Errors
    /// Of the database.
    pub async fn refresh(&self) -> Result<(), StorageError> {
        let used: Vec<_> = lock(&self.remembered)
            .pairs()
            .filter_map(|(pair, memory)| {
                std::mem::take(&mut memory.used).then(|| (*pair, Arc::clone(&memory.username)))
            })
            .collect();
        if used.is_empty() {
            return Ok(());
        }
        // Before the question: what is changed after it may be missing from the answer.
        let at = Instant::now();
        let names: BTreeSet<_> = used.iter().map(|(_, username)| username.as_ref().to_owned()).collect();
        let clients = self.store.api_clients(&names.into_iter().collect::<Vec<_>>()).await?;
        let clients: HashMap<_, _> = clients.iter().map(|client| (client.username.as_str(), client)).collect();
        let mut remembered = lock(&self.remembered);
        for (pair, username) in used {
            let recorded = clients.get(&*username).copied();
            if let Some(memory) = remembered.get(&pair)
                && memory.client.as_deref() == recorded
            {
                memory.at = at;
            } else {
                remembered.forget(&pair);
            }
        }
        Ok(())
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
        let mut remembered = lock(&self.remembered);
        let memory = remembered.get(pair)?;
        memory.used = true;
        Some(memory.clone())
    }

    fn remember(&self, pair: Pair, memory: Memory) {
        let mut remembered = lock(&self.remembered);
        remembered.forget(&pair);
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
