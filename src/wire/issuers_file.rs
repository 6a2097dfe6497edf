//! The file of trusted issuers: JSON as settings, with every fault under its path in the file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::access::access_groups;
use super::json::document;
use super::violation::Violations;
use crate::app::issuers::{IssuerSettings, KeySource};
use crate::earning::OrgId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    issuers: Vec<IssuerEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct IssuerEntry {
    issuer: String,
    jwks: String,
    audience: String,
    org_claim: String,
    #[serde(default)]
    orgs: BTreeMap<String, i64>,
    #[serde(default = "subject")]
    client_claim: String,
    access: Vec<String>,
    access_claim: Option<String>,
}

fn subject() -> String {
    "sub".to_owned()
}

/// The issuers of a file. A key set that is named as a file is looked for beside it, in `folder`.
///
/// # Errors
/// Every fault, under its path in the file.
pub fn parse(json: &[u8], folder: &Path) -> Result<Vec<IssuerSettings>, Violations> {
    let file = document(json).and_then(|json| Ok(serde_json::from_slice::<File>(json)?));
    let file = file.map_err(|fault| Violations::of("", fault.to_string()))?;
    let mut violations = Violations::default();
    let issuers: Vec<_> = file
        .issuers
        .into_iter()
        .enumerate()
        .map(|(index, entry)| read(&format!("issuers[{index}]"), entry, folder, &mut violations))
        .collect();
    for (index, settings) in issuers.iter().enumerate() {
        if issuers[..index].iter().any(|earlier| earlier.issuer == settings.issuer) {
            violations.add(format_args!("issuers[{index}].issuer"), "repeats an earlier one");
        }
    }
    violations.or_ok(issuers)
}

fn read(at: &str, entry: IssuerEntry, folder: &Path, violations: &mut Violations) -> IssuerSettings {
    let IssuerEntry { issuer, jwks, audience, org_claim, orgs, client_claim, access, access_claim } = entry;
    for (name, value) in
        [("issuer", &issuer), ("audience", &audience), ("orgClaim", &org_claim), ("clientClaim", &client_claim)]
    {
        if value.is_empty() {
            violations.add(format_args!("{at}.{name}"), "must not be empty");
        }
    }
    let jwks = match jwks.split_once("://") {
        Some(("https", _)) => KeySource::Url(jwks),
        Some(_) => {
            violations.add(format_args!("{at}.jwks"), "must be a file or an https URL");
            KeySource::Url(jwks)
        }
        None => KeySource::File(folder.join(jwks)),
    };
    let orgs = orgs.into_iter().map(|(value, id)| {
        if id < 1 {
            violations.add(format_args!("{at}.orgs.{value}"), format!("must be a positive integer, not {id}"));
        }
        (value, OrgId(id))
    });
    let orgs = orgs.collect();
    let access = access_groups(&format!("{at}.access"), &access, violations);
    if access.is_empty() {
        violations.add(format_args!("{at}.access"), "must name what its tokens may do");
    }
    IssuerSettings { issuer, jwks, audience, org_claim, orgs, client_claim, access, access_claim }
}
