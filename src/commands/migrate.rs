//! `migrate`: brings the schema of a database up to date.

use super::{CommandError, print};
use crate::config::Migrate;
use crate::server;

/// Brings the schema up to date, and distributes the tables on Citus where that is asked for.
///
/// # Errors
/// Returns the failure of the database.
pub async fn run(options: &Migrate) -> Result<(), CommandError> {
    let store = server::open(&options.common).await?;
    if options.citus {
        store.distribute().await.map_err(CommandError::Distribute)?;
    }
    store.close().await;
    print(&format!("{} is up to date\n", options.common.database_url()))
}
