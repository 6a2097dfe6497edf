//! Log lines: on standard error, structured, with the request id of whatever they are about.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Common, LogFormat};

/// Starts logging as the options say. Called once, first.
pub fn start(options: &Common) {
    let terminal = std::io::stderr().is_terminal();
    let by_default = if terminal { LogFormat::Text } else { LogFormat::Json };
    let lines = match options.log_format.unwrap_or(by_default) {
        LogFormat::Text => fmt::layer().with_ansi(terminal).with_target(false).with_writer(std::io::stderr).boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_target(false)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(options.log)).init();
}
