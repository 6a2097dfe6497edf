//! Who calls: credentials against the recorded API clients, and what each may do.
//!
//! Checking a secret is slow by design (argon2id), so a pair that was found right is remembered for a short while, in
//! memory, under a keyed hash; a wrong one too, so that a misconfigured program in a loop costs nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::secret::Secret;
use crate::earning::OrgId;
use crate::storage::clients::ApiClient;
use crate::storage::{StorageError, Store};

/// How long a recorded client is used without asking the database again: a changed or removed one works this much
/// longer.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// Secrets being checked at once: each takes a core and 19 MiB.
const MAX_CHECKS: usize = 2;
/// Pairs remembered. Beyond it they are forgotten all at once and checked anew.
const MAX_REMEMBERED: usize = 10_000;
/// Longest username and secret that are looked at: bytes.
const MAX_BYTES: usize = 1_000;

/// Something that a client may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccessGroup {
    /// Granting promotions.
    EarnWrite,
}

impl AccessGroup {
    /// Every group there is.
    pub const ALL: [Self; 1] = [Self::EarnWrite];

    /// The name in records and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::EarnWrite => "earn:write",
        }
    }

    /// The group of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }
}

/// What a client may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access(Vec<AccessGroup>);

impl Access {
    /// These groups.
    pub fn of(groups: Vec<AccessGroup>) -> Self {
        Self(groups)
    }

    /// Everything.
    pub fn all() -> Self {
        Self(AccessGroup::ALL.to_vec())
    }

    /// The groups named in `text`, which [`Access`] wrote; a name from a later version is nothing here.
    fn parse(text: &str) -> Self {
        Self(text.split(' ').filter_map(AccessGroup::from_name).collect())
    }

    /// Whether `group` is among them.
    pub fn includes(&self, group: AccessGroup) -> bool {
        self.0.contains(&group)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|group| group.name()).collect();
        f.write_str(&names.join(" "))
    }
}

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

/// Checks credentials.
pub struct Credentials {
    store: Store,
    /// A new one for each process: what is remembered under it says nothing to anybody else.
    key: [u8; 32],
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
    checks: Semaphore,
}

#[derive(Clone)]
struct Remembered {
    /// As it was recorded when the pair was checked.
    client: Option<ApiClient>,
    /// `None`: the pair is wrong.
    caller: Option<Caller>,
    at: Instant,
}

impl Credentials {
    pub(super) fn new(store: Store) -> Self {
        Self { store, key: rand::random(), remembered: Mutex::default(), checks: Semaphore::new(MAX_CHECKS) }
    }

    /// The caller with this name and secret; `None` when they are wrong.
    ///
    /// # Errors
    /// When the database could not be asked.
    pub async fn check(&self, username: &str, secret: Secret) -> Result<Option<Caller>, StorageError> {
        if username.len() > MAX_BYTES || secret.expose().len() > MAX_BYTES {
            return Ok(None);
        }
        let pair = self.pair(username, &secret);
        let remembered = self.recall(&pair);
        if let Some(remembered) = &remembered
            && remembered.at.elapsed() < FRESH_FOR
        {
            return Ok(remembered.caller.clone());
        }
        let client = self.store.api_client(username).await?;
        let caller = match remembered {
            // Its record is the same, so the answer is.
            Some(remembered) if remembered.client == client => remembered.caller,
            _ => self.verify(client.clone(), secret).await,
        };
        self.remember(pair, Remembered { client, caller: caller.clone(), at: Instant::now() });
        Ok(caller)
    }

    async fn verify(&self, client: Option<ApiClient>, secret: Secret) -> Option<Caller> {
        let _turn = self.checks.acquire().await.ok()?;
        let checked = tokio::task::spawn_blocking(move || {
            match client {
                Some(client) => secret.matches(&client.secret_hash).then_some(client),
                None => {
                    // As much work as for a known name: the time taken tells nobody which names exist.
                    let _ = secret.hash();
                    None
                }
            }
        });
        let client = checked.await.ok()??;
        Some(Caller { username: client.username.into(), org_id: client.org_id, access: Access::parse(&client.access) })
    }

    fn pair(&self, username: &str, secret: &Secret) -> [u8; 32] {
        // The key makes the hash useless outside; the length keeps ("ab", "c") apart from ("a", "bc").
        Sha256::new()
            .chain_update(self.key)
            .chain_update(username.len().to_be_bytes())
            .chain_update(username)
            .chain_update(secret.expose())
            .finalize()
            .into()
    }

    fn recall(&self, pair: &[u8; 32]) -> Option<Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(pair).cloned()
    }

    fn remember(&self, pair: [u8; 32], what: Remembered) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(pair, what);
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}
