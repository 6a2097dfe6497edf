//! JSON Web Signatures (RFC 7515) in their compact form, with the two algorithms that are taken: `EdDSA` (Ed25519)
//! and RS256.
//!
//! The algorithm is that of the key; what a token says of it must only agree. So there is no `none`, and no key is used
//! with another algorithm than its own. Used by `tokens` and `issuers`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{self, Ed25519KeyPair, KeyPair, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::object::{Object, present};

/// Longest token that is looked at: bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// RSA, PKCS #1 v1.5, SHA-256; keys of 2,048 bits and more.
    Rs256,
}

impl Algorithm {
    /// The name in the header of a token that is made here.
    pub fn name(self) -> &'static str {
        self.names()[0]
    }

    /// The names in headers and keys. RFC 9864 gives Ed25519 one of its own.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::EdDsa => &["EdDSA", "Ed25519"],
            Self::Rs256 => &["RS256"],
        }
    }
}

/// A key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is none of the kinds that are taken.
    #[error("is no private key in PKCS #8 (PEM, \"BEGIN PRIVATE KEY\") of Ed25519 or of RSA with 2,048 to 4,096 bits")]
    Unusable,
    /// The system gives no randomness, or the key no signature.
    #[error("gives no signature")]
    NoSignature,
}

/// A private key, and its name.
pub struct SigningKey {
    kid: String,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    /// The first key of a PEM file.
    ///
    /// # Errors
    /// When there is none of the kinds that are taken.
    pub fn from_pem(kid: &str, pem: &[u8]) -> Result<Self, KeyError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyError::Unusable)?;
        Self::from_pkcs8(kid, key.secret_pkcs8_der())
    }

    /// A new key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn random(kid: &str) -> Result<Self, KeyError> {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::NoSignature)?;
        Self::from_pkcs8(kid, key.as_ref())
    }

    fn from_pkcs8(kid: &str, der: &[u8]) -> Result<Self, KeyError> {
        // Files of widely used tools have no public key in them: "maybe unchecked" derives it.
        let pair = match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Ok(pair) => Pair::Ed25519(pair),
            Err(_) => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::Unusable)?)),
        };
        Ok(Self { kid: kid.to_owned(), pair })
    }

    /// What signs are checked with.
    pub fn verifying_key(&self) -> VerifyingKey {
        match &self.pair {
            Pair::Ed25519(pair) => VerifyingKey::Ed25519(pair.public_key().as_ref().to_vec()),
            Pair::Rsa(pair) => VerifyingKey::Rsa(RsaPublicKeyComponents::from(pair.public())),
        }
    }

    /// Its name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// A token of these claims.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, KeyError> {
        #[derive(Serialize)]
        struct Head<'a> {
            alg: &'static str,
            typ: &'static str,
            kid: &'a str,
        }

        let alg = self.verifying_key().algorithm().name();
        let head = serde_json::to_vec(&Head { alg, typ: "JWT", kid: &self.kid }).map_err(|_| KeyError::NoSignature)?;
        let claims = serde_json::to_vec(claims).map_err(|_| KeyError::NoSignature)?;
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
                    .map_err(|_| KeyError::NoSignature)?;
                signature
            }
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.kid)
    }
}

/// A public key.
#[derive(Debug, Clone)]
pub enum VerifyingKey {
    /// 32 bytes.
    Ed25519(Vec<u8>),
    /// Modulus and exponent, big-endian.
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl VerifyingKey {
    /// The one algorithm it is used with.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::Rsa(_) => Algorithm::Rs256,
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature).is_ok(),
            Self::Rsa(key) => key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok(),
        }
    }
}

/// A public key, and its name if it has one.
pub type NamedKey = (Option<String>, VerifyingKey);

/// A key of a JSON Web Key Set (RFC 7517). A member that is there has its type: `null` is none.
#[derive(Debug, Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    alg: Option<String>,
    #[serde(default, deserialize_with = "present", rename = "use")]
    purpose: Option<String>,
    #[serde(default, deserialize_with = "present")]
    key_ops: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    crv: Option<String>,
    #[serde(default, deserialize_with = "present")]
    x: Option<String>,
    #[serde(default, deserialize_with = "present")]
    n: Option<String>,
    #[serde(default, deserialize_with = "present")]
    e: Option<String>,
}

impl Jwk {
    /// The key and its name, if it is one to check signatures of these algorithms with.
    fn verifying_key(self) -> Option<NamedKey> {
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?.trim_end_matches('=')).ok();
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => {
                VerifyingKey::Ed25519(bytes(&self.x).filter(|x| x.len() == signature::ED25519_PUBLIC_KEY_LEN)?)
            }
            ("RSA", _) => VerifyingKey::Rsa(RsaPublicKeyComponents { n: bytes(&self.n)?, e: bytes(&self.e)? }),
            _ => return None,
        };
        let of_this_algorithm = self.alg.as_deref().is_none_or(|alg| key.algorithm().names().contains(&alg));
        let for_signatures = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let to_verify = self.key_ops.is_none_or(|uses| uses.iter().any(|each| each == "verify"));
        (of_this_algorithm && for_signatures && to_verify).then_some((self.kid, key))
    }
}

/// A JSON Web Key Set.
#[derive(Debug, Deserialize)]
pub struct Jwks {
    keys: Vec<Box<RawValue>>,
}

impl Jwks {
    /// Reads a key set.
    ///
    /// # Errors
    /// When it is no object with a list `keys`.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json).map(|Object(set)| set)
    }

    /// Returns the keys that signatures can be checked with. Those of other kinds and uses, and what is no key, are passed
    /// over.
    pub fn verifying_keys(&self) -> Vec<NamedKey> {
        let keys = self.keys.iter().filter_map(|key| serde_json::from_str::<Object<Jwk>>(key.get()).ok());
        keys.filter_map(|Object(key)| key.verifying_key()).collect()
    }
}

/// A type of token, in the `typ` of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// `JWT`, or none.
    Any,
    /// `at+jwt`: an access token (RFC 9068).
    AccessToken,
}

impl TokenType {
    /// Media types have no case, and `application/` may be left out. Others are for another use.
    fn named(typ: Option<&str>) -> Option<Self> {
        let typ = typ.unwrap_or("JWT").to_ascii_lowercase();
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "jwt" => Some(Self::Any),
            "at+jwt" => Some(Self::AccessToken),
            _ => None,
        }
    }
}

/// A token whose signature was not looked at yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Header,
    token_type: TokenType,
    signed: &'a [u8],
    signature: Vec<u8>,
    claims: Vec<u8>,
}

/// A member that is there has its type: `null` is none.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
    /// Extensions that must be understood: none is.
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
}

impl<'a> Unverified<'a> {
    /// The parts of a token; `None` when it is none, or one for another use.
    pub fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let Object(header): Object<Header> = serde_json::from_slice(&decode(header)?).ok()?;
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        let token_type = TokenType::named(header.typ.as_deref())?;
        let signed = signed.as_bytes();
        header.crit.is_none().then_some(Self { header, token_type, signed, signature, claims })
    }

    /// The name of the key it says it is signed with.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The type it says it is of.
    pub fn token_type(&self) -> TokenType {
        self.token_type
    }

    /// Whether it says to be signed with the algorithm of this key.
    pub fn fits(&self, key: &VerifyingKey) -> bool {
        key.algorithm().names().contains(&self.header.alg.as_str())
    }

    /// What it says, which is not to be trusted: to find out who would have signed it.
    pub fn untrusted_claims<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        serde_json::from_slice(&self.claims).ok()
    }

    /// What it says, if it is signed with this key.
    pub fn claims<T: for<'de> Deserialize<'de>>(&self, key: &VerifyingKey) -> Option<T> {
        let right = self.fits(key) && key.verifies(self.signed, &self.signature);
        if right { self.untrusted_claims() } else { None }
    }
}

#[cfg(test)]
mod tests {
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
        let (key, other) = (SigningKey::random("a").unwrap(), SigningKey::random("a").unwrap());
        let token = key.sign(&json!({"sub": "till"})).unwrap();
        assert_eq!(read(&token, &key.verifying_key()), Some(json!({"sub": "till"})));
        assert_eq!(read(&token, &other.verifying_key()), None);
        assert_eq!(Unverified::parse(&token).unwrap().kid(), Some("a"));
    }

    /// The keys of a set of one key.
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
        let key = SigningKey::random("a").unwrap();
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
        let key = SigningKey::random("a").unwrap();
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
}
