//! The database of one test: an SQLite file, or a database of PostgreSQL, depending on the suite.
//!
//! PostgreSQL is the server at the URL in `CART_PROMOTIONS_TEST_POSTGRES`, else a throw-away cluster of the installed
//! programs. Without either, the suite prints a note and ends; with `CART_PROMOTIONS_TEST_POSTGRES=required`, it fails.
//! For servers on which `CREATE DATABASE` does not suffice (Citus), `CART_PROMOTIONS_TEST_CREATE` is a program that
//! takes the name of a database, creates it, and prints its URL as the last line.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, FromQueryResult, JsonValue,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::ENGINE;
use crate::cluster::Cluster;

/// The engine of the databases of a suite.
#[allow(dead_code, reason = "each suite is about one")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    Sqlite,
    Postgres,
}

/// An empty database, which is removed when this value is dropped.
#[derive(Debug)]
pub struct Database {
    url: String,
    /// The directory of an SQLite database.
    _directory: TempDir,
}

/// A database that is copied for each test: creating the tables and hashing the secrets of a catalog takes longer.
#[derive(Debug)]
pub enum Template {
    /// The content of an SQLite file.
    File(Vec<u8>),
    /// The name of a database of PostgreSQL.
    Database(String),
}

/// The server of the databases of PostgreSQL.
enum PostgresServer {
    Given(String),
    Own(Cluster),
}

/// The variable that names the program of the module's comment.
const CREATE_PROGRAM: &str = "CART_PROMOTIONS_TEST_CREATE";

static POSTGRES: OnceLock<PostgresServer> = OnceLock::new();
static MADE: AtomicUsize = AtomicUsize::new(0);

fn postgres() -> &'static PostgresServer {
    POSTGRES.get_or_init(|| {
        let given = std::env::var("CART_PROMOTIONS_TEST_POSTGRES").unwrap_or_default();
        if !["", "required"].contains(&&*given) {
            return PostgresServer::Given(given);
        }
        // `fsync` can be off because these tests do not crash the machine.
        if let Some(cluster) = Cluster::find_and_start(&[("fsync", "off"), ("max_connections", "300")]) {
            return PostgresServer::Own(cluster);
        }
        assert!(given != "required", "PostgreSQL is not installed, and these tests require it");
        let _ = writeln!(std::io::stderr(), "PostgreSQL is not installed: nothing here was tested on it");
        std::process::exit(0);
    })
}

impl Database {
    /// Creates a database of the suite's engine.
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = match ENGINE {
            DatabaseKind::Sqlite => format!("sqlite://{}", directory.path().join("test.db").display()),
            DatabaseKind::Postgres => new_on_postgres().await,
        };
        Self { url, _directory: directory }
    }

    /// Creates a database with the content of this one, which nothing uses any more.
    pub async fn copy_of(template: &Template) -> Self {
        match template {
            Template::File(bytes) => {
                let copy = Self::new().await;
                let path = copy.url.strip_prefix("sqlite://").unwrap();
                // The service gives its files these rights.
                let mut file = std::fs::OpenOptions::new();
                file.write(true).create_new(true).mode(0o600).open(path).unwrap().write_all(bytes).unwrap();
                copy
            }
            Template::Database(name) => Self::at(create_on_postgres(&format!(" TEMPLATE {name}")).await),
        }
    }

    /// Returns the template of copies of this database, to which nothing may be connected. Returns `None` where another
    /// program creates the databases.
    pub fn into_template(self) -> Option<Template> {
        match ENGINE {
            DatabaseKind::Sqlite => {
                let path = self.url.strip_prefix("sqlite://").unwrap();
                assert!(!std::fs::exists(format!("{path}-wal")).unwrap(), "the last connection merged the log");
                Some(Template::File(std::fs::read(path).unwrap()))
            }
            DatabaseKind::Postgres if std::env::var_os(CREATE_PROGRAM).is_some() => None,
            DatabaseKind::Postgres => Some(Template::Database(self.url.rsplit('/').next().unwrap().to_owned())),
        }
    }

    /// Uses the existing database at this URL of PostgreSQL.
    #[allow(dead_code, reason = "one suite has servers of its own")]
    pub fn at(url: String) -> Self {
        Self { url, _directory: tempfile::tempdir().unwrap() }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    async fn connect(&self) -> DatabaseConnection {
        let url = if ENGINE == DatabaseKind::Sqlite { format!("{}?mode=rwc", self.url) } else { self.url.clone() };
        let mut options = sea_orm::ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        sea_orm::Database::connect(options).await.unwrap()
    }

    /// Executes these statements.
    pub async fn execute(&self, sql: &str) {
        self.try_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Executes these statements. Returns the error of the database.
    pub async fn try_execute(&self, sql: &str) -> Result<(), String> {
        let database = self.connect().await;
        let done = database.execute_unprepared(sql).await.map(drop).map_err(|error| error.to_string());
        database.close().await.unwrap();
        done
    }

    /// Returns the rows of a query.
    pub async fn rows(&self, sql: &str) -> Vec<Value> {
        let database = self.connect().await;
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = JsonValue::find_by_statement(statement).all(&database).await.unwrap();
        database.close().await.unwrap();
        rows
    }

    /// Returns the single number of a query.
    pub async fn count(&self, sql: &str) -> i64 {
        let database = self.connect().await;
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(statement).await.unwrap().unwrap();
        let count = row.try_get("", &row.column_names()[0]).unwrap();
        database.close().await.unwrap();
        count
    }

    /// Lets recorded changes of catalogs be changed and removed, as nothing but a test needs.
    pub async fn let_changes_go(&self) {
        self.execute(match ENGINE {
            DatabaseKind::Sqlite => {
                "DROP TRIGGER IF EXISTS catalog_changes_not_updated; DROP TRIGGER IF EXISTS catalog_changes_not_deleted"
            }
            DatabaseKind::Postgres => "DROP TRIGGER IF EXISTS catalog_changes_kept ON catalog_changes",
        })
        .await;
    }

    /// Blocks all writes to the wallet until the lock is released.
    pub async fn block_writers(&self) -> Blocker {
        self.block("LOCK TABLE earned_promotions IN EXCLUSIVE MODE").await
    }

    /// Blocks all look-ups of customers until the lock is released.
    pub async fn block_lookups(&self) -> Blocker {
        self.block("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await
    }

    /// Makes every write to the wallet take longer than a statement may (PostgreSQL). Returns the statement that undoes
    /// this.
    pub async fn slow_writes(&self) -> &'static str {
        self.execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(10); RETURN NULL; END $$;
             CREATE TRIGGER dawdle AFTER INSERT ON earned_promotions FOR EACH STATEMENT EXECUTE FUNCTION dawdle()",
        )
        .await;
        "DROP TRIGGER dawdle ON earned_promotions; DROP FUNCTION dawdle"
    }

    /// Makes look-ups of customers take longer than they may. Returns the statement that undoes this.
    pub async fn slow_lookups(&self) -> &'static str {
        let slow = match ENGINE {
            // SQLite has no function that waits, so this one counts for seconds.
            DatabaseKind::Sqlite => {
                "CREATE VIEW customers AS SELECT * FROM people WHERE (WITH RECURSIVE n (n) AS
                 (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000000) SELECT count(*) FROM n) > 0"
            }
            DatabaseKind::Postgres => "CREATE VIEW customers AS SELECT people.* FROM people, pg_sleep(10)",
        };
        self.execute(&format!("ALTER TABLE customers RENAME TO people; {slow}")).await;
        "DROP VIEW customers; ALTER TABLE people RENAME TO customers"
    }

    /// Holds the locks of these statements on PostgreSQL until they are released, and then rolls back. SQLite has one
    /// lock for the database, which every transaction of the service takes first.
    pub async fn block(&self, on_postgres: &str) -> Blocker {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let transaction = self.connect().await.begin_with_options(options).await.unwrap();
        if transaction.get_database_backend() == DbBackend::Postgres {
            transaction.execute_unprepared(on_postgres).await.unwrap();
        }
        Blocker(transaction)
    }
}

/// A lock that is held.
pub struct Blocker(DatabaseTransaction);

impl Blocker {
    pub async fn release(self) {
        self.0.rollback().await.unwrap();
    }
}

fn new_name() -> String {
    format!("test_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

async fn new_on_postgres() -> String {
    if let Ok(program) = std::env::var(CREATE_PROGRAM) {
        // The program may take seconds, during which other tests should continue.
        let made = tokio::task::spawn_blocking(|| std::process::Command::new(program).arg(new_name()).output());
        let made = made.await.unwrap().unwrap();
        let printed = String::from_utf8(made.stdout).unwrap();
        return printed.lines().last().unwrap_or_else(|| panic!("{:?}", made.stderr)).to_owned();
    }
    create_on_postgres("").await
}

/// Creates a database of PostgreSQL with these further clauses. Returns its URL.
async fn create_on_postgres(clauses: &str) -> String {
    let name = new_name();
    let at = match postgres() {
        PostgresServer::Given(url) => url.clone(),
        PostgresServer::Own(cluster) => cluster.url("postgres"),
    };
    let server = sea_orm::Database::connect(&at).await.unwrap();
    server.execute_unprepared(&format!("CREATE DATABASE {name}{clauses}")).await.unwrap();
    server.close().await.unwrap();
    let mut url = url::Url::parse(&at).unwrap();
    url.set_path(&name);
    url.to_string()
}
