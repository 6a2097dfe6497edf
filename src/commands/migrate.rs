//! `migrate`: brings the schema of a database up to date.

use super::{CommandError, print};
use crate::config::Migrate;
use crate::server;

/// Brings the schema up to date, or checks that it is; distributes the tables on Citus where that is asked for.
///
/// # Errors
/// Returns the failure of the database.
pub async fn run(options: &Migrate) -> Result<(), CommandError> {
    let store = if options.check {
        server::open_unchanged(&options.common).await?
    } else {
        server::open(&options.common).await?
    };
    if options.citus {
        store.distribute().await.map_err(CommandError::Distribute)?;
    }
    store.close().await;
    print(&format!("{} is up to date\n", options.common.database_url()))
}
