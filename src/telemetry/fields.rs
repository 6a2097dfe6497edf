//! The format of log lines: each field is escaped and cut, whatever its source.
//!
//! A text line has the library's format. A JSON line is one flat object: time and level, the fields of the event, and the
//! request id. A line that is logged while a call runs has the request id of the call.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::call;
use crate::printable::Printable;

/// Maximum size of a field's value in bytes: enough for every message of the service, and to recognize a path.
pub const MAX_FIELD_BYTES: usize = 400;

/// Digits behind the point of a number.
const DECIMALS: usize = 3;
/// Name of the field whose value is a JSON object: [`FailureCodes`](super::call::FailureCodes).
const OBJECT_FIELD: &str = "codes";
/// Name of the field of the request id.
const REQUEST_ID: &str = "request_id";

/// Writes fields as text: `name=value`, and the message without a name.
#[derive(Debug)]
pub struct TextFields;

/// Writes lines as JSON.
#[derive(Debug)]
pub struct JsonLines;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        write_fields(Visitor { writer, json: false, is_first: true, result: Ok(()) }, fields)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for JsonLines {
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(event.metadata().level().as_str())?;
        writer.write_char('"')?;
        write_fields(Visitor { writer: writer.by_ref(), json: true, is_first: false, result: Ok(()) }, event)?;
        writer.write_str("}\n")
    }
}

/// Writes the fields, and the request id of the running call.
fn write_fields(mut visitor: Visitor<'_>, fields: impl RecordFields) -> fmt::Result {
    fields.record(&mut visitor);
    call::with_request_id(|id| visitor.text(REQUEST_ID, id));
    visitor.result
}

/// A visitor that writes one field after the other.
struct Visitor<'w> {
    writer: Writer<'w>,
    json: bool,
    /// True before the first field of a text. Fields of a JSON line follow its time and level.
    is_first: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    fn field(&mut self, name: &str, write: impl FnOnce(&mut Writer<'_>, bool) -> fmt::Result) {
        self.result = self.result.and_then(|()| {
            // Every call writes a line with many fields: pieces are written as they are, without formatting.
            if self.json {
                self.writer.write_str(",\"")?;
                self.writer.write_str(name)?;
                self.writer.write_str("\":")?;
            } else {
                self.writer.write_str(if std::mem::replace(&mut self.is_first, false) { "" } else { " " })?;
                if name != "message" {
                    self.writer.write_str(name)?;
                    self.writer.write_char('=')?;
                }
            }
            write(&mut self.writer, self.json)
        });
    }

    /// Writes a value that needs neither quotes nor escapes.
    fn plain(&mut self, field: &Field, value: &str) {
        self.field(field.name(), |writer, _| writer.write_str(value));
    }

    /// Writes a text: as it is in JSON, and quoted elsewhere.
    fn text(&mut self, name: &str, value: &str) {
        self.field(name, |writer, json| match (json, is_plain(value)) {
            (true, true) => {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            }
            (true, false) => write_quoted(writer, &format_args!("{value}")),
            (false, _) => write!(Printable::new(writer, MAX_FIELD_BYTES), "{value:?}"),
        });
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field.name(), |writer, json| {
            if !json || field.name() == OBJECT_FIELD {
                return write!(Printable::new(writer, MAX_FIELD_BYTES), "{value:?}");
            }
            write_quoted(writer, value)
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, itoa::Buffer::new().format(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, itoa::Buffer::new().format(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no number for the others.
        if value.is_finite() {
            self.field(field.name(), |writer, _| write!(writer, "{value:.DECIMALS$}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, if value { "true" } else { "false" });
    }
}

/// Returns true if a text is short, and the same in a JSON string.
fn is_plain(text: &str) -> bool {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    text.len() <= MAX_FIELD_BYTES && text.as_bytes().iter().all(is_plain)
}

fn write_quoted(writer: &mut Writer<'_>, value: &dyn Debug) -> fmt::Result {
    writer.write_char('"')?;
    write!(Printable::new(Quoted(writer), MAX_FIELD_BYTES), "{value:?}")?;
    writer.write_char('"')
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

    use http::HeaderValue;
    use serde_json::Value;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{fmt, registry};

    use super::*;
    use crate::printable::is_printable;
    use crate::telemetry::call::{self, CallRecord, FailureCodes};

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
            let layer = fmt::layer().event_format(JsonLines).with_writer(move || to.clone());
            with_default(registry().with(layer), log);
        } else {
            let layer =
                fmt::layer().with_ansi(false).with_target(false).fmt_fields(TextFields).with_writer(move || to.clone());
            with_default(registry().with(layer), log);
        }
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test]
    async fn a_line_has_the_fields_of_the_event_and_the_id_of_the_running_call() {
        let mut codes = FailureCodes::default();
        codes.count(2);
        let log = || {
            tracing::info!(
                status = "200",
                client = None::<&str>,
                elapsed_us = 7_u64,
                below = -1_i64,
                tls = true,
                duration_ms = 1.234_56,
                codes = tracing::field::display(&codes),
                path = "/a\"b",
                "answered"
            );
        };
        let record = || CallRecord { request_id: Some(HeaderValue::from_static("id\"1")), ..CallRecord::default() };
        let during_a_call = |json: bool| call::recorded(record(), async move { logged(json, log) });
        let mut line: Value = serde_json::from_str(&during_a_call(true).await).unwrap();
        assert!(line["timestamp"].take().is_string());
        let expected = serde_json::json!({"timestamp": null, "level": "INFO", "message": "answered", "status": "200", "elapsed_us": 7,
            "below": -1, "tls": true, "duration_ms": 1.235, "codes": {"2": 1}, "path": "/a\"b", "request_id": "id\"1"});
        assert_eq!(line, expected);
        let text = during_a_call(false).await;
        let end = r#": answered status="200" elapsed_us=7 below=-1 tls=true duration_ms=1.235 codes={"2":1} path="/a\"b" request_id="id\"1""#;
        assert!(text.trim_end().ends_with(&end[2..]), "{text}");
        assert!(!logged(true, log).contains("request_id"), "no call runs");
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
