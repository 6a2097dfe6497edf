//! Access tokens: those that are given out here to API clients, and those of trusted issuers elsewhere.
//!
//! A token of ours names the client and a digest of what is stored of its secret; what the client may do is read of its
//! record whenever the token is used. So a disabled client, a new secret and a changed access tell at once. Keys come from
//! the configuration: the first signs, all check, each by its name (`kid`), so that keys can be changed one after the
//! other. Called by `credentials`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::caller::Caller;
use super::claims::{Period, TokenFault};
use super::issuers::{Issuer, IssuerSettings};
use super::jws::{KeyError, SigningKey, Unverified, VerifyingKey};
use crate::object::Object;
use crate::storage::clients::ApiClient;

/// Who gives tokens out here, and whom they are for. No trusted issuer may have this name.
pub const OURS: &str = "cart-promotions";
/// Name of the key that is made where none is configured.
const OWN_KID: &str = "of-this-process";
/// What the configuration says of tokens.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The first signs, all check. Without any, one is made for as long as the process runs.
    pub keys: Vec<Arc<SigningKey>>,
    /// How long a token of ours is valid.
    pub ttl: Duration,
    /// Who else gives out tokens that are taken here.
    pub issuers: Vec<IssuerSettings>,
}

/// What a token says that is signed as it should.
#[derive(Debug)]
pub enum Signed {
    /// Ours: an API client, if its record still fits.
    Client {
        /// Its name.
        username: String,
        /// What its record must fit.
        fingerprint: Fingerprint,
    },
    /// Of a trusted issuer: all there is to know.
    Outsider {
        /// Who calls.
        caller: Arc<Caller>,
        /// Which keys of its issuer it was checked with.
        keys: (usize, u64),
    },
}

/// Of a client's record: who it calls for, and its secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Fingerprint {
    org_id: i64,
    secret: String,
}

impl Fingerprint {
    /// Of this record.
    pub fn of(client: &ApiClient) -> Self {
        let digest = Sha256::new().chain_update("token of ").chain_update(client.secret_hash.expose()).finalize();
        Self { org_id: client.org_id.0, secret: URL_SAFE_NO_PAD.encode(&digest[..16]) }
    }
}

/// A token that was given out.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub access_token: String,
    /// For how long it is valid: seconds.
    pub ttl_seconds: u64,
}

/// The claims of a token of ours. Times in seconds since 1970-01-01T00:00:00Z.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    org: i64,
    /// Digest of what is stored of the client's secret.
    cred: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

/// Who says to have given a token out.
#[derive(Deserialize)]
struct UntrustedIssuer {
    iss: String,
}

/// Gives out tokens and checks them.
#[derive(Debug)]
pub struct Tokens {
    signing: Arc<SigningKey>,
    verifying: HashMap<String, VerifyingKey>,
    ttl: Duration,
    issuers: Vec<Arc<Issuer>>,
}

impl Tokens {
    /// By this configuration.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(settings: TokenSettings) -> Result<Self, KeyError> {
        let mut keys = settings.keys;
        if keys.is_empty() {
            keys.push(Arc::new(SigningKey::random(OWN_KID)?));
        }
        Ok(Self {
            signing: Arc::clone(&keys[0]),
            verifying: keys.iter().map(|key| (key.kid().to_owned(), key.verifying_key())).collect(),
            ttl: settings.ttl,
            issuers: settings.issuers.into_iter().map(|issuer| Arc::new(Issuer::new(issuer))).collect(),
        })
    }

    /// A token for this client.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn issue(&self, client: &ApiClient, now_ms: i64) -> Result<IssuedToken, KeyError> {
        let Fingerprint { org_id, secret } = Fingerprint::of(client);
        let (issued, ttl_seconds) = (now_ms.div_euclid(1_000), self.ttl.as_secs());
        let access_token = self.signing.sign(&Claims {
            iss: OURS.to_owned(),
            aud: OURS.to_owned(),
            sub: client.username.clone(),
            org: org_id,
            cred: secret,
            iat: issued,
            nbf: issued,
            exp: issued.saturating_add(i64::try_from(ttl_seconds).unwrap_or(i64::MAX)),
            jti: format!("{:032x}", rand::random::<u128>()),
        })?;
        Ok(IssuedToken { access_token, ttl_seconds })
    }

    /// What the token says, and until when: milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// When it is not one to take.
    pub fn read(&self, token: &str, now_ms: i64) -> Result<(Signed, i64), TokenFault> {
        let token = Unverified::parse(token).ok_or(TokenFault::Wrong)?;
        let Object(UntrustedIssuer { iss }) = token.untrusted_claims().ok_or(TokenFault::Wrong)?;
        if iss == OURS {
            return self.read_ours(&token, now_ms);
        }
        let (index, issuer) =
            self.issuers.iter().enumerate().find(|(_, issuer)| issuer.name() == iss).ok_or(TokenFault::Wrong)?;
        let (caller, until_ms, generation) = issuer.read(&token, now_ms)?;
        Ok((Signed::Outsider { caller: Arc::new(caller), keys: (index, generation) }, until_ms))
    }

    fn read_ours(&self, token: &Unverified<'_>, now_ms: i64) -> Result<(Signed, i64), TokenFault> {
        let key = token.kid().and_then(|kid| self.verifying.get(kid)).ok_or(TokenFault::Wrong)?;
        let Object::<Claims>(claims) = token.claims(key).ok_or(TokenFault::Wrong)?;
        if claims.aud != OURS {
            return Err(TokenFault::Wrong);
        }
        let milliseconds = |seconds: i64| seconds.saturating_mul(1_000);
        let period = Period { from_ms: Some(milliseconds(claims.nbf)), until_ms: milliseconds(claims.exp) };
        let until_ms = period.check(now_ms)?;
        let fingerprint = Fingerprint { org_id: claims.org, secret: claims.cred };
        Ok((Signed::Client { username: claims.sub, fingerprint }, until_ms))
    }

    /// Whether the keys of a trusted issuer are those that a token was checked with.
    pub fn still_trusted(&self, (issuer, generation): (usize, u64)) -> bool {
        self.issuers.get(issuer).is_some_and(|issuer| issuer.generation() == generation)
    }

    /// Reads the keys of trusted issuers again where it is time to: each beside the others, of which one may be slow. Looks
    /// every so often, for as long as it is waited for.
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
