//! Opening the database: the options of a connection, and a pool for each kind of work.
//!
//! The pools are separate, so that the writer, look-ups and the probe never wait for a connection that a change of a
//! catalog, an audience or customers holds while it waits for a lock.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Database, Executor};
use sea_orm::{DbErr, RuntimeErr};

use super::StorageError;
use super::connection::Pool;
use super::last_break::LastBreak;
use super::store_options::StoreOptions;
use crate::files::{DATABASE_MODE, warn_if_wider};

/// Idle time after which a connection is tested before it is used: shorter than the time-outs that close idle
/// connections.
const TRIED_AFTER_IDLE: Duration = Duration::from_secs(5);
/// Connections of the probe: one for its statement, and one for a trial write that takes longer.
const PROBE_CONNECTIONS: u32 = 2;
/// Connections for look-ups, which take milliseconds each.
const LOOKUP_CONNECTIONS: u32 = 2;
/// Limits how long a transaction may be idle, for example because the process is paused. It then no longer holds locks.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

/// Pools, one for each kind of work.
#[derive(Debug)]
pub(super) struct Pools {
    /// Sessions of the writer.
    pub writers: Pool,
    /// Changes of catalogs, audiences, customers and API clients, and imports.
    pub changes: Pool,
    /// Calls that read wallets.
    pub reads: Pool,
    /// Look-ups that all other work depends on: catalogs, and the records of API clients.
    pub lookups: Pool,
    /// Statements of the probe.
    pub probe: Pool,
}

impl Pools {
    /// Opens the database at `url`. Creates the file of an SQLite database if it is missing.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StorageError> {
        if url.starts_with("sqlite:") { sqlite(url, options).await } else { postgres(url, options).await }
    }
}

async fn sqlite(url: &str, options: StoreOptions) -> Result<Pools, StorageError> {
    let connect: SqliteConnectOptions = url.parse().map_err(connecting)?;
    let connect = connect
        .create_if_missing(!options.recounts)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is on disk before it is answered; any other setting may lose it in a power failure.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(options.timeout)
        .disable_statement_logging();
    let file = connect.get_filename();
    let exists = if options.recounts { std::fs::metadata(file).map(drop) } else { make_private(file) };
    exists.map_err(|error| connecting(error.into()))?;
    let pool = |connections: u32| {
        lasting(SqlitePoolOptions::new()).max_connections(connections).acquire_timeout(options.timeout)
    };
    let writers = pool(options.writers).connect_with(connect.clone()).await.map_err(connecting)?;
    warn_of_readable(connect.get_filename());
    // A connection for reads refuses writes, which prevents accidental ones.
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

/// Returns the options of a pool whose connections are never renewed, however old or idle.
///
/// The driver's task that renews them reads the number of idle connections while others change it. It may read a number below
/// zero, which is as large as a number can be, and then occupies its thread for ever; the process does not end either. The
/// connection of the probe must not be renewed in any case: if other programs held all sessions of the server, opening one
/// would fail, and the database would be considered lost.
fn lasting<D: Database>(options: PoolOptions<D>) -> PoolOptions<D> {
    options.max_lifetime(None).idle_timeout(None)
}

/// Creates the file of a missing database, readable by the service's own user only. SQLite gives the files beside it
/// the same mode.
fn make_private(file: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Warns about files of a database that other users may read.
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
    let (settings, last_break) = (settings(options), LastBreak::default());
    refuse_shared_sessions(&connect, options.timeout).await?;
    try_settings(&connect, options.timeout, &settings).await?;
    let pool = |connections: u32| {
        let (settings, last_break) = (settings.clone(), last_break.clone());
        lasting(PgPoolOptions::new())
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
    Ok(Pools {
        writers: of(pool(options.writers).connect_with(connect.clone()).await.map_err(connecting)?),
        changes: lazily(options.changes),
        reads: lazily(options.reads),
        lookups: lazily(LOOKUP_CONNECTIONS),
        probe: lazily(PROBE_CONNECTIONS),
    })
}

/// Settings of a session whose statements look rows up by their whole key. Without sorts where an index has the order: a
/// table that was known to be empty makes the search by another index, and a sort behind it, look as cheap. On Citus one shard
/// after the other: after a search of several at once, Citus refuses to mark a promotion, of which each worker has a copy.
const LOOK_UPS: &str = "SET enable_seqscan = off; SET enable_sort = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
    SELECT set_config('plan_cache_mode', 'force_generic_plan', false) \
    WHERE NOT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus'); \
    SELECT set_config('citus.multi_shard_modify_mode', 'sequential', false) \
    WHERE EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')";

/// Returns the first statements of a session of PostgreSQL.
///
/// The service's guarantees need these settings, whatever the role or the database sets: durable commits, and
/// statements that each see what was committed before them. All statements except those of verification look rows up by
/// their whole key, and their text is constant: one plan, made once, that uses the indexes. Citus cannot plan without
/// the values. A session whose client is gone ends even while it waits for a lock, if the platform of the database can
/// detect that. A session whose client is silent for a while does not end, if the version of the database has that
/// setting.
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

/// Returns the limit of a wait for a lock. It is shorter than the statement's limit: otherwise the statement would be
/// canceled first, and a wait for a lock would look like slow work.
pub(super) fn lock_timeout(statement_timeout: Duration) -> Duration {
    (statement_timeout * 4 / 5).max(Duration::from_millis(1))
}

/// Executes the first statements of a session once. A pool would repeat ones that always fail until its time is up, and
/// then say only that it was.
async fn try_settings(connect: &PgConnectOptions, timeout: Duration, settings: &str) -> Result<(), StorageError> {
    let tried = async {
        let mut client = connect.connect().await?;
        client.execute(sea_orm::sqlx::raw_sql(AssertSqlSafe(settings.to_owned()))).await?;
        client.close().await
    };
    tokio::time::timeout(timeout, tried).await.map_err(|_| StorageError::TimedOut)?.map_err(connecting)
}

/// Refuses a pooler that moves the sessions of the database from one client to another between transactions. A client's
/// settings, prepared statements and locks would then apply to another client.
///
/// Several clients run short transactions one after the other, in changing orders. None of them may get a session that
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

/// Returns the database session of a client, by its process number. Uses no prepared statement, as such a pooler would
/// mix them up.
async fn session_of(client: &mut PgConnection) -> Result<i32, StorageError> {
    let row = client.fetch_one(sea_orm::sqlx::raw_sql("SELECT pg_backend_pid()")).await.map_err(connecting)?;
    Ok(sea_orm::QueryResult::from(row).try_get("", "pg_backend_pid")?)
}

fn connecting(error: sea_orm::sqlx::Error) -> StorageError {
    DbErr::Conn(RuntimeErr::SqlxError(std::sync::Arc::new(error))).into()
}

#[cfg(test)]
mod tests {
    use super::super::schema_tests::store;
    use super::*;

    #[tokio::test]
    async fn no_pool_has_the_task_that_renews_connections() {
        let (_directory, store) = store().await;
        for pool in [&store.writers, &store.changes, &store.reads, &store.lookups, &store.probe] {
            let Pool::Sqlite(pool) = pool else { panic!("{pool:?}") };
            assert_eq!((pool.options().get_max_lifetime(), pool.options().get_idle_timeout()), (None, None));
        }
        let options = lasting(PgPoolOptions::new());
        assert_eq!((options.get_max_lifetime(), options.get_idle_timeout()), (None, None));
    }
}
