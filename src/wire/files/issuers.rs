//! The file of trusted issuers: JSON parsed into settings, with the path of every violation.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::super::access::access_groups;
use super::super::json::document;
use super::super::text::check_id;
use super::super::violation::Violations;
use crate::access::issuers::{IssuerSettings, KeySource};
use crate::access::tokens::OURS;
use crate::earning::OrgId;
use crate::object::{Object, present};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuersFile {
    issuers: Vec<Object<IssuerEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct IssuerEntry {
    issuer: String,
    jwks: String,
    audience: String,
    org_claim: String,
    #[serde(default, deserialize_with = "present")]
    orgs: Option<Object<BTreeMap<String, i64>>>,
    #[serde(default = "subject")]
    client_claim: String,
    access: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    access_claim: Option<String>,
    #[serde(default, deserialize_with = "present")]
    token_type: Option<String>,
}

/// The only token type that the file can require (RFC 9068).
const ACCESS_TOKEN: &str = "at+jwt";

fn subject() -> String {
    "sub".to_owned()
}

/// Returns the issuers of a file. A relative path of a key set starts at `folder`, the folder of the file.
///
/// # Errors
/// Returns every violation, with its path in the file.
pub fn parse(json: &[u8], folder: &Path) -> Result<Vec<IssuerSettings>, Violations> {
    let file = document(json).and_then(|json| Ok(serde_json::from_str::<Object<IssuersFile>>(json)?.0));
    let file = file.map_err(|problem| Violations::of("", problem.to_string()))?;
    let mut violations = Violations::default();
    if file.issuers.is_empty() {
        violations.add("issuers", "must have at least 1 issuer; leave the option out to trust none");
    }
    let issuers: Vec<_> = file
        .issuers
        .into_iter()
        .enumerate()
        .map(|(index, Object(entry))| read(&format!("issuers[{index}]"), entry, folder, &mut violations))
        .collect();
    for (index, settings) in issuers.iter().enumerate() {
        if issuers[..index].iter().any(|earlier| earlier.issuer == settings.issuer) {
            violations.add(format_args!("issuers[{index}].issuer"), "repeats an earlier one");
        }
    }
    violations.or_ok(issuers)
}

fn read(at: &str, entry: IssuerEntry, folder: &Path, violations: &mut Violations) -> IssuerSettings {
    let IssuerEntry { issuer, jwks, audience, org_claim, orgs, client_claim, access, access_claim, token_type } = entry;
    let texts = [
        ("issuer", Some(&issuer)),
        ("jwks", Some(&jwks)),
        ("audience", Some(&audience)),
        ("orgClaim", Some(&org_claim)),
        ("clientClaim", Some(&client_claim)),
        ("accessClaim", access_claim.as_ref()),
    ];
    for (name, value) in texts {
        if value.is_some_and(String::is_empty) {
            violations.add(format_args!("{at}.{name}"), "must not be empty");
        }
    }
    if issuer == OURS {
        violations.add(format_args!("{at}.issuer"), "is the name of the service itself, which signs with its own keys");
    } else if issuer.contains(|character: char| character.is_whitespace() || character.is_control()) {
        violations.add(format_args!("{at}.issuer"), "must not contain white space or control characters");
    }
    if token_type.as_deref().is_some_and(|token_type| token_type != ACCESS_TOKEN) {
        violations.add(format_args!("{at}.tokenType"), format!("must be {ACCESS_TOKEN}, or left out"));
    }
    let jwks = match jwks.split_once("://") {
        Some(("https", _)) => KeySource::Url(jwks),
        Some(_) => {
            violations.add(format_args!("{at}.jwks"), "must be a file or an https URL");
            KeySource::Url(jwks)
        }
        None => KeySource::File(folder.join(jwks)),
    };
    let orgs = orgs.map(|Object(orgs)| {
        if orgs.is_empty() {
            violations
                .add(format_args!("{at}.orgs"), "must not be empty; leave it out to take ids from the claim itself");
        }
        for (value, id) in &orgs {
            check_id(violations, format_args!("{at}.orgs.{value}"), *id);
        }
        orgs.into_iter().map(|(value, id)| (value, OrgId(id))).collect()
    });
    let access = access_groups(&format!("{at}.access"), &access, violations);
    if access.is_empty() {
        violations.add(format_args!("{at}.access"), "must name what its tokens may do");
    }
    let access_tokens_only = token_type.is_some();
    IssuerSettings { issuer, jwks, audience, org_claim, orgs, client_claim, access, access_claim, access_tokens_only }
}
