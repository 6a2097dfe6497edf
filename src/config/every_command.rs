//! Options of every command that uses a database, and the values of options that several files of this room share.

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;
use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use tracing::level_filters::LevelFilter;

use super::database_url::DatabaseUrl;
use super::url_file::UrlFile;
use crate::storage::StoreOptions;
use crate::telemetry::LogFormat;

/// Longest timeout that an option accepts, in milliseconds: one hour.
pub(super) const MAX_TIMEOUT_MS: u64 = 3_600_000;

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
    pub(super) database_url_file: Option<UrlFile>,
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

    pub(super) fn database_timeout(&self) -> Duration {
        Duration::from_millis(self.database_timeout_ms)
    }
}

/// Parses the name of a time zone.
pub(super) fn time_zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| "not an IANA time zone such as Asia/Kolkata".to_owned())
}

fn log_level(level: &str) -> Result<LevelFilter, String> {
    level.parse().map_err(|_| "not one of off, error, warn, info, debug, trace".to_owned())
}
