//! The catalog of the measurements: one organization, and promotions that run now.

use crate::terms;
use serde_json::{Value, json};

pub const ORG: i64 = 1;
/// Promotions that every customer may hold any number of.
pub const UNCAPPED: [&str; 10] = [
    "6912ced9d39e256f754a83f0",
    "6912ced9d39e256f754a83f1",
    "6912ced9d39e256f754a83f2",
    "6912ced9d39e256f754a83f3",
    "6912ced9d39e256f754a83f4",
    "6912ced9d39e256f754a83f5",
    "6912ced9d39e256f754a83f6",
    "6912ced9d39e256f754a83f7",
    "6912ced9d39e256f754a83f8",
    "6912ced9d39e256f754a83f9",
];
/// The common digits of [`UNCAPPED`], all but the last, for rows that SQL makes.
pub const UNCAPPED_STEM: &str = "6912ced9d39e256f754a83f";
/// A promotion with a cap that no customer reaches here.
pub const CAPPED: &str = "6912ced9d39e256f754a83fa";
/// A promotion without a cap until [`late_cap`] is imported.
pub const CAPPED_LATE: &str = "6912ced9d39e256f754a83fb";
/// A cap that no customer reaches here.
const CAP: i64 = 1_000_000;
/// The header of `bench:bench`.
pub const AUTHORIZATION: &str = "Basic YmVuY2g6YmVuY2g=";
/// The header of another client, `neighbour:neighbour`.
pub const NEIGHBOUR: &str = "Basic bmVpZ2hib3VyOm5laWdoYm91cg==";
/// The end of all promotions, which is also the end of validity of earned promotions, in milliseconds since
/// 1970-01-01T00:00:00Z.
pub const END_MS: i64 = 4_000_000_000_000;
/// The `earnedFromId` of every request.
pub const EARNED_FROM_ID: &str = "68fb1c9731d91c625a8d9e80";

/// Returns the catalog as an import file.
pub fn file() -> Value {
    let mut promotions: Vec<Value> = UNCAPPED.iter().map(|id| promotion(id, None)).collect();
    promotions.push(promotion(CAPPED, Some(CAP)));
    promotions.push(promotion(CAPPED_LATE, None));
    json!({
        "orgs": [{"id": ORG, "name": "Bench", "acceptUnknownCustomers": false}],
        "promotions": promotions,
        "apiClients": [
            {"username": "bench", "password": "bench", "orgId": ORG},
            {"username": "neighbour", "password": "neighbour", "orgId": ORG}
        ]
    })
}

/// Returns an import file that gives a cap to [`CAPPED_LATE`].
pub fn late_cap() -> Value {
    json!({"promotions": [promotion(CAPPED_LATE, Some(CAP))]})
}

fn promotion(id: &str, cap: Option<i64>) -> Value {
    let promotion = json!({"id": id, "orgId": ORG, "name": id, "type": "EARNING", "startDate": 0, "endDate": END_MS});
    terms::with(promotion, &terms::cap(cap))
}

/// Returns SQL, for PostgreSQL and SQLite, that gives the organization the customers 1 to `last`.
pub fn customers_sql(last: usize) -> String {
    format!(
        "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {last})
         INSERT INTO customers (org_id, customer_id) SELECT {ORG}, number FROM numbers"
    )
}
