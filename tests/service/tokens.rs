//! Access tokens: how the service issues them, and which it accepts, over gRPC and JSON.

#[path = "tokens/hostile.rs"]
mod hostile;
#[path = "tokens/issuers.rs"]
mod issuers;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cart_promotions::access::jws::{SigningKey, VerifyingKey};
use cart_promotions::edge::{self, Certificates, TlsFiles};
use cart_promotions::telemetry::metrics::{Build, Metrics};
use cart_promotions::telemetry::traces::Traces;
use cart_promotions::transport::{Endpoints, Health, Observer};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rpcs::{Rpc, call};
use crate::server_process::{Process, run};
use crate::support::*;

pub const PATH: &str = "/v3/oauth/token/generate";
const NOW_S: i64 = NOW_MS / 1_000;
/// Time in which a changed client or key takes effect in every server.
const OBEYED_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);
pub const ED25519: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service/keys/ed25519.pem");
const RSA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service/keys/rsa.pem");

fn key(kid: &str, file: &str) -> SigningKey {
    SigningKey::from_pem(kid, &std::fs::read(file).unwrap()).unwrap()
}

fn random_key(kid: &str) -> SigningKey {
    SigningKey::from_pem(kid, SigningKey::generate_pem().unwrap().as_bytes()).unwrap()
}

pub async fn ask(caller: &TestCaller, body: &Value) -> (u16, http::HeaderMap, Value) {
    let request = caller.http().post(caller.url(PATH)).header("content-type", "application/json");
    let response = request.body(body.to_string()).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

pub async fn token_of(caller: &TestCaller, username: &str, secret: &str) -> String {
    let (status, _, body) = ask(caller, &json!({"key": username, "secret": secret})).await;
    assert_eq!(status, 200, "{body}");
    body["data"]["accessToken"].as_str().unwrap().to_owned()
}

/// Returns the refusal of this token by both APIs, or `None` if they accept it.
async fn refusal(caller: &TestCaller, token: &str) -> Option<String> {
    let mut said = Vec::new();
    for (index, endpoint) in ENDPOINTS.into_iter().enumerate() {
        for header in ["Bearer", "Token"] {
            let presented = format!("{header} {token}");
            let request = one_entry(&format!("{index}{header}"), TEN_OFF, 1);
            let answer = caller.earn_as(endpoint, Some(&presented), &request).await;
            if answer.code != 0 {
                assert_eq!(answer.code, 401, "{endpoint:?}: {answer:?}");
                assert_eq!(answer.status, if endpoint == Endpoint::Json { 401 } else { 16 });
                if endpoint == Endpoint::Json {
                    let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
                    assert_eq!(challenges.len(), 2, "{challenges:?}");
                    let bearer = challenges[1].to_str().unwrap();
                    assert!(bearer.starts_with("Bearer ") && bearer.contains(r#"error="invalid_token""#), "{bearer}");
                } else {
                    assert_eq!(answer.reason, "UNAUTHENTICATED");
                }
            }
            said.push(answer.messages.first().cloned());
        }
    }
    assert!(said.iter().all(|each| *each == said[0]), "{said:?}");
    said.remove(0)
}

#[tokio::test]
async fn the_documented_request_gives_a_token_that_both_endpoints_take_in_both_headers() {
    let service = Service::start().await;
    let (status, headers, body) = ask(&service, &json!({"key": "demo", "secret": "demo"})).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["errors"], Value::Null);
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["data", "errors"]);
    assert_eq!(body["data"]["ttlSeconds"], 3_600);
    assert_eq!(headers["cache-control"], "no-store");
    assert!(headers.contains_key("x-request-id"));
    let token = body["data"]["accessToken"].as_str().unwrap();
    assert_eq!(refusal(&service, token).await, None);
    // The token is valid for its own organization only.
    for endpoint in ENDPOINTS {
        let answer = service.earn_as(endpoint, Some(&format!("Bearer {token}")), &json!({"orgId": 2})).await;
        assert_eq!(answer.code, 403, "{answer:?}");
    }
}

#[tokio::test]
async fn a_wrong_pair_is_told_so_as_documented_and_a_wrong_request_by_its_field() {
    let service = Service::start().await;
    for (username, secret) in [("demo", "wrong"), ("nobody", "demo"), ("crowded", "demo")] {
        let (status, _, body) = ask(&service, &json!({"key": username, "secret": secret})).await;
        assert_eq!(status, 401, "{body}");
        assert_eq!(body["data"], Value::Null);
        assert_eq!(body["errors"][0]["code"], 320_001);
        assert_eq!(body["errors"].as_array().unwrap().len(), 1);
        assert!(!body.to_string().contains("wrong-secret"));
    }
    for (request, violations) in [
        (json!({}), &["key: is required", "secret: is required"][..]),
        (json!({"key": "demo", "secret": ""}), &["secret: is required"]),
        (json!({"key": null, "secret": "x"}), &["key: is required"]),
        (json!({"key": "demo", "secret": 5}), &["the body is no JSON object"]),
        (json!([]), &["the body is no JSON object"]),
        (json!(["demo", "demo"]), &["the body is no JSON object"]),
    ] {
        let (status, _, body) = ask(&service, &request).await;
        assert_eq!((status, &body["data"]), (400, &Value::Null), "{body}");
        let errors = body["errors"].as_array().unwrap();
        let expected = errors.iter().zip(violations).all(|(error, violation)| {
            error["code"] == 400 && error["message"].as_str().unwrap().starts_with(violation)
        });
        assert!(expected && errors.len() == violations.len(), "{body}");
    }
    for twice in
        [r#"{"key": "demo", "key": "demo", "secret": "demo"}"#, r#"{"x": 1, "x": 1, "key": "demo", "secret": "demo"}"#]
    {
        let request = service.http().post(service.url(PATH)).header("content-type", "application/json");
        let answer = request.body(twice).send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert!(status == 400 && text.contains("the body is no JSON object"), "{status} {text}");
    }
    // Ignored members must be UTF-8 too.
    let bytes = b"{\"key\":\"demo\",\"secret\":\"demo\",\"more\":\"\xff\"}";
    let request = service.http().post(service.url(PATH)).header("content-type", "application/json");
    let answer = request.body(&bytes[..]).send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert!(status == 400 && text.contains("no UTF-8"), "{status} {text}");
    let get = service.http().get(service.url(PATH)).send().await.unwrap();
    assert_eq!((get.status().as_u16(), &get.headers()["allow"]), (405, &"POST".parse().unwrap()));
    let form = service.http().post(service.url(PATH)).body("key=demo").send().await.unwrap();
    assert_eq!(form.status().as_u16(), 415);
}

/// Returns the claims of a valid token of the service.
fn claims_of(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn changed(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn public_bytes(key: &SigningKey) -> Vec<u8> {
    match key.verifying_key() {
        VerifyingKey::Ed25519(bytes) => bytes,
        VerifyingKey::Rsa(key) => key.n,
    }
}

#[tokio::test]
async fn forged_expired_early_and_confused_tokens_are_refused() {
    for (file, other) in [(ED25519, RSA), (RSA, ED25519)] {
        let service = Service::start_with(&catalog(), &["--token-key", &format!("main={file}")]).await;
        let (ours, other) = (key("main", file), key("main", other));
        let good = token_of(&service, "demo", "demo").await;
        let claims = claims_of(&good);
        assert_eq!(refusal(&service, &ours.sign(&claims).unwrap()).await, None, "these claims are good");
        let wrong = "credentials are missing or wrong";
        let sign = |name: &str, value: Value| ours.sign(&changed(&claims, name, value)).unwrap();
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let mac = |message: &str| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public_bytes(&ours));
            URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes()))
        };
        let none = unsigned(&json!({"alg": "none", "kid": "main"}), &claims);
        let confused = unsigned(&json!({"alg": "HS256", "kid": "main"}), &claims);
        let renamed = unsigned(&json!({"alg": "EdDSA", "kid": "main"}), &changed(&claims, "org", 3.into()));
        for (what, token, said) in [
            ("expired", sign("exp", (NOW_S - 1).into()), "the access token has expired"),
            ("expired this moment", sign("exp", NOW_S.into()), "the access token has expired"),
            ("not valid yet", sign("nbf", (NOW_S + 60).into()), wrong),
            ("not issued yet", sign("iat", (NOW_S + 60).into()), wrong),
            ("for others", sign("aud", "others".into()), wrong),
            ("of others", sign("iss", "https://login.example.com".into()), wrong),
            ("of a client that there is not", sign("sub", "nobody".into()), wrong),
            ("of another client", sign("sub", "crowded".into()), wrong),
            ("of another organization", sign("org", 3.into()), wrong),
            ("of an older secret", sign("cred", "AAAAAAAAAAAAAAAAAAAAAA".into()), wrong),
            ("without an end", sign("exp", Value::Null), wrong),
            ("with an end in words", sign("exp", "never".into()), wrong),
            ("signed by another key of this name", other.sign(&claims).unwrap(), wrong),
            ("signed by a key of another name", key("second", file).sign(&claims).unwrap(), wrong),
            ("without a signature", format!("{signed}."), wrong),
            ("cut", good[..good.len() - 4].to_owned(), wrong),
            ("without its end", signed.to_owned(), wrong),
            ("with another's signature", format!("{renamed}.{signature}"), wrong),
            ("alg none", format!("{none}."), wrong),
            ("alg none, signed", format!("{none}.{signature}"), wrong),
            ("signed with the public key", format!("{confused}.{}", mac(&confused)), wrong),
            ("empty", "..".to_owned(), wrong),
            ("no token", "hello".to_owned(), wrong),
            ("too long", format!("{good}{}", "A".repeat(9_000)), wrong),
        ] {
            let refusal = refusal(&service, &token).await;
            assert!(refusal.as_ref().is_some_and(|refusal| refusal.starts_with(said)), "{file}: {what}: {refusal:?}");
        }
        assert_eq!(refusal(&service, &sign("nbf", (NOW_S + 20).into())).await, None, "clocks may be a little apart");
        assert_eq!(service.granted().await, 4, "one for each endpoint and header");
    }
}

#[tokio::test]
async fn keys_are_changed_one_after_the_other_by_their_names() {
    let (old, new) = (format!("old={ED25519}"), format!("new={RSA}"));
    let before = Service::start_with(&catalog(), &["--token-key", &old]).await;
    let token = token_of(&before, "demo", "demo").await;
    let between = before.beside_with(&["--token-key", &new, "--token-key", &old]).await;
    assert_eq!(refusal(&between, &token).await, None);
    let newer = token_of(&between, "demo", "demo").await;
    assert!(refusal(&before, &newer).await.is_some());
    let after = before.beside_with(&["--token-key", &new]).await;
    assert_eq!(refusal(&after, &newer).await, None);
    assert!(refusal(&after, &token).await.is_some());
}

// Waiting for the start and the end of a process blocks a thread.
#[tokio::test(flavor = "multi_thread")]
async fn servers_without_a_configured_key_share_that_of_the_database_and_keep_it() {
    let database = Database::new().await;
    import(&database, &endless(catalog())).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let start = |more: &[&str]| {
        let options = ["--listen", "127.0.0.1:0", "--log", "trace", "--database-url", database.url()];
        Process::start(directory.path(), &[&options, more].concat())
    };
    // The first starts race to make the key.
    let runtime = tokio::runtime::Handle::current();
    let [one, other] = std::thread::scope(|scope| {
        let start = || {
            let _entered = runtime.enter();
            start(&[])
        };
        let starting = [(); 2].map(|()| scope.spawn(start));
        starting.map(|process| process.join().unwrap())
    });
    let token = token_of(&one.caller, "demo", "demo").await;
    assert_eq!(refusal(&one.caller, &token).await, None);
    assert_eq!(refusal(&other.caller, &token).await, None);
    // A configured key takes precedence, and the shared one is not among those that verify then.
    let configured = start(&["--token-key", &format!("main={ED25519}")]);
    assert!(refusal(&configured.caller, &token).await.is_some());
    assert!(refusal(&one.caller, &token_of(&configured.caller, "demo", "demo").await).await.is_some());

    let recorded = database.rows("SELECT pem FROM token_keys").await;
    let [secret] = &recorded[..] else { panic!("{} keys", recorded.len()) };
    let secret = secret["pem"].as_str().unwrap().lines().nth(1).unwrap().to_owned();
    for process in [one, other] {
        process.signal("TERM");
        let (success, log) = process.end();
        assert!(success);
        let told = log.iter().find(|line| line.to_string().contains(&secret));
        assert!(told.is_none(), "the key is logged: {told:?}");
    }
    let restarted = start(&[]);
    assert_eq!(refusal(&restarted.caller, &token).await, None);
    // Without its row, the next server makes another key.
    database.execute("DELETE FROM token_keys").await;
    let renewed = start(&[]);
    assert!(refusal(&renewed.caller, &token).await.is_some());
    database.execute("UPDATE token_keys SET pem = 'spoilt'").await;
    let refused = run(directory.path(), &["serve", "--listen", "127.0.0.1:0", "--database-url", database.url()]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && text.contains("in the database is not a private key in PEM; "), "{text}");
    assert!(!text.contains("spoilt"), "{text}");
}

#[tokio::test]
async fn a_disabled_client_and_a_new_secret_end_pairs_and_tokens_on_every_server() {
    let key = format!("main={ED25519}");
    let service = Service::start_with(&catalog(), &["--token-key", &key]).await;
    let other = service.beside_with(&["--token-key", &key]).await;
    let ends = async |caller: &TestCaller, presented: &str| {
        let ended = async {
            while caller.earn_as(Endpoint::Grpc, Some(presented), &documented_request()).await.code != 401 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(OBEYED_WITHIN, ended).await.unwrap_or_else(|_| panic!("{presented} still works"));
    };
    for change in ["disabled = TRUE", "secret_hash = 'another'"] {
        let token = format!("Bearer {}", token_of(&service, "demo", "demo").await);
        for (caller, presented) in
            [(&*service, &*token), (&other, &token), (&service, "demo:demo"), (&other, "demo:demo")]
        {
            assert_eq!(caller.earn_as(Endpoint::Json, Some(presented), &documented_request()).await.code, 0);
        }
        let secret_hash = "SELECT secret_hash FROM api_clients WHERE username = 'demo'";
        let secret_hash = service.database().rows(secret_hash).await[0]["secret_hash"].as_str().unwrap().to_owned();
        service.database().execute(&format!("UPDATE api_clients SET {change} WHERE username = 'demo'")).await;
        for caller in [&*service, &other] {
            ends(caller, &token).await;
            ends(caller, "demo:demo").await;
            let (status, _, body) = ask(caller, &json!({"key": "demo", "secret": "demo"})).await;
            assert_eq!(status, 401, "{body}");
        }
        let back =
            format!("UPDATE api_clients SET disabled = FALSE, secret_hash = '{secret_hash}' WHERE username = 'demo'");
        service.database().execute(&back).await;
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        assert_eq!(refusal(&service, token.trim_start_matches("Bearer ")).await, None, "let in again");
    }
}

/// Returns a file of one trusted issuer, whose keys are in a file beside it.
fn issuer(folder: &Path, keys: &[&SigningKey], more: &Value) -> String {
    write_issuers(folder, keys, &[issuer_entry(more)])
}

/// Returns an issuer like [`issuer`], for tokens that name the organization by its id.
fn issuer_by_id(folder: &Path, keys: &[&SigningKey], more: &Value) -> String {
    let mut entry = issuer_entry(more);
    entry.as_object_mut().unwrap().remove("orgs");
    write_issuers(folder, keys, &[entry])
}

fn issuer_entry(more: &Value) -> Value {
    let mut entry = json!({"issuer": "https://login.example.com", "jwks": "jwks.json", "audience": "promotions",
        "orgClaim": "tenant", "orgs": {"acme": ORG, "crowd": 2}, "access": ["earn:write", "wallet:read"]});
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entry
}

fn write_issuers(folder: &Path, keys: &[&SigningKey], entries: &[Value]) -> String {
    publish(folder, keys);
    let file = folder.join("issuers.json");
    std::fs::write(&file, json!({"issuers": entries}).to_string()).unwrap();
    file.display().to_string()
}

/// Listens, accepts connections and never answers. Returns the URL.
async fn silent() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    format!("https://localhost:{port}/jwks")
}

/// Calls with a valid token of a trusted issuer in a situation that causes this refusal.
pub async fn provoke(service: &Service, reason: &str, endpoint: Endpoint) -> Answer {
    let (folder, key) = (TempDir::new().unwrap(), key("a", ED25519));
    let jwks = if reason == "KEYS_NOT_READ" { silent().await } else { "jwks.json".to_owned() };
    let file = issuer_by_id(folder.path(), &[&key], &json!({"jwks": jwks}));
    let service = service.beside_with(&["--trusted-issuers", &file]).await;
    let sign = |tenant: i64| format!("Bearer {}", key.sign(&changed(&claims(), "tenant", tenant.into())).unwrap());
    if reason == "UNKNOWN_ORGANIZATION" {
        becomes(&service, sign(ORG).trim_start_matches("Bearer "), true).await;
    }
    service.earn_as(endpoint, Some(&sign(4_711)), &documented_request()).await
}

fn publish(folder: &Path, keys: &[&SigningKey]) {
    let jwk = |key: &&SigningKey| match key.verifying_key() {
        VerifyingKey::Ed25519(x) => {
            json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": key.kid(), "x": URL_SAFE_NO_PAD.encode(x)})
        }
        VerifyingKey::Rsa(parts) => json!({"kty": "RSA", "alg": "RS256", "kid": key.kid(),
            "n": URL_SAFE_NO_PAD.encode(parts.n), "e": URL_SAFE_NO_PAD.encode(parts.e)}),
    };
    let mut keys: Vec<_> = keys.iter().map(jwk).collect();
    keys.push(json!({"kty": "EC", "crv": "P-256", "kid": "passed-over", "x": "", "y": ""}));
    std::fs::write(folder.join("jwks.json"), json!({"keys": keys}).to_string()).unwrap();
}

fn claims() -> Value {
    json!({"iss": "https://login.example.com", "aud": ["others", "promotions"], "sub": "robot", "tenant": "acme",
        "scope": "openid earn:write", "exp": NOW_S + 60})
}

async fn becomes(caller: &TestCaller, token: &str, let_in: bool) {
    let so = async {
        let presented = format!("Bearer {token}");
        while (caller.earn_as(Endpoint::Grpc, Some(&presented), &documented_request()).await.code == 0) != let_in {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(OBEYED_WITHIN, so).await.unwrap_or_else(|_| panic!("not {let_in} in time"));
}

#[tokio::test]
async fn tokens_of_a_trusted_issuer_are_taken_for_the_organization_that_they_name() {
    let folder = TempDir::new().unwrap();
    let (key, rsa, other) = (key("a", ED25519), key("b", RSA), random_key("a"));
    let file = issuer(folder.path(), &[&key, &rsa], &json!({}));
    let service = Service::start_with(&catalog(), &["--trusted-issuers", &file]).await;
    becomes(&service, &key.sign(&claims()).unwrap(), true).await;
    assert_eq!(refusal(&service, &rsa.sign(&claims()).unwrap()).await, None);
    let sign = |name: &str, value: Value| key.sign(&changed(&claims(), name, value)).unwrap();
    for (what, token) in [
        ("forged", other.sign(&claims()).unwrap()),
        ("by a key that is not published", random_key("z").sign(&claims()).unwrap()),
        ("for others", sign("aud", "others".into())),
        ("for nobody", sign("aud", Value::Null)),
        ("of an issuer that is not trusted", sign("iss", "https://login.example.org".into())),
        ("of a tenant that is not known", sign("tenant", "evil".into())),
        ("of an organization by its id, where tenants have names", sign("tenant", ORG.into())),
        ("of no tenant", sign("tenant", Value::Null)),
        ("of nobody", sign("sub", Value::Null)),
        ("not valid yet", sign("nbf", (NOW_S + 60).into())),
        ("without an end", sign("exp", Value::Null)),
    ] {
        assert!(refusal(&service, &token).await.is_some(), "{what}");
    }
    let expired = refusal(&service, &sign("exp", json!(1_762_840_799.5))).await;
    assert!(expired.is_some_and(|said| said.contains("expired")));
    // Another tenant is another organization, and the file limits the access.
    let crowd = format!("Bearer {}", sign("tenant", "crowd".into()));
    for endpoint in ENDPOINTS {
        assert_eq!(service.earn_as(endpoint, Some(&crowd), &json!({"orgId": ORG})).await.code, 403);
        let own = format!("Bearer {}", key.sign(&claims()).unwrap());
        let answer =
            call(&service, endpoint, Rpc { grpc: "CatalogService/ListPromotions", credentials: &own }, json!({})).await;
        assert_eq!(answer.code, 403, "{answer:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_no_longer_published_is_no_longer_taken_and_a_new_one_is() {
    let folder = TempDir::new().unwrap();
    let (old, new) = (key("old", ED25519), key("new", RSA));
    let file = issuer(folder.path(), &[&old], &json!({}));
    let service = Service::start_with(&catalog(), &["--trusted-issuers", &file]).await;
    let (by_old, by_new) = (old.sign(&claims()).unwrap(), new.sign(&claims()).unwrap());
    becomes(&service, &by_old, true).await;
    assert!(refusal(&service, &by_new).await.is_some());
    // A file that is not a key set changes nothing.
    std::fs::write(folder.path().join("jwks.json"), "{").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(refusal(&service, &by_old).await, None);
    publish(folder.path(), &[&new]);
    becomes(&service, &by_new, true).await;
    becomes(&service, &by_old, false).await;
}

#[tokio::test]
async fn an_access_claim_narrows_what_a_token_may_do() {
    let folder = TempDir::new().unwrap();
    let key = key("a", ED25519);
    let more = json!({"accessClaim": "scope", "clientClaim": "client_id"});
    let file = issuer_by_id(folder.path(), &[&key], &more);
    let service = Service::start_with(&catalog(), &["--trusted-issuers", &file]).await;
    let token = |scope: Value| {
        let claims = changed(&changed(&claims(), "scope", scope), "tenant", ORG.into());
        key.sign(&changed(&claims, "client_id", "robot".into())).unwrap()
    };
    becomes(&service, &token("earn:write".into()), true).await;
    let earn = async |scope: Value| {
        let presented = format!("Bearer {}", token(scope));
        service.earn_as(Endpoint::Grpc, Some(&presented), &documented_request()).await
    };
    assert_eq!(earn("openid earn:write".into()).await.code, 0);
    assert_eq!(earn(json!(["earn:write"])).await.code, 0);
    // Only a space separates names.
    let joined = ["openid\tearn:write", "openid\nearn:write", "openid,earn:write", "openid\u{a0}earn:write"];
    let others = [json!("wallet:read"), json!("catalog:write"), json!(""), json!(7), Value::Null];
    for scope in others.into_iter().chain(joined.map(Value::from)) {
        let answer = earn(scope).await;
        assert_eq!((answer.code, &*answer.reason), (403, "ACCESS_DENIED"), "{answer:?}");
    }
}

/// Serves the key set beside it over HTTPS, with a certificate of an authority in `ca.pem`. Returns the URL.
async fn publish_over_https(folder: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let (own, authority) = (KeyPair::generate().unwrap(), Issuer::new(params, key));
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&own, &authority).unwrap();
    let files = TlsFiles { certificate: folder.join("own.pem"), key: folder.join("own-key.pem"), client_ca: None };
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, own.serialize_pem()).unwrap();
    let certificates = Certificates::open(files).await.unwrap();
    let jwks = folder.join("jwks.json");
    let router = axum::Router::new().route("/jwks", axum::routing::get(|| async move { std::fs::read(jwks).unwrap() }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = options("sqlite://x.db", &[]);
    let (limits, of_calls) = (options.edge.limits(100, std::time::Duration::from_secs(1)), options.call_limits());
    let tls = Some(certificates.current());
    let metrics = Metrics::new(Build { version: "", commit: "" }).unwrap();
    tokio::spawn(async move {
        let observer = Observer { limits: of_calls, metrics, traces: Traces::default() };
        let endpoints = Endpoints::new(&Health::new().await, observer);
        endpoints.serve(router);
        let (_tell, told) = tokio::sync::watch::channel(edge::Stop::No);
        edge::serve(
            listener,
            cart_promotions::server::handler(endpoints),
            edge::EdgeSettings { registry: edge::Registry::new(limits), tls },
            told,
        )
        .await;
        drop(certificates);
    });
    format!("https://localhost:{port}/jwks")
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_read_over_https_from_whom_the_machine_trusts() {
    let folder = TempDir::new().unwrap();
    let key = key("a", ED25519);
    let url = publish_over_https(folder.path()).await;
    let file = issuer(folder.path(), &[&key], &json!({"jwks": url}));
    let claims = changed(&claims(), "exp", (chrono::Utc::now().timestamp() + 600).into());
    let presented = format!("Bearer {}", key.sign(&claims).unwrap());
    let ca = folder.path().join("ca.pem").display().to_string();
    for (environment, let_in) in [(&[("SSL_CERT_FILE", ca.as_str())][..], true), (&[], false)] {
        let database = format!("sqlite://{}", folder.path().join(format!("{let_in}.db")).display());
        let options = ["--demo", "--listen", "127.0.0.1:0", "--database-url", &database, "--trusted-issuers", &file];
        let process = Process::start_in(folder.path(), environment, &options);
        let earned = async {
            while process.caller.earn_as(Endpoint::Json, Some(&presented), &documented_request()).await.code != 0 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let wait = std::time::Duration::from_secs(if let_in { 5 } else { 1 });
        assert_eq!(tokio::time::timeout(wait, earned).await.is_ok(), let_in);
        process.signal("TERM");
        let (_, log) = process.end();
        let said = if let_in { "the keys of an issuer were read" } else { "the keys of an issuer cannot be read" };
        assert!(log.iter().any(|line| line["message"] == said), "{log:#?}");
    }
}
