//! The commands of requests to `CustomerService`, with every violation.

use std::collections::BTreeSet;

use super::catalog::customers;
use super::event::InvalidRequest;
use super::violation::Violations;
use crate::earning::CustomerId;
use crate::earning::limits::upsert_customers_request;
use crate::proto;

/// Limits the customers that one request records.
const MAX_CUSTOMERS: usize = upsert_customers_request::CUSTOMER_IDS_MAX_ITEMS;

/// Returns the customers to record.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_upsert(
    request: &proto::UpsertCustomersRequest,
    found: Violations,
) -> Result<BTreeSet<CustomerId>, InvalidRequest> {
    let mut violations = found;
    let ids = customers("customerIds", &request.customer_ids, &mut violations);
    match request.customer_ids.len() {
        0 => violations.add("customerIds", "must have at least 1 customer"),
        many if many > MAX_CUSTOMERS => {
            violations.add("customerIds", format!("must have at most {MAX_CUSTOMERS} customers, not {many}"));
        }
        _ => {}
    }
    violations.or_ok(ids).map_err(InvalidRequest::Invalid)
}
