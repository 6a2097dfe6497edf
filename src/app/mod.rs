//! The use cases: load the facts, ask the rules, save what they say. Holds no rule itself.
//!
//! Called by `transport` and the command line. Knows neither proto nor HTTP and gRPC, nor the database's library.

pub mod access;
pub mod bulk_earn;
pub mod clock;
pub mod credentials;
pub mod earn_ids;
pub mod error;
pub mod import;
pub mod secret;
pub mod writer;

use std::sync::Arc;

pub use clock::Clock;
pub use error::EarnError;

use crate::storage::Store;
use credentials::Credentials;
use writer::{Writer, WriterLimits, WriterTask};

/// Everything the doors call.
#[derive(Debug, Clone)]
pub struct App {
    clock: Clock,
    credentials: Arc<Credentials>,
    store: Store,
    writer: Writer,
}

impl App {
    /// The use cases on `store`, and the task that writes: it runs until every [`App`] is dropped.
    pub fn new(store: Store, clock: Clock, limits: WriterLimits) -> (Self, WriterTask) {
        let (writer, task) = Writer::new(store.clone(), clock.clone(), limits);
        let credentials = Arc::new(Credentials::new(store.clone()));
        (Self { clock, credentials, store, writer }, task)
    }

    /// Now, milliseconds since 1970-01-01T00:00:00Z.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Who calls.
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), crate::storage::StorageError> {
        self.store.ping().await
    }
}
