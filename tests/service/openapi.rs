//! The OpenAPI document and its page: both agree with what the JSON API reads and writes.

mod document;
mod variants;

use std::collections::{BTreeSet, HashMap};

use base64::Engine;
use cart_promotions::proto::DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, Value as ProtoValue};
use serde_json::{Map, Value};
use sha2::Digest;

use crate::support::*;
pub use document::Document;
use document::{DocumentedOperation, JSON, VERBS, body_schema, call, example};
use variants::{broken, extreme, otherwise};

/// Operations with an example, in an order in which each finds the records that it needs.
const CALLS: [&str; 15] = [
    "UpsertCustomers",
    "GetCustomer",
    "CreatePromotion",
    "ReplacePromotion",
    "DeactivatePromotion",
    "ActivatePromotion",
    "ListPromotions",
    "ChangeAudience",
    "ListCatalogChanges",
    "Earn",
    "BulkEarn",
    "ListEarnedPromotions",
    "GetEarnedPromotion",
    "Redeem",
    "RevokeEarnedPromotions",
];
/// Compares a response with the example: ids that the service makes differ, but an id is the same wherever it occurs.
fn same(example: &Value, answer: &Value, ids: &mut HashMap<String, String>, at: &str) {
    let is_made = |text: &str| text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (example, answer) {
        (Value::Object(one), Value::Object(other)) => {
            let names = |object: &Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(one), names(other), "{at}");
            one.iter().for_each(|(name, value)| same(value, &other[name], ids, &format!("{at}.{name}")));
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{at}: {answer}");
            one.iter().zip(other).for_each(|(one, other)| same(one, other, ids, &format!("{at}[]")));
        }
        (Value::String(one), Value::String(other)) if is_made(one) && is_made(other) => {
            assert_eq!(ids.entry(one.clone()).or_insert_with(|| other.clone()), other, "{at}");
        }
        (Value::String(_), Value::String(_)) if at.ends_with(".nextPageToken") || at.ends_with(".requestId") => {}
        _ => assert_eq!(example, answer, "{at}"),
    }
}

#[tokio::test]
async fn the_document_is_openapi_and_all_it_refers_to_is_in_it() {
    fn walk(document: &Document, value: &Value) {
        match value {
            Value::Object(object) => {
                let followed = document.resolve(value);
                assert!(!followed.is_null());
                object.values().for_each(|value| walk(document, value));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(document, value)),
            _ => {}
        }
    }
    let document = Document::of(&Service::start().await).await;
    assert_eq!(document.0["openapi"], "3.1.0");
    assert_eq!(document.0["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(document.0["info"]["title"].is_string());
    walk(&document, &document.0);
    for (name, schema) in document.0["components"]["schemas"].as_object().unwrap() {
        jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut ids = BTreeSet::new();
    for operation in document.operations() {
        assert!(ids.insert(operation.value["operationId"].as_str().unwrap()), "{}", operation.path);
        let parameters = operation.value["parameters"].as_array().into_iter().flatten();
        let variables: BTreeSet<_> = parameters
            .filter(|parameter| parameter["in"] == "path")
            .inspect(|parameter| assert_eq!(parameter["required"], true, "{}", operation.path))
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let in_path = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(variables, in_path.collect(), "{}", operation.path);
        for (status, response) in operation.value["responses"].as_object().unwrap() {
            assert!(document.resolve(response)["description"].is_string(), "{} {status}", operation.path);
        }
    }
}

/// Replaces the committed file by what the build writes, where the command to do so is given, and compares them.
fn assert_current(path: &str, built: &str) {
    let file = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, built).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == built, "{path} is out of date: run UPDATE_DOCS=1 cargo test --test service published");
}

#[tokio::test]
async fn the_published_document_is_the_one_that_is_served() {
    let service = Service::start().await;
    let response = service.http().get(service.url("/openapi.json")).send().await.unwrap();
    assert_current("docs/openapi.json", &response.text().await.unwrap());
}

#[test]
fn the_published_tables_of_errors_are_those_of_the_proto_files() {
    let tables = include_str!(concat!(env!("OUT_DIR"), "/errors.md"));
    let mut file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md")).unwrap();
    for table in tables.split_inclusive("<!-- end -->\n") {
        let mark = table.lines().next().unwrap();
        let start = file.find(mark).unwrap_or_else(|| panic!("docs/errors.md has no {mark}"));
        let length = file[start..].find("<!-- end -->\n").unwrap() + "<!-- end -->\n".len();
        file.replace_range(start..start + length, table);
    }
    assert_current("docs/errors.md", &file);
}

/// Generators of clients do not understand unions of types, null types, and alternatives beside properties.
#[tokio::test]
async fn every_schema_has_one_type_and_every_enum_has_names() {
    fn walk(at: &str, value: &Value) {
        if let Some(object) = value.as_object() {
            for alternatives in ["anyOf", "oneOf", "allOf", "not", "if", "const"] {
                assert!(!object.contains_key(alternatives), "{at}: {alternatives}");
            }
            let kind = &value["type"];
            assert!(kind.is_null() || kind.is_object() || (kind.is_string() && kind != "null"), "{at}: {kind}");
            let listed = value["enum"].as_array().into_iter().flatten();
            listed.for_each(|one| assert!(one.is_string(), "{at}: {one}"));
            if kind == "object" {
                let holds = object.contains_key("properties") || value["additionalProperties"] == true;
                assert!(holds, "{at}: generators allow an empty object only");
            }
            for (name, inner) in object.iter().filter(|(name, _)| !["example", "default"].contains(&name.as_str())) {
                walk(&format!("{at}/{name}"), inner);
            }
        }
        value.as_array().into_iter().flatten().for_each(|inner| walk(at, inner));
    }
    let document = Document::of(&Service::start().await).await;
    walk("", &document.0["paths"]);
    walk("", &document.0["components"]["schemas"]);
}

#[tokio::test]
async fn it_has_every_route_of_the_json_endpoint_and_no_other() {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let mut expected = BTreeSet::new();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let options = method.options();
        let rule = options.get_extension(&http);
        let rule = rule.as_message().unwrap();
        let verb = VERBS.into_iter().find(|verb| rule.has_field_by_name(verb)).unwrap();
        let mut path = rule.get_field_by_name(verb).as_deref().and_then(ProtoValue::as_str).unwrap().to_owned();
        for field in method.input().fields() {
            path = path.replace(&format!("{{{}}}", field.name()), &format!("{{{}}}", field.json_name()));
        }
        expected.insert((method.name().to_owned(), verb, path));
    }
    assert_eq!(expected.len(), CALLS.len(), "a call without an example here: {expected:?}");
    for (id, path) in [("Healthz", "/healthz"), ("Readyz", "/readyz"), ("OpenApi", "/openapi.json"), ("Docs", "/docs")]
    {
        expected.insert((id.to_owned(), "get", path.to_owned()));
    }
    expected.insert(("GenerateToken".to_owned(), "post", "/v3/oauth/token/generate".to_owned()));
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let documented = document.operations().into_iter();
    let documented =
        documented.map(|one| (one.value["operationId"].as_str().unwrap().to_owned(), one.verb, one.path.to_owned()));
    assert_eq!(documented.collect::<BTreeSet<_>>(), expected);
    for operation in document.operations() {
        let (status, _, text) = call(&service, operation, example(operation), &HashMap::new()).await;
        assert!(status != 405 && !text.contains("is unknown"), "{} {}: {text}", operation.verb, operation.path);
    }
}

#[tokio::test]
async fn every_example_is_answered_as_it_says() {
    // That of `serve --demo`, so that whoever tries the examples there gets these answers.
    let demo = serde_json::from_str(include_str!("../../src/demo.json")).unwrap();
    let service = Service::start_with(&demo, &[]).await;
    let document = Document::of(&service).await;
    let mut ids = HashMap::new();
    for id in CALLS {
        let operation = document.operation(id);
        if let Some(body) = example(operation) {
            let violations = document.violations(body_schema(operation), body);
            assert!(violations.is_empty(), "{id}: {violations:?}");
        }
        for parameter in operation.value["parameters"].as_array().into_iter().flatten() {
            if let Some(value) = parameter.get("example") {
                assert_eq!(document.violations(&parameter["schema"], value), [""; 0], "{id}: {parameter}");
            }
        }
        let answer = call(&service, operation, example(operation), &ids).await;
        assert_eq!(answer.0, 200, "{id}: {}", answer.2);
        document.check(operation, &answer);
        let expected = &operation.value["responses"]["200"]["content"][JSON]["example"];
        same(expected, &serde_json::from_str(&answer.2).unwrap(), &mut ids, id);
    }
    for id in ["Healthz", "Readyz", "OpenApi", "Docs"] {
        let operation = document.operation(id);
        let answer = call(&service, operation, None, &ids).await;
        assert_eq!(answer.0, 200, "{id}");
        document.check(operation, &answer);
    }
}

#[tokio::test]
async fn what_the_document_forbids_is_refused() {
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let mut tried = 0;
    for id in CALLS {
        let operation = document.operation(id);
        let Some(body) = example(operation) else { continue };
        let schema = body_schema(operation);
        for (what, body) in broken(&document, schema, body, id) {
            // An object may have any members.
            if what.contains(".eventPayload.") {
                continue;
            }
            assert!(!document.violations(schema, &body).is_empty(), "the document allows it: {what}: {body}");
            let answer = call(&service, operation, Some(&body), &HashMap::new()).await;
            assert_eq!(answer.0, 400, "{what}: {body}: {}", answer.2);
            document.check(operation, &answer);
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried}");
}

#[tokio::test]
async fn limits_themselves_are_within_the_limits() {
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let mut tried = 0;
    for id in CALLS {
        let operation = document.operation(id);
        let Some(body) = example(operation) else { continue };
        let schema = body_schema(operation);
        for (what, body) in extreme(&document, schema, body, id) {
            // These values have further limits: that of the clock, and that of a sum.
            if ["eventTime", "earnCount = 2"].iter().any(|limited| what.contains(limited)) {
                continue;
            }
            assert_eq!(document.violations(schema, &body), [""; 0], "{what}");
            // The call may be refused, but not as malformed.
            let answer = call(&service, operation, Some(&body), &HashMap::new()).await;
            assert_ne!(answer.0, 400, "{what}: {body}: {}", answer.2);
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried}");
}

#[tokio::test]
async fn what_the_service_takes_beyond_the_document_means_the_same() {
    let service = Service::start().await;
    let document = Document::of(&service).await;
    for id in ["UpsertCustomers", "Earn", "BulkEarn", "ChangeAudience"] {
        let operation = document.operation(id);
        let body = example(operation).unwrap();
        let schema = body_schema(operation);
        let other = otherwise(&document, schema, body);
        assert!(!document.violations(schema, &other).is_empty(), "the document has it too: {id}: {other}");
        let ids = HashMap::from([("6912d0e01c5b9e4f7a0000f1".to_owned(), TEN_OFF.to_owned())]);
        // A first call makes both calls find the same records.
        call(&service, operation, Some(body), &ids).await;
        let one = call(&service, operation, Some(body), &ids).await;
        let again = call(&service, operation, Some(&other), &ids).await;
        assert_eq!((one.0, &one.2), (200, &again.2), "{id}: {other}");
    }
}

#[tokio::test]
async fn a_query_cannot_say_otherwise_than_the_path() {
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let operation = document.operation("GetCustomer");
    for more in ["?customerId=8&x=", "?customer_id=8&x=", "?customerId=x&x="] {
        let path = format!("{}{more}", operation.path);
        let (status, _, text) =
            call(&service, DocumentedOperation { path: &path, ..operation }, None, &HashMap::new()).await;
        assert_eq!((status, text.contains("\"customerId\":566881933")), (200, true), "{more}: {text}");
    }
}

#[tokio::test]
async fn refusals_are_as_documented() {
    let limited = Service::start_with(&catalog(), &["--requests-per-minute", "1"]).await;
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let operation = document.operation("BulkEarn");
    let post = |service: &Service, credentials: &str, media_type: &str, body: String| {
        let request = service.http().post(service.url(PATH)).header("content-type", media_type);
        request.header("authorization", basic(credentials)).body(body).send()
    };
    let request = documented_request().to_string();
    let mut stranger = documented_request();
    stranger["customerId"] = 8.into();
    post(&limited, "demo:demo", JSON, request.clone()).await.unwrap();
    for (status, response) in [
        (400, post(&service, "demo:demo", JSON, "{}".to_owned()).await),
        (400, post(&service, "demo:demo", JSON, "{".to_owned()).await),
        (401, post(&service, "demo:other", JSON, request.clone()).await),
        (403, post(&service, "other:other", JSON, request.clone()).await),
        (404, post(&service, "demo:demo", JSON, stranger.to_string()).await),
        (413, post(&service, "demo:demo", JSON, " ".repeat(2 << 20)).await),
        (415, post(&service, "demo:demo", "text/plain", request.clone()).await),
        (429, post(&limited, "demo:demo", JSON, request).await),
    ] {
        let response = response.unwrap();
        let answer = (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap());
        assert_eq!(answer.0, status, "{}", answer.2);
        document.check(operation, &answer);
    }
    // Another active promotion has this name.
    let operation = document.operation("CreatePromotion");
    call(&service, operation, example(operation), &HashMap::new()).await;
    let answer = call(&service, operation, example(operation), &HashMap::new()).await;
    assert_eq!(answer.0, 409, "{}", answer.2);
    document.check(operation, &answer);
}

#[tokio::test]
async fn the_page_tells_of_every_operation_and_asks_no_other_host_for_anything() {
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let response = service.http().get(service.url("/docs")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let page = response.text().await.unwrap();
    let (_, script) = page.split_once("<script>").unwrap();
    let (script, after) = script.split_once("</script>").unwrap();
    assert!(!after.contains("<script"), "one script");
    let digest = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(script));
    let policy = headers["content-security-policy"].to_str().unwrap();
    let expected =
        format!("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none';");
    assert!(policy.starts_with(&expected), "{policy}");
    for operation in document.operations() {
        let id = operation.value["operationId"].as_str().unwrap();
        assert!(page.contains(&format!("<article id=\"{id}\">")), "{id} is told of");
        assert!(page.contains(&format!("<a href=\"#{id}\">")), "{id} is in the contents");
    }
    // Whatever makes a browser fetch something, but for the style and the script that stand in the page.
    for loads in
        ["<script ", "fetch(", "<link", "<img", "<iframe", "<object", "<embed", "src=", "srcset", "url(", "action="]
    {
        assert!(!page.contains(loads), "{loads}");
    }
    let targets: BTreeSet<_> = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    for target in targets {
        let anchor = target.strip_prefix('#').map(|id| format!("id=\"{id}\""));
        assert!(anchor.map_or(target == "/openapi.json", |anchor| page.contains(&anchor)), "{target} leads nowhere");
    }
}
