//! What a batch of earnings reads and writes.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryResult, Statement, Value};

use super::entity::{org, promotion};
use super::{StorageError, Transaction, statement};
use crate::earning::{
    Catalogue, CustomerId, EarnExpiry, EarnedFromType, EarningKey, Facts, Grant, Holder, Instance, ObjectId, Org,
    OrgId, Promotion, PromotionType, RecordedEarning,
};

// The wanted rows come first (CROSS JOIN), each with one search in an index. The index is named where SQLite would take
// the primary key instead, and walk through all that a customer holds.

const CATALOGUE_VERSIONS: &str = "
    SELECT orgs.id, orgs.catalogue_version
    FROM json_each(?1) AS wanted CROSS JOIN orgs ON orgs.id = wanted.value";

const CUSTOMERS: &str = "
    SELECT wanted.key
    FROM json_each(?1) AS wanted
    CROSS JOIN customers AS c ON c.org_id = wanted.value ->> 0 AND c.customer_id = wanted.value ->> 1";

const AUDIENCES: &str = "
    SELECT wanted.key
    FROM json_each(?1) AS wanted
    CROSS JOIN audiences AS a
      ON a.org_id = wanted.value ->> 0 AND a.customer_id = wanted.value ->> 1 AND a.promotion_id = wanted.value ->> 2";

const USED: &str = "
    SELECT wanted.key, count(*)
    FROM json_each(?1) AS wanted
    CROSS JOIN earned_promotions AS e INDEXED BY earned_promotions_earning_key
      ON e.org_id = wanted.value ->> 0 AND e.customer_id = wanted.value ->> 1 AND e.promotion_id = wanted.value ->> 2
    GROUP BY wanted.key";

const EARNINGS: &str = "
    SELECT wanted.key, e.ordinal, e.earn_id, e.valid_till_ms, e.earned_from_type, e.event_time_ms, e.event_payload
    FROM json_each(?1) AS wanted
    CROSS JOIN earned_promotions AS e INDEXED BY earned_promotions_earning_key
      ON e.org_id = wanted.value ->> 0 AND e.customer_id = wanted.value ->> 1 AND e.promotion_id = wanted.value ->> 2
     AND e.event_id = wanted.value ->> 3 AND e.earned_from_id = wanted.value ->> 4";

const INSERT: &str = "INSERT INTO earned_promotions (org_id, customer_id, earn_id, promotion_id, event_id, \
     earned_from_id, ordinal, earned_from_type, event_time_ms, valid_till_ms, granted_at_ms, event_payload) VALUES ";
const INSERT_ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
/// Most rows of one `INSERT`: SQLite takes 32,766 values in a statement.
const MAX_INSERT_ROWS: usize = 1_024;

/// What a batch needs to know, without repeats. The order is the global one, in which a batch takes its locks.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Customers who may be unknown.
    pub customers: BTreeSet<(OrgId, CustomerId)>,
    /// Earnings that may be recorded.
    pub earnings: BTreeSet<EarningKey>,
    /// Customers and the capped promotions they want.
    pub capped: BTreeSet<Holder>,
    /// Customers and the promotions they want that are limited to an audience.
    pub limited: BTreeSet<Holder>,
}

impl Transaction {
    /// The current catalogue version of each of `org_ids` that exists.
    ///
    /// # Errors
    /// Of the database.
    pub async fn catalogue_versions(&self, org_ids: &BTreeSet<OrgId>) -> Result<BTreeMap<OrgId, i64>, StorageError> {
        let ids: Vec<_> = org_ids.iter().map(|id| id.0).collect();
        let rows = statement::query(&self.0, CATALOGUE_VERSIONS, &ids).await?;
        rows.iter().map(|row| Ok((OrgId(row.try_get_by_index(0)?), row.try_get_by_index(1)?))).collect()
    }

    /// The organization and all its promotions; `None` when there is no such organization.
    ///
    /// # Errors
    /// Of the database.
    pub async fn catalogue(&self, org_id: OrgId) -> Result<Option<Catalogue>, StorageError> {
        load_catalogue(&self.0, org_id).await
    }

    /// What is recorded of `wanted`.
    ///
    /// # Errors
    /// Of the database.
    pub async fn facts(&self, wanted: &Wanted) -> Result<Facts, StorageError> {
        let mut facts = Facts::default();
        if !wanted.customers.is_empty() {
            let keys: Vec<_> = wanted.customers.iter().copied().collect();
            let rows: Vec<_> = keys.iter().map(|(org_id, customer_id)| (org_id.0, customer_id.0)).collect();
            for row in statement::query(&self.0, CUSTOMERS, &rows).await? {
                facts.customers.insert(*of_row(&keys, &row)?);
            }
        }
        if !wanted.limited.is_empty() {
            let (keys, rows) = holders(&wanted.limited);
            for row in statement::query(&self.0, AUDIENCES, &rows).await? {
                facts.audiences.insert(*of_row(&keys, &row)?);
            }
        }
        if !wanted.capped.is_empty() {
            let (keys, rows) = holders(&wanted.capped);
            for row in statement::query(&self.0, USED, &rows).await? {
                let used: i64 = row.try_get_by_index(1)?;
                facts.used.insert(*of_row(&keys, &row)?, u32::try_from(used).unwrap_or(u32::MAX));
            }
        }
        self.load_earnings(&wanted.earnings, &mut facts).await?;
        Ok(facts)
    }

    async fn load_earnings(&self, wanted: &BTreeSet<EarningKey>, facts: &mut Facts) -> Result<(), StorageError> {
        let keys: Vec<_> = wanted.iter().collect();
        let rows: Vec<_> = keys
            .iter()
            .map(|key| {
                (key.org_id.0, key.customer_id.0, key.promotion_id.to_string(), &*key.event_id, &*key.earned_from_id)
            })
            .collect();
        let mut found: BTreeMap<(i64, i64), QueryResult> = BTreeMap::new();
        for row in statement::query(&self.0, EARNINGS, &rows).await? {
            found.insert((row.try_get_by_index(0)?, row.try_get_by_index(1)?), row);
        }
        // By key and ordinal now: the first instance of an earning comes first, and has its payload.
        for row in found.values() {
            let key = *of_row(&keys, row)?;
            let instance = Instance {
                earn_id: object_id(&row.try_get_by_index::<String>(2)?)?,
                valid_till_ms: row.try_get_by_index(3)?,
            };
            if let Some(earning) = facts.earnings.get_mut(key) {
                earning.instances.push(instance);
                continue;
            }
            let earned_from_type: String = row.try_get_by_index(4)?;
            let event_payload: Option<String> = row.try_get_by_index(6)?;
            let earning = RecordedEarning {
                earned_from_type: EarnedFromType::from_name(&earned_from_type)
                    .ok_or_else(|| StorageError::Corrupt(format!("earned_from_type {earned_from_type:?}")))?,
                event_time_ms: row.try_get_by_index(5)?,
                event_payload: event_payload.map(Into::into),
                instances: vec![instance],
            };
            facts.earnings.insert(key.clone(), earning);
        }
        Ok(())
    }

    /// Writes what was granted at `now_ms` (milliseconds since 1970-01-01T00:00:00Z).
    ///
    /// Values are bound one by one: taking them out of a list in JSON costs SQLite more than the insertion itself. The
    /// rows go in powers of two, so that there are few statements, and few to prepare.
    ///
    /// # Errors
    /// Of the database; then nothing of the transaction may be used any more.
    pub async fn insert_grants(&self, grants: &[Grant], now_ms: i64) -> Result<(), StorageError> {
        let mut rows = Vec::new();
        for grant in grants {
            rows.extend((grant.first_ordinal..).zip(&grant.instances).map(|(ordinal, each)| (grant, ordinal, each)));
        }
        let mut rows = rows.as_slice();
        while !rows.is_empty() {
            let (now, later) = rows.split_at(MAX_INSERT_ROWS.min(1 << rows.len().ilog2()));
            rows = later;
            self.0.execute_raw(insert(self.0.get_database_backend(), now, now_ms)).await?;
        }
        Ok(())
    }
}

/// The insertion of these rows: each an instance of a grant, and its ordinal.
fn insert(backend: DbBackend, rows: &[(&Grant, u32, &Instance)], now_ms: i64) -> Statement {
    let values = rows.iter().flat_map(|(grant, ordinal, instance)| -> [Value; 12] {
        [
            grant.key.org_id.0.into(),
            grant.key.customer_id.0.into(),
            instance.earn_id.to_string().into(),
            grant.key.promotion_id.to_string().into(),
            grant.key.event_id.as_ref().into(),
            grant.key.earned_from_id.as_ref().into(),
            i64::from(*ordinal).into(),
            grant.earned_from_type.name().into(),
            grant.event_time_ms.into(),
            instance.valid_till_ms.into(),
            now_ms.into(),
            grant.event_payload.as_deref().filter(|_| *ordinal == 1).map(str::to_owned).into(),
        ]
    });
    let sql = format!("{INSERT}{}", vec![INSERT_ROW; rows.len()].join(", "));
    Statement::from_sql_and_values(backend, sql, values)
}

/// The holders as keys and as rows of a statement.
fn holders(wanted: &BTreeSet<Holder>) -> (Vec<Holder>, Vec<(i64, i64, String)>) {
    let keys: Vec<_> = wanted.iter().copied().collect();
    let rows = keys.iter().map(|key| (key.org_id.0, key.customer_id.0, key.promotion_id.to_string())).collect();
    (keys, rows)
}

/// The key that a row answers: its first column is the key's place in the statement's list.
fn of_row<'a, K>(keys: &'a [K], row: &QueryResult) -> Result<&'a K, StorageError> {
    let place: i64 = row.try_get_by_index(0)?;
    usize::try_from(place)
        .ok()
        .and_then(|place| keys.get(place))
        .ok_or_else(|| StorageError::Corrupt(format!("place {place} in a list of {}", keys.len())))
}

fn object_id(text: &str) -> Result<ObjectId, StorageError> {
    ObjectId::parse(text).ok_or_else(|| StorageError::Corrupt(format!("id {text:?}")))
}

async fn load_catalogue(database: &impl ConnectionTrait, org_id: OrgId) -> Result<Option<Catalogue>, StorageError> {
    let Some(row) = org::Entity::find_by_id(org_id.0).one(database).await? else { return Ok(None) };
    let org = Org {
        id: org_id,
        name: row.name,
        time_zone: row
            .time_zone
            .parse()
            .map_err(|_| StorageError::Corrupt(format!("time zone {:?}", row.time_zone)))?,
        max_active_promotions: u32::try_from(row.max_active_promotions).unwrap_or(u32::MAX),
        accept_unknown_customers: row.accept_unknown_customers,
    };
    let rows = promotion::Entity::find().filter(promotion::Column::OrgId.eq(org_id.0)).all(database).await?;
    let promotions = rows.into_iter().map(to_promotion).collect::<Result<_, _>>()?;
    Ok(Some(Catalogue::new(row.catalogue_version, org, promotions)))
}

fn to_promotion(row: promotion::Model) -> Result<Promotion, StorageError> {
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(Promotion {
        id: object_id(&row.id)?,
        name: row.name,
        kind: PromotionType::from_name(&row.kind)
            .ok_or_else(|| StorageError::Corrupt(format!("promotion type {:?}", row.kind)))?,
        active: row.active,
        start_ms: row.start_ms,
        end_ms: row.end_ms,
        max_earning_per_customer: row.max_earning_per_customer.map(count),
        earn_expiry: row
            .earn_expiry_days
            .map_or(EarnExpiry::WithPromotion, |days| EarnExpiry::DaysFromEarning(count(days))),
        limited_to_audience: row.earn_limited_to_specific_audience,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Store;

    /// How SQLite goes about a statement.
    async fn plan(sql: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("x.db").display());
        let store = Store::open(&url, std::time::Duration::from_secs(5)).await.unwrap();
        store.migrate().await.unwrap();
        let transaction = store.begin().await.unwrap();
        let explain: &'static str = format!("EXPLAIN QUERY PLAN {sql}").leak();
        let rows = statement::query(&transaction.0, explain, &[0]).await.unwrap();
        let lines = rows.iter().map(|row| row.try_get_by_index::<String>(3).unwrap());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[tokio::test]
    async fn what_a_batch_reads_is_searched_by_its_whole_key_and_never_scanned() {
        let key = "org_id=? AND customer_id=? AND promotion_id=?";
        for (sql, search) in [
            (CATALOGUE_VERSIONS, "SEARCH orgs USING PRIMARY KEY (id=?)".to_owned()),
            (CUSTOMERS, "SEARCH c USING PRIMARY KEY (org_id=? AND customer_id=?)".to_owned()),
            (AUDIENCES, format!("SEARCH a USING PRIMARY KEY ({key})")),
            (USED, format!("SEARCH e USING COVERING INDEX earned_promotions_earning_key ({key})")),
            (
                EARNINGS,
                format!(
                    "SEARCH e USING INDEX earned_promotions_earning_key ({key} AND event_id=? AND earned_from_id=?)"
                ),
            ),
        ] {
            let plan = plan(sql).await;
            assert!(plan.contains(&search), "{sql}\n{plan}");
            assert_eq!(plan.matches("SCAN").count(), 1, "the list alone is scanned: {plan}");
        }
    }
}
