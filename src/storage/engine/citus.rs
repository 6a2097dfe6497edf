//! PostgreSQL as the coordinator of a Citus cluster. A batch is a transaction of several statements, as one statement
//! cannot write to tables that are distributed differently.

use async_trait::async_trait;
use sea_orm::{DbErr, Statement};

use super::interface::{Engine, Write};
use super::postgres_texts;
use crate::earning::Facts;
use crate::storage::StorageError;
use crate::storage::batch::earnings::{EarningsWanted, rows};
use crate::storage::batch::{counts, read, write};
use crate::storage::connection::Connection;
use crate::storage::dialect::{Dialect, SearchText};
use crate::storage::error::all_of;
use crate::storage::org_owned::Present;
use crate::storage::rows::Rows;
use crate::storage::statement::On;

/// Engine for Citus.
#[derive(Debug)]
pub struct Citus;

impl Dialect for Citus {
    fn writes_as_presumed(&self) -> bool {
        false
    }

    /// Writes a plain join: Citus does not support a subquery that is protected from reordering, and it plans every
    /// execution with its values.
    fn search(&self, search: &SearchText<'_>) -> String {
        let SearchText { table, list, answers, conditions, .. } = search;
        let comma = if answers.is_empty() { "" } else { ", " };
        format!("SELECT {list}.place{comma}{answers} FROM {list} CROSS JOIN {table} WHERE {conditions}")
    }

    fn statement(&self, rows: Rows<'_>, body: &str) -> Statement {
        postgres_texts::with_lists(rows, body)
    }
}

#[async_trait]
impl Engine for Citus {
    async fn read(&self, connection: &mut Connection, wanted: &EarningsWanted) -> Result<Option<Facts>, StorageError> {
        Ok(Some(read::one_by_one(&On { dialect: &Citus, database: &*connection }, wanted).await?))
    }

    /// Inserts the rows that are missing, and counts them, as Citus reports a duplicate row without the error code.
    /// Without `RETURNING` Citus would count the rows of the list.
    async fn write(&self, connection: &mut Connection, batch: &Write<'_>) -> Result<bool, StorageError> {
        let on = On { dialect: &Citus, database: &*connection };
        counts::add(&on, batch.grants).await?;
        let rows = rows(batch.grants);
        let insertion = write::insertion(write::any_details(&rows), Present::Kept, true);
        let written = on.query(&insertion.body(), write::list(&rows, batch.fence.now)).await?;
        all_of(written.len(), rows.len(), DbErr::RecordNotInserted)?;
        Ok(true)
    }
}
