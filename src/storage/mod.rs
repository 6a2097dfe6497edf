//! The database: entities, migrations, and the statements of each use case.
//!
//! Called by `app`. Each batch of requests is read and written in a constant number of statements. Storage knows the
//! types of the rules, but neither proto nor HTTP and gRPC.
//!
//! The files stand in layers, and each uses those below it. From the bottom: lists of rows and the dialect (`rows`,
//! `dialect`); connections, and statements about an organization (`connection`, `statement`, `transaction`,
//! `org_owned`); the data and the statements of a batch (`batch`); the engines, which read and write a batch (`engine`);
//! the handle (`store`); the session that runs batches (`batch::session`) and the other statements of the handle.

pub mod batch;
pub mod catalog;
pub mod change;
mod citus;
pub mod clients;
mod connection;
mod dialect;
mod engine;
mod entity;
pub mod error;
mod error_class;
mod examination;
pub mod history;
pub mod import;
mod last_break;
pub mod listing;
mod migration;
mod org_owned;
mod pools;
mod private_key_pem;
mod redemption_content;
mod rows;
#[cfg(test)]
mod schema_tests;
mod secret_hash;
mod snapshot;
mod statement;
mod store;
mod store_options;
mod token_keys;
mod transaction;
pub mod verify;
mod write_health;
mod write_probe;

pub use error::StorageError;
pub use examination::Examination;
pub use private_key_pem::PrivateKeyPem;
pub use secret_hash::SecretHash;
pub use snapshot::CatalogSnapshot;
pub use store::Store;
pub use store_options::StoreOptions;
pub use transaction::Transaction;
