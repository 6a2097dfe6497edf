//! Access tokens: those that are issued here to API clients, and those of trusted issuers.
//!
//! A token issued here names the client and a digest of its stored secret; the client's access is read from its record
//! whenever the token is used. So a disabled client, a new secret and a changed access take effect at once. Keys come
//! from the configuration: the first signs, all verify, each selected by its name (`kid`), so that keys can be rotated
//! one by one. Without a configured key, the servers on a database share one. Called by `credentials`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::caller::Caller;
use super::claims::{Period, TokenRefusal};
use super::issuers::{Issuer, IssuerSettings, KeyFileError};
use super::jws::{KeyError, SigningKey, Unverified, VerifyingKey};
use super::shared_key::{self, SharedKeyError};
use crate::earning::Timestamp;
use crate::object::Object;
use crate::storage::Store;
use crate::storage::clients::ApiClient;

/// The issuer and the audience of tokens that are issued here. No trusted issuer may have this name.
pub const OURS: &str = "cart-promotions";

/// The configuration of tokens.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// Keys: the first signs, all verify. When empty, the key is that of the database.
    pub keys: Vec<Arc<SigningKey>>,
    /// Validity of tokens that are issued here.
    pub ttl: Duration,
    /// Trusted issuers.
    pub issuers: Vec<IssuerSettings>,
}

/// The keys with which a token was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysUsed {
    /// Place of the issuer in the configuration.
    pub issuer: usize,
    /// Generation of the keys that the issuer published.
    pub generation: u64,
}

/// The content of a token whose signature is valid.
#[derive(Debug)]
pub enum Signed {
    /// A token that is issued here: for an API client, if its record still fits.
    Client {
        /// Username of the client.
        username: String,
        /// Fingerprint that the client's record must have.
        fingerprint: Fingerprint,
    },
    /// A token of a trusted issuer, which names everything about the caller.
    Outsider {
        /// The caller.
        caller: Arc<Caller>,
        /// Index of the issuer, and generation of the keys with which the token was checked.
        keys: KeysUsed,
    },
}

/// The parts of a client's record to which a token is bound: its organization and a digest of its secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Fingerprint {
    org_id: i64,
    secret: String,
}

impl Fingerprint {
    /// Returns the fingerprint of this record.
    pub fn of(client: &ApiClient) -> Self {
        let digest = Sha256::new().chain_update("token of ").chain_update(client.secret_hash.expose()).finalize();
        Self { org_id: client.org_id.0, secret: URL_SAFE_NO_PAD.encode(&digest[..16]) }
    }
}

/// An issued token.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub access_token: String,
    /// Validity of the token, in seconds.
    pub ttl_seconds: u64,
}

/// The claims of a token that is issued here. Times are in seconds since 1970-01-01T00:00:00Z.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    org: i64,
    /// Digest of the client's stored secret.
    cred: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

/// The unverified issuer of a token.
#[derive(Deserialize)]
struct UntrustedIssuer {
    iss: String,
}

/// Issues and checks tokens.
#[derive(Debug)]
pub struct Tokens {
    /// The key that signs; `None` until that of the database is adopted.
    signing: Option<Arc<SigningKey>>,
    verifying: HashMap<String, VerifyingKey>,
    ttl: Duration,
    issuers: Vec<Arc<Issuer>>,
}

impl Tokens {
    /// Creates the issuer and checker of tokens with this configuration.
    pub fn new(settings: TokenSettings) -> Self {
        let TokenSettings { keys, ttl, issuers } = settings;
        let issuers = issuers.into_iter().map(|issuer| Arc::new(Issuer::new(issuer))).collect();
        let mut tokens = Self { signing: None, verifying: HashMap::new(), ttl, issuers };
        for key in keys {
            tokens.add_key(key);
        }
        tokens
    }

    /// Adds a key that verifies, and that signs if it is the first one.
    fn add_key(&mut self, key: Arc<SigningKey>) {
        self.verifying.insert(key.kid().to_owned(), key.verifying_key());
        self.signing.get_or_insert(key);
    }

    /// Adopts the key that the servers on this database share, unless keys are configured.
    ///
    /// # Errors
    /// Returns why there is no such key.
    pub async fn adopt_shared_key(&mut self, store: &Store) -> Result<(), SharedKeyError> {
        if self.signing.is_none() {
            self.add_key(Arc::new(shared_key::read_or_make(store).await?));
        }
        Ok(())
    }

    /// Reads the keys of trusted issuers that are in files.
    ///
    /// # Errors
    /// Returns the first file that cannot be used.
    pub async fn read_key_files(&self) -> Result<(), KeyFileError> {
        for issuer in &self.issuers {
            issuer.read_file().await?;
        }
        Ok(())
    }

    /// Issues a token for this client.
    ///
    /// # Errors
    /// Returns an error when the system provides no randomness, and when no key is configured or adopted.
    pub fn issue(&self, client: &ApiClient, now: Timestamp) -> Result<IssuedToken, KeyError> {
        let Fingerprint { org_id, secret } = Fingerprint::of(client);
        let issued = now.seconds();
        let key = self.signing.as_ref().ok_or(KeyError::NoSignature)?;
        let access_token = key.sign(&Claims {
            iss: OURS.to_owned(),
            aud: OURS.to_owned(),
            sub: client.username.clone(),
            org: org_id,
            cred: secret,
            iat: issued,
            nbf: issued,
            exp: (now + self.ttl).seconds(),
            jti: format!("{:032x}", rand::random::<u128>()),
        })?;
        Ok(IssuedToken { access_token, ttl_seconds: self.ttl.as_secs() })
    }

    /// Returns the content of the token, and the end of its validity.
    ///
    /// # Errors
    /// Returns why the token is not accepted.
    pub fn read(&self, token: &str, now: Timestamp) -> Result<(Signed, Timestamp), TokenRefusal> {
        let token = Unverified::parse(token).ok_or(TokenRefusal::Wrong)?;
        let Object(UntrustedIssuer { iss }) = token.untrusted_claims().ok_or(TokenRefusal::Wrong)?;
        if iss == OURS {
            return self.read_ours(&token, now);
        }
        let (index, issuer) =
            self.issuers.iter().enumerate().find(|(_, issuer)| issuer.name() == iss).ok_or(TokenRefusal::Wrong)?;
        let (caller, until, generation) = issuer.read(&token, now)?;
        Ok((Signed::Outsider { caller: Arc::new(caller), keys: KeysUsed { issuer: index, generation } }, until))
    }

    fn read_ours(&self, token: &Unverified<'_>, now: Timestamp) -> Result<(Signed, Timestamp), TokenRefusal> {
        let key = token.kid().and_then(|kid| self.verifying.get(kid)).ok_or(TokenRefusal::Wrong)?;
        let Object::<Claims>(claims) = token.claims(key).ok_or(TokenRefusal::Wrong)?;
        if claims.aud != OURS {
            return Err(TokenRefusal::Wrong);
        }
        let from = Some(Timestamp::from_seconds(claims.nbf.max(claims.iat)));
        let period = Period { from, until: Timestamp::from_seconds(claims.exp) };
        let until = period.check(now)?;
        let fingerprint = Fingerprint { org_id: claims.org, secret: claims.cred };
        Ok((Signed::Client { username: claims.sub, fingerprint }, until))
    }

    /// Returns true when a trusted issuer still has the keys that a token was checked with.
    pub fn still_trusted(&self, keys: KeysUsed) -> bool {
        self.issuers.get(keys.issuer).is_some_and(|issuer| issuer.generation() == keys.generation)
    }

    /// Re-reads the keys of trusted issuers when due, concurrently, as one may be slow. Checks at intervals of `every`,
    /// until the future is dropped.
    pub async fn keep_fresh(&self, every: Duration) {
        let mut tasks = JoinSet::new();
        for issuer in self.issuers.iter().map(Arc::clone) {
            tasks.spawn(async move {
                loop {
                    issuer.refresh().await;
                    tokio::time::sleep(every).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }
}
