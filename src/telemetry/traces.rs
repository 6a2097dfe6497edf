//! Traces in the form of OpenTelemetry. Off unless an endpoint is configured.
//!
//! A call is sampled or not before a span is made: the caller's `traceparent` decides if it has one, else chance. A
//! sampled call has a span of its own and one for its wait in the queue, which links to the span of the batch that wrote
//! it. Spans wait for the collector in a bounded queue (`export`); those that do not fit are dropped and counted.

mod export;
mod parent;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::sync::mpsc;

pub use export::{Protocol, SpanQueue, TraceError};
pub use parent::Parent;

use super::metrics::SpanCounter;

/// Limits the spans that wait for the collector; a span takes about a kilobyte.
const MAX_WAITING_SPANS: usize = 2_048;
/// Limits the links of the span of a batch, as the specification does by default.
const MAX_LINKS: usize = 128;
/// Name of what makes the spans.
const SCOPE: &str = "cart-promotions";

/// The way to choose the calls that are traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Part of the calls without a sampled or unsampled parent that are traced, from 0 to 1.
    pub ratio: f64,
    /// True when a call is traced if and only if its parent is, where it has one.
    pub follows_parent: bool,
}

impl Sampler {
    fn samples(self, parent: Option<Parent>) -> bool {
        match parent {
            Some(parent) if self.follows_parent => parent.is_sampled,
            _ => self.ratio > 0.0 && rand::random::<f64>() < self.ratio,
        }
    }
}

/// The identity of the span of a sampled call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampledCall {
    trace_id: TraceId,
    span_id: SpanId,
    parent: SpanId,
}

/// The trace of a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallTrace {
    /// The trace, if the caller or the sampler named one.
    pub trace_id: Option<TraceId>,
    /// Set when the call is sampled.
    pub sampled: Option<SampledCall>,
}

/// The end of a call, for its span.
#[derive(Debug)]
pub struct EndedCall {
    /// Name of the span.
    pub name: String,
    /// Attributes, by the names of the semantic conventions.
    pub attributes: Vec<(&'static str, String)>,
    /// True when the service is at fault.
    pub is_error: bool,
    /// Duration of the call.
    pub duration: Duration,
}

/// Makes spans, and puts them into the queue for the collector. Without a collector it does nothing.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Tracing>>);

struct Tracing {
    sampler: Sampler,
    spans: mpsc::Sender<SpanData>,
    dropped: SpanCounter,
    scope: InstrumentationScope,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Traces(on)" } else { "Traces(off)" })
    }
}

impl Traces {
    /// Returns traces that are on, and the queue of their spans, which `dropped` counts where they do not fit.
    pub fn new(sampler: Sampler, dropped: SpanCounter) -> (Self, SpanQueue) {
        let (spans, waiting) = mpsc::channel(MAX_WAITING_SPANS);
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        let queue = SpanQueue::new(waiting, dropped.clone());
        (Self(Some(Arc::new(Tracing { sampler, spans, dropped, scope }))), queue)
    }

    /// Returns the trace of a call with this `traceparent`.
    pub fn begin(&self, traceparent: Option<&str>) -> CallTrace {
        let parent = traceparent.and_then(Parent::parse);
        let trace_id = parent.map(|parent| parent.trace_id);
        let Some(_) = self.0.as_ref().filter(|tracing| tracing.sampler.samples(parent)) else {
            return CallTrace { trace_id, sampled: None };
        };
        let trace_id = trace_id.unwrap_or_else(|| TraceId::from(rand::random::<u128>().max(1)));
        let sampled = SampledCall {
            trace_id,
            span_id: new_span_id(),
            parent: parent.map_or(SpanId::INVALID, |parent| parent.span_id),
        };
        CallTrace { trace_id: Some(trace_id), sampled: Some(sampled) }
    }

    /// Records the span of a call.
    pub fn end(&self, call: SampledCall, ended: EndedCall) {
        let Some(tracing) = &self.0 else { return };
        let end_time = SystemTime::now();
        let span = SpanData {
            span_kind: SpanKind::Server,
            start_time: end_time - ended.duration,
            attributes: ended.attributes.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect(),
            status: if ended.is_error { Status::error("") } else { Status::Unset },
            parent_span_is_remote: call.parent != SpanId::INVALID,
            ..tracing.span(ended.name, call.context(), call.parent)
        };
        tracing.push(SpanData { end_time, ..span });
    }

    /// Records the waits of the sampled requests of a batch, and returns the span of the batch; `None` without one.
    pub fn begin_batch(&self, requests: impl Iterator<Item = (SampledCall, Instant)>) -> Option<BatchSpan> {
        let tracing = self.0.as_ref()?;
        let mut requests = requests.peekable();
        requests.peek()?;
        let now = SystemTime::now();
        let batch = context(TraceId::from(rand::random::<u128>().max(1)), new_span_id());
        let mut links = SpanLinks::default();
        for (call, came) in requests {
            let mut to_batch = SpanLinks::default();
            to_batch.links.push(Link::new(batch.clone(), Vec::new(), 0));
            let wait = context(call.trace_id, new_span_id());
            tracing.push(SpanData {
                start_time: now - came.elapsed(),
                end_time: now,
                links: to_batch,
                ..tracing.span("queue".to_owned(), wait, call.span_id)
            });
            if links.links.len() < MAX_LINKS {
                links.links.push(Link::new(call.context(), Vec::new(), 0));
            } else {
                links.dropped_count += 1;
            }
        }
        Some(BatchSpan { tracing: Arc::clone(tracing), context: batch, links, begun: now })
    }
}

/// The span of a batch that is written. It ends when it is dropped.
pub struct BatchSpan {
    tracing: Arc<Tracing>,
    context: SpanContext,
    links: SpanLinks,
    begun: SystemTime,
}

impl Drop for BatchSpan {
    fn drop(&mut self) {
        let span = self.tracing.span("batch".to_owned(), self.context.clone(), SpanId::INVALID);
        let links = std::mem::take(&mut self.links);
        self.tracing.push(SpanData { start_time: self.begun, end_time: SystemTime::now(), links, ..span });
    }
}

impl SampledCall {
    fn context(self) -> SpanContext {
        context(self.trace_id, self.span_id)
    }
}

impl Tracing {
    fn span(&self, name: String, span_context: SpanContext, parent_span_id: SpanId) -> SpanData {
        SpanData {
            span_context,
            parent_span_id,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: SystemTime::UNIX_EPOCH,
            end_time: SystemTime::UNIX_EPOCH,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn push(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

fn context(trace_id: TraceId, span_id: SpanId) -> SpanContext {
    SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn new_span_id() -> SpanId {
    SpanId::from(rand::random::<u64>().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn counter() -> SpanCounter {
        SpanCounter::new("dropped", "Dropped.").unwrap()
    }

    #[test]
    fn the_parent_decides_and_else_the_ratio() {
        let sampled = |ratio, traceparent: Option<&str>| {
            let sampler = Sampler { ratio, follows_parent: true };
            Traces::new(sampler, counter()).0.begin(traceparent).sampled.is_some()
        };
        assert!(sampled(0.0, Some(SAMPLED)) && !sampled(1.0, Some(UNSAMPLED)));
        assert!(sampled(1.0, None) && !sampled(0.0, None) && sampled(1.0, Some("nonsense")));
        let off = Traces::default().begin(Some(SAMPLED));
        assert!(off.sampled.is_none());
        assert_eq!(off.trace_id.unwrap().to_string(), "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn spans_beyond_the_limit_are_dropped_and_counted() {
        let dropped = counter();
        let (traces, _queue) = Traces::new(Sampler { ratio: 1.0, follows_parent: true }, dropped.clone());
        let call = traces.begin(None).sampled.unwrap();
        for _ in 0..=MAX_WAITING_SPANS {
            let ended =
                EndedCall { name: String::new(), attributes: Vec::new(), is_error: false, duration: Duration::ZERO };
            traces.end(call, ended);
        }
        assert_eq!(dropped.get(), 1);
    }
}
