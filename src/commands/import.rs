//! `import`: records what a catalog file says, all or nothing.

use super::{CommandError, print};
use crate::app::import::ImportOptions;
use crate::clock::Clock;
use crate::config::ImportFile;
use crate::server::{self, ImportFileError};
use crate::telemetry::Log;

/// Imports a catalog file, or tells what that would change.
///
/// # Errors
/// Returns the violations of the file, or the failure of the database. Then nothing is imported.
pub async fn run(options: &ImportFile, log: &Log, clock: &Clock) -> Result<(), CommandError> {
    let file = options.file.display().to_string();
    let unreadable = |source| CommandError::File { file: file.clone(), source };
    let of_file = |source| CommandError::ImportFile { file: file.clone(), source };
    let json = tokio::fs::read(&options.file).await.map_err(unreadable)?;
    // Before the database is touched: a wrong file leaves nothing behind.
    let import = server::read_import(&json).map_err(of_file)?;
    let store = server::open(&options.common).await?;
    let how = ImportOptions { replace_secrets: options.replace_secrets, dry_run: options.dry_run };
    let imported = import
        .run(&store, how, &server::operator(clock))
        .await
        .map_err(|error| of_file(ImportFileError::Import(error)))?;
    store.close().await;
    for warning in imported.warnings {
        log.say(&format!("cart-promotions: warning: {warning}"));
    }
    if !options.dry_run {
        return print(&format!("imported {file}\n"));
    }
    if imported.changes.is_empty() {
        return print("nothing would change\n");
    }
    imported.changes.iter().try_for_each(|change| print(&format!("{change}\n")))
}
