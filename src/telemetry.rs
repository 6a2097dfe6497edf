//! Log lines: on standard error, structured, with the request id of whatever they are about.
//!
//! A thread writes them (`log_buffer`): a reader that stalls holds no call up.

mod fields;
mod log_buffer;

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use fields::{JsonLines, TextFields};
pub use log_buffer::Log;

use crate::config::{Common, LogFormat};

/// Starts logging into `log` as the options say. Called once, first.
pub fn start(options: &Common, log: &Log) {
    let terminal = std::io::stderr().is_terminal();
    let by_default = if terminal { LogFormat::Text } else { LogFormat::Json };
    let lines = match options.log_format.unwrap_or(by_default) {
        LogFormat::Text => {
            fmt::layer().with_ansi(terminal).with_target(false).fmt_fields(TextFields).with_writer(log.clone()).boxed()
        }
        LogFormat::Json => fmt::layer().fmt_fields(JsonLines).event_format(JsonLines).with_writer(log.clone()).boxed(),
    };
    // Which migrations run, and what the database remarks, is news to those who ask for more than the default.
    let details = if options.log > LevelFilter::INFO { options.log } else { options.log.min(LevelFilter::WARN) };
    let filter = Targets::new()
        .with_default(options.log)
        .with_target("sea_orm_migration", details)
        .with_target("sqlx", details)
        // It puts the URL of the database into a span, password included.
        .with_target("sea_orm::driver", options.log.min(LevelFilter::INFO))
        // It says what it does not understand of the URL and of files with passwords.
        .with_target("sqlx_postgres::options", LevelFilter::OFF);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    // The standard hook writes to standard error itself, and would wait there for a reader that stalls.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a task panicked")));
}
