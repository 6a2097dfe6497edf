//! `import`: records what a catalog file says, all or nothing.

use std::fs::File;
use std::path::Path;

use super::{CommandError, print};
use crate::app::import::ImportOptions;
use crate::clock::Clock;
use crate::config::ImportFile;
use crate::files::read_up_to;
use crate::server::{self, ImportFileError};
use crate::telemetry::Log;

/// Maximum size of a catalog file in bytes: twenty million customers, which take about four times the memory.
const MAX_CATALOG_BYTES: u64 = 1 << 30;

/// Imports a catalog file, or tells what that would change.
///
/// # Errors
/// Returns the violations of the file, or the failure of the database. Then nothing is imported.
pub async fn run(options: &ImportFile, log: &Log, clock: &Clock) -> Result<(), CommandError> {
    let file = options.file.display().to_string();
    let unreadable = |source| CommandError::File { file: file.clone(), source };
    let of_file = |source| CommandError::ImportFile { file: file.clone(), source };
    let json = read(&options.file).map_err(unreadable)?;
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

/// Reads the file, or standard input if the file is `-`.
fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file == Path::new("-") {
        return read_up_to(std::io::stdin().lock(), MAX_CATALOG_BYTES);
    }
    read_up_to(File::open(file)?, MAX_CATALOG_BYTES)
}
