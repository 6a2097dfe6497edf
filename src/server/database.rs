//! Opens the database, and brings it into the state that the options ask for.

use std::time::{Duration, Instant};

use super::error::ServeError;
use super::import::{import, operator};
use crate::app::import::ImportOptions;
use crate::clock::Clock;
use crate::config::{Common, Serve};
use crate::demo;
use crate::earning::OrgId;
use crate::printable::with_causes;
use crate::storage::{StorageError, Store, StoreOptions};

/// Interval at which a database that does not answer at the start is tried again.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Opens the database and brings its schema up to date.
///
/// # Errors
/// Returns the error of the database, with its URL.
pub async fn open(common: &Common) -> Result<Store, ServeError> {
    let named = |source| ServeError::Database { url: common.database_url().clone(), source };
    let store = Store::open(common.database_url().expose(), common.store_options()).await.map_err(named)?;
    store.migrate().await.map_err(named)?;
    Ok(store)
}

/// Opens a database whose schema is up to date. Changes nothing, and creates no file.
///
/// # Errors
/// Returns the error of the database, with its URL, or that the schema is of another version.
pub async fn open_unchanged(common: &Common) -> Result<Store, ServeError> {
    let named = |source| ServeError::Database { url: common.database_url().clone(), source };
    let store = open_any(common).await?;
    store.require_current_schema().await.map_err(named)?;
    Ok(store)
}

/// Opens a database whatever its schema is. Changes nothing, and creates no file.
///
/// # Errors
/// Returns the error of the database, with its URL.
pub async fn open_any(common: &Common) -> Result<Store, ServeError> {
    let named = |source| ServeError::Database { url: common.database_url().clone(), source };
    let options = StoreOptions { recounts: true, ..common.store_options() };
    Store::open(common.database_url().expose(), options).await.map_err(named)
}

/// Opens the database of the service, and waits for one that does not answer yet.
///
/// # Errors
/// Returns the last error when the database does not come up in time, and any other error at once.
pub(super) async fn open_when_up(options: &Serve) -> Result<Store, ServeError> {
    let url = options.common.database_url();
    let deadline = Instant::now() + Duration::from_millis(options.wait_for_database_ms);
    let mut is_told = false;
    loop {
        let error = match Store::open(url.expose(), options.store_options()).await {
            Ok(store) => return Ok(store),
            Err(error) => error,
        };
        if url.is_sqlite() || !error.may_come_up() || Instant::now() + LOOK_EVERY > deadline {
            return Err(ServeError::Database { url: url.clone(), source: error });
        }
        if !std::mem::replace(&mut is_told, true) {
            tracing::warn!(
                database = %url,
                wait_ms = options.wait_for_database_ms,
                error = with_causes(&error),
                "waiting for the database, which does not answer"
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Brings the database into the state that the options ask for: its schema, and the catalog of the demo.
pub(super) async fn prepare(store: &Store, options: &Serve, clock: &Clock) -> Result<(), ServeError> {
    let url = options.common.database_url();
    let named = |source| ServeError::Database { url: url.clone(), source };
    if options.no_migrate {
        store.require_current_schema().await.map_err(named)?;
    } else {
        store.migrate().await.map_err(named)?;
    }
    for warning in store.warnings().await.map_err(named)? {
        tracing::warn!("{warning}");
    }
    if let Some(org) = options.access.without_authentication
        && let Some(other) = other_than(store, OrgId(org)).await.map_err(named)?
    {
        return Err(ServeError::OpenToOthers { url: url.clone(), org, other });
    }
    if options.demo {
        if let Some(other) = other_than(store, demo::ORG_ID).await.map_err(named)? {
            return Err(ServeError::DemoOnOthers { url: url.clone(), other });
        }
        import(store, demo::CATALOG.as_bytes(), ImportOptions::default(), &operator(clock)).await?;
    }
    Ok(())
}

/// Returns an organization of the database beside this one, if there is any.
async fn other_than(store: &Store, org_id: OrgId) -> Result<Option<OrgId>, StorageError> {
    let transaction = store.begin().await?;
    let others = transaction.org_ids().await?;
    transaction.rollback().await?;
    Ok(others.into_iter().find(|other| *other != org_id))
}
