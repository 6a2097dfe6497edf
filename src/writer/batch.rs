//! Batches of one kind of command: how they are decided and saved, and what their commands are answered.

use super::error::WalletError;
use crate::earning::{CustomerId, OrgId};
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;
pub use crate::storage::batch::session::Patience;

/// The customer whose wallet a command writes to.
pub type Customer = (OrgId, CustomerId);

/// Decides and saves batches of commands of one kind. Each worker has its own.
pub trait Batches: Send + 'static {
    /// The command of a request.
    type Command: Send + Sync + 'static;
    /// The outcome of a command.
    type Outcome: Send + 'static;

    /// Returns the customer whose wallet the command writes to.
    fn customer(command: &Self::Command) -> Customer;

    /// Returns the number of rows that the command may write.
    fn rows(command: &Self::Command) -> usize;

    /// Decides every command of the batch, in order, and saves all of it in one transaction. Returns
    /// [`StorageError::Busy`] when the wait for a lock was in vain.
    fn run(
        &mut self,
        batch: &[&Self::Command],
        patience: Patience,
    ) -> impl Future<Output = Result<Written<Self>, BatchError>> + Send;

    /// Waits with full patience until no change of the organization is under way. Returns [`StorageError::Busy`] when
    /// the wait was in vain.
    fn wait_for_org(&mut self, org_id: OrgId) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// The answer to a command.
pub type CommandAnswer<B> = Result<<B as Batches>::Outcome, WalletError>;

/// A batch that was written.
pub struct Written<B: Batches + ?Sized> {
    /// The answer to each command, in order.
    pub answers: Vec<CommandAnswer<B>>,
    /// True if it was decided from the catalogs in memory, false when one of them had changed.
    pub from_memory: bool,
}
