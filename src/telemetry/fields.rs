//! The format of log lines: each field is escaped and cut, whatever its source.
//!
//! A text line has the library's format. A JSON line is one flat object: time and level, the fields of the event, and
//! those of its request.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::printable::Printable;

/// Maximum size of a field's value in bytes: enough for every message of the service, and to recognize a path.
pub const MAX_FIELD_BYTES: usize = 400;

/// Digits behind the point of a number.
const DECIMALS: usize = 3;
/// Name of the field whose value is a JSON object: [`FailureCodes`](super::call::FailureCodes).
const OBJECT_FIELD: &str = "codes";

/// Writes fields as text: `name=value`, and the message without a name.
#[derive(Debug)]
pub struct TextFields;

/// Writes fields, and whole lines, as JSON.
#[derive(Debug)]
pub struct JsonLines;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        write_fields(writer, false, true, fields)
    }
}

impl<'w> FormatFields<'w> for JsonLines {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        write_fields(writer, true, true, fields)
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &tracing::span::Record<'_>) -> fmt::Result {
        if !current.fields.is_empty() {
            current.fields.push(',');
        }
        self.format_fields(current.as_writer(), fields)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, Self> for JsonLines {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Self>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", event.metadata().level())?;
        write_fields(writer.by_ref(), true, false, event)?;
        if let Some(span) = context.lookup_current()
            && let Some(fields) = span.extensions().get::<FormattedFields<Self>>().filter(|fields| !fields.is_empty())
        {
            write!(writer, ",{fields}")?;
        }
        writer.write_str("}\n")
    }
}

fn write_fields(writer: Writer<'_>, json: bool, is_first: bool, fields: impl RecordFields) -> fmt::Result {
    let mut visitor = Visitor { writer, json, is_first, result: Ok(()) };
    fields.record(&mut visitor);
    visitor.result
}

/// A visitor that writes one field after the other.
struct Visitor<'w> {
    writer: Writer<'w>,
    json: bool,
    is_first: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    fn field(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>, bool) -> fmt::Result) {
        self.result = self.result.and_then(|()| {
            let between = if self.json { "," } else { " " };
            if !std::mem::replace(&mut self.is_first, false) {
                self.writer.write_str(between)?;
            }
            if self.json {
                write!(self.writer, "\"{}\":", field.name())?;
            } else if field.name() != "message" {
                write!(self.writer, "{}=", field.name())?;
            }
            write(&mut self.writer, self.json)
        });
    }

    /// Writes a value that needs neither quotes nor escapes.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.field(field, |writer, _| write!(writer, "{value}"));
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, |writer, json| {
            if !json || field.name() == OBJECT_FIELD {
                return write!(Printable::new(writer, MAX_FIELD_BYTES), "{value:?}");
            }
            writer.write_char('"')?;
            write!(Printable::new(Quoted(writer), MAX_FIELD_BYTES), "{value:?}")?;
            writer.write_char('"')
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.json {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no number for the others.
        if value.is_finite() {
            self.plain(field, format_args!("{value:.DECIMALS$}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }
}

/// Writes the inside of a quoted JSON string.
struct Quoted<'a, 'w>(&'a mut Writer<'w>);

impl Write for Quoted<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some(at) = text.find(['"', '\\']) {
            self.0.write_str(&text[..at])?;
            self.0.write_char('\\')?;
            self.0.write_str(&text[at..=at])?;
            text = &text[at + 1..];
        }
        self.0.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{fmt, registry};

    use super::*;
    use crate::printable::is_printable;
    use crate::telemetry::call::FailureCodes;

    #[derive(Clone, Default)]
    struct LogLines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for LogLines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the output of `log`, as text or as JSON.
    fn logged(json: bool, log: impl FnOnce()) -> String {
        let lines = LogLines::default();
        let to = lines.clone();
        if json {
            let layer = fmt::layer().fmt_fields(JsonLines).event_format(JsonLines).with_writer(move || to.clone());
            with_default(registry().with(layer), log);
        } else {
            let layer =
                fmt::layer().with_ansi(false).with_target(false).fmt_fields(TextFields).with_writer(move || to.clone());
            with_default(registry().with(layer), log);
        }
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_of_the_event_and_of_the_request() {
        let mut codes = FailureCodes::default();
        codes.count(2);
        let log = || {
            let span = tracing::info_span!("request", path = %"/a\"b", refusal = tracing::field::Empty);
            let _entered = span.enter();
            span.record("refusal", tracing::field::display("no"));
            tracing::info!(
                status = "200",
                client = None::<&str>,
                elapsed_us = 7_u64,
                below = -1_i64,
                tls = true,
                duration_ms = 1.234_56,
                codes = tracing::field::display(&codes),
                "answered"
            );
        };
        let mut line: Value = serde_json::from_str(&logged(true, log)).unwrap();
        assert!(line["timestamp"].take().is_string());
        let expected = serde_json::json!({"timestamp": null, "level": "INFO", "message": "answered", "status": "200", "elapsed_us": 7,
            "below": -1, "tls": true, "duration_ms": 1.235, "codes": {"2": 1}, "path": "/a\"b", "refusal": "no"});
        assert_eq!(line, expected);
        let text = logged(false, log);
        let end = "request{path=/a\"b refusal=no}: answered status=\"200\" elapsed_us=7 below=-1 tls=true duration_ms=1.235 codes={\"2\":1}\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn every_field_of_every_kind_is_short_and_printable_whatever_it_holds() {
        let characters: String =
            (0..=0x10_ffff).filter_map(char::from_u32).filter(|each| !is_printable(*each)).take(20_000).collect();
        for hostile in [characters, "\u{9b}\u{202e}".repeat(12_000), "\"\\".repeat(30_000), "x".repeat(60_000)] {
            let error = io::Error::other(hostile.clone());
            let error = &error as &(dyn std::error::Error + 'static);
            for kind in 0..7 {
                for json in [true, false] {
                    let line = logged(json, || {
                        let span = tracing::info_span!(
                            "request",
                            shown = tracing::field::Empty,
                            first = tracing::field::Empty
                        );
                        let _entered = span.enter();
                        match kind {
                            0 => tracing::info!(value = hostile.as_str(), "said"),
                            1 => tracing::info!(value = %hostile, "said"),
                            2 => tracing::info!(value = ?hostile, "said"),
                            3 => tracing::info!(value = error, "said"),
                            4 => tracing::info!("{hostile}"),
                            5 => {
                                span.record("shown", tracing::field::display(&hostile));
                                span.record("first", hostile.as_str());
                                tracing::info!("said");
                            }
                            _ => {
                                let _inner = tracing::info_span!("inner", value = %hostile).entered();
                                tracing::info!("said");
                            }
                        }
                    });
                    let text = line.strip_suffix('\n').unwrap();
                    assert!(text.len() < 2_000, "{kind}: {} bytes", text.len());
                    assert!(text.chars().all(is_printable), "{kind}: {text:?}");
                    assert!(!json || serde_json::from_str::<Value>(text).is_ok(), "{kind}: {text}");
                }
            }
        }
    }
}
