//! Options of `serve`, and the settings of the rooms that follow from them.

use std::path::Path;
use std::time::Duration;

use chrono_tz::Tz;
use clap::Args;
use clap::builder::{BoolishValueParser, RangedU64ValueParser};

use super::access::{AccessOptionError, AccessOptions};
use super::edge::EdgeOptions;
use super::every_command::{Common, MAX_TIMEOUT_MS, time_zone};
use super::listen::ListenAddress;
use super::telemetry::TelemetryOptions;
use crate::app::AppLimits;
use crate::earning::redeem::MAX_LATE_REDEMPTION_DAYS;
use crate::storage::StoreOptions;
use crate::transport::{AdmissionLimits, CallLimits, Settings};
use crate::wire::bulk_earn::RequestLimits;
use crate::writer::WriterLimits;

/// Number of seconds in a day.
const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;
/// Maximum number of requests in one transaction.
const MAX_BATCH_REQUESTS: usize = 1_024;
/// Maximum number of wallet rows that one transaction writes.
const MAX_BATCH_ROWS: usize = 10_000;
/// Number of workers that wait for locks beside those that write, for earnings and for changes each (PostgreSQL). Two,
/// so that a lock that is held for long leaves one for the requests that wait for another lock.
const WAITING_WORKERS: u32 = 2;

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Address and port of the listener for gRPC and JSON; `:8080` listens on all addresses. Port 0 takes a free one.
    #[arg(long, env = "CART_PROMOTIONS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: ListenAddress,
    /// IANA time zone of the times in answers.
    #[arg(long, env = "CART_PROMOTIONS_TIME_ZONE", value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    pub time_zone: Tz,
    /// Maximum wait at the start for a database that does not answer, in milliseconds.
    #[arg(long, env = "CART_PROMOTIONS_WAIT_FOR_DATABASE_MS", value_name = "MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(..=MAX_TIMEOUT_MS))]
    pub wait_for_database_ms: u64,
    /// Leaves the schema of the database unchanged, and does not start unless it is up to date.
    #[arg(long, env = "CART_PROMOTIONS_NO_MIGRATE", value_parser = BoolishValueParser::new())]
    pub no_migrate: bool,
    /// Loads a small catalog with credentials demo/demo, and prints a request that earns from it. Not for production.
    #[arg(long, env = "CART_PROMOTIONS_DEMO", value_parser = BoolishValueParser::new())]
    pub demo: bool,
    /// Maximum number of entries in one request.
    #[arg(long, env = "CART_PROMOTIONS_MAX_ENTRIES", value_name = "N", default_value_t = RequestLimits::MAX_ENTRIES, value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub max_entries: usize,
    /// Maximum sum of the earn counts in one request.
    #[arg(long, env = "CART_PROMOTIONS_MAX_EARN_COUNT", value_name = "N", default_value_t = RequestLimits::MAX_EARN_COUNT, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_earn_count: u32,
    /// Maximum size of an answer in bytes: pages end before it, and a request to earn whose answer could be larger is
    /// refused as `INVALID_REQUEST`. Clients must accept answers of this size; stock gRPC clients accept 4 MiB.
    #[arg(long, env = "CART_PROMOTIONS_MAX_RESPONSE_BYTES", value_name = "BYTES", default_value_t = 4_000_000, value_parser = clap::value_parser!(u32).range(1_000_000..=1_000_000_000))]
    pub max_response_bytes: u32,
    /// Maximum number of requests of all API clients that wait to be written. A client may have as many waiting as
    /// there are free slots, alone half of them; a further one is refused at once as `OVERLOADED`.
    #[arg(long, env = "CART_PROMOTIONS_MAX_WAITING", value_name = "N", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_waiting: u32,
    /// Maximum wait of a request for its answer, in milliseconds. A request that waits longer is refused as `OVERLOADED`.
    #[arg(long, env = "CART_PROMOTIONS_REQUEST_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub request_timeout_ms: u64,
    /// Maximum number of concurrent write transactions (PostgreSQL; SQLite has one writer).
    #[arg(long, env = "CART_PROMOTIONS_WRITERS", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub writers: u32,
    /// Number of database connections for look-ups and listings, and also for changes of catalogs, audiences and
    /// customers, beside those of the writers.
    #[arg(long, env = "CART_PROMOTIONS_DATABASE_CONNECTIONS", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub database_connections: u32,
    /// Maximum time of one statement, and of one wait for a lock, before PostgreSQL cancels it, in milliseconds.
    #[arg(long, env = "CART_PROMOTIONS_STATEMENT_TIMEOUT_MS", value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub statement_timeout_ms: u64,
    /// Time in which a stopping service still accepts calls, in milliseconds. It is not ready from the beginning, so that
    /// balancers that ask for readiness send it nothing more when it refuses calls. A second signal ends the delay.
    #[arg(long, env = "CART_PROMOTIONS_SHUTDOWN_DELAY_MS", value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MAX_TIMEOUT_MS))]
    pub shutdown_delay_ms: u64,
    /// Maximum time in which a stopping service finishes the calls that it accepted, in milliseconds.
    #[arg(long, env = "CART_PROMOTIONS_DRAIN_TIMEOUT_MS", value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(..=MAX_TIMEOUT_MS))]
    pub drain_timeout_ms: u64,
    /// Days after its transaction within which a redemption may be reported: an earned promotion must have been valid
    /// at `transactionDate`, or this many days ago if that is later.
    #[arg(long, env = "CART_PROMOTIONS_LATE_REDEMPTION_DAYS", value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_LATE_REDEMPTION_DAYS)))]
    pub late_redemption_days: u32,
    /// The options that differ from their defaults, in one line without secrets. Set by [`super::Cli::read`].
    #[arg(skip)]
    pub changed: String,
    /// Authentication and rate limits.
    #[command(flatten)]
    pub access: AccessOptions,
    /// Connections, their limits, and TLS.
    #[command(flatten)]
    pub edge: EdgeOptions,
    /// The log of calls, and metrics.
    #[command(flatten)]
    pub telemetry: TelemetryOptions,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

impl Serve {
    /// Returns the settings of the endpoints.
    ///
    /// # Errors
    /// Returns an error when the access options are invalid.
    pub fn settings(&self) -> Result<Settings, AccessOptionError> {
        Ok(Settings {
            time_zone: self.time_zone,
            limits: RequestLimits {
                max_entries: self.max_entries,
                max_earn_count: self.max_earn_count,
                max_response_bytes: self.max_response_bytes as usize,
            },
            access: self.access.settings(&self.listen)?,
            admission: AdmissionLimits {
                body_timeout: Duration::from_millis(self.edge.body_timeout_ms),
                body_memory_bytes: mebibytes(self.edge.max_body_memory_mib),
                // The memory holds at least one answer of maximum size, beside the part that is reserved for small
                // ones.
                answer_memory_bytes: mebibytes(self.edge.max_answer_memory_mib)
                    .max(2 * self.max_response_bytes as usize),
                stream_lifetime: Duration::from_millis(self.edge.stream_lifetime_ms),
            },
        })
    }

    /// Returns the files of secrets: of private keys, of the URL of the database, and of options, which may have that URL.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        let url_file = self.common.database_url_file.as_ref().map(|file| &*file.path);
        let keys = self.access.token_key_files().chain(self.edge.tls_key.as_deref());
        keys.chain(url_file).chain(self.common.config.as_deref())
    }

    /// Returns the limits of one call.
    pub fn call_limits(&self) -> CallLimits {
        CallLimits {
            timeout: Duration::from_millis(self.edge.call_timeout_ms),
            max_header_bytes: self.edge.max_header_bytes as usize,
            logged: self.telemetry.logged_calls(),
            slow: self.telemetry.slow(),
        }
    }

    /// Returns the limits of the use cases.
    pub fn app_limits(&self) -> AppLimits {
        AppLimits {
            writer: self.writer_limits(),
            connections: self.database_connections as usize,
            connection_timeout: self.common.database_timeout(),
        }
    }

    /// Returns the limits of the writer.
    fn writer_limits(&self) -> WriterLimits {
        let statement_timeout = Duration::from_millis(self.statement_timeout_ms);
        WriterLimits {
            workers: self.workers() as usize,
            waiting_workers: self.waiting_workers() as usize,
            max_waiting: self.max_waiting as usize,
            max_batch_requests: MAX_BATCH_REQUESTS,
            max_batch_rows: MAX_BATCH_ROWS,
            request_timeout: Duration::from_millis(self.request_timeout_ms),
            // The parts are a wait for the connection, one for a lock, and the statements.
            transaction_timeout: self.common.database_timeout() + 2 * statement_timeout,
            late_redemption: Duration::from_secs(u64::from(self.late_redemption_days) * SECONDS_OF_A_DAY),
        }
    }

    /// Returns the database options of the server.
    pub fn store_options(&self) -> StoreOptions {
        StoreOptions {
            // Earnings and changes have separate workers.
            writers: 2 * (self.workers() + self.waiting_workers()),
            changes: self.database_connections,
            reads: self.database_connections,
            timeout: self.common.database_timeout(),
            statement_timeout: Some(Duration::from_millis(self.statement_timeout_ms)),
            recounts: false,
        }
    }

    fn workers(&self) -> u32 {
        if self.common.database_url().is_sqlite() { 1 } else { self.writers }
    }

    /// Returns the number of waiting workers: SQLite has one lock, and one worker could do nothing while another waits.
    fn waiting_workers(&self) -> u32 {
        if self.common.database_url().is_sqlite() { 0 } else { WAITING_WORKERS }
    }
}

fn mebibytes(count: u32) -> usize {
    count as usize * 1024 * 1024
}
