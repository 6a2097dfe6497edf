//! Distribution of the tables over the workers of a Citus cluster.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::migration::lock_schema;
use super::{StorageError, Store};

/// Tables that every worker has in full.
const REFERENCE_TABLES: [&str; 4] = ["orgs", "promotions", "api_clients", "former_terms"];
/// Tables that are distributed by customer: one worker has a customer's rows of all of them.
const CUSTOMER_TABLES: [&str; 4] = ["customers", "audiences", "cap_usage", "earned_promotions"];
/// Table that is distributed by transaction identifier, as an identifier is unique across customers.
const TRANSACTION_TABLE: &str = "redemptions";

impl Store {
    /// Distributes the tables that are not distributed yet. The schema must be up to date.
    ///
    /// # Errors
    /// Returns an error when the database is not a Citus coordinator, and errors of the database. Then nothing is
    /// changed.
    pub async fn distribute(&self) -> Result<(), StorageError> {
        let transaction = self.begin().await?;
        lock_schema(&transaction.connection).await?;
        let connection = &transaction.connection;
        let backend = connection.get_database_backend();
        let all = async |statement: &str| connection.query_all_raw(Statement::from_string(backend, statement)).await;
        let installed = "SELECT 1 FROM pg_extension WHERE extname = 'citus'";
        if backend == DbBackend::Sqlite || all(installed).await?.is_empty() {
            return Err(StorageError::NoCitus);
        }
        let rows = all("SELECT logicalrelid::text AS name FROM pg_dist_partition").await?;
        let done = rows.iter().map(|row| row.try_get("", "name")).collect::<Result<Vec<String>, _>>()?;
        let left = |table: &&str| !done.iter().any(|name| name == table);
        for table in REFERENCE_TABLES.into_iter().filter(left) {
            connection.execute_unprepared(&format!("SELECT create_reference_table('{table}')")).await?;
        }
        let by_customer = CUSTOMER_TABLES.map(|table| (table, "customer_id"));
        let spread = by_customer.into_iter().chain([(TRANSACTION_TABLE, "transaction_identifier")]);
        for (table, column) in spread.filter(|(table, _)| left(table)) {
            let distribute = format!("SELECT create_distributed_table('{table}', '{column}')");
            connection.execute_unprepared(&distribute).await?;
        }
        transaction.commit().await
    }
}
