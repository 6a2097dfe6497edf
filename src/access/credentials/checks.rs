//! Checks of credentials that are not remembered, or whose memory is out of date.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::super::caller::Caller;
use super::super::secret::Secret;
use super::super::tokens::{Fingerprint, Signed};
use super::hashing::CallerStanding;
use super::memory::{Digested, Memory, MemoryBasis};
use super::{CheckError, Credentials, RecordRead, UsernameSecret, may_be_a_username};
use crate::earning::{OrgId, Timestamp};
use crate::storage::StorageError;

impl Credentials {
    /// Returns the remembered result for these credentials if the record of the client has not changed.
    pub(super) async fn still(
        self: &Arc<Self>,
        digested: Digested,
        username: &str,
        remembered: Option<Memory>,
    ) -> Result<Option<Memory>, CheckError> {
        let Some(memory) = remembered else { return Ok(None) };
        let _permit = match &memory.caller {
            None => Some(self.reads_of_wrong_pairs.acquire().await.map_err(|_| CheckError::Overloaded)?),
            Some(_) => None,
        };
        let (at, client) = self.record(username).await?;
        if !matches!(&memory.basis, MemoryBasis::Record(_, recorded) if *recorded == client) {
            return Ok(None);
        }
        let memory = Memory { at, used: true, ..memory };
        self.remembered.lock().pair(digested, memory.clone());
        Ok(Some(memory))
    }

    /// Checks unknown credentials, once for all requests that present them from one address. The check continues when
    /// the callers hang up, so that it counts as a failed login all the same.
    pub(super) async fn first_check(
        self: &Arc<Self>,
        digested: Digested,
        pair: &UsernameSecret,
        address: Option<IpAddr>,
    ) -> Result<Memory, CheckError> {
        let check = || {
            let UsernameSecret { username, secret } = pair.clone();
            let (this, username) = (Arc::clone(self), Arc::<str>::from(username));
            async move {
                let admission = this.attempts.admit(&username, address, Instant::now())?;
                if !admission.wait.is_zero() {
                    tokio::time::sleep(admission.wait).await;
                }
                let standing = match admission.clean {
                    _ if this.remembered.lock().was_right(&username, address) => CallerStanding::Known,
                    true => CallerStanding::Clean,
                    false => CallerStanding::Suspect,
                };
                let memory = this.hashed(Arc::clone(&username), secret, standing).await?;
                let mut remembered = this.remembered.lock();
                remembered.pair(digested, memory.clone());
                if memory.caller.is_some() {
                    remembered.note(&username, address);
                    return Ok(memory);
                }
                drop(remembered);
                this.attempts.failed(&username, false, address)?;
                Ok(memory)
            }
        };
        self.first_checks.join((digested, address), check).await.unwrap_or(Err(CheckError::Overloaded))
    }

    async fn hashed(&self, username: Arc<str>, secret: Secret, standing: CallerStanding) -> Result<Memory, CheckError> {
        let worker = self.hashing.worker(standing).await?;
        let at = Instant::now();
        let client = self.store.api_client(&username).await.map_err(storage)?.map(Arc::new);
        let hash = client.as_ref().map(|client| client.secret_hash.clone());
        let right = worker.matches(secret, hash).await?;
        let caller = client.as_deref().filter(|_| right).and_then(Caller::of);
        let basis = MemoryBasis::Record(username, client);
        Ok(Memory { basis, caller, until: Timestamp::MAX, at, used: true })
    }

    /// Checks a token: first its signature, then only the records for which it is signed.
    pub(super) async fn check_token(
        self: &Arc<Self>,
        token: &Secret,
        remembered: Option<Memory>,
    ) -> Result<Memory, CheckError> {
        let (signed, until) = self.tokens.read(token.reveal(), self.clock.now())?;
        match signed {
            Signed::Outsider { mut caller, keys } => {
                let at = Instant::now();
                match remembered.and_then(|memory| memory.caller) {
                    // The claims of a token do not change, and no organization is ever removed.
                    Some(before) if before.org_recorded => caller = before,
                    _ => Arc::make_mut(&mut caller).org_recorded = self.is_recorded(caller.org_id).await?,
                }
                Ok(Memory { basis: MemoryBasis::Keys(keys), caller: Some(caller), until, at, used: true })
            }
            Signed::Client { username, .. } if !may_be_a_username(&username) => Err(CheckError::WrongToken),
            Signed::Client { username, fingerprint } => {
                let (at, client) = self.record(&username).await?;
                let fits = client.as_deref().filter(|client| Fingerprint::of(client) == fingerprint);
                let caller = fits.and_then(Caller::of).ok_or(CheckError::WrongToken)?;
                let basis = MemoryBasis::Record(username.into(), client);
                Ok(Memory { basis, caller: Some(caller), until, at, used: true })
            }
        }
    }

    /// Reads the client of that name, and returns the time before the read.
    async fn record(self: &Arc<Self>, username: &str) -> RecordRead {
        let username: Arc<str> = username.into();
        let read = || {
            let (this, username) = (Arc::clone(self), Arc::clone(&username));
            async move {
                // The time is taken before the read: a change after it may be missing from the answer.
                let at = Instant::now();
                Ok((at, this.store.api_client(&username).await.map_err(storage)?.map(Arc::new)))
            }
        };
        self.reads.join(Arc::clone(&username), read).await.unwrap_or(Err(CheckError::Overloaded))
    }

    async fn is_recorded(self: &Arc<Self>, org_id: OrgId) -> Result<bool, CheckError> {
        let read = || {
            let this = Arc::clone(self);
            async move { Ok(!this.store.catalog_versions(&[org_id].into()).await.map_err(storage)?.is_empty()) }
        };
        self.org_reads.join(org_id, read).await.unwrap_or(Err(CheckError::Overloaded))
    }
}

fn storage(error: StorageError) -> CheckError {
    CheckError::Storage(Arc::new(error))
}
