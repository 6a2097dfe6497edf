//! PostgreSQL as the coordinator of a Citus cluster: a batch is a transaction of several statements, as one statement
//! cannot write to tables that are in different places.

use async_trait::async_trait;
use sea_orm::DbErr;

use super::{Engine, Write};
use crate::earning::Facts;
use crate::storage::StorageError;
use crate::storage::batch::earnings::{Wanted, rows};
use crate::storage::batch::{counts, read, write};
use crate::storage::connection::Connection;
use crate::storage::error::all_of;
use crate::storage::org_owned::{Present, SearchText};
use crate::storage::statement::On;

/// Citus.
#[derive(Debug)]
pub struct Citus;

#[async_trait]
impl Engine for Citus {
    fn writes_as_presumed(&self) -> bool {
        false
    }

    /// Citus takes no subquery that is kept from being reordered, and plans each time with the values at hand.
    fn search(&self, search: &SearchText<'_>) -> String {
        let SearchText { table, list, answers, conditions, .. } = search;
        let comma = if answers.is_empty() { "" } else { ", " };
        format!("SELECT {list}.place{comma}{answers} FROM {list} CROSS JOIN {table} WHERE {conditions}")
    }

    async fn read(&self, connection: &mut Connection, wanted: &Wanted) -> Result<Option<Facts>, StorageError> {
        Ok(Some(read::one_by_one(&On { engine: &Citus, database: &*connection }, wanted).await?))
    }

    /// Inserts the rows that are not there, and counts them: Citus tells of a row that is there already without the error's
    /// code. Without `RETURNING` it would count what was to be written.
    async fn write(&self, connection: &mut Connection, batch: &Write<'_>) -> Result<bool, StorageError> {
        let on = On { engine: &Citus, database: &*connection };
        counts::add(&on, batch.grants).await?;
        let rows = rows(batch.grants);
        let insertion = write::insertion(write::any_details(&rows), Present::Kept, true);
        let written = on.query(&insertion.body(), write::list(&rows, batch.fence.now_ms)).await?;
        all_of(written.len(), rows.len(), DbErr::RecordNotInserted)?;
        Ok(true)
    }
}
