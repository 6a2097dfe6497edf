//! Reads the recorded changes of an organization.

use std::sync::Arc;

use super::{App, ReadSlot};
use crate::earning::OrgId;
pub use crate::storage::change::Content;
pub use crate::storage::history::{HistoryPart, HistoryPlace, RecordedChange};
use crate::storage::{StorageError, Store};
use crate::writer::error::WalletError;

/// A page of changes.
#[derive(Debug)]
pub struct HistoryPage {
    /// Changes of the page, the latest first.
    pub changes: Vec<RecordedChange>,
    /// Place of the last change; `None` when no more follow.
    pub more_after: Option<HistoryPlace>,
    /// The client's slot for large pages, held until the page is encoded.
    pub slot: Option<ReadSlot>,
}

/// Reads a page of changes.
///
/// # Errors
/// Returns the error of the database.
pub async fn page(store: &Store, org_id: OrgId, part: HistoryPart) -> Result<HistoryPage, StorageError> {
    // One more than the page shows tells whether another follows.
    let mut changes = store.history(org_id, HistoryPart { limit: part.limit + 1, ..part }).await?;
    let more = changes.len() > part.limit;
    changes.truncate(part.limit);
    let more_after = changes.last().filter(|_| more).map(|change| change.place);
    Ok(HistoryPage { changes, more_after, slot: None })
}

impl App {
    /// Returns a page of the changes of the organization.
    ///
    /// # Errors
    /// Returns why they could not be looked up.
    pub async fn list_changes(
        &self,
        client: &Arc<str>,
        org_id: OrgId,
        part: HistoryPart,
    ) -> Result<HistoryPage, WalletError> {
        let slot = self.gates.large_read(client, part.limit).await?;
        let page = self.reading(client, async { Ok::<_, WalletError>(page(&self.store, org_id, part).await?) }).await?;
        Ok(HistoryPage { slot, ..page })
    }
}
