//! The service behind stock proxies, as `deploy/` configures them and `docs/proxies.md` describes.
//!
//! Tests are skipped with a note if a proxy is not installed; with `CART_PROMOTIONS_TEST_PROXIES=required` they fail.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::*;

/// Time for which the test waits for a state that must come.
const SURELY: Duration = Duration::from_mins(1);
/// Number of refused uploads at a time, and in all.
const UPLOADS_AT_ONCE: usize = 6;
const UPLOADS: usize = 240;

/// A running proxy, which is killed when this value is dropped.
struct ProxyProcess {
    child: Child,
    /// The address for JSON, and that for gRPC.
    json: TestCaller,
    grpc: TestCaller,
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A proxy, and the way to start it with a configuration of `deploy/`.
#[derive(Clone, Copy)]
struct Stock {
    program: &'static str,
    file: &'static str,
    arguments: &'static [&'static str],
    /// The gRPC port in the file.
    grpc_port: &'static str,
}

const NGINX: Stock = Stock {
    program: "nginx",
    file: "nginx.conf",
    // A single process ends with the test.
    arguments: &["-g", "daemon off; master_process off;", "-c"],
    grpc_port: "8090",
};
const HAPROXY: Stock = Stock { program: "haproxy", file: "haproxy.cfg", arguments: &["-db", "-f"], grpc_port: "8080" };

impl Stock {
    fn is_installed(self) -> bool {
        let found = Command::new(self.program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        let given = std::env::var("CART_PROMOTIONS_TEST_PROXIES").unwrap_or_default();
        assert!(found || given != "required", "{} is not installed, and this test requires it", self.program);
        if !found {
            let _ = writeln!(std::io::stderr(), "{} is not installed: nothing was tested with it", self.program);
        }
        found
    }

    /// Starts the proxy in front of two servers, and waits until it forwards calls.
    async fn start(self, directory: &Path, servers: [&TestCaller; 2]) -> ProxyProcess {
        let [json, grpc] = [free_port(), free_port()];
        let grpc = if self.grpc_port == "8080" { json } else { grpc };
        let at = |port| format!("127.0.0.1:{port}");
        let file = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(self.file));
        let place = |name: &str| directory.join(name).display().to_string();
        let mut file = file.unwrap();
        for (from, to) in [
            ("127.0.0.1:8081", servers[0].address.to_string()),
            ("127.0.0.1:8082", servers[1].address.to_string()),
            ("127.0.0.1:8090", at(grpc)),
            ("127.0.0.1:8080", at(json)),
            // The user of the test may write nowhere else.
            ("/run/nginx.pid", place("pid")),
            ("/var/log/nginx/error.log", place("error.log")),
            (
                "http {\n",
                format!(
                    "http {{ client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0}; uwsgi_temp_path {0}; \
                     scgi_temp_path {0};\n",
                    place("temporary")
                ),
            ),
        ] {
            file = file.replace(from, &to);
        }
        let written = directory.join(self.file);
        std::fs::write(&written, file).unwrap();
        let log = std::fs::File::create(directory.join("output")).unwrap();
        let mut command = Command::new(self.program);
        command.args(self.arguments).arg(&written).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let caller = |port| TestCaller::of(at(port).parse().unwrap());
        let proxy = ProxyProcess { child, json: caller(json), grpc: caller(grpc) };
        let ready = async {
            while proxy.json.http().get(proxy.json.url("/readyz")).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ready = tokio::time::timeout(SURELY, ready).await;
        ready.unwrap_or_else(|_| panic!("{}", std::fs::read_to_string(directory.join("output")).unwrap()));
        proxy
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Returns the status and the body of a refused call, in the service's own form.
async fn refused(proxy: &ProxyProcess, request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let body: Value =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{}: {status}: {text}", proxy.json.address));
    (status, body["errors"][0]["code"].clone())
}

async fn statuses_are_those_of_the_service(proxy: &ProxyProcess) {
    let demo = |request: reqwest::RequestBuilder| request.header("authorization", basic("demo:demo"));
    let post = |body: String| proxy.json.http().post(proxy.json.url(PATH)).body(body);
    let as_json = |request: reqwest::RequestBuilder| request.header("content-type", "application/json");
    for endpoint in ENDPOINTS {
        let caller = if endpoint == Endpoint::Grpc { &proxy.grpc } else { &proxy.json };
        assert_eq!(caller.earn(endpoint, &documented_request()).await.code, 0, "{endpoint:?}");
        let unknown = caller.earn_as(endpoint, Some("demo:wrong"), &documented_request()).await;
        assert_eq!(unknown.code, 401, "{endpoint:?}");
    }
    let documented = documented_request().to_string();
    let one = json!({"customerId": CUSTOMER, "eventTime": NOW_MS, "earnedFromType": "ACTIVITY", "earnedFromId": "one",
        "eventDetails": {"id": "one", "type": "any"}});
    let unknown = proxy.json.http().get(proxy.json.url("/api_gateway/v1/promotions/customer/8"));
    let inactive = "/api_gateway/v1/promotions/0000000000000000000000a4/earn";
    let inactive = proxy.json.http().post(proxy.json.url(inactive)).body(one.to_string());
    for (request, status, code) in [
        (as_json(post(documented.clone())), 401, 401),
        (demo(as_json(post("{}".to_owned()))), 400, 400),
        (demo(unknown), 404, 404),
        (demo(proxy.json.http().delete(proxy.json.url(PATH))), 405, 405),
        (demo(as_json(inactive)), 409, 709),
        (demo(as_json(post("x".repeat(2_000_000)))), 413, 413),
        (demo(post(documented)), 415, 415),
    ] {
        assert_eq!(refused(proxy, request).await, (status, code.into()));
    }
}

/// Sends uploads without credentials and uploads that are too large, alternately, beside calls of other callers over
/// gRPC and JSON.
async fn no_call_fails_beside_uploads(proxy: &ProxyProcess) {
    let (sent, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut uploads = JoinSet::new();
    for _ in 0..UPLOADS_AT_ONCE {
        let (caller, sent, over) = (proxy.json.clone(), Arc::clone(&sent), Arc::clone(&over));
        uploads.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let number = sent.fetch_add(1, Ordering::Relaxed);
                // The uploads without credentials fit a proxy; the large one exceeds the limits of proxy and service.
                let (bytes, wanted, credentials) =
                    [(900_000, 401, None), (2_000_000, 413, Some("demo:demo")), (300_000, 401, None)][number % 3];
                let request = caller.http().post(caller.url(PATH)).header("content-type", "application/json");
                let presented = credentials.map(|credentials| ("authorization", basic(credentials)));
                let request = presented.into_iter().fold(request, |request, (name, value)| request.header(name, value));
                // A client that reads no response before it has sent everything may miss the response; the test
                // protects the other callers.
                if let Ok(answer) = request.body(vec![b' '; bytes]).send().await {
                    assert_eq!(answer.status(), wanted, "an upload of {bytes} bytes");
                }
            }
        });
    }
    let mut calls = 0;
    while sent.load(Ordering::Relaxed) < UPLOADS || calls < 50 {
        for endpoint in ENDPOINTS {
            calls += 1;
            let caller = if endpoint == Endpoint::Grpc { &proxy.grpc } else { &proxy.json };
            let answer = caller.earn(endpoint, &one_entry(&format!("beside {calls}"), TEN_OFF, 1)).await;
            assert_eq!(answer.code, 0, "call {calls} beside {} uploads: {answer:?}", sent.load(Ordering::Relaxed));
        }
    }
    over.store(true, Ordering::Relaxed);
    uploads.join_all().await;
}

async fn behind(stock: Stock) {
    if !stock.is_installed() {
        return;
    }
    let service = Service::start().await;
    let other = service.beside().await;
    let directory = tempfile::tempdir().unwrap();
    let proxy = stock.start(directory.path(), [&service, &other]).await;
    statuses_are_those_of_the_service(&proxy).await;
    no_call_fails_beside_uploads(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_statuses_are_as_documented_and_uploads_of_others_fail_no_call() {
    behind(NGINX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_statuses_are_as_documented_and_uploads_of_others_fail_no_call() {
    behind(HAPROXY).await;
}
