//! The import file: JSON as records of the catalogue, with every fault under its path in the file.

use std::collections::HashSet;

use chrono_tz::Tz;

use super::access::access_groups;
use super::json::{UnknownFields, from_slice};
use super::promotion::{self, promotion_id};
use super::text::{at_least_one, check_id, check_text};
use super::violation::Violations;
use crate::app::access::Access;
use crate::app::import::{Import, ImportedClient, ImportedPromotion};
use crate::app::secret::Secret;
use crate::earning::{CustomerId, Org, OrgId};
use crate::proto;

const MAX_NAME_CHARACTERS: usize = 250;
/// Promotions an organization may have active at once, where the file does not say.
const DEFAULT_MAX_ACTIVE_PROMOTIONS: i32 = 250;

/// The records of an import file.
///
/// # Errors
/// Every fault, under its path in the file.
pub fn parse(json: &[u8]) -> Result<Import, Violations> {
    let (file, mut violations): (proto::CatalogueFile, _) =
        from_slice(json, UnknownFields::Refuse).map_err(|fault| Violations::of("", format!("is no JSON: {fault}")))?;
    let import = Import {
        orgs: each("orgs", file.orgs, &mut violations, read_org),
        promotions: each("promotions", file.promotions, &mut violations, read_promotion),
        customers: each("customers", file.customers, &mut violations, read_customer),
        api_clients: each("apiClients", file.api_clients, &mut violations, read_api_client),
    };
    if !violations.is_empty() {
        // What stands for an unreadable id must not be taken for a repeat.
        return Err(violations);
    }
    refuse_repeats("orgs", import.orgs.iter().map(|org| org.id), &mut violations);
    refuse_repeats(
        "promotions",
        import.promotions.iter().map(|each| (each.org_id, each.promotion.id)),
        &mut violations,
    );
    refuse_repeats("apiClients", import.api_clients.iter().map(|client| &client.username), &mut violations);
    violations.or_ok(import)
}

/// One API client, as a file has it.
///
/// # Errors
/// Every fault, under its path from `client`.
pub fn parse_client(client: proto::ApiClient) -> Result<ImportedClient, Violations> {
    let mut violations = Violations::default();
    let client = read_api_client("client", client, &mut violations);
    violations.or_ok(client)
}

/// Reads every record of a list; `read` gets its path.
fn each<M, R>(
    list: &str,
    records: Vec<M>,
    violations: &mut Violations,
    read: impl Fn(&str, M, &mut Violations) -> R,
) -> Vec<R> {
    let records = records.into_iter().enumerate();
    records.map(|(index, record)| read(&format!("{list}[{index}]"), record, violations)).collect()
}

/// A record that comes twice would hide the first.
fn refuse_repeats<K: Eq + std::hash::Hash>(list: &str, keys: impl Iterator<Item = K>, violations: &mut Violations) {
    let mut seen = HashSet::new();
    for (index, key) in keys.enumerate() {
        if !seen.insert(key) {
            violations.add(format_args!("{list}[{index}]"), "repeats an earlier record");
        }
    }
}

fn read_org(at: &str, org: proto::Org, violations: &mut Violations) -> Org {
    check_id(violations, format_args!("{at}.id"), org.id);
    check_text(violations, format_args!("{at}.name"), &org.name, MAX_NAME_CHARACTERS);
    let time_zone = org.time_zone.as_deref().unwrap_or("UTC").parse().unwrap_or_else(|_| {
        violations.add(format_args!("{at}.timeZone"), "must be an IANA time zone, as Asia/Kolkata");
        Tz::UTC
    });
    let max_active = org.max_active_promotions.unwrap_or(DEFAULT_MAX_ACTIVE_PROMOTIONS);
    Org {
        id: OrgId(org.id),
        name: org.name,
        time_zone,
        max_active_promotions: at_least_one(format!("{at}.maxActivePromotions"), max_active, violations),
        accept_unknown_customers: org.accept_unknown_customers,
    }
}

fn read_promotion(at: &str, file: proto::FilePromotion, violations: &mut Violations) -> ImportedPromotion {
    let proto::FilePromotion { id, org_id, audience, .. } = file;
    let id = promotion_id(format_args!("{at}.id"), &id, violations);
    check_id(violations, format_args!("{at}.orgId"), org_id);
    let promotion = proto::Promotion {
        id: String::new(),
        org_id: Some(org_id),
        name: file.name,
        r#type: file.r#type,
        active: file.active,
        start_date: file.start_date,
        start_date_iso: file.start_date_iso,
        end_date: file.end_date,
        end_date_iso: file.end_date_iso,
        max_earning_per_customer: file.max_earning_per_customer,
        earn_expiry: file.earn_expiry,
        earn_limited_to_specific_audience: file.earn_limited_to_specific_audience,
    };
    let promotion = promotion::read(at, id, promotion, violations);
    for (index, customer_id) in audience.iter().enumerate() {
        check_id(violations, format_args!("{at}.audience[{index}]"), *customer_id);
    }
    ImportedPromotion { org_id: OrgId(org_id), promotion, audience: audience.into_iter().map(CustomerId).collect() }
}

fn read_customer(at: &str, customer: proto::Customer, violations: &mut Violations) -> (OrgId, CustomerId) {
    check_id(violations, format_args!("{at}.orgId"), customer.org_id);
    check_id(violations, format_args!("{at}.customerId"), customer.customer_id);
    (OrgId(customer.org_id), CustomerId(customer.customer_id))
}

fn read_api_client(at: &str, client: proto::ApiClient, violations: &mut Violations) -> ImportedClient {
    check_text(violations, format_args!("{at}.username"), &client.username, MAX_NAME_CHARACTERS);
    if client.username.contains(':') {
        violations.add(format_args!("{at}.username"), "must not contain a colon: HTTP Basic ends the username with it");
    }
    check_text(violations, format_args!("{at}.password"), &client.password, MAX_NAME_CHARACTERS);
    check_id(violations, format_args!("{at}.orgId"), client.org_id);
    ImportedClient {
        username: client.username,
        secret: Secret::new(client.password),
        org_id: OrgId(client.org_id),
        access: match &client.access[..] {
            [] => Access::All,
            names => Access::Of(access_groups(&format!("{at}.access"), names, violations)),
        },
        requests_per_minute: client.requests_per_minute.map(|requests| {
            u32::try_from(requests).unwrap_or_else(|_| {
                violations.add(format_args!("{at}.requestsPerMinute"), format!("must be 0 or more, not {requests}"));
                0
            })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::earning::EarnExpiry;

    #[test]
    fn only_the_required_names_are_needed() {
        let import = parse(
            br#"{"orgs":[{"id":1,"name":"Shop"}],
                "promotions":[{"id":"6912ced9d39e256f754a83f8","orgId":"1","name":"Ten off","type":"EARNING",
                               "startDate":0,"endDateISO":"2030-12-31T23:59:59.999+05:30"}],
                "customers":[{"orgId":1,"customerId":7}],
                "apiClients":[{"username":"till","password":"secret","orgId":1}]}"#,
        );
        let import = import.expect("a file without faults");
        let (org, promotion) = (&import.orgs[0], &import.promotions[0].promotion);
        assert_eq!((org.max_active_promotions, org.time_zone, org.accept_unknown_customers), (250, Tz::UTC, false));
        assert_eq!((promotion.active, promotion.max_earning_per_customer), (true, None));
        assert_eq!((promotion.start_ms, promotion.end_ms), (0, 1_924_972_199_999));
        assert_eq!(promotion.earn_expiry, EarnExpiry::WithPromotion);
        assert!(!format!("{:?}", import.api_clients).contains("secret\""), "a secret in debug output");
    }

    #[test]
    fn every_fault_is_listed_under_its_path() {
        let faults = parse(
            br#"{"orgs":[{"id":0,"timeZone":"Mars/Olympus","maxActivePromotions":0},{"id":2,"name":"a"},{"id":2,"name":"b"}],
                "promotions":[{"id":"x","orgId":-1,"name":"123456789012345678901234567890123456789012345678901","type":"GIFT",
                               "startDateISO":"2025-01-01T00:00:00","endDate":5,"maxEarningPerCustomer":0,
                               "earnExpiry":{"type":"DAYS_FROM_EARNING"},"audience":[1,0,"x"],"colour":"red"},
                              {"id":"6912ced9d39e256f754a83f8","orgId":1,"name":"n","type":"POS","startDate":5,"endDate":4,
                               "earnExpiry":{"type":"WITH_PROMOTION","days":1}}],
                "customers":[{"customerId":1.5}],
                "apiClients":[{"username":"a:b","orgId":1}]}"#,
        );
        let faults = faults.expect_err("faults");
        let fields: Vec<_> = faults.as_slice().iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "promotions[0].type",
                "promotions[0].audience[2]",
                "promotions[0].colour",
                "customers[0].customerId",
                "orgs[0].id",
                "orgs[0].name",
                "orgs[0].timeZone",
                "orgs[0].maxActivePromotions",
                "promotions[0].id",
                "promotions[0].orgId",
                "promotions[0].name",
                "promotions[0].startDateISO",
                "promotions[0].maxEarningPerCustomer",
                "promotions[0].earnExpiry.days",
                "promotions[0].audience[1]",
                "promotions[1].endDate",
                "promotions[1].earnExpiry.days",
                "customers[0].orgId",
                "apiClients[0].username",
                "apiClients[0].password",
            ]
        );
    }
}
