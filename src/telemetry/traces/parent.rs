//! The header `traceparent` of W3C Trace Context.

use opentelemetry::trace::{SpanId, TraceId};

/// Length of the header in the only version that is known: version, trace id, span id, flags, with dashes between.
const LENGTH: usize = 55;
/// The flag of a sampled call.
const SAMPLED: u8 = 1;

/// The caller's span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span in it.
    pub span_id: SpanId,
    /// True when the caller records its span.
    pub is_sampled: bool,
}

impl Parent {
    /// Parses the header. Returns `None` where the specification says to ignore it.
    pub fn parse(header: &str) -> Option<Self> {
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (known, more) = (header.get(..LENGTH)?, &header[LENGTH..]);
        let parts: Vec<_> = known.split('-').collect();
        let [version, trace_id, span_id, flags] = parts[..] else { return None };
        let lengths = [version, trace_id, span_id, flags].map(str::len);
        if lengths != [2, 32, 16, 2] || !parts.iter().all(|part| is_hex(part)) || version == "ff" {
            return None;
        }
        // A later version may have more behind another dash.
        if !more.is_empty() && (version == "00" || !more.starts_with('-')) {
            return None;
        }
        let (trace_id, span_id) = (TraceId::from_hex(trace_id).ok()?, SpanId::from_hex(span_id).ok()?);
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let is_valid = trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
        is_valid.then_some(Self { trace_id, span_id, is_sampled: flags & SAMPLED != 0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn only_what_the_specification_allows_is_read() {
        assert!(Parent::parse(VALID).unwrap().is_sampled);
        assert!(!Parent::parse(&VALID.replace("-01", "-00")).unwrap().is_sampled);
        assert!(Parent::parse(&format!("{}-what-comes", VALID.replacen("00", "01", 1))).unwrap().is_sampled);
        for bad in [
            "",
            "00",
            &VALID[..54],
            &format!("{VALID}-more"),
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replace("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"),
            &VALID.replace("b7ad6b7169203331", "0000000000000000"),
            &VALID.replace('-', "_"),
            &VALID.replace("b7ad", "b7-d"),
        ] {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in any::<String>(), at in 0..LENGTH, with in any::<char>()) {
            Parent::parse(&header);
            let mut changed: Vec<char> = VALID.chars().collect();
            changed[at] = with;
            Parent::parse(&changed.into_iter().collect::<String>());
        }
    }
}
