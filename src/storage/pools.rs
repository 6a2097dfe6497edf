//! Opening the database: the options of a connection, and a pool for each class of work.
//!
//! Pools are bulkheads: the writer, look-ups and the probe never wait for a connection that a change of the catalog, of an
//! audience or of customers holds while it waits for a lock.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor};
use sea_orm::{DbErr, RuntimeErr};

use super::connection::Pool;
use super::{StorageError, StoreOptions};
use crate::files::{DATABASE_MODE, warn_if_wider};

/// A connection that was idle for longer is tried before it is used: shorter than anything that drops idle ones.
const TRIED_AFTER_IDLE: Duration = Duration::from_secs(5);
/// Connections of the probe: for its question, and for a trial write that takes longer.
const PROBE_CONNECTIONS: u32 = 2;
/// Connections for look-ups, which take milliseconds each.
const LOOKUP_CONNECTIONS: u32 = 2;
/// Bound of a transaction in which nothing happens, as when the process is paused: then it holds no locks any longer.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

/// A pool for each class of work.
#[derive(Debug)]
pub(super) struct Pools {
    /// Sessions of the writer.
    pub writers: Pool,
    /// Changes of catalogs, audiences, customers and clients, and imports.
    pub changes: Pool,
    /// Calls that read wallets.
    pub reads: Pool,
    /// Look-ups that everything else rests on: catalogs, and the records of API clients.
    pub lookups: Pool,
    /// The probe.
    pub probe: Pool,
}

/// The last time that a connection was closed because its work did not end in order. It may have broken, and those that were
/// idle at that moment with it: they are tried before they are used.
#[derive(Debug, Clone, Default)]
pub(super) struct LastBreak(Arc<Mutex<Option<Instant>>>);

impl LastBreak {
    pub fn note(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    fn was_within(&self, last: Duration) -> bool {
        self.0.lock().is_some_and(|broke| broke.elapsed() <= last)
    }
}

impl Pools {
    /// Opens the database at `url`, making the file of an SQLite database that is not there.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StorageError> {
        if url.starts_with("sqlite:") { sqlite(url, options).await } else { postgres(url, options).await }
    }
}

async fn sqlite(url: &str, options: StoreOptions) -> Result<Pools, StorageError> {
    let connect: SqliteConnectOptions = url.parse().map_err(connecting)?;
    let connect = connect
        .create_if_missing(!options.recounts)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is on the disk before it is answered; anything less may lose it with the power.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(options.timeout)
        .disable_statement_logging();
    if !options.recounts {
        make_private(connect.get_filename()).map_err(|error| connecting(error.into()))?;
    }
    let pool =
        |connections: u32| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(options.timeout);
    let writers = pool(options.writers).connect_with(connect.clone()).await.map_err(connecting)?;
    warn_of_readable(connect.get_filename());
    // Whoever only reads cannot write by mistake.
    let reading = |connections| {
        let reads = pool(connections).after_connect(|connection: &mut SqliteConnection, _| {
            Box::pin(async move { connection.execute("PRAGMA query_only = ON").await.map(drop) })
        });
        Pool::Sqlite(reads.connect_lazy_with(connect.clone()))
    };
    Ok(Pools {
        writers: Pool::Sqlite(writers),
        changes: Pool::Sqlite(pool(options.changes).connect_lazy_with(connect.clone())),
        reads: reading(options.reads),
        lookups: reading(LOOKUP_CONNECTIONS),
        probe: Pool::Sqlite(pool(PROBE_CONNECTIONS).connect_lazy_with(connect.clone())),
    })
}

/// Makes the file of a database that is not there, for the service's own user to read alone. SQLite gives the files beside it the same mode.
fn make_private(file: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Warns of files of a database that others may read.
fn warn_of_readable(file: &Path) {
    for beside in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(beside);
        warn_if_wider(DATABASE_MODE, Path::new(&name));
    }
}

async fn postgres(url: &str, options: StoreOptions) -> Result<Pools, StorageError> {
    let connect: PgConnectOptions = url.parse().map_err(connecting)?;
    let connect = connect.application_name("cart-promotions").disable_statement_logging();
    refuse_shared_sessions(&connect, options.timeout).await?;
    let (settings, last_break) = (settings(options), LastBreak::default());
    let pool = |connections: u32| {
        let (settings, last_break) = (settings.clone(), last_break.clone());
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(options.timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, state| {
                let is_tried = state.idle_for > TRIED_AFTER_IDLE || last_break.was_within(state.idle_for);
                Box::pin(async move {
                    if is_tried {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection: &mut PgConnection, _| {
                let settings = AssertSqlSafe(settings.clone());
                Box::pin(async move { connection.execute(sea_orm::sqlx::raw_sql(settings)).await.map(drop) })
            })
    };
    let of = |pool| Pool::Postgres { pool, last_break: last_break.clone() };
    let lazily = |connections| of(pool(connections).connect_lazy_with(connect.clone()));
    // Opened anew while others take every session of the server, it would find the database lost.
    let probe = pool(PROBE_CONNECTIONS).max_lifetime(None).idle_timeout(None);
    Ok(Pools {
        writers: of(pool(options.writers).connect_with(connect.clone()).await.map_err(connecting)?),
        changes: lazily(options.changes),
        reads: lazily(options.reads),
        lookups: lazily(LOOKUP_CONNECTIONS),
        probe: of(probe.connect_lazy_with(connect)),
    })
}

/// What a session is told whose statements look rows up by their whole key.
const LOOK_UPS: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
    SELECT set_config('plan_cache_mode', 'force_generic_plan', false) \
    WHERE NOT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')";

/// Returns what a session of PostgreSQL is told first.
///
/// What is promised rests on these, whatever the role or the database says: durable commits, and statements that each see
/// what was committed before them. Every statement but those that recount looks rows up by their whole key, and its text is
/// constant: one plan, made once, that uses the indexes. Citus cannot plan without the values. A session whose client is gone
/// ends though it waits for a lock, where the platform of the database can tell. One whose client says nothing for a while does
/// not end, where the version of the database knows of that.
fn settings(options: StoreOptions) -> String {
    let mut settings = format!(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
         SET default_transaction_isolation = 'read committed'; SET row_security = off; \
         DO $$ BEGIN PERFORM set_config('client_connection_check_interval', '500ms', false); \
         EXCEPTION WHEN OTHERS THEN NULL; END $$; \
         DO $$ BEGIN PERFORM set_config('idle_session_timeout', '0', false); \
         EXCEPTION WHEN OTHERS THEN NULL; END $$; \
         SET statement_timeout = 0; SET lock_timeout = 0; \
         SET idle_in_transaction_session_timeout = {}; ",
        IDLE_IN_TRANSACTION.as_millis()
    );
    if let Some(timeout) = options.statement_timeout {
        let (ms, lock_ms) = (timeout.as_millis(), lock_timeout(timeout).as_millis());
        let idle_ms = timeout.min(IDLE_IN_TRANSACTION).as_millis();
        let for_calls = format!(
            "SET statement_timeout = {ms}; SET lock_timeout = {lock_ms}; SET idle_in_transaction_session_timeout = {idle_ms}; "
        );
        settings.push_str(&for_calls);
    }
    if !options.recounts {
        settings.push_str(LOOK_UPS);
    }
    settings
}

/// Returns the bound of a wait for a lock: shorter than that of the statement, which would otherwise be cancelled first, and
/// a wait for a lock could not be told from slow work.
pub(super) fn lock_timeout(statement_timeout: Duration) -> Duration {
    (statement_timeout * 4 / 5).max(Duration::from_millis(1))
}

/// Refuses a pooler that hands the sessions of the database from one client to another, transaction by transaction: the
/// settings of a session, its prepared statements and its locks would be those of somebody else.
///
/// Several clients take turns in short transactions, in an order that changes, and none of them may meet a session that
/// another one had.
async fn refuse_shared_sessions(connect: &PgConnectOptions, timeout: Duration) -> Result<(), StorageError> {
    let mut clients = Vec::new();
    let mut sessions: Vec<i32> = Vec::new();
    for _ in 0..3 {
        let opened = tokio::time::timeout(timeout, connect.connect()).await;
        let mut client = opened.map_err(|_| StorageError::TimedOut)?.map_err(connecting)?;
        let session = session_of(&mut client).await?;
        if sessions.contains(&session) {
            return Err(StorageError::SharedSessions);
        }
        sessions.push(session);
        clients.push(client);
    }
    for order in [[0, 1, 2], [1, 2, 0], [2, 1, 0]] {
        for client in order {
            if session_of(&mut clients[client]).await? != sessions[client] {
                return Err(StorageError::SharedSessions);
            }
        }
    }
    for client in clients {
        client.close().await.map_err(connecting)?;
    }
    Ok(())
}

/// Returns the session of the database that a client has, by the number of its process. Without preparing a statement,
/// which such a pooler would mix up.
async fn session_of(client: &mut PgConnection) -> Result<i32, StorageError> {
    let row = client.fetch_one(sea_orm::sqlx::raw_sql("SELECT pg_backend_pid()")).await.map_err(connecting)?;
    Ok(sea_orm::QueryResult::from(row).try_get("", "pg_backend_pid")?)
}

fn connecting(error: sea_orm::sqlx::Error) -> StorageError {
    DbErr::Conn(RuntimeErr::SqlxError(std::sync::Arc::new(error))).into()
}
