//! Runs a batch against the catalogs of its organizations: first against those in memory, and if one of them has
//! changed, against those of the database, locked until the batch is written.

use std::collections::BTreeSet;

use super::catalog_cache::{CatalogCache, InMemory};
use crate::storage::StorageError;
use crate::storage::batch::session::{BatchError, Ran, Session};
use crate::writer::{Batches, CommandAnswer, Patience, Written};

/// Maximum number of times that a batch is decided while it holds its catalogs. A further time is needed when an
/// audience changed, or when another organization has a first earning.
const MAX_HOLDS: u32 = 16;

/// A batch that is decided from catalogs.
pub(super) trait FromCatalogs: Batches {
    /// Returns the session and the catalogs in memory.
    fn parts(&mut self) -> (&mut Session, &CatalogCache);

    /// Decides every command from these catalogs, and writes the batch.
    fn attempt(
        &mut self,
        batch: &[&Self::Command],
        catalogs: &InMemory,
    ) -> impl Future<Output = Result<Ran<Vec<CommandAnswer<Self>>>, BatchError>> + Send;
}

/// Runs a batch, from memory first and then, up to [`MAX_HOLDS`] times, with its catalogs locked.
///
/// # Errors
/// Returns the error of the database, or [`StorageError::CatalogMoved`] when a catalog changed and patience is least.
pub(super) async fn run<B: FromCatalogs>(
    batches: &mut B,
    batch: &[&B::Command],
    patience: Patience,
) -> Result<Written<B>, BatchError> {
    let orgs: BTreeSet<_> = batch.iter().map(|command| B::customer(command).0).collect();
    let (session, in_memory) = batches.parts();
    session.set_patience(patience);
    let from_memory = match in_memory.of(&orgs).await {
        Ok(catalogs) => batches.attempt(batch, &catalogs).await?,
        Err(StorageError::CatalogMoved) => Ran::CatalogChanged,
        Err(error) => return Err(BatchError::Load(error)),
    };
    let mut exclusive = BTreeSet::new();
    match from_memory {
        Ran::Done(answers) => return Ok(Written { answers, from_memory: true }),
        _ if patience == Patience::Least => return Err(BatchError::Load(StorageError::CatalogMoved)),
        Ran::CatalogChanged => {}
        Ran::FirstEarning(of) => exclusive = of,
    }
    for _ in 0..MAX_HOLDS {
        let (session, in_memory) = batches.parts();
        let catalogs = session.hold(&orgs, &exclusive, in_memory.current(&orgs)).await.map_err(BatchError::Load)?;
        match batches.attempt(batch, &catalogs).await? {
            Ran::Done(answers) => return Ok(Written { answers, from_memory: false }),
            Ran::CatalogChanged => {}
            Ran::FirstEarning(of) => exclusive.extend(of),
        }
    }
    Err(BatchError::Load(StorageError::CatalogMoved))
}
