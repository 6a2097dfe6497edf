//! Tokens with a valid signature and invalid content: a row for each case of RFC 7515, 7517, 7519, 8725 and 9068. Each
//! is refused with 401, and the valid ones between them are accepted.

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;

/// A key whose tokens have any header and any claims.
struct AnyTokens(Ed25519KeyPair);

impl AnyTokens {
    fn new() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn of_file(file: &str) -> Self {
        use rustls::pki_types::PrivatePkcs8KeyDer;
        use rustls::pki_types::pem::PemObject as _;
        let key = PrivatePkcs8KeyDer::from_pem_file(file).unwrap();
        Self(Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der()).unwrap())
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn jwk(&self, kid: &str) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
    }
}

/// Members of an object, in their written form.
type Members<'a> = &'a [(&'a str, &'a str)];

/// Returns the object of these members with the replacements in `changed`. An empty replacement removes a member, and a
/// name that is twice in `changed` is twice in the object.
fn object(members: Members<'_>, changed: Members<'_>) -> String {
    let kept = members.iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
    let all = kept.chain(changed).filter(|(_, value)| !value.is_empty());
    let written: Vec<_> = all.map(|(name, value)| format!("{name:?}:{value}")).collect();
    format!("{{{}}}", written.join(","))
}

const HEADER: Members<'_> = &[("alg", r#""EdDSA""#), ("kid", r#""a""#)];

/// Headers that are accepted, followed by those that are refused.
const GOOD_HEADERS: [Members<'_>; 9] = [
    &[],
    &[("alg", r#""Ed25519""#)],
    &[("typ", r#""JWT""#)],
    &[("typ", r#""jwt""#)],
    &[("typ", r#""application/jwt""#)],
    &[("typ", r#""at+jwt""#)],
    &[("typ", r#""application/AT+JWT""#)],
    &[("jku", r#""https://evil.example/keys""#), ("x5u", r#""https://evil.example/keys""#)],
    &[("more", "null")],
];
const BAD_HEADERS: [Members<'_>; 31] = [
    &[("alg", "")],
    &[("alg", "null")],
    &[("alg", r#""""#)],
    &[("alg", "7")],
    &[("alg", r#"["EdDSA"]"#)],
    &[("alg", r#""EdDSA""#), ("alg", r#""EdDSA""#)],
    &[("alg", r#""eddsa""#)],
    &[("alg", r#""none""#)],
    &[("alg", r#""RS256""#)],
    &[("alg", r#""HS256""#)],
    &[("alg", r#""Ed448""#)],
    &[("Alg", r#""EdDSA""#), ("alg", "")],
    &[("kid", "null")],
    &[("kid", "7")],
    &[("kid", r#""A""#)],
    &[("kid", r#""""#)],
    &[("kid", r#"["a"]"#)],
    &[("kid", r#""a""#), ("kid", r#""a""#)],
    &[("typ", "null")],
    &[("typ", r#""""#)],
    &[("typ", r#"["JWT"]"#)],
    &[("typ", r#""logout+jwt""#)],
    &[("typ", r#""dpop+jwt""#)],
    &[("typ", r#""secevent+jwt""#)],
    &[("crit", "null")],
    &[("crit", "[]")],
    &[("crit", r#"["exp"]"#), ("exp", "1")],
    &[("crit", r#""exp""#)],
    &[("b64", "false"), ("crit", r#"["b64"]"#)],
    &[("more", "1"), ("more", "2")],
    &[("more", r#""\udc00""#)],
];

const CLAIMS: Members<'_> = &[
    ("iss", r#""https://login.example.com""#),
    ("aud", r#"["others","promotions"]"#),
    ("sub", r#""robot""#),
    ("tenant", r#""acme""#),
    ("exp", "1762840860"),
];
/// Claims that are accepted, followed by those that are refused.
const GOOD_CLAIMS: [Members<'_>; 11] = [
    &[],
    &[("aud", r#""promotions""#)],
    &[("exp", "1762840800.001")],
    &[("exp", "253402300799")],
    &[("exp", "1.76284086e9")],
    &[("nbf", "1762840800"), ("iat", "1762840800"), ("jti", r#""1""#)],
    &[("nbf", "0")],
    &[("iat", "1762840829.9")],
    &[("iat", "0"), ("nbf", "1762840829")],
    &[("more", "{}")],
    &[("more", r#""\ud83d\ude00""#)],
];
const BAD_CLAIMS: [Members<'_>; 55] = [
    &[("iss", "")],
    &[("iss", "null")],
    &[("iss", r#""""#)],
    &[("iss", r#"["https://login.example.com"]"#)],
    &[("iss", r#""HTTPS://LOGIN.EXAMPLE.COM""#)],
    &[("iss", r#""https://login.example.com/""#)],
    &[("iss", r#""https://login.example.com""#), ("iss", r#""https://login.example.com""#)],
    &[("iss", r#""cart-promotions""#)],
    &[("aud", "")],
    &[("aud", "null")],
    &[("aud", "[]")],
    &[("aud", r#""""#)],
    &[("aud", r#""PROMOTIONS""#)],
    &[("aud", r#""others promotions""#)],
    &[("aud", r#"{"promotions":true}"#)],
    &[("aud", r#"[["promotions"]]"#)],
    &[("aud", r#"["promotions",7]"#)],
    &[("aud", r#""promotions""#), ("aud", r#""promotions""#)],
    &[("sub", "")],
    &[("sub", "null")],
    &[("sub", r#""""#)],
    &[("sub", "7")],
    &[("sub", r#"["robot"]"#)],
    &[("sub", r#""a\u0000b""#)],
    &[("sub", r#""a\nb""#)],
    &[("sub", r#""a\u009bb""#)],
    &[("sub", r#""robot""#), ("sub", r#""robot""#)],
    &[("tenant", "")],
    &[("tenant", "null")],
    &[("tenant", r#""""#)],
    &[("tenant", r#""ACME""#)],
    &[("tenant", r#"["acme"]"#)],
    &[("tenant", "1.5")],
    &[("tenant", r#""a\u0000b""#)],
    &[("exp", "")],
    &[("exp", "null")],
    &[("exp", r#""1762840860""#)],
    &[("exp", "true")],
    &[("exp", "-1")],
    &[("exp", "1e300")],
    &[("exp", "1e999")],
    &[("exp", "253402300800")],
    &[("exp", "9223372036854775808")],
    &[("exp", "1762840860"), ("exp", "1762840860")],
    &[("nbf", "null")],
    &[("nbf", r#""0""#)],
    &[("nbf", "-1")],
    &[("nbf", "1762840900")],
    &[("iat", "null")],
    &[("iat", r#""1762840800""#)],
    &[("iat", "-1")],
    &[("iat", "1762840831")],
    &[("iat", "1762840831"), ("nbf", "0")],
    &[("more", r#""\ud83d""#)],
    &[("more", "1"), ("more", "2")],
];

/// Returns the status of the JSON API for this token; gRPC reads tokens in the same code.
async fn status(caller: &TestCaller, token: &str) -> i64 {
    let answer = caller.earn_as(Endpoint::Json, Some(&format!("Bearer {token}")), &json!({"orgId": 1})).await;
    if answer.status == 401 {
        let bearer = answer.headers.get_all("www-authenticate").iter().any(|challenge| {
            let challenge = challenge.to_str().unwrap();
            challenge.starts_with("Bearer ") && challenge.contains(r#"error="invalid_token""#)
        });
        assert!(bearer, "{answer:?}");
    }
    answer.status
}

fn write_keys(folder: &Path, keys: &[Value], entry: &Value) -> String {
    let file = write_issuers(folder, &[], &[issuer_entry(entry)]);
    std::fs::write(folder.join("jwks.json"), json!({"keys": keys}).to_string()).unwrap();
    file
}

#[tokio::test]
async fn every_header_and_claim_of_a_trusted_issuer_is_as_the_rfcs_ask_or_the_token_is_refused() {
    let (folder, key) = (TempDir::new().unwrap(), AnyTokens::new());
    let file = write_keys(folder.path(), &[key.jwk("a")], &json!({}));
    let service = Service::start_with(&catalog(), &["--trusted-issuers", &file]).await;
    let good = object(CLAIMS, &[]);
    becomes(&service, &key.sign(&object(HEADER, &[]), &good), true).await;
    for (headers, expected) in [(&GOOD_HEADERS[..], 403), (&BAD_HEADERS, 401)] {
        for changed in headers {
            let token = key.sign(&object(HEADER, changed), &good);
            assert_eq!(status(&service, &token).await, expected, "{changed:?}");
        }
    }
    for (claims, expected) in [(&GOOD_CLAIMS[..], 403), (&BAD_CLAIMS, 401)] {
        for changed in claims {
            let token = key.sign(&object(HEADER, &[]), &object(CLAIMS, changed));
            assert_eq!(status(&service, &token).await, expected, "{changed:?}");
        }
    }
    // A list, or another value, replaces each object.
    let lists = [r#"["EdDSA","a"]"#, "[]", "null", "7", r#""{}""#, "", "{", "\u{feff}{}"];
    for other in lists {
        assert_eq!(status(&service, &key.sign(other, &good)).await, 401, "{other}");
        assert_eq!(status(&service, &key.sign(&object(HEADER, &[]), other)).await, 401, "{other}");
    }
    // These tokens have other forms of base64, or more parts.
    let token = key.sign(&object(HEADER, &[]), &good);
    let parts: Vec<_> = token.split('.').collect();
    for other in [format!("{token}="), format!("{token}."), format!(".{token}"), format!("{token}.{}", parts[2])] {
        assert_eq!(status(&service, &other).await, 401, "{other}");
    }
}

#[tokio::test]
async fn every_header_and_claim_of_a_token_of_ours_is_as_it_was_made_or_the_token_is_refused() {
    let service = Service::start_with(&catalog(), &["--token-key", &format!("a={ED25519}")]).await;
    let key = AnyTokens::of_file(ED25519);
    let made = claims_of(&token_of(&service, "demo", "demo").await);
    let members: Vec<_> =
        made.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
    let members: Vec<_> = members.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (headers, expected) in [(&GOOD_HEADERS[..], 403), (&BAD_HEADERS, 401)] {
        for changed in headers {
            let token = key.sign(&object(HEADER, changed), &object(&members, &[]));
            assert_eq!(status(&service, &token).await, expected, "{changed:?}");
        }
    }
    for (name, value) in &members {
        let doubled = [(*name, *value), (*name, *value)];
        let others = ["", "null", r#""""#, "[]", "{}", "1e300", r#""a\u0000b""#, "-9223372036854775809"];
        let changes = others.iter().map(|other| vec![(*name, *other)]).chain([doubled.to_vec()]);
        for changed in changes {
            // `jti` may be any text, because the service does not use it.
            if *name == "jti" && changed[0].1.starts_with('"') && changed.len() == 1 {
                continue;
            }
            let token = key.sign(&object(HEADER, &[]), &object(&members, &changed));
            assert_eq!(status(&service, &token).await, 401, "{changed:?}");
        }
    }
    let listed: Vec<_> = members.iter().map(|(_, value)| *value).collect();
    assert_eq!(status(&service, &key.sign(&object(HEADER, &[]), &format!("[{}]", listed.join(",")))).await, 401);
}

#[tokio::test]
async fn of_several_keys_of_one_name_any_will_do_and_an_issuer_may_be_held_to_access_tokens() {
    let (folder, key, other) = (TempDir::new().unwrap(), AnyTokens::new(), AnyTokens::new());
    let rsa = super::key("a", RSA);
    let VerifyingKey::Rsa(parts) = rsa.verifying_key() else { panic!("no RSA key") };
    let rsa_jwk =
        json!({"kty": "RSA", "kid": "a", "n": URL_SAFE_NO_PAD.encode(parts.n), "e": URL_SAFE_NO_PAD.encode(parts.e)});
    let keys = [rsa_jwk, other.jwk("a"), key.jwk("a"), other.jwk("b"), json!({"kid": "a"})];
    let file = write_keys(folder.path(), &keys, &json!({"tokenType": "at+jwt"}));
    let service = Service::start_with(&catalog(), &["--trusted-issuers", &file]).await;
    let good = object(CLAIMS, &[]);
    let signed = |key: &AnyTokens, header: Members<'_>| key.sign(&object(HEADER, header), &good);
    let access_token: Members<'_> = &[("typ", r#""at+jwt""#)];
    becomes(&service, &signed(&key, access_token), true).await;
    assert_eq!(status(&service, &signed(&other, access_token)).await, 403);
    assert_eq!(status(&service, &signed(&key, &[("typ", r#""at+jwt""#), ("kid", r#""b""#)])).await, 401);
    assert_eq!(status(&service, &signed(&key, &[("typ", r#""at+jwt""#), ("kid", "")])).await, 401, "which key?");
    for typ in [&[][..], &[("typ", r#""JWT""#)]] {
        assert_eq!(status(&service, &signed(&key, typ)).await, 401, "{typ:?}");
    }
    assert_eq!(status(&service, &rsa.sign(&super::claims()).unwrap()).await, 401, "its typ is JWT");
}

#[tokio::test]
async fn the_file_of_issuers_is_read_strictly_and_what_cannot_be_meant_stops_the_start() {
    let folder = TempDir::new().unwrap();
    let started = |text: &str| {
        let file = folder.path().join("issuers.json");
        std::fs::write(&file, text).unwrap();
        let options = options("sqlite://x.db", &["--trusted-issuers", file.to_str().unwrap()]);
        options.access.token_settings().map(|settings| settings.issuers.len()).map_err(|error| error.to_string())
    };
    let with = |changed: Value| json!({"issuers": [issuer_entry(&changed)]}).to_string();
    assert_eq!(started(&with(json!({}))), Ok(1));
    assert_eq!(started(&with(json!({"tokenType": "at+jwt"}))), Ok(1));
    assert_eq!(started(&format!("\u{feff}{}", with(json!({})))), Ok(1));
    let at = |name: &str, text: &str| format!("issuers[0].{name}: {text}");
    for (changed, violation) in [
        (json!({"orgs": {}}), at("orgs", "must not be empty")),
        (json!({"orgs": {"acme": 0}}), at("orgs.acme", "must be a positive integer, not 0")),
        (json!({"issuer": "cart-promotions"}), at("issuer", "is the name of the service itself")),
        (json!({"issuer": "https://a b"}), at("issuer", "must not contain white space")),
        (json!({"issuer": "a\u{0}"}), at("issuer", "must not contain white space")),
        (json!({"issuer": ""}), at("issuer", "must not be empty")),
        (json!({"jwks": ""}), at("jwks", "must not be empty")),
        (json!({"jwks": "http://a/keys"}), at("jwks", "must be a file or an https URL")),
        (json!({"accessClaim": ""}), at("accessClaim", "must not be empty")),
        (json!({"tokenType": "JWT"}), at("tokenType", "must be at+jwt, or left out")),
        (json!({"access": []}), at("access", "must name what its tokens may do")),
    ] {
        let refused = started(&with(changed.clone())).unwrap_err();
        assert!(refused.contains(&violation), "{changed}: {refused}");
    }
    let none = started(&json!({"issuers": []}).to_string()).unwrap_err();
    assert!(none.contains("issuers: must have at least 1 issuer"), "{none}");
    let entry = issuer_entry(&json!({}));
    let values: Vec<_> = entry.as_object().unwrap().values().collect();
    let twice = with(json!({})).replacen("{\"access\"", "{\"audience\":\"x\",\"access\"", 1);
    for text in [
        json!([[entry]]).to_string(),
        json!({"issuers": [values]}).to_string(),
        json!({"issuers": {"a": entry}}).to_string(),
        with(json!({"orgs": [["acme", 1]]})),
        with(json!({"orgs": null})),
        with(json!({"tokenType": null})),
        with(json!({"accessClaim": null})),
        with(json!({"colour": "red"})),
        twice,
        with(json!({})).replace("\"acme\"", "\"crowd\""),
    ] {
        assert!(started(&text).is_err(), "{text}");
    }
    let two = json!({"issuers": [entry, entry]}).to_string();
    assert!(started(&two).unwrap_err().contains("issuers[1].issuer: repeats an earlier one"));
}
