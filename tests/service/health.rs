//! Health over gRPC and HTTP while the service starts, serves and drains; and reflection.

use std::time::Duration;

use tokio_stream::StreamExt;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use serde_json::json;

use crate::rpcs::{Rpc, call};
use crate::support::*;

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn probes_need_no_credentials_and_unknown_services_are_unknown() {
    let service = Service::start().await;
    let mut health = HealthClient::new(service.channel());
    for name in ["", "cartpromotions.v1.EarnService"] {
        assert_eq!(health.check(ask(name)).await.unwrap().into_inner().status(), ServingStatus::Serving, "{name:?}");
    }
    assert_eq!(health.check(ask("other")).await.unwrap_err().code(), tonic::Code::NotFound);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(service.http().get(service.url(path)).send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test]
async fn draining_finishes_what_was_accepted_refuses_the_rest_and_tells_probes() {
    for endpoint in ENDPOINTS {
        let mut service = Service::start().await;
        let mut health = HealthClient::new(service.channel());
        let mut watch = health.watch(ask("")).await.unwrap().into_inner();
        assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
        assert_eq!(service.earn(endpoint, &one_entry("warm", TEN_OFF, 1)).await.code, 0);

        // An accepted call cannot finish yet when the service is told to stop.
        let blocker = service.database().block_writers().await;
        let caller = service.caller();
        let accepted = tokio::spawn(async move { caller.earn(endpoint, &documented_request()).await });
        tokio::time::sleep(ACCEPTED_WITHIN).await;
        service.tell_to_stop();
        assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        // Each connection is told to end with its first call, so every check needs a new connection.
        let mut health = HealthClient::new(TestCaller::of(service.address).channel());
        assert_eq!(health.check(ask("")).await.unwrap().into_inner().status(), ServingStatus::NotServing);
        let ready = service.http().get(service.url("/readyz")).send().await.unwrap();
        assert_eq!(
            (ready.status().as_u16(), ready.text().await.unwrap()),
            (503, r#"{"status":"NOT_SERVING"}"#.to_owned())
        );
        let refused = TestCaller::of(service.address).earn(endpoint, &one_entry("late", TEN_OFF, 1)).await;
        let status = if endpoint == Endpoint::Json { 503 } else { 14 };
        assert_eq!((refused.status, refused.code), (status, 500), "{refused:?}");

        blocker.release().await;
        assert_eq!(accepted.await.unwrap().code, 0, "what was accepted is finished");
        service.stopped().await.expect("a clean stop");
        assert_eq!(service.granted().await, 3);
        assert!(watch.next().await.is_none_or(|end| end.is_err()), "watches end");
    }
}

#[tokio::test]
async fn a_database_that_lost_a_table_is_not_ready_and_recovers() {
    let service = Service::start().await;
    let mut health = HealthClient::new(service.channel());
    for (sql, http, grpc) in [
        ("ALTER TABLE earned_promotions RENAME TO gone", 503, ServingStatus::NotServing),
        ("ALTER TABLE gone RENAME TO earned_promotions", 200, ServingStatus::Serving),
    ] {
        service.database().execute(sql).await;
        let told = async {
            while service.http().get(service.url("/readyz")).send().await.unwrap().status() != http {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), told).await.expect(sql);
        assert_eq!(health.check(ask("")).await.unwrap().into_inner().status(), grpc, "{sql}");
        assert_eq!(
            service.http().get(service.url("/healthz")).send().await.unwrap().status(),
            200,
            "alive all the same"
        );
    }
}

#[tokio::test]
async fn a_drain_that_takes_too_long_ends_with_an_error() {
    let mut service = Service::start_with(&catalog(), &["--drain-timeout-ms", "100"]).await;
    let _blocker = service.database().block_writers().await;
    let caller = service.caller();
    let accepted = tokio::spawn(async move { caller.earn(Endpoint::Json, &documented_request()).await });
    tokio::time::sleep(ACCEPTED_WITHIN).await;
    service.tell_to_stop();
    let error = tokio::time::timeout(Duration::from_secs(4), service.stopped()).await.expect("in time").unwrap_err();
    assert_eq!(error.to_string(), "stopped with requests unanswered: they took longer than 100ms");
    accepted.abort();
}

#[tokio::test]
async fn reflection_describes_the_service_in_both_versions() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_response::MessageResponse};
    use tonic_reflection::pb::v1alpha;

    let service = Service::start().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let stream =
        ServerReflectionClient::new(service.channel()).server_reflection_info(tokio_stream::iter([request])).await;
    let answer = stream.unwrap().into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"cartpromotions.v1.EarnService".to_owned()), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health".to_owned()), "{names:?}");

    let symbol = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
        "cartpromotions.v1.EarnService".to_owned(),
    );
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
    let stream = v1alpha::server_reflection_client::ServerReflectionClient::new(service.channel());
    let answer = stream.clone().server_reflection_info(tokio_stream::iter([request])).await;
    let answer = answer.unwrap().into_inner().next().await.unwrap().unwrap();
    assert!(
        matches!(
            answer.message_response,
            Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
        ),
        "{answer:?}"
    );
}

#[tokio::test]
async fn reflection_answers_a_question_without_an_answer_and_goes_on() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ExtensionRequest, ServerReflectionRequest};

    let service = Service::start().await;
    let extension = |containing_type: &str, extension_number| {
        let containing_type = containing_type.to_owned();
        MessageRequest::FileContainingExtension(ExtensionRequest { containing_type, extension_number })
    };
    let (options, number) = ("google.protobuf.MethodOptions", 72_295_728);
    let questions = [
        MessageRequest::FileContainingSymbol("nothing".to_owned()),
        MessageRequest::FileByFilename("nothing.proto".to_owned()),
        extension(options, 1),
        MessageRequest::AllExtensionNumbersOfType("nothing".to_owned()),
        MessageRequest::FileContainingSymbol("cartpromotions.v1.EarnService.BulkEarn".to_owned()),
        MessageRequest::FileContainingSymbol("cartpromotions.v1.BULK_ISSUE".to_owned()),
        MessageRequest::FileContainingSymbol("grpc.reflection.v1alpha.ServerReflection".to_owned()),
        MessageRequest::FileByFilename("google/api/annotations.proto".to_owned()),
        extension(options, number),
        MessageRequest::AllExtensionNumbersOfType("cartpromotions.v1.BulkEarnRequest".to_owned()),
        MessageRequest::AllExtensionNumbersOfType(options.to_owned()),
    ];
    let requests = questions.map(Some).into_iter().chain([None]);
    let requests = requests.map(|message_request| ServerReflectionRequest { host: "h".to_owned(), message_request });
    let requests: Vec<_> = requests.collect();
    let mut client = ServerReflectionClient::new(service.channel());
    let answers = client.server_reflection_info(tokio_stream::iter(requests.clone())).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.iter().map(|answer| answer.original_request.clone().unwrap()).collect::<Vec<_>>(), requests);
    let told: Vec<_> = answers
        .into_iter()
        .map(|answer| match answer.message_response.unwrap() {
            MessageResponse::ErrorResponse(error) => format!("{} {}", error.error_code, error.error_message),
            MessageResponse::FileDescriptorResponse(files) => format!("{} file", files.file_descriptor_proto.len()),
            MessageResponse::AllExtensionNumbersResponse(all) => {
                format!("{:?}", all.extension_number.contains(&number))
            }
            MessageResponse::ListServicesResponse(all) => format!("{all:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "5 the symbol nothing is unknown",
            "5 the file nothing.proto is unknown",
            "5 the extension 1 of google.protobuf.MethodOptions is unknown",
            "5 the message nothing is unknown",
            "1 file",
            "1 file",
            "1 file",
            "1 file",
            "1 file",
            "false",
            "true",
            "3 the message has no request",
        ]
    );
}

#[tokio::test]
async fn a_writer_that_dies_while_the_service_stops_ends_it_with_an_error() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use cart_promotions::clock::Clock;
    use cart_promotions::earning::Timestamp;
    use cart_promotions::server::{Course, ServerParts, run};

    let beside = Service::start().await;
    let options = options(beside.database().url(), &["--shutdown-delay-ms", "600000"]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let caller = TestCaller::of(listener.local_addr().unwrap());
    let broken = Arc::new(AtomicBool::new(false));
    // A call that revokes reads the clock in the writer alone.
    let clock = Clock::reading({
        let broken = Arc::clone(&broken);
        move || {
            if broken.load(Ordering::SeqCst) { panic!("the clock is broken") } else { Timestamp::from_millis(NOW_MS) }
        }
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let course = Course { started: || {}, stop: async { drop(stopped.await) }, hurry: std::future::pending() };
        run(ServerParts { clock, ..given(listener) }, &options, course).await
    });
    let revoke = async || {
        let rpc = Rpc { grpc: "WalletService/RevokeEarnedPromotions", credentials: "demo:demo" };
        let details = json!([{"promotionId": TEN_OFF, "earnIds": ["6912d0e01c5b9e4f7a000001"]}]);
        call(&caller, Endpoint::Json, rpc, json!({"customerId": CUSTOMER, "earnRevokeDetails": details})).await
    };
    let ready = async |expected: u16| {
        while caller.http().get(caller.url("/readyz")).send().await.unwrap().status().as_u16() != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(RECOVERED_WITHIN, ready(200)).await.expect("it serves");
    assert_eq!(revoke().await.code, 0);
    stop.send(()).unwrap();
    tokio::time::timeout(RECOVERED_WITHIN, ready(503)).await.expect("it stops");
    assert_eq!(revoke().await.code, 0, "calls are still taken");
    broken.store(true, Ordering::SeqCst);
    let told = async { tokio::join!(revoke(), serving).1.unwrap().unwrap_err().to_string() };
    let told = tokio::time::timeout(RECOVERED_WITHIN, told).await.expect("it ends at once");
    assert_eq!(told, "the writer ended unexpectedly");
}
