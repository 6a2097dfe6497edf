//! JSON Web Signatures (RFC 7515) in their compact form, with the two accepted algorithms: `EdDSA` (Ed25519) and RS256.
//!
//! The key determines the algorithm; the token's header must only agree. So there is no `none`, and no key is used with
//! another algorithm than its own. Used by `tokens` and `issuers`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{self, Ed25519KeyPair, KeyPair, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::encoding::json_text;
use crate::object::{Object, present};

/// Maximum length in bytes of a token; longer ones are refused without a check.
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
    /// Returns the name in the header of tokens that are signed here.
    pub fn name(self) -> &'static str {
        self.names()[0]
    }

    /// Returns the accepted names in headers and keys. RFC 9864 gives Ed25519 a second one.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::EdDsa => &["EdDSA", "Ed25519"],
            Self::Rs256 => &["RS256"],
        }
    }
}

/// The reason for which a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key is not of an accepted kind.
    #[error("is not a PKCS #8 private key (PEM, \"BEGIN PRIVATE KEY\") of Ed25519 or of RSA with 2,048 to 4,096 bits")]
    Unusable,
    /// The system provides no randomness, or the key fails to sign.
    #[error("cannot sign: the system provides no randomness, or the key fails")]
    NoSignature,
}

/// A private key, and its name.
pub struct SigningKey {
    kid: String,
    pair: SigningPair,
}

enum SigningPair {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    /// Generates a key of Ed25519, as the text of a PEM file.
    ///
    /// # Errors
    /// Returns an error when the system provides no randomness.
    pub fn generate_pem() -> Result<String, KeyError> {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::NoSignature)?;
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key.as_ref())))
    }

    /// Generates a key.
    #[cfg(test)]
    pub(crate) fn random(kid: &str) -> Self {
        Self::from_pem(kid, Self::generate_pem().unwrap().as_bytes()).unwrap()
    }

    /// Reads the first key of a PEM file.
    ///
    /// # Errors
    /// Returns an error when the file has no key of an accepted kind.
    pub fn from_pem(kid: &str, pem: &[u8]) -> Result<Self, KeyError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyError::Unusable)?;
        let der = key.secret_pkcs8_der();
        // Key files of widely used tools contain no public key; "maybe unchecked" derives it.
        let pair = match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Ok(pair) => SigningPair::Ed25519(pair),
            Err(_) => SigningPair::Rsa(Box::new(RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::Unusable)?)),
        };
        Ok(Self { kid: kid.to_owned(), pair })
    }

    /// Returns the key that verifies its signatures.
    pub fn verifying_key(&self) -> VerifyingKey {
        match &self.pair {
            SigningPair::Ed25519(pair) => VerifyingKey::Ed25519(pair.public_key().as_ref().to_vec()),
            SigningPair::Rsa(pair) => VerifyingKey::Rsa(RsaPublicKeyComponents::from(pair.public())),
        }
    }

    /// Returns the name of the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs a token with these claims.
    ///
    /// # Errors
    /// Returns an error when the system provides no randomness.
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
            SigningPair::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            SigningPair::Rsa(pair) => {
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
    /// A key of 32 bytes.
    Ed25519(Vec<u8>),
    /// A modulus and an exponent, big-endian.
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl VerifyingKey {
    /// Returns the only algorithm that the key is used with.
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

/// A key of a JSON Web Key Set (RFC 7517). A present member has its type; `null` is not accepted.
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
    /// Returns the key and its name, if it verifies signatures of an accepted algorithm.
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
    /// Parses a key set.
    ///
    /// # Errors
    /// Returns an error when the text is not an object with a list `keys`.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json).map(|Object(set)| set)
    }

    /// Returns the keys that can verify signatures. Skips keys of other kinds and uses, and elements that are not keys.
    pub fn verifying_keys(&self) -> Vec<NamedKey> {
        let keys = self.keys.iter().filter_map(|key| serde_json::from_str::<Object<Jwk>>(key.get()).ok());
        keys.filter_map(|Object(key)| key.verifying_key()).collect()
    }
}

/// A type of token, in the `typ` of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// The type `JWT`, or no type.
    Any,
    /// The type `at+jwt`: an access token (RFC 9068).
    AccessToken,
}

impl TokenType {
    /// Parses a `typ`. Media types are case-insensitive, and `application/` may be left out. Returns `None` for other
    /// types, which have another use.
    fn named(typ: Option<&str>) -> Option<Self> {
        let typ = typ.unwrap_or("JWT").to_ascii_lowercase();
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "jwt" => Some(Self::Any),
            "at+jwt" => Some(Self::AccessToken),
            _ => None,
        }
    }
}

/// A token whose signature has not been checked.
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Header,
    token_type: TokenType,
    signed: &'a [u8],
    signature: Vec<u8>,
    claims: Vec<u8>,
}

/// The header of a token. A present member has its type; `null` is not accepted.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
    /// Extensions that must be understood; a token that names any is refused.
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
}

impl<'a> Unverified<'a> {
    /// Parses a token; returns `None` when it is malformed, or of a type for another use.
    pub fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let Object(header): Object<Header> = serde_json::from_str(json_text(&decode(header)?).ok()?).ok()?;
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        json_text(&claims).ok()?;
        let token_type = TokenType::named(header.typ.as_deref())?;
        let signed = signed.as_bytes();
        header.crit.is_none().then_some(Self { header, token_type, signed, signature, claims })
    }

    /// Returns the name of the key that its header names.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Returns the type that its header names.
    pub fn token_type(&self) -> TokenType {
        self.token_type
    }

    /// Returns true when its header names the algorithm of this key.
    pub fn fits(&self, key: &VerifyingKey) -> bool {
        key.algorithm().names().contains(&self.header.alg.as_str())
    }

    /// Returns its claims without a check of the signature, to find the issuer that would have signed it.
    pub fn untrusted_claims<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        serde_json::from_slice(&self.claims).ok()
    }

    /// Returns its claims, if the signature is valid under this key.
    pub fn claims<T: for<'de> Deserialize<'de>>(&self, key: &VerifyingKey) -> Option<T> {
        let right = self.fits(key) && key.verifies(self.signed, &self.signature);
        if right { self.untrusted_claims() } else { None }
    }
}

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
