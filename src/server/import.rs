//! Imports catalog files, and names the operator who does.

use crate::app::import::{Import, ImportError, ImportOptions, Imported};
use crate::clock::Clock;
use crate::config;
use crate::earning::history::{Actor, Origin};
use crate::storage::Store;
use crate::wire::{Violations, files};

/// The reason for which a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportFileError {
    /// The file is malformed.
    #[error("{}", .0.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Violations),
    /// The file could not be recorded.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Imports a catalog file into a database whose schema is up to date.
///
/// # Errors
/// Returns every violation of the file, or the first conflict with the database. Then nothing is imported.
pub async fn import(
    store: &Store,
    json: &[u8],
    options: ImportOptions,
    origin: &Origin,
) -> Result<Imported, ImportFileError> {
    Ok(read_import(json)?.run(store, options, origin).await?)
}

/// Parses a catalog file.
///
/// # Errors
/// Returns every violation of the file.
pub fn read_import(json: &[u8]) -> Result<Import, ImportFileError> {
    files::catalog::parse(json).map_err(ImportFileError::Faults)
}

/// Returns the origin of a change that the operator who runs this process makes now.
pub fn operator(clock: &Clock) -> Origin {
    Origin { actor: Actor::Operator(config::operator_name().into()), request_id: None, at: clock.now() }
}
