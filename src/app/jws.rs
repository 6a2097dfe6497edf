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
    /// The name in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
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

/// A key of a JSON Web Key Set (RFC 7517).
#[derive(Debug, Deserialize)]
pub struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    /// The key and its name, if it is one to check signatures of these algorithms with.
    pub fn verifying_key(&self) -> Option<(Option<String>, VerifyingKey)> {
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?.trim_end_matches('=')).ok();
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => VerifyingKey::Ed25519(bytes(&self.x)?),
            ("RSA", _) => VerifyingKey::Rsa(RsaPublicKeyComponents { n: bytes(&self.n)?, e: bytes(&self.e)? }),
            _ => return None,
        };
        let of_this_algorithm = self.alg.as_deref().is_none_or(|alg| alg == key.algorithm().name());
        let for_signatures = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        (of_this_algorithm && for_signatures).then(|| (self.kid.clone(), key))
    }
}

/// A JSON Web Key Set.
#[derive(Debug, Deserialize)]
pub struct Jwks {
    /// What it holds; keys of other kinds are passed over.
    pub keys: Vec<serde_json::Value>,
}

/// A token whose signature was not looked at yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Header,
    signed: &'a [u8],
    signature: Vec<u8>,
    claims: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood: none is.
    crit: Option<IgnoredAny>,
}

impl<'a> Unverified<'a> {
    /// The parts of a token; `None` when it is none.
    pub fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        header.crit.is_none().then_some(Self { header, signed: signed.as_bytes(), signature, claims })
    }

    /// The name of the key it says it is signed with.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// What it says, which is not to be trusted: to find out who would have signed it.
    pub fn untrusted_claims<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        serde_json::from_slice(&self.claims).ok()
    }

    /// What it says, if it is signed with this key.
    pub fn claims<T: for<'de> Deserialize<'de>>(&self, key: &VerifyingKey) -> Option<T> {
        let right = self.header.alg == key.algorithm().name() && key.verifies(self.signed, &self.signature);
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

    #[test]
    fn the_example_of_rfc_8037_is_read() {
        let jwk: Jwk = serde_json::from_value(json!({"kty": "OKP", "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}))
        .unwrap();
        let (_, key) = jwk.verifying_key().unwrap();
        let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let token = Unverified::parse(token).unwrap();
        assert!(key.verifies(token.signed, &token.signature));
        assert_eq!(token.claims, b"Example of Ed25519 signing");
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
        let critical = signed_by_hand(&json!({"alg": "EdDSA", "crit": ["b64"], "b64": false}), &claims, &signature);
        assert!(Unverified::parse(&critical).is_none());
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
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for jwk in [
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": x}),
            json!({"kty": "oct", "k": x}),
            json!({"kty": "OKP", "crv": "X25519", "x": x}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "use": "enc"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "RS256"}),
            json!({"kty": "OKP", "crv": "Ed25519"}),
        ] {
            assert!(serde_json::from_value::<Jwk>(jwk.clone()).unwrap().verifying_key().is_none(), "{jwk}");
        }
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
