//! The PostgreSQL server of the measurements, given or started here, with a database for each measurement.

use std::path::PathBuf;

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Executor};
use tokio::runtime::Handle;

use crate::cluster::{self, Cluster};
use crate::processes;

/// A PostgreSQL server.
#[derive(Debug)]
pub struct MeasuredPostgres {
    /// The part of the URL up to the slash before the name of a database.
    server: String,
    /// The part of the URL from the question mark on.
    query: String,
    /// The name of the given database, with which the names of the others begin.
    name: String,
    runtime: Handle,
    postmaster: Option<u32>,
    /// The cluster if it was started here, which ends with this value.
    _cluster: Option<Cluster>,
}

impl MeasuredPostgres {
    /// Returns the server at `url`, or a new one.
    pub fn find(url: Option<&str>, runtime: Handle) -> Self {
        let cluster = url.is_none().then(|| {
            Cluster::find_and_start(&[]).expect("no PostgreSQL is installed here: pass --database-url of another")
        });
        let url = url.map_or_else(|| cluster.as_ref().unwrap().url("postgres"), ToOwned::to_owned);
        let (base, query) = url.find('?').map_or((&*url, ""), |at| url.split_at(at));
        let (server, name) = base.rsplit_once('/').expect("a URL that names a database");
        let mut postgres = Self {
            server: server.to_owned(),
            query: query.to_owned(),
            name: name.to_owned(),
            runtime,
            postmaster: None,
            _cluster: cluster,
        };
        postgres.postmaster = postgres.look_up_postmaster(&url);
        postgres
    }

    fn look_up_postmaster(&self, url: &str) -> Option<u32> {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
            processes::postmaster_of(u32::try_from(backend).unwrap())
        })
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{name}{}", self.server, self.query)
    }

    /// Creates an empty database of this name, after the name of the given one.
    pub fn database(&self, name: &str) -> PostgresDatabase {
        let name = format!("{}_{name}", self.name);
        let database = PostgresDatabase {
            url: self.url(&name),
            drop: (self.url(&self.name), format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")),
            runtime: self.runtime.clone(),
            postmaster: self.postmaster,
        };
        // A killed run may have left a database of this name behind.
        execute(&self.runtime, &database.drop.0, &database.drop.1);
        execute(&self.runtime, &database.drop.0, &format!("CREATE DATABASE \"{name}\""));
        database
    }
}

/// A database that is dropped with this value.
#[derive(Debug)]
pub struct PostgresDatabase {
    url: String,
    /// The URL and the statement that drop the database.
    drop: (String, String),
    runtime: Handle,
    postmaster: Option<u32>,
}

impl PostgresDatabase {
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the parent of the server's processes, or `None` if it runs on another machine.
    pub fn postmaster(&self) -> Option<u32> {
        self.postmaster
    }

    pub fn execute(&self, sql: &str) {
        execute(&self.runtime, &self.url, sql);
    }

    /// Returns the number that `sql` selects.
    pub fn number(&self, sql: &'static str) -> i64 {
        number(&self.runtime, &self.url, sql)
    }

    /// Opens a connection.
    pub fn connect(&self) -> PgConnection {
        self.runtime.block_on(PgConnection::connect(&self.url)).unwrap()
    }

    /// Makes both sides begin alike: with an empty table, and no pending writes of earlier runs.
    pub fn empty(&self, table: &str) {
        self.execute(&format!("TRUNCATE {table}"));
        self.execute("CHECKPOINT");
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        execute(&self.runtime, &self.drop.0, &self.drop.1);
    }
}

fn execute(runtime: &Handle, url: &str, sql: &str) {
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let done = connection.execute(AssertSqlSafe(sql)).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.unwrap();
    });
}

fn number(runtime: &Handle, url: &str, sql: &'static str) -> i64 {
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        number
    })
}

/// Returns the path of `pgbench`, of the same installation if that has one.
pub fn pgbench() -> PathBuf {
    let found = cluster::find_programs().map(|folder| folder.join("pgbench"));
    found.filter(|program| program.is_file()).unwrap_or_else(|| "pgbench".into())
}
