//! Batches of one kind of command: how they are decided and saved, and what their commands are answered.

use super::error::WalletError;
use crate::earning::{CustomerId, OrgId};
use crate::storage::StorageError;
use crate::storage::batch::session::BatchError;
pub use crate::storage::batch::session::Patience;

/// Whose wallet.
pub type Customer = (OrgId, CustomerId);

/// Decides and saves batches of commands of one kind. Each lane has its own.
pub trait Batches: Send + 'static {
    /// What is asked for.
    type Command: Send + Sync + 'static;
    /// What became of it.
    type Outcome: Send + 'static;

    /// Whose wallet the command writes to.
    fn customer(command: &Self::Command) -> Customer;

    /// How many rows it may write.
    fn rows(command: &Self::Command) -> usize;

    /// Decides every command of the batch, in order, and saves all of it in one transaction. [`StorageError::Busy`] when a
    /// lock was waited for in vain.
    fn run(
        &mut self,
        batch: &[&Self::Command],
        patience: Patience,
    ) -> impl Future<Output = Result<Written<Self>, BatchError>> + Send;

    /// Waits, with full patience, until no change of the organization is under way. [`StorageError::Busy`] when that is in
    /// vain.
    fn wait_for_org(&mut self, org_id: OrgId) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// What a command is answered.
pub type Answer<B> = Result<<B as Batches>::Outcome, WalletError>;

/// A batch that is written.
pub struct Written<B: Batches + ?Sized> {
    /// The answer to each command, in order.
    pub answers: Vec<Answer<B>>,
    /// True if it was decided from the catalogs in memory, false where a change of one was in the way.
    pub from_memory: bool,
}
