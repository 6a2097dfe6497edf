//! Facts about the server of the database that an operator can put right: rights, and the clock.

use sea_orm::{ConnectionTrait, Statement};

use super::org_owned;
use super::{StorageError, Store};

use crate::earning::Timestamp;

/// Facts about the server of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// Time of the database.
    pub now: Timestamp,
    /// Rights that the role lacks, such as `INSERT on orgs`.
    pub lacking: Vec<String>,
    /// True if the role may do everything, which the service does not need.
    pub is_superuser: bool,
}

impl Store {
    /// Examines the server of the database; `None` for SQLite, which has no server.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn examine(&self) -> Result<Option<Examination>, StorageError> {
        let Some(statement) = self.engine.examination(&org_owned::rights()) else { return Ok(None) };
        let connection = self.lookups.acquire().await?;
        let row = connection.query_one_raw(Statement::from_string(self.engine.backend(), statement)).await?;
        connection.release();
        let Some(row) = row else { return Err(StorageError::Corrupt("no answer to the examination".to_owned())) };
        let lacking: String = row.try_get("", "lacking")?;
        Ok(Some(Examination {
            now: row.try_get("", "now_ms")?,
            lacking: lacking.split("; ").filter(|right| !right.is_empty()).map(str::to_owned).collect(),
            is_superuser: row.try_get("", "is_superuser")?,
        }))
    }
}
