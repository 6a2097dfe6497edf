//! Trusted issuers: others who give out access tokens, whose keys are published as a JSON Web Key Set (RFC 7517), and
//! whose claims say for which organization a token is.
//!
//! The keys are read from a file, or over HTTPS, beside the calls. Keys that cannot be read anew stay as they are: a
//! failing issuer shuts nobody out. A key that is no longer published is no longer taken. Called by `tokens`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::access::{Access, AccessGroup};
use super::credentials::Caller;
use super::jws::{Jwk, Jwks, Unverified, VerifyingKey};
use super::lock;
use super::tokens::{Period, TokenFault};
use crate::earning::OrgId;
use crate::encoding::{Utf16, without_mark};

/// How often keys are read: of a file, over HTTPS, and over HTTPS after a failure or when a token names an unknown key.
const FILE_EVERY: Duration = Duration::from_secs(1);
const URL_EVERY: Duration = Duration::from_mins(5);
const URL_AGAIN: Duration = Duration::from_secs(15);
/// How long reading them may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest key set that is read: bytes.
const MAX_JWKS_BYTES: usize = 256 * 1024;
/// Longest name of a caller: characters.
const MAX_SUBJECT_CHARACTERS: usize = 250;

/// What the configuration says of a trusted issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Its name: the `iss` of its tokens.
    pub issuer: String,
    /// Where its keys are.
    pub jwks: KeySource,
    /// Whom its tokens must be for: in their `aud`.
    pub audience: String,
    /// The claim that names the organization.
    pub org_claim: String,
    /// The organization for each value of that claim. When empty, the claim is the organization's id itself.
    pub orgs: BTreeMap<String, OrgId>,
    /// The claim that names who calls.
    pub client_claim: String,
    /// What its tokens may do, at most.
    pub access: Vec<AccessGroup>,
    /// The claim that names access groups: with it a token may do what is in both.
    pub access_claim: Option<String>,
}

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// An HTTPS URL.
    Url(String),
}

/// Its keys cannot be read.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("is larger than {MAX_JWKS_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Encoding(#[from] Utf16),
    #[error("is no JSON Web Key Set")]
    NoKeySet(#[from] serde_json::Error),
}

/// A key, and its name if it has one.
type NamedKey = (Option<String>, VerifyingKey);

/// A trusted issuer.
#[derive(Debug)]
pub struct Issuer {
    settings: IssuerSettings,
    keys: Mutex<Keys>,
    /// A token named a key that is not among them.
    wants_other_keys: AtomicBool,
}

#[derive(Debug, Default)]
struct Keys {
    published: Vec<NamedKey>,
    /// Changes with what is published.
    generation: u64,
    /// As it was read, to see whether anything changed.
    text: Vec<u8>,
    tried: Option<Instant>,
    failed: bool,
}

impl Issuer {
    pub(super) fn new(settings: IssuerSettings) -> Self {
        Self { settings, keys: Mutex::default(), wants_other_keys: AtomicBool::new(false) }
    }

    /// The `iss` of its tokens.
    pub(super) fn name(&self) -> &str {
        &self.settings.issuer
    }

    /// Changes with its keys.
    pub(super) fn generation(&self) -> u64 {
        lock(&self.keys).generation
    }

    /// Who calls with this token, until when (milliseconds since 1970-01-01T00:00:00Z), and the generation of the keys.
    pub(super) fn read(&self, token: &Unverified<'_>, now_ms: i64) -> Result<(Caller, i64, u64), TokenFault> {
        let (key, generation) = self.key(token.kid()).ok_or(TokenFault::Wrong)?;
        let claims: Map<String, Value> = token.claims(&key).ok_or(TokenFault::Wrong)?;
        let for_us = match claims.get("aud") {
            Some(Value::String(audience)) => *audience == self.settings.audience,
            Some(Value::Array(audiences)) => audiences.iter().any(|each| *each == self.settings.audience),
            _ => false,
        };
        if !for_us {
            return Err(TokenFault::Wrong);
        }
        let from_ms = match claims.get("nbf") {
            Some(nbf) => Some(milliseconds(nbf).ok_or(TokenFault::Wrong)?),
            None => None,
        };
        let until_ms = claims.get("exp").and_then(milliseconds).ok_or(TokenFault::Wrong)?;
        let until_ms = Period { from_ms, until_ms }.check(now_ms)?;
        let caller = self.caller(&claims).ok_or(TokenFault::Wrong)?;
        Ok((caller, until_ms, generation))
    }

    /// The key of that name. A token without a name is taken where there is one key only.
    fn key(&self, kid: Option<&str>) -> Option<(VerifyingKey, u64)> {
        let keys = lock(&self.keys);
        let found = match (kid, &keys.published[..]) {
            (None, [(_, only)]) => Some(only),
            (None, _) => None,
            (Some(kid), all) => all.iter().find(|(name, _)| name.as_deref() == Some(kid)).map(|(_, key)| key),
        };
        if found.is_none() {
            self.wants_other_keys.store(true, Ordering::Relaxed);
        }
        Some((found?.clone(), keys.generation))
    }

    fn caller(&self, claims: &Map<String, Value>) -> Option<Caller> {
        let settings = &self.settings;
        let org = text(claims.get(&settings.org_claim)?)?;
        let org_id = if settings.orgs.is_empty() {
            org.parse().ok().filter(|id| *id > 0).map(OrgId)?
        } else {
            *settings.orgs.get(&org)?
        };
        let subject = text(claims.get(&settings.client_claim)?)?;
        if subject.is_empty() || subject.chars().count() > MAX_SUBJECT_CHARACTERS {
            return None;
        }
        let access = match &settings.access_claim {
            None => settings.access.clone(),
            Some(claim) => {
                let named = names(claims.get(claim));
                settings.access.iter().filter(|group| named.contains(&group.name())).copied().collect()
            }
        };
        // A colon is in no name of an API client: nobody is taken for one.
        let username = format!("{}:{subject}", settings.issuer).into();
        Some(Caller { username, org_id, access: Access::Of(access), requests_per_minute: None })
    }

    /// Reads its keys where it is time to.
    pub(super) async fn refresh(&self) {
        {
            let mut keys = lock(&self.keys);
            let again = keys.failed || self.wants_other_keys.load(Ordering::Relaxed);
            let every = match self.settings.jwks {
                KeySource::File(_) => FILE_EVERY,
                KeySource::Url(_) if again => URL_AGAIN,
                KeySource::Url(_) => URL_EVERY,
            };
            if keys.tried.is_some_and(|tried| tried.elapsed() < every) {
                return;
            }
            keys.tried = Some(Instant::now());
            self.wants_other_keys.store(false, Ordering::Relaxed);
        }
        let read = self.fetch().await;
        let mut keys = lock(&self.keys);
        let failed_before = std::mem::replace(&mut keys.failed, read.is_err());
        let issuer = &self.settings.issuer;
        match read {
            Err(error) if !failed_before => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(issuer, error, "the keys of an issuer cannot be read");
            }
            Ok((text, published)) if text != keys.text => {
                (keys.text, keys.published) = (text, published);
                keys.generation += 1;
                tracing::info!(issuer, keys = keys.published.len(), "the keys of an issuer were read");
            }
            Ok(_) if failed_before => tracing::info!(issuer, "the keys of an issuer can be read again"),
            _ => {}
        }
    }

    /// What is published, and the keys in it.
    async fn fetch(&self) -> Result<(Vec<u8>, Vec<NamedKey>), FetchError> {
        let text = match &self.settings.jwks {
            KeySource::File(path) => tokio::fs::read(path).await?,
            KeySource::Url(url) => {
                let mut response = client()?.get(url).send().await?.error_for_status()?;
                let mut text = Vec::new();
                while let Some(chunk) = response.chunk().await? {
                    if text.len() + chunk.len() > MAX_JWKS_BYTES {
                        return Err(FetchError::TooLarge);
                    }
                    text.extend(chunk);
                }
                text
            }
        };
        if text.len() > MAX_JWKS_BYTES {
            return Err(FetchError::TooLarge);
        }
        let set: Jwks = serde_json::from_slice(without_mark(&text)?)?;
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()?.verifying_key());
        let keys = keys.collect();
        Ok((text, keys))
    }
}

/// What fetches over HTTPS: it trusts whom the machine trusts.
fn client() -> Result<&'static reqwest::Client, reqwest::Error> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    // It is there already where the database is reached by TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(FETCH_TIMEOUT)
        .build()?;
    Ok(CLIENT.get_or_init(|| client))
}

/// Seconds since 1970-01-01T00:00:00Z, with or without a fraction, as milliseconds.
fn milliseconds(date: &Value) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, reason = "beyond its range it is the end of all time")]
    date.as_f64().map(|seconds| (seconds * 1_000.0) as i64)
}

/// A text, or an integer as one.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_i64().map(|number| number.to_string()),
        _ => None,
    }
}

/// Names with a space between them, or a list of them.
fn names(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => text.split_whitespace().collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::jws::SigningKey;
    use super::*;
    use crate::mutate::altered;

    const CLAIMS: &str = r#"{"iss":"https://id.example","aud":["them","us"],"exp":4000000000.5,"nbf":1,"org":"1",
        "sub":"till","scope":"earn wallet"}"#;

    fn issuer(key: &SigningKey) -> Issuer {
        let issuer = Issuer::new(IssuerSettings {
            issuer: "https://id.example".to_owned(),
            jwks: KeySource::File(PathBuf::new()),
            audience: "us".to_owned(),
            org_claim: "org".to_owned(),
            orgs: BTreeMap::new(),
            client_claim: "sub".to_owned(),
            access: AccessGroup::ALL.to_vec(),
            access_claim: Some("scope".to_owned()),
        });
        lock(&issuer.keys).published.push((Some(key.kid().to_owned()), key.verifying_key()));
        issuer
    }

    proptest! {
        #[test]
        fn claims_of_any_form_name_a_caller_or_nobody(claims in altered(CLAIMS)) {
            let key = SigningKey::random("a").unwrap();
            // What cannot be text cannot be signed by the library: it stays a token of other claims.
            let Ok(claims) = serde_json::from_slice::<Box<serde_json::value::RawValue>>(&claims) else { return Ok(()) };
            let token = key.sign(&claims).unwrap();
            if let Some(token) = Unverified::parse(&token)
                && let Ok((caller, until_ms, _)) = issuer(&key).read(&token, 1_000_000)
            {
                prop_assert!(caller.org_id.0 > 0 && until_ms > 1_000_000);
                prop_assert!(caller.username.starts_with("https://id.example:"));
            }
        }
    }
}
