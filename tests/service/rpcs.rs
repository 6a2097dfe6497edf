//! Calls every RPC but the bulk earning, over gRPC or JSON, with the same JSON.

use cart_promotions::proto;
use cart_promotions::wire::json::{JsonMessage, ReadJson, UnknownFields, from_slice};
use serde_json::{Map, Value, json};

use crate::support::*;

/// A method, and its form over gRPC and HTTP.
#[derive(Debug)]
pub struct RpcMethod {
    pub grpc: &'static str,
    pub verb: &'static str,
    /// The path, with its variables by their JSON names.
    pub path: &'static str,
    /// The content of the body: all that is not in the path (`*`), one field, or nothing. The rest is in the query.
    pub body: &'static str,
    /// The access group that `proto/` states for it.
    #[allow(dead_code, reason = "one of the test programs reads it")]
    pub access: &'static str,
}

/// The method to call, by its gRPC path, and the credentials to call it with.
#[derive(Debug, Clone, Copy)]
pub struct Rpc<'a> {
    pub grpc: &'a str,
    pub credentials: &'a str,
}

impl<'a> Rpc<'a> {
    /// Returns a call of the client of most tests.
    pub fn of_demo(grpc: &'a str) -> Self {
        Self { grpc, credentials: DEMO }
    }
}

/// The credentials of the client of most tests.
const DEMO: &str = "demo:demo";

/// A request as JSON that includes its path variables, its method, and the credentials it is sent with.
struct Sent<'a> {
    method: &'a RpcMethod,
    credentials: &'a str,
    request: &'a Value,
}

macro_rules! rpcs {
    ($($name:ident: $grpc:literal $verb:literal $path:literal $body:literal $access:literal, $request:ident -> $response:ident;)*) => {
        /// All methods.
        pub const METHODS: &[RpcMethod] = &[$(RpcMethod { grpc: $grpc, verb: $verb, path: $path, body: $body, access: $access }),*];
        $(
            #[allow(dead_code, reason = "each of the test programs calls some of them")]
            pub async fn $name(caller: &TestCaller, endpoint: Endpoint, request: Value) -> Answer {
                let method = RpcMethod { grpc: $grpc, verb: $verb, path: $path, body: $body, access: $access };
                let sent = Sent { method: &method, credentials: DEMO, request: &request };
                try_rpc::<proto::$request, proto::$response>(caller, endpoint, sent).await.expect("an answer")
            }
        )*
        /// Makes this call.
        pub async fn call(caller: &TestCaller, endpoint: Endpoint, rpc: Rpc<'_>, request: Value) -> Answer {
            try_call(caller, endpoint, rpc, &request).await.expect("an answer")
        }

        /// Returns the answer, or `None` if the connection broke before it arrived.
        pub async fn try_call(caller: &TestCaller, endpoint: Endpoint, rpc: Rpc<'_>, request: &Value) -> Option<Answer> {
            match rpc.grpc {
                $($grpc => {
                    let method = RpcMethod { grpc: $grpc, verb: $verb, path: $path, body: $body, access: $access };
                    let sent = Sent { method: &method, credentials: rpc.credentials, request };
                    try_rpc::<proto::$request, proto::$response>(caller, endpoint, sent).await
                })*
                other => panic!("no method {other}"),
            }
        }
    };
}

// The table of methods, which the build writes from `proto/`.
include!(concat!(env!("OUT_DIR"), "/test_methods.rs"));

#[allow(unused_imports, reason = "each of the test programs uses some of them")]
pub use {
    activate_promotion as activate, change_audience as audience, create_promotion as create,
    deactivate_promotion as deactivate, get_customer as customer, get_earned_promotion as get,
    list_catalog_changes as changes, list_earned_promotions as list, list_promotions as promotions,
    replace_promotion as replace, revoke_earned_promotions as revoke,
};

/// Sends the whole request over this API. Returns the answer, or `None` if the connection broke before it arrived.
async fn try_rpc<M, R>(caller: &TestCaller, endpoint: Endpoint, sent: Sent<'_>) -> Option<Answer>
where
    M: JsonMessage + ReadJson + prost::Message + Default + 'static,
    R: serde::Serialize + prost::Message + Default + 'static,
{
    match endpoint {
        Endpoint::Json => whole_json_answer(json_request(caller, &sent)).await,
        Endpoint::Grpc => {
            let (message, violations) =
                from_slice::<M>(sent.request.to_string().as_bytes(), UnknownFields::Refuse).unwrap();
            assert!(violations.is_empty(), "gRPC cannot say {violations:?}");
            let mut request = tonic::Request::new(message);
            if let Some((name, value)) = presented(sent.credentials) {
                request.metadata_mut().insert(name, value.parse().unwrap());
            }
            let mut grpc = tonic::client::Grpc::new(caller.channel());
            grpc.ready().await.ok()?;
            let path = format!("/cartpromotions.v1.{}", sent.method.grpc).parse().unwrap();
            let codec = tonic_prost::ProstCodec::<M, R>::default();
            whole_grpc_answer(grpc.unary(request, path, codec).await)
        }
    }
}

fn json_request(caller: &TestCaller, sent: &Sent<'_>) -> reqwest::RequestBuilder {
    let Sent { method, credentials, request } = sent;
    let mut rest = request.as_object().unwrap().clone();
    let mut path = method.path.to_owned();
    while let Some((before, variable)) = path.split_once('{') {
        let (name, after) = variable.split_once('}').unwrap();
        let value = rest.remove(name).unwrap_or_else(|| json!("0"));
        let value: String = form_urlencoded::byte_serialize(text(&value).as_bytes()).collect();
        path = format!("{before}{}{after}", value.replace('+', "%20"));
    }
    let body = match method.body {
        "*" => Some(Value::Object(std::mem::take(&mut rest))),
        "" => None,
        field => Some(rest.remove(field).unwrap_or(Value::Null)),
    };
    let url = format!("{}{}", caller.url(&path), query(&rest));
    let request = caller.http().request(method.verb.parse().unwrap(), url);
    let request = match presented(credentials) {
        Some((name, value)) => request.header(name, value),
        None => request,
    };
    match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn query(parameters: &Map<String, Value>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        for value in value.as_array().unwrap_or(&vec![value.clone()]) {
            query.append_pair(name, &text(value));
        }
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}
