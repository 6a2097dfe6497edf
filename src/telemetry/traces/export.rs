//! The queue of spans, and the loop that sends them to the collector.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;

use super::super::metrics::SpanCounter;
use crate::http_client;

/// Limits the spans of one message to the collector.
const MAX_SPANS: usize = 512;
/// Time for which spans gather before they are sent. Spans that wait for a second make calls slower by about 1 %, by the
/// memory that they hold.
const GATHER: Duration = Duration::from_millis(200);
/// Interval at which a collector that does not answer is warned of.
const WARN_EVERY: Duration = Duration::from_mins(1);
/// Name of the service, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` gives another.
const SERVICE_NAME: &str = "cart-promotions";

/// The protocol in which spans are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, in binary.
    Http,
}

/// The reason for which spans cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The options of the exporter are invalid.
    #[error("the OTEL_EXPORTER_OTLP_* variables cannot be used")]
    Exporter(#[from] ExporterBuildError),
    /// The HTTP client cannot be made.
    #[error("the client of the collector cannot be made")]
    Client(#[from] reqwest::Error),
}

/// The spans that wait for the collector.
#[derive(Debug)]
pub struct SpanQueue {
    waiting: mpsc::Receiver<SpanData>,
    dropped: SpanCounter,
}

impl SpanQueue {
    pub(super) fn new(waiting: mpsc::Receiver<SpanData>, dropped: SpanCounter) -> Self {
        Self { waiting, dropped }
    }

    /// Returns the loop that sends the spans. The standard variables give the endpoint, headers and timeout.
    ///
    /// # Errors
    /// Returns an error when the variables cannot be used.
    pub fn send(self, protocol: Protocol) -> Result<impl Future<Output = ()> + Send + use<>, TraceError> {
        let builder = SpanExporter::builder();
        let mut exporter = match protocol {
            Protocol::Grpc => builder.with_tonic().build()?,
            Protocol::Http => builder.with_http().with_http_client(Client(http_client::builder().build()?)).build()?,
        };
        exporter.set_resource(&resource());
        Ok(self.run(exporter))
    }

    async fn run(mut self, exporter: SpanExporter) {
        let mut warned: Option<Instant> = None;
        let mut spans = Vec::with_capacity(MAX_SPANS);
        while self.waiting.recv_many(&mut spans, MAX_SPANS).await > 0 {
            if spans.len() < MAX_SPANS {
                tokio::time::sleep(GATHER).await;
                while spans.len() < MAX_SPANS
                    && let Ok(span) = self.waiting.try_recv()
                {
                    spans.push(span);
                }
            }
            let count = spans.len() as u64;
            let sent = exporter.export(std::mem::replace(&mut spans, Vec::with_capacity(MAX_SPANS))).await;
            let Err(error) = sent else { continue };
            self.dropped.inc_by(count);
            if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                warned = Some(Instant::now());
                let dropped = self.dropped.get();
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, dropped, "the collector of traces takes no spans; they are dropped");
            }
        }
    }
}

/// Returns the description of this service.
fn resource() -> Resource {
    let detected = Resource::builder().build();
    let unnamed = detected.get(&"service.name".into()).is_none_or(|name| name.as_str().starts_with("unknown_service"));
    if unnamed { Resource::builder().with_service_name(SERVICE_NAME).build() } else { detected }
}

/// The HTTP client of the service, for the exporter.
#[derive(Debug)]
struct Client(reqwest::Client);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.0.execute(request.try_into()?).await?;
        let status = response.status();
        let mut answer = Response::new(response.bytes().await?);
        *answer.status_mut() = status;
        Ok(answer)
    }
}
