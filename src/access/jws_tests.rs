//! Tests of signatures, of keys and of what headers say, with the examples of the RFCs.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(token: &str, key: &VerifyingKey) -> Option<Value> {
    Unverified::parse(token)?.claims(key)
}

fn signed_by_hand(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", encode(header), encode(claims), URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn what_is_signed_is_read_with_its_key_and_with_no_other() {
    let (key, other) = (SigningKey::random("a"), SigningKey::random("a"));
    let token = key.sign(&json!({"sub": "till"})).unwrap();
    assert_eq!(read(&token, &key.verifying_key()), Some(json!({"sub": "till"})));
    assert_eq!(read(&token, &other.verifying_key()), None);
    assert_eq!(Unverified::parse(&token).unwrap().kid(), Some("a"));
}

#[test]
fn a_header_and_claims_are_utf_8_throughout() {
    let text = |text: &[u8]| URL_SAFE_NO_PAD.encode(text);
    let (header, claims) = (br#"{"alg":"EdDSA","kid":"a","more":"x"}"#, br#"{"sub":"till"}"#);
    let parse =
        |header: &[u8], claims: &[u8]| Unverified::parse(&format!("{}.{}.AA", text(header), text(claims))).is_some();
    let damaged =
        |json: &[u8]| json.iter().map(|byte| if *byte == b'x' || *byte == b't' { 0xff } else { *byte }).collect();
    let (other_header, other_claims): (Vec<_>, Vec<_>) = (damaged(header), damaged(claims));
    assert!(parse(header, claims) && !parse(&other_header, claims) && !parse(header, &other_claims));
}

/// Returns the keys of a set of one key.
fn keys_of(jwk: &str) -> Vec<NamedKey> {
    Jwks::parse(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).unwrap().verifying_keys()
}

#[test]
fn the_examples_of_rfc_7515_a_2_and_rfc_8037_a_4_are_read() {
    let rfc_7515 = (
        r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}",
    );
    let rfc_8037 = (
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        "Example of Ed25519 signing",
    );
    for (jwk, token, payload) in [rfc_7515, rfc_8037] {
        let [(None, key)] = &keys_of(jwk)[..] else { panic!("{jwk}") };
        let token = Unverified::parse(token).unwrap();
        assert!(token.fits(key) && key.verifies(token.signed, &token.signature));
        assert_eq!(token.claims, payload.as_bytes());
        assert!(!key.verifies(&token.signed[1..], &token.signature));
    }
}

#[test]
fn what_a_header_says_is_taken_at_its_word_or_refused() {
    let x = r#""alg":"EdDSA","kid":"a""#;
    let read = |header: &str| {
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header));
        Unverified::parse(&token).map(|token| token.token_type())
    };
    for typ in ["JWT", "jwt", "application/jwt", "Application/JWT"] {
        assert_eq!(read(&format!(r#"{{{x},"typ":"{typ}"}}"#)), Some(TokenType::Any), "{typ}");
    }
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        assert_eq!(read(&format!(r#"{{{x},"typ":"{typ}"}}"#)), Some(TokenType::AccessToken), "{typ}");
    }
    assert_eq!(read(&format!("{{{x}}}")), Some(TokenType::Any));
    assert_eq!(read(&format!(r#"{{{x},"more":null}}"#)), Some(TokenType::Any));
    let typs = ["logout+jwt", "dpop+jwt", "JOSE", "", "at+jwt ", "application/application/jwt", "text/jwt"];
    let typs = typs.map(|typ| format!(r#"{{{x},"typ":"{typ}"}}"#));
    let others = [
        r#"["EdDSA"]"#,
        "[]",
        "null",
        r#""EdDSA""#,
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":["EdDSA"]}"#,
        r#"{"alg":"EdDSA","kid":null}"#,
        r#"{"alg":"EdDSA","kid":1}"#,
        r#"{"alg":"EdDSA","typ":null}"#,
        r#"{"alg":"EdDSA","typ":["JWT"]}"#,
        r#"{"alg":"EdDSA","crit":null}"#,
        r#"{"alg":"EdDSA","crit":[]}"#,
        r#"{"alg":"EdDSA","crit":["exp"]}"#,
        r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#,
        r#"{"alg":"EdDSA","crit":"exp"}"#,
        r#"{"alg":"EdDSA","crit":{}}"#,
        r#"{"alg":"EdDSA","crit":false}"#,
        r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","more":1,"more":1}"#,
        r#"{"alg":"EdDSA"} x"#,
        r#"{"alg":"EdDSA""#,
    ];
    for header in typs.iter().map(String::as_str).chain(others) {
        assert_eq!(read(header), None, "{header}");
    }
}

#[test]
fn a_token_does_not_choose_its_algorithm() {
    let key = SigningKey::random("a");
    let (public, claims) = (key.verifying_key(), json!({"sub": "till"}));
    let token = key.sign(&claims).unwrap();
    let signature = Unverified::parse(&token).unwrap().signature;
    for alg in ["none", "None", "HS256", "RS256", "ES256", "eddsa", ""] {
        for signature in [&signature[..], &[]] {
            let token = signed_by_hand(&json!({"alg": alg, "kid": "a"}), &claims, signature);
            assert_eq!(read(&token, &public), None, "{alg}");
        }
    }
}

#[test]
fn every_changed_or_missing_byte_is_noticed() {
    let key = SigningKey::random("a");
    let token = key.sign(&json!({"sub": "till"})).unwrap();
    for at in 0..token.len() {
        assert_eq!(read(&token[..at], &key.verifying_key()), None, "cut at {at}");
        let mut other = token.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).unwrap();
        assert_eq!(read(&other, &key.verifying_key()), None, "changed at {at}");
    }
}

#[test]
fn keys_of_other_kinds_and_uses_are_passed_over() {
    let x = r#""x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
    let key = format!(r#""kty":"OKP","crv":"Ed25519",{x}"#);
    for more in [
        "",
        r#","use":"sig""#,
        r#","key_ops":["verify"]"#,
        r#","key_ops":["sign","verify"],"use":"sig""#,
        r#","alg":"EdDSA""#,
        r#","alg":"Ed25519""#,
        r#","more":[null]"#,
    ] {
        assert_eq!(keys_of(&format!("{{{key}{more}}}")).len(), 1, "{more}");
    }
    for more in [
        r#","use":"enc""#,
        r#","use":"SIG""#,
        r#","use":null"#,
        r#","use":["sig"]"#,
        r#","key_ops":["encrypt"]"#,
        r#","key_ops":["sign"]"#,
        r#","key_ops":[]"#,
        r#","key_ops":null"#,
        r#","key_ops":"verify""#,
        r#","key_ops":["Verify"]"#,
        r#","key_ops":["verify",1]"#,
        r#","alg":"RS256""#,
        r#","alg":"eddsa""#,
        r#","alg":null"#,
        r#","kid":null"#,
        r#","kid":7"#,
        r#","kty":"OKP""#,
        r#","more":1,"more":1"#,
    ] {
        assert!(keys_of(&format!("{{{key}{more}}}")).is_empty(), "{more}");
    }
    for jwk in [
        format!(r#"{{"kty":"EC","crv":"P-256",{x},"y":"AA"}}"#),
        format!(r#"{{"kty":"OKP","crv":"X25519",{x}}}"#),
        format!(r#"{{"kty":"okp","crv":"Ed25519",{x}}}"#),
        r#"{"kty":"oct","k":"AA"}"#.to_owned(),
        r#"{"kty":"OKP","crv":"Ed25519"}"#.to_owned(),
        r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#.to_owned(),
        r#"{"kty":"OKP","crv":"Ed25519","x":""}"#.to_owned(),
        r#"{"kty":"RSA","n":"AA"}"#.to_owned(),
        r#"["OKP",null,null,null,null,"Ed25519"]"#.to_owned(),
        "null".to_owned(),
        "7".to_owned(),
    ] {
        assert!(keys_of(&jwk).is_empty(), "{jwk}");
    }
    for set in ["[]", "[[]]", "null", "{}", r#"{"keys":null}"#, r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, ""] {
        assert!(Jwks::parse(set.as_bytes()).is_err(), "{set}");
    }
    assert!(Jwks::parse(br#"{"keys":[]}"#).unwrap().verifying_keys().is_empty());
}

proptest! {
    #[test]
    fn no_token_panics(token in "[A-Za-z0-9_.=-]{0,300}", parts in prop::array::uniform3(".{0,80}")) {
        let key = VerifyingKey::Ed25519(vec![7; 32]);
        prop_assert_eq!(read(&token, &key), None);
        let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        prop_assert_eq!(read(&token, &key), None);
    }
}
