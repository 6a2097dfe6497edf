//! The records of another organization, of each kind, and values of the same form that do not exist.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::places::{Place, RecordKind};
use crate::catalog::promotion;
use crate::rpcs::{Rpc, call};
use crate::support::*;
use crate::wallet::transaction;

/// The credentials of the other organization.
pub const NEIGHBOUR: &str = "other:other";
pub const NEIGHBOUR_ORG: i64 = 730_033;
/// A text in everything that the other organization records, and in no other request.
pub const PRIVATE: &str = "private";
/// The id of an organization that does not exist.
const NO_ORG: i64 = 730_034;

/// The records for one place and no other, so that a value of this place is in no other place.
#[derive(Debug)]
pub struct NeighborRecords {
    customer: i64,
    promotion: String,
    /// The earn ids.
    pub earned: Vec<String>,
    /// A text in every text of these records that goes to a place.
    tag: String,
    pages: BTreeMap<&'static str, String>,
}

async fn done(caller: &TestCaller, grpc: &str, request: Value) -> Value {
    let answer = call(caller, Endpoint::Grpc, Rpc { grpc, credentials: NEIGHBOUR }, request).await;
    assert_eq!(answer.code, 0, "{grpc}: {answer:?}");
    answer.body
}

/// The names of an earning, and its number of instances.
struct EarningNames<'a> {
    tag: &'a str,
    count: i64,
}

async fn earned(caller: &TestCaller, customer: i64, promotion: &str, told: EarningNames<'_>) -> Vec<String> {
    let EarningNames { tag, count } = told;
    let request = json!({"customerId": customer, "eventTime": NOW_MS, "earnedFromType": "BULK_ISSUE",
        "eventDetails": {"id": format!("event {tag}"), "type": "BULK_ISSUE", "eventPayload": {"told": PRIVATE}},
        "earnedPromotions": [{"promotionId": promotion, "earnCount": count, "earnedFromId": format!("from {tag}")}]});
    earn_ids(&caller.earn_as(Endpoint::Grpc, Some(NEIGHBOUR), &request).await.body)
}

/// Records something of each kind in the other organization. The name of the customer is `customer`.
pub async fn record(caller: &TestCaller, customer: i64) -> NeighborRecords {
    let (tag, name) = (format!("neighbour {customer}"), format!("{PRIVATE} {customer}"));
    done(caller, "CustomerService/UpsertCustomers", json!({"customerIds": [customer]})).await;
    let created = done(caller, "CatalogService/CreatePromotion", json!({"promotion": promotion(&name)})).await;
    let promotion = created["data"]["id"].as_str().unwrap().to_owned();
    let ids = earned(caller, customer, &promotion, EarningNames { tag: &tag, count: 3 }).await;
    let redeemed = transaction(&format!("transaction {tag}"), customer, &[(&promotion, &ids[2])]);
    done(caller, "WalletService/Redeem", redeemed).await;
    NeighborRecords { customer, promotion, earned: ids, tag, pages: BTreeMap::new() }
}

impl NeighborRecords {
    /// Adds page tokens of this organization. The token of a wallet has to be of the customer in the request.
    pub async fn with_pages(mut self, caller: &TestCaller) -> Self {
        self.earned.extend(
            earned(caller, CUSTOMER, &self.promotion, EarningNames { tag: &format!("pages {}", self.tag), count: 3 })
                .await,
        );
        let mut page = async |grpc, request| {
            let body = done(caller, grpc, request).await;
            self.pages.insert(grpc, body["nextPageToken"].as_str().unwrap().to_owned());
        };
        page("WalletService/ListEarnedPromotions", json!({"customerId": CUSTOMER, "limit": 1})).await;
        // The second promotion exists in no other organization.
        page("CatalogService/ListPromotions", json!({"limit": 2})).await;
        page("CatalogService/ListCatalogChanges", json!({"limit": 1})).await;
        self
    }

    /// Returns two values for a place: a recorded one, and one that does not exist.
    pub fn values(&self, place: &Place) -> (Value, Value) {
        let text =
            |what: &str| (json!(format!("{what} {}", self.tag)), json!(format!("{what} nobody {}", self.customer)));
        match place.kind {
            RecordKind::Org => (NEIGHBOUR_ORG.into(), NO_ORG.into()),
            // Both have the same number of digits.
            RecordKind::Customer => (self.customer.into(), (self.customer + 100_000).into()),
            RecordKind::Promotion => (json!(self.promotion), json!(other_digits(&self.promotion))),
            RecordKind::EarnedPromotion => (json!(self.earned[0]), json!(other_digits(&self.earned[0]))),
            RecordKind::Event => text("event"),
            RecordKind::EarnedFrom => text("from"),
            RecordKind::Transaction => text("transaction"),
            RecordKind::WalletPage | RecordKind::PromotionsPage | RecordKind::ChangesPage => {
                let token = &self.pages[place.method.as_str()];
                let mut bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                (json!(token), json!(URL_SAFE_NO_PAD.encode(bytes)))
            }
            RecordKind::Nothing => unreachable!("{place:?} names nothing"),
        }
    }
}

/// Returns an id with the time of this one, which does not exist.
fn other_digits(id: &str) -> String {
    let (time, rest) = id.split_at(8);
    let flipped = rest.chars().map(|digit| char::from_digit(digit.to_digit(16).unwrap() ^ 8, 16).unwrap());
    format!("{time}{}", flipped.collect::<String>())
}
