//! Structured log lines on standard error, with the request id of the call that they are about, metrics, and traces.
//!
//! A thread writes the lines (`log_buffer`), so that a stalled reader delays no call.

pub mod call;
mod fields;
mod log_buffer;
pub mod metrics;
pub mod traces;

use std::fmt::Write as _;
use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

pub use fields::MAX_FIELD_BYTES;
use fields::{JsonLines, TextFields};
pub use log_buffer::Log;

use crate::printable::Printable;

/// The format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// JSON for programs, one object a line.
    Json,
}

impl LogFormat {
    /// Returns the format when no option names one: text on a terminal, JSON elsewhere.
    pub fn by_default() -> Self {
        if std::io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// The minimum level of the log lines, which can be changed while the program runs.
#[derive(Debug, Clone)]
pub struct LogLevel {
    configured: LevelFilter,
    filter: reload::Handle<Targets, Registry>,
}

impl LogLevel {
    /// Logs lines of level debug too, if they are not logged already.
    pub fn raise(&self) {
        self.set(self.configured.max(LevelFilter::DEBUG));
    }

    /// Logs lines of the configured level again.
    pub fn reset(&self) {
        self.set(self.configured);
    }

    /// Returns a level of no log, and the layer that keeps it.
    #[cfg(test)]
    pub(crate) fn of_no_log(configured: LevelFilter) -> (Self, reload::Layer<Targets, Registry>) {
        let (layer, filter) = reload::Layer::new(targets(configured));
        (Self { configured, filter }, layer)
    }

    /// Returns the present level.
    #[cfg(test)]
    pub(crate) fn present(&self) -> LevelFilter {
        self.filter.with_current(Targets::default_level).unwrap().unwrap()
    }

    fn set(&self, level: LevelFilter) {
        if let Err(error) = self.filter.reload(targets(level)) {
            tracing::error!(error = &error as &dyn std::error::Error, "the level of the log lines cannot be changed");
        }
    }
}

/// Starts logging into `log`. By default the format is text on a terminal, and JSON elsewhere. Must be called once,
/// before any other logging.
pub fn start(log: &Log, level: LevelFilter, format: Option<LogFormat>) -> LogLevel {
    let terminal = std::io::stderr().is_terminal();
    let lines = match format.unwrap_or_else(LogFormat::by_default) {
        LogFormat::Text => {
            fmt::layer().with_ansi(terminal).with_target(false).fmt_fields(TextFields).with_writer(log.clone()).boxed()
        }
        LogFormat::Json => fmt::layer().event_format(JsonLines).with_writer(log.clone()).boxed(),
    };
    let (filter, handle) = reload::Layer::new(targets(level));
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    // The standard hook writes to standard error itself, and would wait there for a stalled reader.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a task panicked")));
    LogLevel { configured: level, filter: handle }
}

/// Returns the minimum level of the lines of each source.
fn targets(level: LevelFilter) -> Targets {
    // Notices of the database are logged only when more than the default is asked for.
    let details = if level > LevelFilter::INFO { level } else { level.min(LevelFilter::WARN) };
    Targets::new()
        .with_default(level)
        .with_target("sqlx", details)
        // This target logs the database URL in a span, with its password.
        .with_target("sea_orm::driver", level.min(LevelFilter::INFO))
        // This target logs what it does not understand of the URL and of password files.
        .with_target("sqlx_postgres::options", LevelFilter::OFF)
}

/// Writes the line with which the program fails, after the log. It is never left out, whatever the level of the log.
pub fn fail(log: &Log, line: &str, format: Option<LogFormat>) {
    let line = shortened(line);
    if format != Some(LogFormat::Json) {
        return log.say(&format!("cart-promotions: {line}"));
    }
    let timestamp = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    log.say(&serde_json::json!({"timestamp": timestamp, "level": "ERROR", "message": line}).to_string());
}

/// Returns a text on one line, without characters that are not displayed as themselves. Long words are cut: the text
/// repeats values that may have any length, and its last words say what to do.
fn shortened(text: &str) -> String {
    let words = text.split([' ', '\n']).map(|word| {
        let mut shown = String::new();
        let _ = write!(Printable::new(&mut shown, MAX_FIELD_BYTES), "{word}");
        shown
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_with_which_the_program_fails_is_one_printable_line_whose_words_are_cut() {
        let long = "x".repeat(100_000);
        let line = shortened(&format!("invalid value '{long}' for \u{202e}\n'--org':\tdo this"));
        assert!(line.len() < MAX_FIELD_BYTES + 100, "{}", line.len());
        assert!(
            line.starts_with("invalid value 'xxx") && line.ends_with("… for \\u{202e} '--org':\\tdo this"),
            "{line}"
        );
        assert_eq!(shortened("as it is"), "as it is");
    }
}
