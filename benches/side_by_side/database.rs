//! A database on which a server is measured.

use std::path::PathBuf;

use crate::postgres::PostgresDatabase;

/// A database of either engine.
#[derive(Debug)]
pub enum BenchDatabase {
    Postgres(PostgresDatabase),
    /// The path of the file.
    Sqlite(PathBuf),
}

impl BenchDatabase {
    /// Returns the URL that the server gets.
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

    /// Makes all measurements begin alike: with an empty wallet, and no pending writes of earlier ones.
    pub fn empty_wallet(&self) {
        match self {
            Self::Postgres(database) => database.empty("earned_promotions"),
            Self::Sqlite(_) => self.execute("DELETE FROM earned_promotions"),
        }
    }

    /// Returns the number of rows in the wallet.
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

    /// Returns the database if it is of PostgreSQL; panics otherwise.
    pub fn postgres(&self) -> &PostgresDatabase {
        match self {
            Self::Postgres(database) => database,
            Self::Sqlite(_) => panic!("not on PostgreSQL"),
        }
    }
}
