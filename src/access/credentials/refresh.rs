//! Compares remembered credentials with the database, in the background.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Credentials;
use super::memory::{Memory, MemoryBasis};
use crate::storage::StorageError;

impl Credentials {
    /// Compares the records of the credentials that were used since the last time with the database.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub async fn refresh(&self) -> Result<(), StorageError> {
        let mut used = Vec::new();
        for (digested, memory) in self.remembered.lock().all() {
            if !std::mem::take(&mut memory.used) {
                continue;
            }
            match &memory.basis {
                MemoryBasis::Record(username, _) => used.push((*digested, Arc::clone(username))),
                // A memory that is not fresh is checked again on its next use.
                MemoryBasis::Keys(keys) if self.tokens.still_trusted(*keys) && recorded(memory) => {
                    memory.at = Instant::now();
                }
                MemoryBasis::Keys(_) => {}
            }
        }
        if used.is_empty() {
            return Ok(());
        }
        // The time is taken before the read: a change after it may be missing from the answer.
        let at = Instant::now();
        let names: BTreeSet<_> = used.iter().map(|(_, username)| username.as_ref().to_owned()).collect();
        let clients = self.store.api_clients(&names.into_iter().collect::<Vec<_>>()).await?;
        let clients: HashMap<_, _> = clients.iter().map(|client| (client.username.as_str(), client)).collect();
        let mut remembered = self.remembered.lock();
        for (digested, username) in used {
            let recorded = clients.get(&*username).copied();
            if let Some(memory) = remembered.get(&digested)
                && let MemoryBasis::Record(_, known) = &memory.basis
                && known.as_deref() == recorded
            {
                memory.at = at;
            } else {
                remembered.forget(&digested);
            }
        }
        Ok(())
    }

    /// Re-reads the keys of each trusted issuer when due, all issuers concurrently, until the future is dropped.
    pub async fn keep_issuers_fresh(&self, every: Duration) {
        self.tokens.keep_fresh(every).await;
    }
}

/// Returns true when the caller's organization is recorded. An unrecorded one may be recorded at any time.
fn recorded(memory: &Memory) -> bool {
    memory.caller.as_ref().is_some_and(|caller| caller.org_recorded)
}
