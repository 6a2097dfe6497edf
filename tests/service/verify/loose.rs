//! A database without its constraints, so that tests can break every invariant in it and restore it.

use serde_json::Value;

use crate::ENGINE;
use crate::database::{Database, DatabaseKind};

/// A table and one of its columns, as in the schema.
#[derive(Debug, Clone)]
pub struct TableColumn {
    pub table: String,
    pub name: String,
    pub kind: ColumnKind,
    pub nullable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    Integer,
    Text,
    Boolean,
}

/// Returns the statement for a connection without constraints.
pub fn statement(sql: &str) -> String {
    match ENGINE {
        DatabaseKind::Sqlite => format!("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {sql}"),
        DatabaseKind::Postgres => sql.to_owned(),
    }
}

/// Returns every column of every table of the schema.
pub async fn columns(database: &Database) -> Vec<TableColumn> {
    let sql = match ENGINE {
        DatabaseKind::Sqlite => {
            "SELECT tables.name AS of_table, columns.name AS name, lower(columns.type) AS kind, columns.\"notnull\" = 0 AS nullable
             FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
             WHERE tables.type = 'table' AND tables.name NOT LIKE 'kept_%' AND tables.name NOT IN ('seaql_migrations')
             ORDER BY 1, columns.cid"
        }
        DatabaseKind::Postgres => {
            "SELECT table_name::text AS of_table, column_name::text AS name, data_type::text AS kind,
                 (is_nullable = 'YES')::int AS nullable
             FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name NOT LIKE 'kept_%' AND table_name NOT IN ('seaql_migrations')
             ORDER BY 1, ordinal_position"
        }
    };
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = database.rows(sql).await;
    let columns = rows.iter().map(|row| TableColumn {
        table: text(row, "of_table"),
        name: text(row, "name"),
        kind: match text(row, "kind").as_str() {
            "bigint" | "integer" => ColumnKind::Integer,
            "text" => ColumnKind::Text,
            "boolean" => ColumnKind::Boolean,
            other => panic!("{row}: no mutation of a column of type {other}"),
        },
        nullable: row["nullable"] == 1,
    });
    columns.collect()
}

async fn tables(database: &Database) -> Vec<String> {
    let mut tables: Vec<_> = columns(database).await.into_iter().map(|column| column.table).collect();
    tables.dedup();
    tables
}

/// Removes the constraints, and copies the rows of the tables.
pub async fn loosen(database: &Database) {
    for table in tables(database).await {
        database.execute(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    database.let_changes_go().await;
    database
        .execute(match ENGINE {
            DatabaseKind::Sqlite => "DROP INDEX promotions_active_name; DROP INDEX earned_promotions_earning_key",
            DatabaseKind::Postgres => {
                "DO $$ DECLARE each record; BEGIN
                     FOR each IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint
                         WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p', 'u')
                         ORDER BY contype <> 'f'
                     LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', each.of_table, each.conname); END LOOP;
                     FOR each IN SELECT table_name, column_name FROM information_schema.columns
                         WHERE table_schema = 'public' AND is_nullable = 'NO'
                     LOOP EXECUTE format('ALTER TABLE %I ALTER COLUMN %I DROP NOT NULL', each.table_name, each.column_name);
                     END LOOP;
                     DROP INDEX promotions_active_name; DROP INDEX earned_promotions_earn_id;
                 END $$"
            }
        })
        .await;
}

/// Restores all rows from the copy.
pub async fn restore(database: &Database) {
    let tables = tables(database).await;
    let statements =
        tables.iter().map(|table| format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}"));
    database.execute(&statement(&statements.collect::<Vec<_>>().join("; "))).await;
}
