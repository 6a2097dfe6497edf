//! A database that a server is measured on.

use std::path::PathBuf;

use crate::postgres::PostgresDatabase;

/// Either engine.
#[derive(Debug)]
pub enum Database {
    Postgres(PostgresDatabase),
    /// The file.
    Sqlite(PathBuf),
}

impl Database {
    /// As the server is told.
    pub fn url(&self) -> String {
        match self {
            Self::Postgres(database) => database.url().to_owned(),
            Self::Sqlite(file) => format!("sqlite://{}", file.display()),
        }
    }

    pub fn execute(&self, sql: &str) {
        match self {
            Self::Postgres(database) => database.execute(sql),
            Self::Sqlite(file) => rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap(),
        }
    }

    /// Makes every measurement begin alike: an empty wallet, and nothing left to write of what came before.
    pub fn empty_wallet(&self) {
        match self {
            Self::Postgres(database) => database.empty("earned_promotions"),
            Self::Sqlite(_) => self.execute("DELETE FROM earned_promotions"),
        }
    }

    /// Rows in the wallet.
    pub fn wallet_rows(&self) -> usize {
        let sql = "SELECT count(*) FROM earned_promotions";
        let rows: i64 = match self {
            Self::Postgres(database) => database.number(sql),
            Self::Sqlite(file) => {
                rusqlite::Connection::open(file).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
            }
        };
        usize::try_from(rows).unwrap()
    }

    /// The one on PostgreSQL, where there is no other.
    pub fn postgres(&self) -> &PostgresDatabase {
        match self {
            Self::Postgres(database) => database,
            Self::Sqlite(_) => panic!("not on PostgreSQL"),
        }
    }
}
