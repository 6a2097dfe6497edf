//! Who calls: credentials against the recorded API clients, and access tokens against the keys they are signed with.
//!
//! Checking a secret is slow and large by design (argon2id), so checks go one at a time, in one piece of memory, once
//! for all requests that wait for the same pair. What was found right is remembered for as long as its record stays as it
//! was, in memory, under a keyed hash; a wrong pair too, so that a misconfigured program in a loop costs nothing. The
//! records of what is in use are compared with the database beside the calls, so that a call reads none.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::access::Access;
use super::attempts::{Attempts, TooMany};
use super::clock::Clock;
use super::jws::KeyError;
use super::lock;
use super::reachability::Reachability;
use super::secret::{Checker, Secret};
use super::tokens::{Fingerprint, IssuedToken, Signed, TokenFault, Tokens};
use crate::earning::OrgId;
use crate::storage::clients::ApiClient;
use crate::storage::{StorageError, Store};

/// How long a recorded client is used after it was compared with the database: a changed or removed one works this much
/// longer.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// What may wait for its check, which takes tens of milliseconds for a pair. One more is refused at once.
const MAX_UNDER_CHECK: usize = 64;
/// What is remembered as right, and as wrong. Beyond it all of it is forgotten at once and checked anew.
const MAX_REMEMBERED_RIGHT: usize = 10_000;
const MAX_REMEMBERED_WRONG: usize = 1_000;
/// Longest username and secret that are looked at: bytes.
const MAX_BYTES: usize = 1_000;

/// What a caller shows.
#[derive(Debug, Clone)]
pub enum Shown {
    /// Username and secret of an API client.
    Pair(String, Secret),
    /// An access token.
    Token(Secret),
}

/// A program whose credentials were right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name of the API client, or of who calls with a token of a trusted issuer.
    pub username: Arc<str>,
    /// Organization it calls for.
    pub org_id: OrgId,
    /// What it may do.
    pub access: Access,
    /// Requests a minute, where the client has a limit of its own; 0: as many as it likes.
    pub requests_per_minute: Option<u32>,
}

/// Why nobody is let in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckError {
    /// The pair or the token is wrong.
    #[error("wrong credentials")]
    Wrong,
    /// The token was good once.
    #[error("the token has expired")]
    Expired,
    /// Too many logins failed. When another try is welcome.
    #[error("too many logins failed")]
    TooManyFailures(Duration),
    /// As much is being checked as may.
    #[error("too many credentials are being checked")]
    Overloaded,
    /// The database could not be asked.
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

impl From<TokenFault> for CheckError {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Expired => Self::Expired,
            TokenFault::Wrong => Self::Wrong,
        }
    }
}

/// Names what was shown without showing it.
type Digested = [u8; 32];

/// Tells what a check finds, once it has.
type UnderCheck = watch::Receiver<Option<Result<Memory, CheckError>>>;

/// Checks credentials.
pub struct Credentials {
    store: Store,
    clock: Clock,
    reachability: Reachability,
    tokens: Tokens,
    attempts: Attempts,
    /// A new one for each process: what is remembered under it says nothing to anybody else.
    key: [u8; 32],
    remembered: Mutex<Remembered>,
    under_check: Mutex<HashMap<Digested, UnderCheck>>,
    checker: Arc<tokio::sync::Mutex<Checker>>,
}

#[derive(Default)]
struct Remembered {
    right: HashMap<Digested, Memory>,
    wrong: HashMap<Digested, Memory>,
}

impl Remembered {
    fn all(&mut self) -> impl Iterator<Item = (&Digested, &mut Memory)> {
        self.right.iter_mut().chain(&mut self.wrong)
    }

    fn get(&mut self, shown: &Digested) -> Option<&mut Memory> {
        self.right.get_mut(shown).or_else(|| self.wrong.get_mut(shown))
    }

    fn forget(&mut self, shown: &Digested) {
        self.right.remove(shown);
        self.wrong.remove(shown);
    }
}

#[derive(Clone)]
struct Memory {
    basis: Basis,
    /// `None`: the pair is wrong.
    caller: Option<Arc<Caller>>,
    /// Until when a token is valid, milliseconds since 1970-01-01T00:00:00Z.
    until_ms: i64,
    at: Instant,
    /// Whether it was asked for since it was last compared.
    used: bool,
}

/// What a memory holds for.
#[derive(Clone)]
enum Basis {
    /// The record of a client, as it was when the credentials were checked.
    Record(Arc<str>, Option<Arc<ApiClient>>),
    /// The keys of a trusted issuer.
    Keys((usize, u64)),
}

impl Credentials {
    pub(super) fn new(store: Store, clock: Clock, reachability: Reachability, tokens: Tokens) -> Self {
        Self {
            store,
            clock,
            reachability,
            tokens,
            attempts: Attempts::default(),
            key: rand::random(),
            remembered: Mutex::default(),
            under_check: Mutex::default(),
            checker: Arc::default(),
        }
    }

    /// Who shows this, from `address` where it is known.
    ///
    /// # Errors
    /// When nobody is let in with it, or it could not be checked.
    pub async fn check(self: &Arc<Self>, shown: &Shown, address: Option<IpAddr>) -> Result<Arc<Caller>, CheckError> {
        let (memory, known) = self.find(shown, address).await?;
        self.let_in(memory.caller, (shown, known), address)
    }

    /// The caller; a wrong pair counts as a failed login.
    fn let_in(
        &self,
        caller: Option<Arc<Caller>>,
        (shown, known): (&Shown, bool),
        address: Option<IpAddr>,
    ) -> Result<Arc<Caller>, CheckError> {
        if let (None, Shown::Pair(username, _)) = (&caller, shown) {
            self.attempts.failed((username, known), address, Instant::now())?;
        }
        caller.ok_or(CheckError::Wrong)
    }

    /// A token for the API client whose username and secret these are.
    ///
    /// # Errors
    /// As of [`Self::check`].
    pub async fn give_token(
        self: &Arc<Self>,
        (username, secret): (String, Secret),
        address: Option<IpAddr>,
    ) -> Result<(Arc<Caller>, IssuedToken), CheckError> {
        let pair = Shown::Pair(username, secret);
        let (memory, known) = self.find(&pair, address).await?;
        let caller = self.let_in(memory.caller, (&pair, known), address)?;
        match memory.basis {
            Basis::Record(_, Some(client)) => Ok((caller, self.tokens.issue(&client, self.clock.now_ms())?)),
            _ => Err(CheckError::Wrong),
        }
    }

    /// What is known of it, and whether it was known before.
    async fn find(self: &Arc<Self>, shown: &Shown, address: Option<IpAddr>) -> Result<(Memory, bool), CheckError> {
        if let Shown::Pair(username, secret) = shown
            && (username.len() > MAX_BYTES || secret.expose().len() > MAX_BYTES)
        {
            return Err(CheckError::Wrong);
        }
        let digested = self.digested(shown);
        let remembered = self.recall(&digested);
        if let Some(memory) = &remembered
            && memory.at.elapsed() < FRESH_FOR
        {
            return Ok((memory.clone(), true));
        }
        let known = remembered.is_some();
        if self.reachability.is_lost() {
            return Err(CheckError::Storage(Arc::new(StorageError::Lost)));
        }
        if let Shown::Pair(username, _) = shown
            && !known
            && !lock(&self.under_check).contains_key(&digested)
        {
            let wait = self.attempts.admit(username, address, Instant::now())?;
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        let mut checked = self.join_check(digested, shown, remembered)?;
        // The sender is dropped only with the runtime.
        let checked = checked.wait_for(Option::is_some).await.map_err(|_| CheckError::Overloaded)?;
        checked.clone().unwrap_or(Err(CheckError::Overloaded)).map(|memory| (memory, known))
    }

    /// Joins the check of this that is under way, or begins one. It goes on though its callers hang up.
    fn join_check(
        self: &Arc<Self>,
        digested: Digested,
        shown: &Shown,
        remembered: Option<Memory>,
    ) -> Result<UnderCheck, CheckError> {
        let mut under_check = lock(&self.under_check);
        if let Some(checked) = under_check.get(&digested) {
            return Ok(checked.clone());
        }
        if under_check.len() >= MAX_UNDER_CHECK {
            return Err(CheckError::Overloaded);
        }
        let (tell, checked) = watch::channel(None);
        under_check.insert(digested, checked.clone());
        let (this, shown) = (Arc::clone(self), shown.clone());
        tokio::spawn(async move {
            let memory = match &shown {
                Shown::Pair(username, secret) => this.check_pair(username, secret.clone(), remembered).await,
                Shown::Token(token) => this.check_token(token, remembered).await,
            };
            if let Ok(memory) = &memory {
                this.remember(digested, memory.clone());
            }
            lock(&this.under_check).remove(&digested);
            tell.send_replace(Some(memory));
        });
        Ok(checked)
    }

    async fn check_pair(
        &self,
        username: &str,
        secret: Secret,
        remembered: Option<Memory>,
    ) -> Result<Memory, CheckError> {
        let (at, client) = self.record(username).await?;
        if let Some(memory) = remembered
            && let Basis::Record(_, recorded) = &memory.basis
            && *recorded == client
        {
            // The record is the same, so the answer is.
            return Ok(Memory { at, used: true, ..memory });
        }
        let mut checker = Arc::clone(&self.checker).lock_owned().await;
        let hash = client.as_ref().map(|client| client.secret_hash.clone());
        let right = tokio::task::spawn_blocking(move || checker.matches(&secret, hash.as_ref())).await;
        let caller = client.as_deref().filter(|_| right.unwrap_or(false)).and_then(caller);
        let basis = Basis::Record(username.into(), client);
        Ok(Memory { basis, caller, until_ms: i64::MAX, at, used: true })
    }

    async fn check_token(&self, token: &Secret, remembered: Option<Memory>) -> Result<Memory, CheckError> {
        let (signed, until_ms) = self.tokens.read(token.reveal(), self.clock.now_ms())?;
        match signed {
            Signed::Outsider { caller, keys } => {
                // As long as it was remembered it was the same: its claims do not change.
                let caller = remembered.and_then(|memory| memory.caller).unwrap_or(caller);
                let basis = Basis::Keys(keys);
                Ok(Memory { basis, caller: Some(caller), until_ms, at: Instant::now(), used: true })
            }
            Signed::Client { username, fingerprint } => {
                let (at, client) = self.record(&username).await?;
                let fits = client.as_deref().filter(|client| Fingerprint::of(client) == fingerprint);
                let caller = fits.and_then(caller).ok_or(CheckError::Wrong)?;
                let basis = Basis::Record(username.into(), client);
                Ok(Memory { basis, caller: Some(caller), until_ms, at, used: true })
            }
        }
    }

    /// The client of that name, and when it was asked for.
    async fn record(&self, username: &str) -> Result<(Instant, Option<Arc<ApiClient>>), CheckError> {
        let client = self.store.api_client(username).await.map_err(|error| CheckError::Storage(Arc::new(error)))?;
        Ok((Instant::now(), client.map(Arc::new)))
    }

    /// Compares the records of what was used since the last time with the database.
    ///
    /// # Errors
    /// Of the database.
    pub async fn refresh(&self) -> Result<(), StorageError> {
        let mut used = Vec::new();
        for (digested, memory) in lock(&self.remembered).all() {
            if !std::mem::take(&mut memory.used) {
                continue;
            }
            match &memory.basis {
                Basis::Record(username, _) => used.push((*digested, Arc::clone(username))),
                // What is not fresh is checked anew.
                Basis::Keys(keys) if self.tokens.still_trusted(*keys) => memory.at = Instant::now(),
                Basis::Keys(_) => {}
            }
        }
        if used.is_empty() {
            return Ok(());
        }
        // Before the question: what is changed after it may be missing from the answer.
        let at = Instant::now();
        let names: BTreeSet<_> = used.iter().map(|(_, username)| username.as_ref().to_owned()).collect();
        let clients = self.store.api_clients(&names.into_iter().collect::<Vec<_>>()).await?;
        let clients: HashMap<_, _> = clients.iter().map(|client| (client.username.as_str(), client)).collect();
        let mut remembered = lock(&self.remembered);
        for (digested, username) in used {
            let recorded = clients.get(&*username).copied();
            if let Some(memory) = remembered.get(&digested)
                && let Basis::Record(_, known) = &memory.basis
                && known.as_deref() == recorded
            {
                memory.at = at;
            } else {
                remembered.forget(&digested);
            }
        }
        Ok(())
    }

    /// Reads the keys of trusted issuers again where it is time to.
    pub async fn refresh_issuers(&self) {
        self.tokens.refresh().await;
    }

    fn digested(&self, shown: &Shown) -> Digested {
        // The key makes the hash useless outside; the length keeps ("ab", "c") apart from ("a", "bc"), and a token, which
        // has no username, from a pair.
        let (length, username, secret) = match shown {
            Shown::Pair(username, secret) => (username.len(), username.as_str(), secret),
            Shown::Token(token) => (usize::MAX, "", token),
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
        let mut remembered = lock(&self.remembered);
        let memory = remembered.get(digested)?;
        if memory.until_ms != i64::MAX && memory.until_ms <= self.clock.now_ms() {
            remembered.forget(digested);
            return None;
        }
        memory.used = true;
        Some(memory.clone())
    }

    fn remember(&self, digested: Digested, memory: Memory) {
        let mut remembered = lock(&self.remembered);
        remembered.forget(&digested);
        let right = memory.caller.is_some();
        let most = if right { MAX_REMEMBERED_RIGHT } else { MAX_REMEMBERED_WRONG };
        let all = if right { &mut remembered.right } else { &mut remembered.wrong };
        if all.len() >= most {
            all.clear();
        }
        all.insert(digested, memory);
    }
}

/// Who calls by this record; nobody while it is disabled.
fn caller(client: &ApiClient) -> Option<Arc<Caller>> {
    (!client.disabled).then(|| {
        Arc::new(Caller {
            username: client.username.as_str().into(),
            org_id: client.org_id,
            access: Access::parse(&client.access),
            requests_per_minute: client.requests_per_minute,
        })
    })
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}
