//! Options for authentication and rate limits.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::ListenAddress;
use crate::access::jws::{KeyError, SigningKey};
use crate::access::tokens::TokenSettings;
use crate::earning::OrgId;
use crate::files::read_option_file;
use crate::transport::auth::AccessSettings;
use crate::transport::rate_limit::{Cost, RateLimitSettings};
use crate::wire::Violations;
use crate::wire::files;

/// Maximum number of characters of a key's name.
const MAX_KID_CHARACTERS: usize = 100;

/// Options of `serve` for authentication and rate limits.
#[derive(Debug, Clone, Args)]
pub struct AccessOptions {
    /// Budget of an API client per minute, unless its record has another; 0 means no limit. Requests beyond it are
    /// refused as `RATE_LIMITED`. Each process counts by itself.
    #[arg(long, env = "CART_PROMOTIONS_REQUESTS_PER_MINUTE", value_name = "N", default_value_t = 1_000)]
    pub requests_per_minute: u32,
    /// Cost of a request in this budget.
    #[arg(long, env = "CART_PROMOTIONS_RATE_LIMIT_COST", value_name = "COST", default_value = "request")]
    pub rate_limit_cost: RateLimitCost,
    /// Networks of trusted proxies, such as `10.0.0.0/8,::1/128`: from them `X-Forwarded-For` is accepted as the
    /// address of the caller. Failed logins are counted by address.
    #[arg(
        long,
        env = "CART_PROMOTIONS_TRUSTED_PROXIES",
        value_name = "NETWORK",
        value_delimiter = ',',
        value_parser = network
    )]
    pub trusted_proxies: Vec<IpNet>,
    /// Private key for access tokens and its name: KID=FILE, a PEM file in PKCS #8 of Ed25519 or RSA. May be repeated:
    /// the first signs, all verify. By default the database keeps a key for every server on it.
    #[arg(long = "token-key", env = "CART_PROMOTIONS_TOKEN_KEYS", value_name = "KID=FILE", value_delimiter = ',')]
    pub token_keys: Vec<TokenKey>,
    /// Validity of an access token, in seconds.
    #[arg(long, env = "CART_PROMOTIONS_TOKEN_TTL_S", value_name = "S", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub token_ttl_s: u64,
    /// JSON file of trusted issuers, whose access tokens are accepted; docs/security.md describes it.
    #[arg(long, env = "CART_PROMOTIONS_TRUSTED_ISSUERS", value_name = "FILE")]
    pub trusted_issuers: Option<PathBuf>,
    /// Turns authentication off: every caller acts for this organization with all access. Only on a loopback address,
    /// for development or behind an authenticating proxy on the same machine.
    #[arg(long, env = "CART_PROMOTIONS_WITHOUT_AUTHENTICATION", value_name = "ORG", value_parser = clap::value_parser!(i64).range(1..))]
    pub without_authentication: Option<i64>,
}

/// The cost of a request in the limit of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RateLimitCost {
    /// Each request costs 1.
    Request,
    /// Each request costs the number of grants that it asks for, at least 1.
    Grants,
}

/// The name and the file of a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKey {
    kid: String,
    file: PathBuf,
}

impl FromStr for TokenKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (kid, file) = text.split_once('=').ok_or("not KID=FILE")?;
        let fit = kid.chars().all(|character| character.is_ascii_graphic());
        if kid.is_empty() || kid.len() > MAX_KID_CHARACTERS || !fit || file.is_empty() {
            return Err("not KID=FILE, with a name of 1 to 100 visible ASCII characters");
        }
        Ok(Self { kid: kid.to_owned(), file: file.into() })
    }
}

/// The reason for which the access options are invalid.
#[derive(Debug, thiserror::Error)]
pub enum AccessOptionError {
    /// A file cannot be read.
    #[error("--{option}: cannot read {file}")]
    Unreadable {
        /// Name of the option.
        option: &'static str,
        /// The file.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A key cannot be used.
    #[error("--token-key: {file} {problem}")]
    Key {
        /// The file.
        file: PathBuf,
        /// The cause.
        problem: KeyError,
    },
    /// Two keys have the same name.
    #[error("--token-key: {0} is the name of two keys")]
    KidTaken(String),
    /// The file of issuers has violations.
    #[error("--trusted-issuers: {file}: {}", .problems.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Issuers {
        /// The file.
        file: PathBuf,
        /// All violations.
        problems: Violations,
    },
    /// Authentication would be off on an address that other machines reach.
    #[error("--without-authentication: {0} is not a loopback address; use --listen 127.0.0.1:8080")]
    Exposed(ListenAddress),
}

impl AccessOptions {
    /// Returns the authentication and rate limits of the endpoints on `listen`.
    ///
    /// # Errors
    /// Returns an error when authentication is off and `listen` is not a loopback address.
    pub fn settings(&self, listen: &ListenAddress) -> Result<AccessSettings, AccessOptionError> {
        if self.without_authentication.is_some() && !listen.is_loopback() {
            return Err(AccessOptionError::Exposed(listen.clone()));
        }
        let cost = match self.rate_limit_cost {
            RateLimitCost::Request => Cost::Request,
            RateLimitCost::Grants => Cost::Grants,
        };
        Ok(AccessSettings {
            rate_limit: RateLimitSettings { per_minute: self.requests_per_minute, cost },
            trusted_proxies: self.trusted_proxies.clone(),
            anybody_as: self.without_authentication.map(OrgId),
        })
    }

    /// Returns the files of the keys for access tokens.
    pub fn token_key_files(&self) -> impl Iterator<Item = &Path> {
        self.token_keys.iter().map(|key| &*key.file)
    }

    /// Reads the files that the options name, and returns the settings of tokens.
    ///
    /// # Errors
    /// Returns the first file that cannot be used.
    pub fn token_settings(&self) -> Result<TokenSettings, AccessOptionError> {
        let mut keys: Vec<Arc<SigningKey>> = Vec::new();
        for TokenKey { kid, file } in &self.token_keys {
            if keys.iter().any(|key| key.kid() == kid) {
                return Err(AccessOptionError::KidTaken(kid.clone()));
            }
            let pem = read("token-key", file)?;
            let unusable = |problem| AccessOptionError::Key { file: file.clone(), problem };
            keys.push(Arc::new(SigningKey::from_pem(kid, &pem).map_err(unusable)?));
        }
        let mut issuers = Vec::new();
        if let Some(file) = &self.trusted_issuers {
            let folder = file.parent().unwrap_or(Path::new(""));
            let malformed = |problems| AccessOptionError::Issuers { file: file.clone(), problems };
            issuers = files::issuers::parse(&read("trusted-issuers", file)?, folder).map_err(malformed)?;
        }
        Ok(TokenSettings { keys, ttl: Duration::from_secs(self.token_ttl_s), issuers })
    }
}

fn read(option: &'static str, file: &Path) -> Result<Vec<u8>, AccessOptionError> {
    read_option_file(file).map_err(|source| AccessOptionError::Unreadable { option, file: file.to_owned(), source })
}

/// Parses a network, or one address.
fn network(text: &str) -> Result<IpNet, &'static str> {
    text.parse()
        .or_else(|_| text.parse().map(|address: IpAddr| address.into()))
        .map_err(|_| "not a network such as 10.0.0.0/8")
}
