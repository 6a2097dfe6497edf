//! The import file: JSON parsed into records of the catalog, with the path of every violation.

use std::collections::HashSet;

use chrono_tz::Tz;

use super::super::access::access_groups;
use super::super::json::{UnknownFields, from_slice};
use super::super::promotion::{self, promotion_id};
use super::super::text::{at_least_one, check_given_id, check_id, check_name, check_text, cut};
use super::super::violation::Violations;
use crate::access::groups::Access;
use crate::access::secret::Secret;
use crate::app::clients::NewClient;
use crate::app::import::{Import, ImportedClient, ImportedOrg, ImportedPromotion};
use crate::earning::limits::{api_client, org};
use crate::earning::{CustomerId, OrgId};
use crate::proto;

/// Name that grants every access group, given alone.
const EVERYTHING: &str = "*";

/// Returns the records of an import file.
///
/// # Errors
/// Returns every violation, with its path in the file.
pub fn parse(json: &[u8]) -> Result<Import, Violations> {
    let (file, mut violations): (proto::CatalogFile, _) =
        from_slice(json, UnknownFields::Refuse).map_err(|problem| Violations::of("", problem.to_string()))?;
    let import = Import {
        orgs: each("orgs", file.orgs, &mut violations, read_org),
        promotions: each("promotions", file.promotions, &mut violations, read_promotion),
        customers: each("customers", file.customers, &mut violations, read_customer),
        api_clients: each("apiClients", file.api_clients, &mut violations, read_api_client),
    };
    if !violations.is_empty() {
        // The placeholder of an unreadable id must not be reported as a repeated id.
        return Err(violations);
    }
    refuse_repeats("orgs", import.orgs.iter().map(|org| org.id), &mut violations);
    refuse_repeats("promotions", import.promotions.iter().map(|each| (each.org_id, each.draft.id)), &mut violations);
    refuse_repeats("apiClients", import.api_clients.iter().map(|client| &client.username), &mut violations);
    violations.or_ok(import)
}

/// Returns an API client that is added, or gets a new secret.
///
/// # Errors
/// Returns every violation, with its path below `client`.
pub fn parse_client(client: proto::ApiClient) -> Result<NewClient, Violations> {
    let mut violations = Violations::default();
    let ImportedClient { username, secret, org_id, access, requests_per_minute } =
        read_api_client("client", client, &mut violations);
    let (Some(secret), Some(org_id)) = (secret, org_id) else {
        violations.add("client", "needs a password and an orgId");
        return Err(violations);
    };
    violations.or_ok(NewClient { username, secret, org_id, access, requests_per_minute })
}

/// Reads every record of a list. Passes each path to `read`.
fn each<M, R>(
    list: &str,
    records: Vec<M>,
    violations: &mut Violations,
    read: impl Fn(&str, M, &mut Violations) -> R,
) -> Vec<R> {
    let records = records.into_iter().enumerate();
    records.map(|(index, record)| read(&format!("{list}[{index}]"), record, violations)).collect()
}

/// Reports records with a repeated key, because the second would replace the first.
fn refuse_repeats<K: Eq + std::hash::Hash>(list: &str, keys: impl Iterator<Item = K>, violations: &mut Violations) {
    let mut seen = HashSet::new();
    for (index, key) in keys.enumerate() {
        if !seen.insert(key) {
            violations.add(format_args!("{list}[{index}]"), "repeats an earlier record");
        }
    }
}

/// Reports the violations of the name of an organization.
pub fn check_org_name(field: &str, name: &str, violations: &mut Violations) {
    check_name(violations, field, name, org::NAME_MAX_LEN);
}

fn read_org(at: &str, org: proto::Org, violations: &mut Violations) -> ImportedOrg {
    let id = check_given_id(violations, format_args!("{at}.id"), org.id);
    if let Some(name) = &org.name {
        check_org_name(&format!("{at}.name"), name, violations);
    }
    let time_zone = org.time_zone.map(|name| {
        name.parse().unwrap_or_else(|_| {
            let problem = format!("must be an IANA time zone, as Asia/Kolkata, not {:?}", cut(&name));
            violations.add(format_args!("{at}.timeZone"), problem);
            Tz::UTC
        })
    });
    let max_active = org.max_active_promotions;
    ImportedOrg {
        id: OrgId(id),
        name: org.name,
        time_zone,
        max_active_promotions: max_active
            .map(|most| at_least_one(format!("{at}.maxActivePromotions"), most, violations)),
        accept_unknown_customers: org.accept_unknown_customers,
    }
}

fn read_promotion(at: &str, record: proto::FilePromotion, violations: &mut Violations) -> ImportedPromotion {
    let id = promotion_id(format_args!("{at}.id"), &record.id, violations);
    let org_id = check_given_id(violations, format_args!("{at}.orgId"), record.org_id);
    let draft = promotion::read(at, id, &record, violations);
    let audience = record.audience.map(|audience| audience.values);
    for (index, customer_id) in audience.iter().flatten().enumerate() {
        check_id(violations, format_args!("{at}.audience[{index}]"), *customer_id);
    }
    let audience = audience.map(|audience| audience.into_iter().map(CustomerId).collect());
    ImportedPromotion { org_id: OrgId(org_id), draft, audience }
}

fn read_customer(at: &str, customer: proto::Customer, violations: &mut Violations) -> (OrgId, CustomerId) {
    let org_id = check_given_id(violations, format_args!("{at}.orgId"), customer.org_id);
    let customer_id = check_given_id(violations, format_args!("{at}.customerId"), customer.customer_id);
    (OrgId(org_id), CustomerId(customer_id))
}

fn read_api_client(at: &str, client: proto::ApiClient, violations: &mut Violations) -> ImportedClient {
    check_text(violations, format_args!("{at}.username"), &client.username, api_client::USERNAME_MAX_LEN);
    if client.username.contains(':') {
        violations.add(format_args!("{at}.username"), "must not contain a colon: HTTP Basic ends the username with it");
    } else if client.username.contains(char::is_control) {
        violations.add(format_args!("{at}.username"), "must not contain control characters");
    }
    if let Some(password) = &client.password {
        check_text(violations, format_args!("{at}.password"), password, api_client::PASSWORD_MAX_LEN);
    }
    if let Some(org_id) = client.org_id {
        check_id(violations, format_args!("{at}.orgId"), org_id);
    }
    ImportedClient {
        username: client.username,
        secret: client.password.map(Secret::new),
        org_id: client.org_id.map(OrgId),
        access: client.access.map(|groups| read_access(&format!("{at}.access"), &groups.values, violations)),
        requests_per_minute: client.requests_per_minute.map(|requests| {
            u32::try_from(requests).unwrap_or_else(|_| {
                violations.add(format_args!("{at}.requestsPerMinute"), format!("must be 0 or more, not {requests}"));
                0
            })
        }),
    }
}

/// Returns the access of an API client.
fn read_access(at: &str, names: &[String], violations: &mut Violations) -> Access {
    match names {
        [everything] if everything == EVERYTHING => Access::All,
        [] => {
            violations.add(at, format!("must have at least 1 group, or {EVERYTHING:?} for everything"));
            Access::Of(Vec::new())
        }
        names => Access::Of(access_groups(at, names, violations)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::earning::Expiry;

    #[test]
    fn only_the_required_names_are_needed() {
        let import = parse(
            br#"{"orgs":[{"id":1,"name":"Shop"}],
                "promotions":[{"id":"6912ced9d39e256f754a83f8","orgId":"1","name":"Ten off","type":"EARNING",
                               "startDate":0,"endDateISO":"2030-12-31T23:59:59.999+05:30"}],
                "customers":[{"orgId":1,"customerId":7}],
                "apiClients":[{"username":"till","password":"secret","orgId":1}]}"#,
        );
        let import = import.expect("a file without violations");
        let (org, promotion) = (&import.orgs[0], import.promotions[0].draft.complete(None).expect("whole"));
        assert_eq!((org.max_active_promotions, org.time_zone, org.accept_unknown_customers), (None, None, None));
        assert_eq!((promotion.active, promotion.cap), (true, None));
        assert_eq!((promotion.start.millis(), promotion.end.millis()), (0, 1_924_972_199_999));
        assert_eq!(promotion.expiry, Expiry::WithPromotion);
        assert_eq!(import.promotions[0].audience, None);
        assert!(!format!("{:?}", import.api_clients).contains("secret\""), "a secret in debug output");
    }

    #[test]
    fn every_fault_is_listed_under_its_path() {
        let problems = parse(
            br#"{"orgs":[{"id":0,"name":" a","timeZone":"Mars/Olympus","maxActivePromotions":0},{"id":2,"name":"a"},{"id":2,"name":"b"}],
                "promotions":[{"id":"x","orgId":-1,"name":"123456789012345678901234567890123456789012345678901","type":"GIFT",
                               "startDateISO":"2025-01-01T00:00:00","endDate":5,"audience":[1,0,"x"],"colour":"red"},
                              {"id":"6912ced9d39e256f754a83f8","orgId":1,"name":"n","type":"POS","startDate":5,"endDate":4}],
                "customers":[{"customerId":1.5}],
                "apiClients":[{"username":"a:b","orgId":0,"password":"","access":[]},
                              {"username":"c","access":["*","earn:write"]}]}"#,
        );
        let problems = problems.expect_err("violations");
        let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
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
                "promotions[0].audience[1]",
                "promotions[1].endDate",
                "customers[0].orgId",
                "apiClients[0].username",
                "apiClients[0].password",
                "apiClients[0].orgId",
                "apiClients[0].access",
                "apiClients[1].access[0]",
            ]
        );
    }
}
