//! Traces: a sampled call has its span, its wait in the queue, and a link to the batch that wrote it, over both endpoints.

use std::time::Duration;

use axum::body::Bytes;
use axum::routing::post;
use cart_promotions::proto;
use cart_promotions::proto::earn_service_client::EarnServiceClient;
use cart_promotions::wire::json::{UnknownFields, from_slice};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use tokio::sync::mpsc;

use crate::server_process::Process;
use crate::support::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// Longest time until spans arrive on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The values of `OTEL_EXPORTER_OTLP_PROTOCOL`.
const PROTOCOLS: [&str; 2] = ["http/protobuf", "grpc"];

/// A collector, which passes on the spans that it is sent.
#[derive(Clone)]
struct Collector(mpsc::UnboundedSender<Span>);

impl Collector {
    fn take(&self, request: ExportTraceServiceRequest) {
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let name = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
            assert!(format!("{name:?}").contains("cart-promotions"), "{name:?}");
            resource.scope_spans.into_iter().flat_map(|scope| scope.spans).for_each(|span| self.0.send(span).unwrap());
        }
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.take(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Starts a collector of OTLP. Returns its URL, and the spans that it is sent.
async fn collector(protocol: &str) -> (String, mpsc::UnboundedReceiver<Span>) {
    let (tell, spans) = mpsc::unbounded_channel();
    let collector = Collector(tell);
    let router = if protocol == "grpc" {
        tonic::service::Routes::new(TraceServiceServer::new(collector)).into_axum_router()
    } else {
        let take = async move |body: Bytes| collector.take(ExportTraceServiceRequest::decode(body).unwrap());
        axum::Router::new().route("/v1/traces", post(take))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, spans)
}

fn start(directory: &std::path::Path, environment: &[(&str, &str)]) -> Process {
    Process::start_in(directory, environment, &["--demo", "--listen", "127.0.0.1:0"])
}

async fn earn(process: &Process, event: &str, traceparent: &str) {
    let call = process.caller.http().post(process.caller.url(PATH)).header("traceparent", traceparent);
    let call = call.header("authorization", basic("demo:demo")).header("content-type", "application/json");
    let answer =
        call.header("x-request-id", event).body(one_entry(event, TEN_OFF, 1).to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

async fn earn_over_grpc(process: &Process, event: &str, traceparent: &str) {
    let message = from_slice(one_entry(event, TEN_OFF, 1).to_string().as_bytes(), UnknownFields::Refuse);
    let (message, violations): (proto::BulkEarnRequest, _) = message.unwrap();
    assert!(violations.is_empty());
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", basic("demo:demo").parse().unwrap());
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    EarnServiceClient::new(process.caller.channel()).bulk_earn(request).await.unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_through_both_endpoints_to_the_batches_that_wrote() {
    for protocol in PROTOCOLS {
        one_trace_arrives(protocol).await;
    }
}

async fn one_trace_arrives(protocol: &str) {
    let (url, mut received) = collector(protocol).await;
    let directory = tempfile::tempdir().unwrap();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ];
    let process = start(directory.path(), &environment);
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    earn(&process, "json", &sampled).await;
    earn_over_grpc(&process, "grpc", &sampled).await;
    // Neither of these is sampled: by its parent, and by the ratio of zero.
    earn(&process, "unsampled", &format!("00-{TRACE}-{PARENT}-00")).await;
    earn(&process, "nonsense", "nonsense").await;
    process.signal("TERM");
    let (success, log) = tokio::task::spawn_blocking(|| process.end()).await.unwrap();
    assert!(success);
    let mut spans = Vec::new();
    while spans.len() < 6 {
        spans.push(tokio::time::timeout(PATIENCE, received.recv()).await.expect("six spans").unwrap());
    }
    let of = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    for name in ["POST /api_gateway/v1/promotions/earn/bulk", "cartpromotions.v1.EarnService/BulkEarn"] {
        let call = of(name).next().unwrap_or_else(|| panic!("{name}: {spans:?}"));
        assert_eq!((hex(&call.trace_id), hex(&call.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
        assert_eq!(call.kind(), SpanKind::Server);
        let wait = of("queue").find(|wait| wait.parent_span_id == call.span_id).expect("a wait in the queue");
        let batch = of("batch").find(|batch| batch.span_id == wait.links[0].span_id).expect("a batch");
        assert_eq!(batch.trace_id, wait.links[0].trace_id);
        assert!(batch.links.iter().any(|link| link.span_id == call.span_id && link.trace_id == call.trace_id));
        assert!(
            call.start_time_unix_nano <= wait.start_time_unix_nano
                && wait.end_time_unix_nano <= call.end_time_unix_nano
        );
    }
    assert!(received.try_recv().is_err(), "only two calls are sampled");
    for (event, trace) in [("json", Some(TRACE)), ("unsampled", Some(TRACE)), ("nonsense", None)] {
        let line = log.iter().find(|line| line["request_id"] == event).expect("a line");
        assert_eq!(line["trace_id"].as_str(), trace, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_one_warning_and_no_call() {
    tokio::join!(spans_are_dropped(PROTOCOLS[0]), spans_are_dropped(PROTOCOLS[1]));
}

async fn spans_are_dropped(protocol: &str) {
    let directory = tempfile::tempdir().unwrap();
    // Nothing listens on the port of a listener that is gone.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{gone}");
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    let process = start(directory.path(), &environment);
    for event in 0..5 {
        earn(&process, &format!("event {event}"), "").await;
        // Each is sent alone.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    process.signal("TERM");
    let (success, log) = tokio::task::spawn_blocking(|| process.end()).await.unwrap();
    assert!(success);
    let warnings = log.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains("collector")));
    assert_eq!(warnings.count(), 1, "{log:#?}");
}
