//! `serve --demo`: a catalog in which the documented request earns, and that request as a command to paste.

use std::net::SocketAddr;

use crate::earning::OrgId;

/// The organization of the catalog.
pub const ORG_ID: OrgId = OrgId(100_737);

/// The catalog, in the format of an import file.
pub const CATALOG: &str = include_str!("demo.json");

/// Returns a `curl` command for the documented request to this server, over `http` or `https`.
pub fn curl(scheme: &str, address: SocketAddr) -> String {
    format!(
        r#"curl '{scheme}://{address}/api_gateway/v1/promotions/earn/bulk' \
  --user demo:demo \
  --header 'Content-Type: application/json' \
  --data '{{
    "orgId": 100737,
    "customerId": 566881933,
    "eventTime": 1761750000000,
    "earnedFromType": "BULK_ISSUE",
    "eventDetails": {{ "id": "6911e951f57b486147effa6c", "type": "BULK_ISSUE" }},
    "earnedPromotions": [
      {{ "promotionId": "6912ced9d39e256f754a83f8", "earnCount": 1, "earnedFromId": "68fb1c9731d91c625a8d9e80" }},
      {{ "promotionId": "6912cfff6629ee07040e15ef", "earnCount": 1, "earnedFromId": "68fb1c9731d91c625a8d9e80" }}
    ]
  }}'"#
    )
}
