//! Trusted issuers: other parties that issue access tokens, whose keys are published as a JSON Web Key Set (RFC 7517),
//! and whose claims name the organization of a token.
//!
//! The keys are read from a file or over HTTPS, in the background. When they cannot be read again, the previous keys
//! stay in use: a failing issuer locks out no caller. A key that is no longer published is no longer accepted. Called
//! by `tokens`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt;

use super::caller::Caller;
use super::claims::{Period, TokenRefusal};
use super::groups::{Access, AccessGroup};
use super::jws::{Jwks, NamedKey, TokenType, Unverified, VerifyingKey};
use crate::earning::limits::{CALENDAR_MS, api_client};
use crate::earning::{OrgId, Timestamp};
use crate::encoding::{Utf16, without_mark};
use crate::http_client;
use crate::object::Object;

/// Intervals at which keys are read: from a file, over HTTPS, and over HTTPS after a failure or when a token names an
/// unknown key.
const FILE_EVERY: Duration = Duration::from_secs(1);
const URL_EVERY: Duration = Duration::from_mins(5);
const URL_AGAIN: Duration = Duration::from_secs(15);
/// Maximum time of one read over HTTPS.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size in bytes of a key set that is read.
const MAX_JWKS_BYTES: usize = 256 * 1024;
/// Maximum length of the name of a caller, which is that of an API client: characters.
const MAX_SUBJECT_CHARACTERS: usize = api_client::USERNAME_MAX_LEN;
/// Maximum number of keys of one name with which a token is checked.
const MAX_KEYS_TRIED: usize = 4;
/// Latest date that is accepted in a token, in seconds since 1970-01-01T00:00:00Z: the end of the calendar.
#[expect(clippy::cast_precision_loss, reason = "seconds of the calendar are exact")]
const MAX_DATE_S: f64 = (*CALENDAR_MS.end() / 1_000) as f64;

/// The configuration of a trusted issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Name of the issuer: the `iss` of its tokens.
    pub issuer: String,
    /// Source of its keys.
    pub jwks: KeySource,
    /// Audience that its tokens must name in their `aud`.
    pub audience: String,
    /// Name of the claim that holds the organization.
    pub org_claim: String,
    /// The organization for each value of that claim. When absent, the claim is the organization's id itself.
    pub orgs: Option<BTreeMap<String, OrgId>>,
    /// Name of the claim that holds the caller's name.
    pub client_claim: String,
    /// Access groups that its tokens may have at most.
    pub access: Vec<AccessGroup>,
    /// Name of the claim that lists access groups: when present, a token gets the groups that are in both lists.
    pub access_claim: Option<String>,
    /// True when its tokens must have the type of access tokens (RFC 9068) in their `typ`.
    pub access_tokens_only: bool,
}

/// The source of a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// An HTTPS URL.
    Url(String),
}

/// The reason for which the keys of an issuer cannot be read.
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

/// Error of a file of keys that cannot be used when the service starts.
#[derive(Debug, thiserror::Error)]
#[error("--trusted-issuers: the file {} with the keys of {issuer} cannot be used", file.display())]
pub struct KeyFileError {
    issuer: String,
    file: PathBuf,
    #[source]
    problem: FetchError,
}

/// A trusted issuer.
#[derive(Debug)]
pub struct Issuer {
    settings: IssuerSettings,
    keys: Mutex<Keys>,
    /// True after a token named a key that is not published.
    wants_other_keys: AtomicBool,
}

#[derive(Debug, Default)]
struct Keys {
    published: Vec<NamedKey>,
    /// Increases when the published keys change.
    generation: u64,
    /// The key set as it was read, to detect changes; `None` before the first read.
    text: Option<Vec<u8>>,
    tried: Option<Instant>,
    failed: bool,
}

impl Issuer {
    pub(super) fn new(settings: IssuerSettings) -> Self {
        Self { settings, keys: Mutex::default(), wants_other_keys: AtomicBool::new(false) }
    }

    /// Returns the `iss` of its tokens.
    pub(super) fn name(&self) -> &str {
        &self.settings.issuer
    }

    /// Returns a number that increases when its keys change.
    pub(super) fn generation(&self) -> u64 {
        self.keys.lock().generation
    }

    /// Returns the caller of this token, the end of the token's validity, and the generation of the keys.
    pub(super) fn read(
        &self,
        token: &Unverified<'_>,
        now: Timestamp,
    ) -> Result<(Caller, Timestamp, u64), TokenRefusal> {
        let (keys, generation) = self.keys(token)?;
        if self.settings.access_tokens_only && token.token_type() != TokenType::AccessToken {
            return Err(TokenRefusal::Wrong);
        }
        let claims = keys.iter().find_map(|key| token.claims(key)).ok_or(TokenRefusal::Wrong)?;
        let Object(claims): Object<Map<String, Value>> = claims;
        if !self.is_for_us(claims.get("aud")) {
            return Err(TokenRefusal::Wrong);
        }
        let date = |name: &str| claims.get(name).map(|date| time(date).ok_or(TokenRefusal::Wrong)).transpose();
        // A token is not valid before it is issued.
        let from = date("nbf")?.max(date("iat")?);
        let until = date("exp")?.ok_or(TokenRefusal::Wrong)?;
        let until = Period { from, until }.check(now)?;
        let caller = self.caller(&claims).ok_or(TokenRefusal::Wrong)?;
        Ok((caller, until, generation))
    }

    /// Returns true when the audience of a token, a name or a list of names, contains ours.
    fn is_for_us(&self, audience: Option<&Value>) -> bool {
        match audience {
            Some(Value::String(audience)) => *audience == self.settings.audience,
            Some(Value::Array(all)) => {
                all.iter().all(Value::is_string) && all.iter().any(|each| *each == self.settings.audience)
            }
            _ => false,
        }
    }

    /// Returns the keys to check a token with: those of its name for its algorithm. A token without a key name is
    /// accepted when only one key is published.
    fn keys(&self, token: &Unverified<'_>) -> Result<(Vec<VerifyingKey>, u64), TokenRefusal> {
        let keys = self.keys.lock();
        if keys.text.is_none() {
            return Err(TokenRefusal::KeysNotRead);
        }
        let all = &keys.published[..];
        let named = all.iter().filter(|(name, _)| match token.kid() {
            Some(kid) => name.as_deref() == Some(kid),
            None => all.len() == 1,
        });
        let fit = named.map(|(_, key)| key).filter(|key| token.fits(key));
        let fit: Vec<_> = fit.take(MAX_KEYS_TRIED).cloned().collect();
        if fit.is_empty() {
            self.wants_other_keys.store(true, Ordering::Relaxed);
            return Err(TokenRefusal::Wrong);
        }
        Ok((fit, keys.generation))
    }

    fn caller(&self, claims: &Map<String, Value>) -> Option<Caller> {
        let settings = &self.settings;
        let org = text(claims.get(&settings.org_claim)?)?;
        let org_id = match &settings.orgs {
            None => org.parse().ok().filter(|id: &i64| *id > 0 && id.to_string() == *org).map(OrgId)?,
            Some(orgs) => *orgs.get(&org)?,
        };
        let subject = claims.get(&settings.client_claim)?.as_str()?;
        if subject.is_empty() || subject.chars().count() > MAX_SUBJECT_CHARACTERS || subject.contains(char::is_control)
        {
            return None;
        }
        let access = match &settings.access_claim {
            None => settings.access.clone(),
            Some(claim) => {
                let named = names(claims.get(claim));
                settings.access.iter().filter(|group| named.contains(&group.name())).copied().collect()
            }
        };
        // The name of an API client has no colon, and the name of an issuer has no white space, so no two callers share
        // a username.
        let username = format!("{}: {subject}", settings.issuer).into();
        let (access, org_recorded) = (Access::Of(access), false);
        Some(Caller { username, org_id, org_recorded, access, requests_per_minute: None })
    }

    /// Reads its keys for the first time if they are in a file, which the configuration names.
    pub(super) async fn read_file(&self) -> Result<(), KeyFileError> {
        let Self { settings: IssuerSettings { issuer, jwks: KeySource::File(file), .. }, .. } = self else {
            return Ok(());
        };
        let unusable = |problem| KeyFileError { issuer: issuer.clone(), file: file.clone(), problem };
        let (text, published) = self.fetch().await.map_err(unusable)?;
        *self.keys.lock() = Keys { published, text: Some(text), tried: Some(Instant::now()), ..Keys::default() };
        Ok(())
    }

    /// Reads its keys when due.
    pub(super) async fn refresh(&self) {
        {
            let mut keys = self.keys.lock();
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
        let mut keys = self.keys.lock();
        let failed_before = std::mem::replace(&mut keys.failed, read.is_err());
        let issuer = &self.settings.issuer;
        match read {
            Err(error) if !failed_before => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(issuer, error, "the keys of an issuer cannot be read");
            }
            Ok((text, published)) if keys.text.as_ref() != Some(&text) => {
                (keys.text, keys.published) = (Some(text), published);
                keys.generation += 1;
                tracing::info!(issuer, keys = keys.published.len(), "the keys of an issuer were read");
            }
            Ok(_) if failed_before => tracing::info!(issuer, "the keys of an issuer can be read again"),
            _ => {}
        }
    }

    /// Returns the published text, and the keys in it.
    async fn fetch(&self) -> Result<(Vec<u8>, Vec<NamedKey>), FetchError> {
        let text = match &self.settings.jwks {
            KeySource::File(path) => {
                let mut text = Vec::new();
                let file = tokio::fs::File::open(path).await?;
                file.take(MAX_JWKS_BYTES as u64 + 1).read_to_end(&mut text).await?;
                text
            }
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
        let keys = Jwks::parse(without_mark(&text)?)?.verifying_keys();
        Ok((text, keys))
    }
}

/// Returns the HTTPS client, which trusts the certificate authorities of the machine.
fn client() -> Result<&'static reqwest::Client, reqwest::Error> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let client = http_client::builder()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(FETCH_TIMEOUT)
        .build()?;
    Ok(CLIENT.get_or_init(|| client))
}

/// Converts seconds since 1970-01-01T00:00:00Z, with or without a fraction.
fn time(date: &Value) -> Option<Timestamp> {
    let seconds = date.as_f64().filter(|seconds| (0.0..=MAX_DATE_S).contains(seconds))?;
    #[allow(clippy::cast_possible_truncation, reason = "within its range, of which a part of a millisecond is cut")]
    Some(Timestamp::from_millis((seconds * 1_000.0) as i64))
}

/// Returns a text, or an integer as a text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_i64().map(|number| number.to_string()),
        _ => None,
    }
}

/// Returns the names in a text or in a list. Only a space separates the names of a text (RFC 6749, section 3.3).
fn names(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => text.split(' ').collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strum::VariantArray as _;

    use super::super::jws::SigningKey;
    use super::*;
    use crate::mutate::altered;

    const CLAIMS: &str = r#"{"iss":"https://id.example","aud":["them","us"],"exp":4000000000.5,"nbf":1,"org":"1",
        "sub":"till","scope":"earn wallet"}"#;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn issuer(key: &SigningKey) -> Issuer {
        let issuer = Issuer::new(IssuerSettings {
            issuer: "https://id.example".to_owned(),
            jwks: KeySource::File(PathBuf::new()),
            audience: "us".to_owned(),
            org_claim: "org".to_owned(),
            orgs: None,
            client_claim: "sub".to_owned(),
            access: AccessGroup::VARIANTS.to_vec(),
            access_claim: Some("scope".to_owned()),
            access_tokens_only: false,
        });
        let keys = vec![(Some(key.kid().to_owned()), key.verifying_key())];
        *issuer.keys.lock() = Keys { published: keys, text: Some(Vec::new()), ..Keys::default() };
        issuer
    }

    proptest! {
        #[test]
        fn claims_of_any_form_name_a_caller_or_nobody(claims in altered(CLAIMS)) {
            let key = SigningKey::random("a");
            // Claims that cannot be text cannot be signed by the library: the case is skipped.
            let Ok(claims) = serde_json::from_slice::<Box<serde_json::value::RawValue>>(&claims) else { return Ok(()) };
            let token = key.sign(&claims).unwrap();
            if let Some(token) = Unverified::parse(&token)
                && let Ok((caller, until, _)) = issuer(&key).read(&token, NOW)
            {
                prop_assert!(caller.org_id.0 > 0 && until > NOW);
                prop_assert!(caller.username.starts_with("https://id.example: "));
            }
        }
    }
}
