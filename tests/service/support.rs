//! Starts servers and calls them: in this process, with a fixed clock, over gRPC or JSON with the documented request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use cart_promotions::app::import::{ImportOptions, Imported};
use cart_promotions::clock::Clock;
use cart_promotions::config::{Cli, CliCommand, Serve};
use cart_promotions::earning::Timestamp;
use cart_promotions::proto::earn_service_client::EarnServiceClient;
use cart_promotions::telemetry::metrics::{Build, Metrics};
use cart_promotions::telemetry::traces::Traces;
use cart_promotions::wire::json::{UnknownFields, from_slice};
use cart_promotions::{proto, server};
use clap::Parser;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic_types::StatusExt;

pub use crate::database::{Database, DatabaseKind, Template};
use crate::terms;

/// 2025-11-11T06:00:00Z, the time of every server's clock here.
pub const NOW_MS: i64 = 1_762_840_800_000;
/// Time in which a call reaches the writer of a locked database, which cannot be observed from outside.
pub const ACCEPTED_WITHIN: Duration = Duration::from_secs(1);
/// Time in which a changed client takes effect in every server. A changed catalog does so at once.
pub const CLIENT_CHANGED_WITHIN: Duration = Duration::from_secs(2);
/// Time in which a service recovers once nothing blocks it.
pub const RECOVERED_WITHIN: Duration = Duration::from_secs(5);
pub const PATH: &str = "/api_gateway/v1/promotions/earn/bulk";
pub const ORG: i64 = 100_737;
pub const CUSTOMER: i64 = 566_881_933;
/// A promotion of the documented request.
pub const TEN_OFF: &str = "6912ced9d39e256f754a83f8";
/// A promotion with a cap of three for each customer; organization 3 has a promotion of the same id.
pub const CAPPED: &str = "0000000000000000000000a9";
/// A promotion of organization 3 only.
pub const OTHERS: &str = "0000000000000000000000b1";
pub const FREE_DELIVERY: &str = "6912cfff6629ee07040e15ef";

/// Returns the documented catalog, with a promotion for each failure. `demo` may do everything, `reader` may not earn.
pub fn catalog() -> Value {
    let promotion = |id: &str, name: &str, more: Value| {
        let promotion = json!({"id": id, "orgId": ORG, "name": name, "type": "EARNING",
            "startDateISO": "2025-01-01T00:00:00+05:30", "endDateISO": "2025-12-31T23:59:59.999+05:30"});
        terms::with(promotion, &more)
    };
    json!({
        "orgs": [
            {"id": ORG, "name": "Demo", "timeZone": "Asia/Kolkata"},
            {"id": 2, "name": "Crowded", "maxActivePromotions": 1, "acceptUnknownCustomers": true},
            {"id": 3, "name": "Other", "acceptUnknownCustomers": true}
        ],
        "promotions": [
            promotion(TEN_OFF, "Ten off", json!({})),
            promotion(FREE_DELIVERY, "Free delivery", json!({"type": "REWARD"})),
            promotion("0000000000000000000000a1", "At the till", json!({"type": "POS"})),
            promotion("0000000000000000000000a2", "With a code", json!({"type": "CODE"})),
            promotion("0000000000000000000000a3", "Issued", json!({"type": "CUSTOMER"})),
            promotion("0000000000000000000000a4", "Off", json!({"active": false})),
            promotion("0000000000000000000000a5", "Later", json!({"startDateISO": "2025-12-01T00:00:00+05:30"})),
            promotion("0000000000000000000000a6", "Over", json!({"endDateISO": "2025-06-30T23:59:59.999+05:30"})),
            promotion("0000000000000000000000a7", "Short", terms::days(7)),
            promotion("0000000000000000000000a8", "Friends", terms::with(json!({"audience": [7]}), &terms::limited(true))),
            promotion(CAPPED, "Three", terms::cap(3)),
            {"id": TEN_OFF, "orgId": 2, "name": "One", "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64},
            {"id": FREE_DELIVERY, "orgId": 2, "name": "Two", "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64},
            terms::with(json!({"id": CAPPED, "orgId": 3, "name": "Three", "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64}), &terms::cap(3)),
            {"id": OTHERS, "orgId": 3, "name": "Ours", "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64}
        ],
        "customers": [{"orgId": ORG, "customerId": CUSTOMER}, {"orgId": ORG, "customerId": 7}],
        "apiClients": [
            {"username": "demo", "password": "demo", "orgId": ORG},
            {"username": "crowded", "password": "crowded", "orgId": 2},
            {"username": "other", "password": "other", "orgId": 3}
        ]
    })
}

/// Returns what a server is given: this listener, and a clock that stands still.
pub fn given(listener: TcpListener) -> server::ServerParts {
    let metrics = Metrics::new(Build { version: "", commit: "" }).unwrap();
    server::ServerParts {
        listener,
        admin: None,
        clock: Clock::fixed(Timestamp::from_millis(NOW_MS)),
        metrics,
        traces: Traces::default(),
    }
}

/// Returns the most wrong secrets of one username that are checked in this time: ten are free, then a pace applies that
/// doubles from 250 ms to 5 s, and one failure is forgotten every 6 s.
pub fn most_guesses_checked(within: Duration) -> usize {
    let paces = [250, 750, 1_750, 3_750].into_iter().chain((1..1_000).map(|more| 3_750 + 5_000 * more));
    let late = paces.take_while(|due| Duration::from_millis(*due) <= within).count();
    10 + late + usize::try_from(within.as_secs() / 6).unwrap()
}

/// Makes all promotions of the catalog endless, for servers with the real clock.
pub fn endless(mut catalog: Value) -> Value {
    for promotion in catalog["promotions"].as_array_mut().unwrap() {
        promotion["endDate"] = 4_000_000_000_000_i64.into();
        promotion.as_object_mut().unwrap().remove("endDateISO");
    }
    catalog
}

/// Returns the documented request.
pub fn documented_request() -> Value {
    json!({
        "orgId": ORG,
        "customerId": CUSTOMER,
        "eventTime": 1_761_750_000_000_i64,
        "earnedFromType": "BULK_ISSUE",
        "eventDetails": {"id": "6911e951f57b486147effa6c", "type": "BULK_ISSUE"},
        "earnedPromotions": [
            {"promotionId": TEN_OFF, "earnCount": 1, "earnedFromId": "68fb1c9731d91c625a8d9e80"},
            {"promotionId": FREE_DELIVERY, "earnCount": 1, "earnedFromId": "68fb1c9731d91c625a8d9e80"}
        ]
    })
}

/// Returns a request for one entry, of an event of this name.
pub fn one_entry(event: &str, promotion: &str, count: i64) -> Value {
    let mut request = documented_request();
    request["eventDetails"]["id"] = event.into();
    request["earnedPromotions"] = json!([{"promotionId": promotion, "earnCount": count, "earnedFromId": "earning"}]);
    request
}

/// Returns the options of a server on `url`, with further ones.
pub fn options(url: &str, more: &[&str]) -> Serve {
    let fixed = ["cart-promotions", "serve", "--listen", "127.0.0.1:0", "--database-url", url];
    // Most tests send more requests than the default limit allows.
    let unlimited = ["--requests-per-minute", "0"];
    let limits = if more.contains(&unlimited[0]) { &[][..] } else { &unlimited[..] };
    match Cli::try_parse_from(fixed.iter().chain(limits).chain(more)).expect("options").command {
        CliCommand::Serve(options) => *options,
        other => panic!("{other:?}"),
    }
}

/// Imports into a database, creating its tables if they do not exist. Returns the warnings, or the error.
pub async fn import(database: &Database, file: &Value) -> Result<Vec<String>, String> {
    import_with(database, file, ImportOptions::default()).await.map(|imported| imported.warnings)
}

/// Imports like [`import`], with these options.
pub async fn import_with(database: &Database, file: &Value, options: ImportOptions) -> Result<Imported, String> {
    let store = server::open(&self::options(database.url(), &[]).common).await.unwrap();
    let origin = server::operator(&Clock::fixed(Timestamp::from_millis(NOW_MS)));
    let result = server::import(&store, file.to_string().as_bytes(), options, &origin).await;
    store.close().await;
    result.map_err(|error| error.to_string())
}

/// Returns a new database into which this catalog is imported. Tests with the same catalog get copies of one database.
async fn imported(catalog: &Value) -> Database {
    static TEMPLATES: Mutex<BTreeMap<String, Arc<OnceCell<Option<Template>>>>> = Mutex::new(BTreeMap::new());
    let template = Arc::clone(TEMPLATES.lock().entry(catalog.to_string()).or_default());
    let import = async || {
        let database = Database::new().await;
        import(&database, catalog).await.unwrap();
        database
    };
    match template.get_or_init(async || import().await.into_template()).await {
        Some(template) => Database::copy_of(template).await,
        None => import().await,
    }
}

/// A running server, with everything to call it.
pub struct Service {
    database: Arc<Database>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), server::ServeError>>>,
    caller: TestCaller,
}

/// A caller of a server over gRPC or JSON.
#[derive(Clone)]
pub struct TestCaller {
    pub address: std::net::SocketAddr,
    channel: Channel,
    http: reqwest::Client,
    /// The value of `X-Forwarded-For` that a proxy in front would send.
    forwarded_for: Option<String>,
}

impl std::ops::Deref for Service {
    type Target = TestCaller;

    fn deref(&self) -> &TestCaller {
        &self.caller
    }
}

/// An answer of either API, in the terms of the error table.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status, or the number of the gRPC code.
    pub status: i64,
    /// The response as documented JSON, or null if the call was refused.
    pub body: Value,
    /// The documented number of a refusal, or 0 for a response.
    pub code: i64,
    /// The reason of a refusal over gRPC.
    pub reason: String,
    /// Every message of a refusal.
    pub messages: Vec<String>,
    pub headers: http::HeaderMap,
    /// The metadata of the `ErrorInfo` of a refusal over gRPC.
    pub metadata: HashMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Json,
    Grpc,
}

pub const ENDPOINTS: [Endpoint; 2] = [Endpoint::Json, Endpoint::Grpc];

/// Returns the header for `username:secret`, `Bearer TOKEN` or, in a header of its own, `Token TOKEN`; an empty text
/// gives no header.
pub fn presented(credentials: &str) -> Option<(&'static str, String)> {
    match credentials.split_once(' ') {
        _ if credentials.is_empty() => None,
        Some(("Bearer", _)) => Some(("authorization", credentials.to_owned())),
        Some(("Token", token)) => Some(("x-cap-api-oauth-token", token.to_owned())),
        _ => Some(("authorization", basic(credentials))),
    }
}

/// Returns `username:secret` as a header.
pub fn basic(credentials: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}

impl Service {
    /// Starts a server with the catalog above.
    pub async fn start() -> Self {
        Self::start_with(&catalog(), &[]).await
    }

    /// Starts a server with this catalog and these options.
    pub async fn start_with(catalog: &Value, more: &[&str]) -> Self {
        Self::start_on(Arc::new(imported(catalog).await), more).await
    }

    /// Starts a server on a database that exists.
    pub async fn on(database: Database) -> Self {
        Self::start_on(Arc::new(database), &[]).await
    }

    /// Starts another server on the same database.
    pub async fn beside(&self) -> Self {
        self.beside_with(&[]).await
    }

    /// Starts a service like [`Self::beside`], with these options.
    pub async fn beside_with(&self, more: &[&str]) -> Self {
        Self::start_on(Arc::clone(&self.database), more).await
    }

    async fn start_on(database: Arc<Database>, more: &[&str]) -> Self {
        let options = options(database.url(), more);
        let listener = TcpListener::bind(options.listen.addresses()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, ready) = oneshot::channel();
        let task = tokio::spawn(async move {
            let started = move || {
                let _ = started.send(());
            };
            let stop = async { drop(stopped.await) };
            server::run(given(listener), &options, server::Course { started, stop, hurry: std::future::pending() })
                .await
        });
        ready.await.expect("the server starts");
        Self { database, stop: Some(stop), task: Some(task), caller: TestCaller::of(address) }
    }

    pub fn caller(&self) -> TestCaller {
        self.caller.clone()
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Returns the number of rows in all wallets.
    pub async fn granted(&self) -> i64 {
        self.database.count("SELECT count(*) FROM earned_promotions").await
    }

    /// Imports a changed catalog while the server runs, which takes effect at once.
    pub async fn import(&self, catalog: &Value) {
        import(&self.database, catalog).await.unwrap();
    }

    pub fn tell_to_stop(&mut self) {
        let _ = self.stop.take().expect("told once").send(());
    }

    /// Waits until a server that was told to stop has stopped.
    pub async fn stopped(&mut self) -> Result<(), server::ServeError> {
        self.task.take().expect("stopped once").await.unwrap()
    }
}

impl TestCaller {
    pub fn of(address: std::net::SocketAddr) -> Self {
        // The provider is one for the process, and is installed already on all calls but the first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { address, channel, http: reqwest::Client::new(), forwarded_for: None }
    }

    /// Returns a caller like this one, as a proxy forwards the calls of this address.
    pub fn on_behalf_of(&self, address: &str) -> Self {
        Self { forwarded_for: Some(address.to_owned()), ..self.clone() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub fn http(&self) -> reqwest::Client {
        self.http.clone()
    }

    pub async fn earn(&self, endpoint: Endpoint, request: &Value) -> Answer {
        self.earn_as(endpoint, Some("demo:demo"), request).await
    }

    pub async fn earn_as(&self, endpoint: Endpoint, credentials: Option<&str>, request: &Value) -> Answer {
        match endpoint {
            Endpoint::Json => self.post(credentials, request.to_string()).await,
            Endpoint::Grpc => grpc_answer(self.call(credentials, request).await),
        }
    }

    /// Returns the answer after the service has recovered by itself from the state in which it refuses calls.
    pub async fn earn_once_recovered(&self, endpoint: Endpoint, request: &Value) -> Answer {
        let recovered = async {
            loop {
                let answer = self.earn(endpoint, request).await;
                if answer.code == 0 {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(RECOVERED_WITHIN, recovered).await.expect("it recovers by itself")
    }

    /// Returns the answer, or `None` if the connection broke before it arrived.
    #[allow(dead_code, reason = "one suite breaks connections")]
    pub async fn try_earn(&self, endpoint: Endpoint, request: &Value) -> Option<Answer> {
        match endpoint {
            Endpoint::Json => whole_json_answer(self.request(Some("demo:demo"), request.to_string())).await,
            Endpoint::Grpc => whole_grpc_answer(self.call(Some("demo:demo"), request).await),
        }
    }

    /// Posts the body unchanged to the JSON API.
    pub async fn post(&self, credentials: Option<&str>, body: impl Into<reqwest::Body>) -> Answer {
        json_answer(self.request(credentials, body).send().await.expect("an answer")).await
    }

    fn request(&self, credentials: Option<&str>, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request = self.http.post(self.url(PATH)).header("content-type", "application/json").body(body);
        let forwarded = self.forwarded_for.iter().map(|address| ("x-forwarded-for", address.clone()));
        let headers = credentials.and_then(presented).into_iter().chain(forwarded);
        headers.fold(request, |request, (name, value)| request.header(name, value))
    }

    async fn call(
        &self,
        credentials: Option<&str>,
        request: &Value,
    ) -> Result<tonic::Response<proto::BulkEarnResponse>, tonic::Status> {
        let (message, violations) =
            from_slice::<proto::BulkEarnRequest>(request.to_string().as_bytes(), UnknownFields::Refuse).unwrap();
        assert!(violations.is_empty(), "gRPC cannot say {violations:?}");
        let mut request = tonic::Request::new(message);
        let forwarded = self.forwarded_for.iter().map(|address| ("x-forwarded-for", address.clone()));
        for (name, value) in credentials.and_then(presented).into_iter().chain(forwarded) {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        EarnServiceClient::new(self.channel()).bulk_earn(request).await
    }
}

impl TestCaller {
    /// Sends these bytes as the message of the gRPC method at `path`. The call must be refused.
    pub async fn call_raw(&self, path: &str, message: Vec<u8>) -> Answer {
        match self.try_raw(path, message).await {
            Err(status) => grpc_answer::<()>(Err(status)),
            Ok(_) => panic!("{path} answers"),
        }
    }

    pub async fn try_raw(&self, path: &str, message: Vec<u8>) -> Result<tonic::Response<Raw>, tonic::Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel());
        grpc.ready().await.unwrap();
        let mut request = tonic::Request::new(Raw(message));
        request.metadata_mut().insert("authorization", basic("demo:demo").parse().unwrap());
        grpc.unary(request, path.parse().unwrap(), RawCodec).await
    }
}

/// Returns the answer, or `None` if the connection broke before all of it arrived.
pub async fn whole_json_answer(request: reqwest::RequestBuilder) -> Option<Answer> {
    let response = request.send().await.ok()?;
    let mut whole = http::Response::builder().status(response.status());
    *whole.headers_mut()? = response.headers().clone();
    Some(json_answer(whole.body(response.bytes().await.ok()?).ok()?.into()).await)
}

/// Returns the answer, or `None` if the connection broke before it arrived.
pub fn whole_grpc_answer<R: serde::Serialize>(answer: Result<tonic::Response<R>, tonic::Status>) -> Option<Answer> {
    let broke = answer.as_ref().is_err_and(|status| status.get_details_error_info().is_none());
    (!broke).then(|| grpc_answer(answer))
}

pub async fn json_answer(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status}: {error}: {text}"));
    assert_eq!(headers["content-type"], "application/json", "{text}");
    assert!(headers.contains_key("x-request-id"), "{headers:?}");
    if status == 200 {
        return Answer {
            status: 200,
            body,
            code: 0,
            reason: String::new(),
            messages: vec![],
            headers,
            metadata: HashMap::new(),
        };
    }
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["errors"], "no data key: {text}");
    let errors = body["errors"].as_array().unwrap();
    let code = errors[0]["code"].as_i64().unwrap();
    assert!(errors.iter().all(|error| error["code"] == code), "{text}");
    let messages = errors.iter().map(|error| error["message"].as_str().unwrap().to_owned()).collect();
    Answer {
        status: status.into(),
        body: Value::Null,
        code,
        reason: String::new(),
        messages,
        headers,
        metadata: HashMap::new(),
    }
}

pub fn grpc_answer<R: serde::Serialize>(answer: Result<tonic::Response<R>, tonic::Status>) -> Answer {
    match answer {
        Ok(response) => {
            let headers = response.metadata().clone().into_headers();
            let body = serde_json::to_value(response.into_inner()).unwrap();
            Answer {
                status: 0,
                body,
                code: 0,
                reason: String::new(),
                messages: vec![],
                headers,
                metadata: HashMap::new(),
            }
        }
        Err(status) => {
            let details = status.get_error_details();
            let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
            assert_eq!(info.domain, "cartpromotions", "{status:?}");
            if status.code() == tonic::Code::Unavailable {
                assert!(details.retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
            }
            let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
            let mut messages: Vec<_> = violations
                .iter()
                .map(|each| match each.field.as_str() {
                    "" => each.description.clone(),
                    field => format!("{field}: {}", each.description),
                })
                .collect();
            if messages.is_empty() {
                messages.push(status.message().to_owned());
            }
            Answer {
                status: i64::from(status.code() as i32),
                body: Value::Null,
                code: info.metadata["code"].parse().unwrap(),
                reason: info.reason.clone(),
                messages,
                headers: status.metadata().clone().into_headers(),
                metadata: info.metadata.clone(),
            }
        }
    }
}

/// Returns every earn id in a response, in order.
pub fn earn_ids(body: &Value) -> Vec<String> {
    let entries = body["data"].as_array().unwrap_or_else(|| panic!("{body}"));
    let earned = entries.iter().flat_map(|entry| entry["customerEarnedPromotions"].as_array().unwrap());
    earned.map(|earned| earned["id"].as_str().unwrap().to_owned()).collect()
}

/// Bytes that are sent unchanged, for messages that no type can express.
#[derive(Debug)]
pub struct Raw(pub Vec<u8>);
pub struct RawCodec;

impl tonic::codec::Codec for RawCodec {
    type Encode = Raw;
    type Decode = Raw;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for RawCodec {
    type Item = Raw;
    type Error = tonic::Status;

    fn encode(&mut self, item: Raw, out: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put_slice(out, &item.0);
        Ok(())
    }
}

impl tonic::codec::Decoder for RawCodec {
    type Item = Raw;
    type Error = tonic::Status;

    fn decode(&mut self, bytes: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Raw>, tonic::Status> {
        Ok(Some(Raw(bytes::Buf::copy_to_bytes(bytes, bytes::Buf::remaining(bytes)).to_vec())))
    }
}
