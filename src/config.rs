//! The command line, the environment and the file of options, read once. `--help` shows the default and the limits of each option.

pub mod access;
mod changed;
pub mod clients;
mod command_line;
pub mod customers;
mod database_url;
pub mod edge;
mod environment;
mod file;
pub mod inspect;
mod listen;
mod operator_name;
mod options;
pub mod orgs;
pub mod output;
pub mod promotions;
pub mod telemetry;
pub mod traces;
mod url_file;
pub mod wallet;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use clap::builder::{BoolishValueParser, PathBufValueParser, RangedU64ValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

pub use command_line::CliError;
pub use database_url::DatabaseUrl;
pub use listen::ListenAddress;
pub use operator_name::operator_name;

use self::access::{AccessOptionError, AccessOptions};
use self::url_file::UrlFile;
use crate::app::AppLimits;
use crate::earning::redeem::MAX_LATE_REDEMPTION_DAYS;
use crate::storage::StoreOptions;
use crate::telemetry::LogFormat;
use crate::transport::{AdmissionLimits, CallLimits, Settings};
use crate::wire::bulk_earn::RequestLimits;
use crate::writer::WriterLimits;

/// Longest timeout that an option accepts, in milliseconds: one hour.
const MAX_TIMEOUT_MS: u64 = 3_600_000;
/// Number of seconds in a day.
const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;
/// Maximum number of requests in one transaction.
const MAX_BATCH_REQUESTS: usize = 1_024;
/// Maximum number of wallet rows that one transaction writes.
const MAX_BATCH_ROWS: usize = 10_000;
/// Number of workers that wait for locks beside those that write, for earnings and for changes each (PostgreSQL). Two,
/// so that a lock that is held for long leaves one for the requests that wait for another lock.
const WAITING_WORKERS: u32 = 2;

/// Grants cart promotions in bulk, over gRPC and JSON on one port.
#[derive(Debug, Parser)]
#[command(name = "cart-promotions", version, max_term_width = 100)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: CliCommand,
    /// True when the URL of the database stands on the command line and has a password. Set by [`Cli::read`].
    #[arg(skip)]
    pub shows_password: bool,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Serves gRPC and JSON until SIGTERM or SIGINT.
    Serve(Box<Serve>),
    /// Imports organizations, promotions, customers and API clients from a JSON file, all or nothing.
    ///
    /// An existing record changes in the fields that the file names, and keeps the rest; importing the same file twice
    /// changes nothing. The change takes effect at once in every server on the database; changed secrets within a
    /// second.
    Import(ImportFile),
    /// Brings the schema of a database up to date; `serve` and `import` do so by themselves.
    Migrate(Migrate),
    /// Checks every invariant of the wallet, beside a running service. Exits with 1 when it finds a breach.
    Verify(Verify),
    /// Shows organizations and their history, and changes their settings.
    #[command(subcommand)]
    Orgs(orgs::Orgs),
    /// Lists, shows, creates, updates, activates and deactivates promotions, and shows their history.
    #[command(subcommand)]
    Promotions(promotions::Promotions),
    /// Records and counts customers.
    #[command(subcommand)]
    Customers(customers::Customers),
    /// Shows wallets.
    #[command(subcommand)]
    Wallet(wallet::Wallet),
    /// Issues and withdraws the credentials of API clients.
    #[command(subcommand)]
    Clients(clients::Clients),
    /// Writes the catalogs and the customers to standard output, as a file that `import` reads.
    Export(inspect::Export),
    /// Checks the connection, the role, the schema, the durability, the clock and the limit of open files, and says what to
    /// do. Changes nothing. Exits with 1 when it finds a problem.
    Doctor(inspect::Doctor),
    /// Asks a running server for its health. Exits with 0 if it is well.
    Probe(inspect::Probe),
    /// Writes the completions of a shell to standard output.
    Completions(inspect::Completions),
    /// Writes the manual page to standard output.
    Man(inspect::Man),
    /// Writes the descriptor set of the API to standard output, for gateways in front of the service.
    DescriptorSet,
}

impl CliCommand {
    /// Returns the options of every command that uses a database; `None` for the others.
    pub fn common(&self) -> Option<&Common> {
        match self {
            Self::Serve(options) => Some(&options.common),
            Self::Import(options) => Some(&options.common),
            Self::Migrate(options) => Some(&options.common),
            Self::Verify(options) => Some(&options.common),
            Self::Promotions(command) => Some(command.common()),
            Self::Orgs(command) => Some(command.common()),
            Self::Customers(command) => Some(command.common()),
            Self::Wallet(command) => Some(command.common()),
            Self::Clients(command) => Some(command.common()),
            Self::Export(options) => Some(&options.common),
            Self::Doctor(options) => Some(&options.common),
            Self::Probe(_) | Self::Completions(_) | Self::Man(_) | Self::DescriptorSet => None,
        }
    }
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// File with options, by their names, in TOML: `max-connections = 1000`. An option of the command line takes
    /// precedence, then its environment variable, then the file.
    #[arg(long, env = "CART_PROMOTIONS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The database: `sqlite://FILE`, created when missing, or `postgres://USER:PASSWORD@HOST/NAME` (15 and later).
    /// Pass a URL with a password in the environment variable or with --database-url-file: other users of the machine
    /// can read the command line.
    #[arg(
        long,
        env = "CART_PROMOTIONS_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "sqlite://cart-promotions.db"
    )]
    database_url: DatabaseUrl,
    /// File with the URL of the database, for example a mounted secret. Not together with --database-url.
    #[arg(long, env = "CART_PROMOTIONS_DATABASE_URL_FILE", value_name = "FILE", conflicts_with = "database_url", value_parser = PathBufValueParser::new().try_map(UrlFile::read))]
    database_url_file: Option<UrlFile>,
    /// Maximum wait for a connection to the database, and on SQLite for other writers, in milliseconds.
    #[arg(long, env = "CART_PROMOTIONS_DATABASE_TIMEOUT_MS", value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    pub database_timeout_ms: u64,
    /// Minimum level of the log lines: off, error, warn, info, debug or trace.
    #[arg(long, env = "CART_PROMOTIONS_LOG", value_name = "LEVEL", default_value = "info", value_parser = log_level)]
    pub log: LevelFilter,
    /// Format of the log lines on standard error. By default text on a terminal, JSON elsewhere.
    #[arg(long, env = "CART_PROMOTIONS_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

impl Common {
    /// Returns the URL of the database, from whichever option gives it.
    pub fn database_url(&self) -> &DatabaseUrl {
        self.database_url_file.as_ref().map_or(&self.database_url, |file| &file.url)
    }

    /// Returns the database options of a command that runs by itself.
    pub fn store_options(&self) -> StoreOptions {
        let timeout = self.database_timeout();
        StoreOptions { writers: 1, changes: 2, reads: 2, timeout, statement_timeout: None, recounts: false }
    }

    fn database_timeout(&self) -> Duration {
        Duration::from_millis(self.database_timeout_ms)
    }
}

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
    /// The options that differ from their defaults, in one line without secrets. Set by [`Cli::read`].
    #[arg(skip)]
    pub changed: String,
    /// Authentication and rate limits.
    #[command(flatten)]
    pub access: AccessOptions,
    /// Connections, their limits, and TLS.
    #[command(flatten)]
    pub edge: edge::EdgeOptions,
    /// The log of calls, and metrics.
    #[command(flatten)]
    pub telemetry: telemetry::TelemetryOptions,
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

/// Options of `import`.
#[derive(Debug, Args)]
pub struct ImportFile {
    /// The file to import; docs/import.md describes it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Changes nothing, and prints one line for each record that would change.
    #[arg(long)]
    pub dry_run: bool,
    /// Replaces the secrets of recorded API clients by those of the file. By default the recorded ones stay.
    #[arg(long)]
    pub replace_secrets: bool,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    /// Distributes the tables over the workers of a Citus cluster: the tables of customers by customer, the catalog as
    /// reference tables.
    #[arg(long)]
    pub citus: bool,
    /// Changes nothing, and exits with 1 unless the schema is up to date.
    #[arg(long, conflicts_with = "citus")]
    pub check: bool,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

fn mebibytes(count: u32) -> usize {
    count as usize * 1024 * 1024
}

fn time_zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| "not an IANA time zone such as Asia/Kolkata".to_owned())
}

fn log_level(level: &str) -> Result<LevelFilter, String> {
    level.parse().map_err(|_| "not one of off, error, warn, info, debug, trace".to_owned())
}
