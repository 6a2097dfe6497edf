//! Checks texts that must be readable: names, time zones, hashes, access groups, keys, and the details of earnings.

use chrono_tz::Tz;
use serde_json::value::RawValue;

use super::rows::each;
use crate::access::groups::Access;
use crate::access::{secret, shared_key};
use crate::storage::StorageError;
use crate::storage::verify::{
    ApiClientRow, Breaches, FormerTermRow, OrgRow, PromotionRow, Snapshot, VerifiedDetailsRow,
};

/// Checks that names have no white space at either end, and that time zones, including those of former terms, are IANA
/// names.
pub(super) async fn catalogs(snapshot: &Snapshot) -> Result<Breaches, StorageError> {
    let mut breaches = each(snapshot, |org: OrgRow| {
        let OrgRow { id, name, time_zone, .. } = org;
        let spaced =
            is_spaced(&name).then(|| format!("the name {name:?} of organization {id} has white space at an end"));
        let zone = || format!("the time zone {time_zone:?} of organization {id} is not an IANA time zone");
        spaced.or_else(|| (!is_zone(&time_zone)).then(zone))
    })
    .await?;
    let names = each(snapshot, |promotion: PromotionRow| {
        let PromotionRow { org_id, id, content } = promotion;
        let name = content.name;
        is_spaced(&name)
            .then(|| format!("the name {name:?} of promotion {id} of organization {org_id} has white space at an end"))
    });
    breaches.extend(names.await?);
    let terms = each(snapshot, |former: FormerTermRow| {
        let FormerTermRow { org_id, promotion_id, time_zone, .. } = former;
        (!is_zone(&time_zone)).then(|| {
            format!(
                "the time zone {time_zone:?} of former terms of promotion {promotion_id} of organization {org_id} is \
                 not an IANA time zone"
            )
        })
    });
    breaches.extend(terms.await?);
    Ok(breaches)
}

fn is_spaced(name: &str) -> bool {
    name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace)
}

fn is_zone(name: &str) -> bool {
    name.parse::<Tz>().is_ok()
}

/// Checks that each hash can be compared with a secret, and that access groups are known, or everything.
pub(super) async fn clients(snapshot: &Snapshot) -> Result<Breaches, StorageError> {
    each(snapshot, |client: ApiClientRow| {
        let ApiClientRow { username, secret_hash, access, .. } = client;
        if !secret::is_readable(&secret_hash) {
            return Some(format!("the hash of the secret of API client {username:?} cannot be read"));
        }
        // An unknown group is skipped when it is read, and so is missing when the access is written again.
        let known = !access.is_empty() && Access::parse(&access).to_string() == access;
        (!known).then(|| format!("API client {username:?} has the access {access:?}, which has unknown groups"))
    })
    .await
}

/// Checks that there is no key but the one that servers share, and that it can be used.
pub(super) async fn token_keys(snapshot: &Snapshot) -> Result<Breaches, StorageError> {
    let mut breaches = Breaches::default();
    for (kid, pem) in snapshot.token_keys().await? {
        if let Err(problem) = shared_key::parse(&kid, &pem) {
            breaches.add(format!("the key for access tokens of the name {kid:?} {problem}"));
        }
    }
    Ok(breaches)
}

/// Checks that payloads are JSON objects, and that supplementary criteria have their three parts.
pub(super) async fn details(snapshot: &Snapshot) -> Result<Breaches, StorageError> {
    each(snapshot, |details: VerifiedDetailsRow| {
        let VerifiedDetailsRow { org_id, earn_id, event_payload, .. } = &details;
        let is_object =
            |text: &String| serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get().starts_with('{'));
        let of = || format!("of earned promotion {earn_id} of organization {org_id}");
        if !event_payload.as_ref().is_none_or(is_object) {
            return Some(format!("the payload {} is not a JSON object", of()));
        }
        let is_read = details.criteria().is_some_and(|criteria| {
            criteria.is_none_or(|criteria| criteria.loyalty_program_id > 0 && criteria.partner_program_id > 0)
        });
        (!is_read).then(|| format!("the supplementary criteria {} cannot be read", of()))
    })
    .await
}
