//! Structured log lines on standard error, with the request id of the call that they are about.
//!
//! A thread writes them (`log_buffer`), so that a stalled reader delays no call.

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

/// Starts logging into `log` with these options. Must be called once, before any other logging.
pub fn start(options: &Common, log: &Log) {
    let terminal = std::io::stderr().is_terminal();
    let lines = match options.log_format.unwrap_or_else(LogFormat::by_default) {
        LogFormat::Text => {
            fmt::layer().with_ansi(terminal).with_target(false).fmt_fields(TextFields).with_writer(log.clone()).boxed()
        }
        LogFormat::Json => fmt::layer().fmt_fields(JsonLines).event_format(JsonLines).with_writer(log.clone()).boxed(),
    };
    // Migrations and notices of the database are logged only when more than the default is asked for.
    let details = if options.log > LevelFilter::INFO { options.log } else { options.log.min(LevelFilter::WARN) };
    let filter = Targets::new()
        .with_default(options.log)
        .with_target("sea_orm_migration", details)
        .with_target("sqlx", details)
        // This target logs the database URL in a span, with its password.
        .with_target("sea_orm::driver", options.log.min(LevelFilter::INFO))
        // This target logs what it does not understand of the URL and of password files.
        .with_target("sqlx_postgres::options", LevelFilter::OFF);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    // The standard hook writes to standard error itself, and would wait there for a stalled reader.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a task panicked")));
}

/// Writes the line with which the program fails, after the log. It is never left out, whatever the level of the log.
pub fn fail(log: &Log, line: &str, format: Option<LogFormat>) {
    let line = line.replace('\n', " ");
    if format != Some(LogFormat::Json) {
        return log.say(&format!("cart-promotions: {line}"));
    }
    let timestamp = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    log.say(&serde_json::json!({"timestamp": timestamp, "level": "ERROR", "message": line}).to_string());
}
