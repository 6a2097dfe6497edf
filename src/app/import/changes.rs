//! Describes which records of a file would change, one line each, for a dry run of an import.

use std::collections::{BTreeSet, HashMap};

use super::records::ImportedPromotion;
use crate::earning::{Catalog, CustomerId, Org, OrgId, Promotion};
use crate::storage::{StorageError, Transaction};

/// Field names as in the file, and their values as text.
type RecordContent = Vec<(&'static str, String)>;

/// Returns a line for each organization that is new or differs from `before`.
pub(super) fn of_orgs(before: &HashMap<OrgId, Catalog>, orgs: &[Org]) -> Vec<String> {
    let lines = orgs.iter().enumerate().filter_map(|(index, org)| {
        let recorded = before.get(&org.id).map(|catalog| content_of_org(&catalog.org));
        let differing = differing(recorded, &content_of_org(org));
        line(&format!("orgs[{index}] {}", org.id.0), &differing)
    });
    lines.collect()
}

fn content_of_org(org: &Org) -> RecordContent {
    vec![
        ("name", format!("{:?}", org.name)),
        ("timeZone", org.time_zone.name().to_owned()),
        ("maxActivePromotions", org.max_active_promotions.to_string()),
        ("acceptUnknownCustomers", org.accept_unknown_customers.to_string()),
    ]
}

/// Returns a line for each promotion of the file that is new, differs from `before`, or gets another audience. `after`
/// holds the promotions as they will be.
///
/// # Errors
/// Returns the error of the database.
pub(super) async fn of_promotions(
    transaction: &Transaction,
    file: &[ImportedPromotion],
    before: &HashMap<OrgId, Catalog>,
    after: &[Promotion],
) -> Result<Vec<String>, StorageError> {
    let mut lines = Vec::new();
    for (index, (each, promotion)) in file.iter().zip(after).enumerate() {
        let recorded = before.get(&each.org_id).and_then(|catalog| catalog.promotions.get(&promotion.id));
        let recorded = recorded.map(|recorded| recorded.content().to_vec());
        let mut differing = differing(recorded, &promotion.content());
        if let Some(audience) = &each.audience {
            let audience: BTreeSet<CustomerId> = audience.iter().copied().collect();
            let recorded = transaction.audience(each.org_id, promotion.id).await?;
            let counts = [
                (audience.difference(&recorded).count(), "added"),
                (recorded.difference(&audience).count(), "removed"),
            ];
            let counts = counts.into_iter().filter(|(count, _)| *count > 0);
            differing.extend(counts.map(|(count, what)| format!("audience {count} {what}")));
        }
        lines.extend(line(&format!("promotions[{index}] {}", promotion.id), &differing));
    }
    Ok(lines)
}

/// Returns a line for each customer that is new.
///
/// # Errors
/// Returns the error of the database.
pub(super) async fn of_customers(
    transaction: &Transaction,
    customers: &[(OrgId, CustomerId)],
) -> Result<Vec<String>, StorageError> {
    let known = transaction.known_customers(&customers.iter().copied().collect()).await?;
    let new = customers.iter().enumerate().filter(|(_, customer)| !known.contains(customer));
    Ok(new.map(|(index, customer)| format!("customers[{index}] {}: new", customer.1.0)).collect())
}

/// Returns the fields that differ, each with its two values, or `new` when nothing is recorded.
pub(super) fn differing(recorded: Option<RecordContent>, after: &[(&'static str, String)]) -> Vec<String> {
    let Some(recorded) = recorded else { return vec!["new".to_owned()] };
    let fields = recorded.iter().zip(after).filter(|(recorded, after)| recorded != after);
    fields.map(|((name, recorded), (_, after))| format!("{name} {recorded} -> {after}")).collect()
}

/// Returns the line of one record; `None` when nothing differs.
pub(super) fn line(record: &str, differing: &[String]) -> Option<String> {
    (!differing.is_empty()).then(|| format!("{record}: {}", differing.join(", ")))
}
