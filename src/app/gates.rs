//! The fair shares of calls outside the writer: slots for the connections of look-ups, listings and changes, slots for
//! large pages, and the time that a call waits for one.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::fair_gate::{FairGate, GateFull, GateKey, GateLimits, Slot};
use crate::earning::OrgId;
use crate::storage::StorageError;

/// Maximum number of elements of a small page, which is read in one part; a page with a higher limit is a large one.
pub(super) const SMALL_PAGE: usize = 50;
/// Maximum number of calls of one API client, or of one organization, that wait for a connection.
const MAX_WAITING_FOR_CONNECTION: usize = 256;

/// A read slot of an API client.
pub type ReadSlot = Slot<Arc<str>>;

/// The gates that calls outside the writer pass. Its clones are the same gates.
#[derive(Debug, Clone)]
pub(super) struct Gates {
    /// Maximum wait for a connection.
    connection_timeout: Duration,
    /// Slots for connections for look-ups and listings, shared fairly among API clients.
    reads: FairGate<Arc<str>>,
    /// Slots for large pages, shared fairly among API clients.
    large_reads: FairGate<Arc<str>>,
    /// Maximum wait for a slot of [`Self::large_reads`].
    large_read_timeout: Duration,
    /// Slots for connections for changes, which may wait for a lock: one for each organization.
    changes: FairGate<OrgId>,
    /// Slots of the API clients that change an organization's data: at most one change of each client waits for the
    /// connection.
    change_slots: FairGate<Arc<str>>,
}

/// The slots of a change, held until this is dropped.
#[derive(Debug)]
pub(super) struct ChangeSlots {
    _of_org: Slot<OrgId>,
    _of_client: Slot<Arc<str>>,
}

impl Gates {
    /// Returns the gates of so many connections for look-ups and listings, and as many for changes, with every slot free.
    pub fn new(connections: usize, connection_timeout: Duration, large_read_timeout: Duration) -> Self {
        let gate =
            |per_key| GateLimits { capacity: connections, per_key, max_waiting_per_key: MAX_WAITING_FOR_CONNECTION };
        Self {
            connection_timeout,
            // The limit keeps a connection free for other clients, however many calls one client has under way.
            reads: FairGate::new(gate((connections / 2).max(1))),
            large_reads: FairGate::new(large_read_limits()),
            large_read_timeout,
            // The database serializes the changes of one organization anyway.
            changes: FairGate::new(gate(1)),
            change_slots: FairGate::new(GateLimits { capacity: usize::MAX, ..gate(1) }),
        }
    }

    /// Waits for the slot of a connection that reads for an API client.
    ///
    /// # Errors
    /// Returns an error when the wait is too long, or too many calls of the client wait.
    pub async fn read(&self, client: &Arc<str>) -> Result<ReadSlot, StorageError> {
        wait(self.connection_timeout, &self.reads, Arc::clone(client)).await
    }

    /// Waits for the slot of a large page, if a page of `limit` elements is large.
    ///
    /// # Errors
    /// Returns the errors of [`Self::read`].
    pub async fn large_read(&self, client: &Arc<str>, limit: usize) -> Result<Option<ReadSlot>, StorageError> {
        if limit <= SMALL_PAGE {
            return Ok(None);
        }
        wait(self.large_read_timeout, &self.large_reads, Arc::clone(client)).await.map(Some)
    }

    /// Waits for the slot of a connection that changes data of an organization.
    ///
    /// # Errors
    /// Returns the errors of [`Self::read`].
    pub async fn change(&self, client: &Arc<str>, org_id: OrgId) -> Result<ChangeSlots, StorageError> {
        let of_client = wait(self.connection_timeout, &self.change_slots, Arc::clone(client)).await?;
        let of_org = wait(self.connection_timeout, &self.changes, org_id).await?;
        Ok(ChangeSlots { _of_org: of_org, _of_client: of_client })
    }
}

/// Limits the concurrent large pages of all API clients, and thereby their memory and processor time.
fn large_read_limits() -> GateLimits {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    GateLimits {
        capacity: (processors / 2).max(2),
        per_key: (processors / 4).max(1),
        max_waiting_per_key: MAX_WAITING_FOR_CONNECTION,
    }
}

async fn wait<K: GateKey>(timeout: Duration, gate: &FairGate<K>, key: K) -> Result<Slot<K>, StorageError> {
    match tokio::time::timeout(timeout, gate.enter(key)).await {
        Ok(Ok(slot)) => Ok(slot),
        Ok(Err(GateFull)) | Err(_) => Err(StorageError::waited_too_long()),
    }
}
