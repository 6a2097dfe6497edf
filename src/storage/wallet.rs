//! What a batch of earnings reads and writes.
//!
//! Nothing that is read here is locked. That what was read still holds is settled by the writes: a row that somebody
//! else wrote in the meantime meets the unique earning key, a count that somebody else raised meets the check of the
//! cap. Then the transaction is undone with [`StorageError::Conflict`], and its batch is read and decided again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sea_orm::sqlx;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::postgres::Postgres;
use sea_orm::{DbErr, QueryResult, RuntimeErr};

use super::statement::{Dialect, Lookup, Rows};
use super::{StorageError, Store, Transaction, at_once, grants, statement};
use crate::earning::{
    CustomerId, EarnedFromType, EarningKey, Facts, Grant, Holder, Instance, ObjectId, OrgId, RecordedEarning,
};

pub(super) const CUSTOMERS: Lookup =
    Lookup { answers: "", table: "customers", index: None, key: &["org_id", "customer_id"], most: None, rest: "" };

pub(super) const AUDIENCES: Lookup =
    Lookup { answers: "", table: "audiences", index: None, key: &HOLDER, most: None, rest: "" };

pub(super) const USAGE: Lookup = Lookup {
    answers: "3, t.used, t.counted_at_ms",
    table: "cap_usage",
    index: None,
    key: &HOLDER,
    most: None,
    rest: "",
};

const COUNT: Lookup = Lookup {
    answers: "count(*)",
    table: "earned_promotions",
    index: Some(EARNING_KEY),
    key: &HOLDER,
    most: None,
    rest: "GROUP BY wanted.place",
};

pub(super) const EARNINGS: Lookup = Lookup {
    answers: "CAST(4 AS bigint) AS kind, t.ordinal, t.valid_till_ms, t.event_time_ms, t.promotion_id, t.earned_from_id, t.earn_id, \
              t.earned_from_type, t.event_payload",
    table: "earned_promotions",
    index: Some(EARNING_KEY),
    key: &["org_id", "customer_id", "event_id", "promotion_id", "earned_from_id"],
    most: None,
    rest: "",
};

const HOLDER: [&str; 3] = ["org_id", "customer_id", "promotion_id"];
const EARNING_KEY: &str = "earned_promotions_earning_key";

/// Locks the rows, making those that are not there: until the transaction ends nobody else can add to them.
const LOCK_USAGE: &str = "
    INSERT INTO cap_usage (org_id, customer_id, promotion_id, used, cap, counted_at_ms)
    SELECT org_id, customer_id, promotion_id, 0, 0, 0 FROM wanted WHERE true
    ON CONFLICT (org_id, customer_id, promotion_id) DO UPDATE SET cap = cap_usage.cap";

const SET_USAGE: &str = "
    INSERT INTO cap_usage (org_id, customer_id, promotion_id, used, cap, counted_at_ms)
    SELECT org_id, customer_id, promotion_id, used, used, counted_at_ms FROM wanted WHERE true
    ON CONFLICT (org_id, customer_id, promotion_id)
    DO UPDATE SET used = excluded.used, cap = excluded.cap, counted_at_ms = excluded.counted_at_ms";

/// The check `cap_usage_used_within_cap` refuses what would pass the cap.
pub(super) const ADD_USAGE: &str = "
    INSERT INTO cap_usage (org_id, customer_id, promotion_id, used, cap, counted_at_ms)
    SELECT org_id, customer_id, promotion_id, granted, cap, counted_at_ms FROM wanted WHERE true
    ON CONFLICT (org_id, customer_id, promotion_id)
    DO UPDATE SET used = cap_usage.used + excluded.used, cap = excluded.cap";

/// How long after a promotion was given a cap a process may still grant without counting, because it has not heard of
/// it: a second, and the time of a transaction; with room for clocks that differ. Milliseconds.
pub const UNCOUNTED_FOR_MS: i64 = 60_000;

/// What a batch needs to know, without repeats. The order is the global one, in which a batch takes its locks.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Customers who may be unknown.
    pub customers: BTreeSet<(OrgId, CustomerId)>,
    /// Earnings that may be recorded.
    pub earnings: BTreeSet<EarningKey>,
    /// Customers and the capped promotions they want, and when the promotion was given its cap, if not from its
    /// beginning (milliseconds since 1970-01-01T00:00:00Z).
    pub capped: BTreeMap<Holder, Option<i64>>,
    /// Customers and the promotions they want that are limited to an audience.
    pub limited: BTreeSet<Holder>,
}

/// What a batch writes.
#[derive(Debug, Default)]
pub struct Grants {
    /// New instances.
    pub grants: Vec<Grant>,
    /// How many of a capped promotion each customer is granted, and the cap.
    pub under_cap: BTreeMap<Holder, (u32, u32)>,
}

/// What was read of what is wanted.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub customers: HashSet<(OrgId, CustomerId)>,
    pub audiences: HashSet<Holder>,
    /// How many are used, and when that was counted last.
    pub usage: HashMap<Holder, (i64, i64)>,
    /// Earned promotions, by earning and ordinal.
    pub instances: BTreeMap<(EarningKey, i64), QueryResult>,
    /// Earnings that were not looked for yet.
    pub unread: BTreeSet<EarningKey>,
}

impl Found {
    /// Whether, as far as that was read, all is as presumed; and each earning among what is to be written, so that the
    /// rest shows when it is.
    fn is_as_presumed(&self, wanted: &Wanted, grants: &Grants) -> bool {
        let fits = |(holder, (granted, cap)): (&Holder, &(u32, u32))| {
            let used = self.usage.get(holder).map_or(0, |(used, _)| *used);
            used + i64::from(*granted) <= i64::from(*cap)
        };
        self.customers.len() == wanted.customers.len()
            && self.audiences.len() == wanted.limited.len()
            && grants.under_cap.iter().all(fits)
            && grants.grants.iter().filter(|grant| grant.first_ordinal == 1).count() == wanted.earnings.len()
    }
}

impl Wanted {
    /// The facts as they mostly are: everybody known and in the audiences, and nothing earned yet.
    pub fn presumed(&self) -> Facts {
        Facts {
            customers: self.customers.iter().copied().collect(),
            audiences: self.limited.iter().copied().collect(),
            ..Facts::default()
        }
    }
}

/// What became of an attempt to write at once.
#[derive(Debug)]
pub enum Tried {
    /// All of it is durable.
    Written,
    /// Nothing is written; what was read.
    Read(Batch, Facts),
    /// Nothing is written, nor read.
    Unread(Batch),
}

/// Keeps a connection for one batch after the other.
#[derive(Debug)]
pub struct Session {
    store: Store,
    kept: Option<PoolConnection<Postgres>>,
}

/// What one batch reads and writes through. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub enum Batch {
    /// SQLite: one transaction, which excludes other writers from its first statement on.
    Exclusive(Transaction),
    /// PostgreSQL: each statement by itself, and what is written in one transaction.
    Optimistic(PoolConnection<Postgres>, Store),
}

impl Session {
    /// On `store`, with nothing kept yet.
    pub fn new(store: Store) -> Self {
        Self { store, kept: None }
    }

    /// Begins a batch.
    ///
    /// # Errors
    /// When the database does not get to it in time.
    pub async fn begin(&mut self) -> Result<Batch, StorageError> {
        if self.store.dialect == Dialect::Sqlite {
            return Ok(Batch::Exclusive(self.store.begin().await?));
        }
        let connection = match self.kept.take() {
            Some(kept) => kept,
            None => self.store.database.get_postgres_connection_pool().acquire().await.map_err(of_driver)?,
        };
        Ok(Batch::Optimistic(connection, self.store.clone()))
    }

    /// Writes what was granted at `now_ms` (milliseconds since 1970-01-01T00:00:00Z) and makes it durable; or, when
    /// nothing was, ends the batch.
    ///
    /// # Errors
    /// Of the database; then nothing is written, unless the connection broke just then. [`StorageError::Conflict`] when
    /// what it was decided from is no longer so.
    pub async fn end(&mut self, batch: Batch, grants: &Grants, now_ms: i64) -> Result<(), StorageError> {
        match batch {
            // What is only replayed is durable already.
            Batch::Exclusive(transaction) if grants.grants.is_empty() => transaction.rollback().await,
            Batch::Exclusive(transaction) => {
                transaction.save(grants, now_ms).await?;
                transaction.commit().await
            }
            Batch::Optimistic(mut connection, store) => {
                if !grants.grants.is_empty() {
                    grants::save(&mut connection, store.dialect, grants, now_ms).await?;
                }
                // Only a connection that did all it was asked to is used again.
                self.kept = Some(connection);
                Ok(())
            }
        }
    }

    /// Whether [`Self::write_or_read`] is worth trying for `wanted`.
    pub fn writes_at_once(&self, wanted: &Wanted) -> bool {
        // A cap that came later may have to be counted first.
        self.store.dialect != Dialect::Citus && wanted.capped.values().all(Option::is_none)
    }

    /// Writes `grants` at `now_ms` (milliseconds since 1970-01-01T00:00:00Z), durably, if the facts are those of
    /// [`Wanted::presumed`], from which they were decided. Else nothing is written: then gives the facts, and the batch
    /// back.
    ///
    /// # Errors
    /// As of [`Self::end`].
    pub async fn write_or_read(
        &mut self,
        mut batch: Batch,
        (wanted, grants): (&Wanted, &Grants),
        now_ms: i64,
    ) -> Result<Tried, StorageError> {
        let found = match &mut batch {
            Batch::Optimistic(connection, _) => {
                match at_once::write_or_read(connection, wanted, grants, now_ms).await {
                    Ok(found) => found,
                    Err(error @ (StorageError::Conflict(_) | StorageError::Disconnected(_))) => return Err(error),
                    // Whether it was the reading or the writing shows when they go one after the other.
                    Err(error) => {
                        tracing::debug!(?error, "not written at once");
                        return Ok(Tried::Unread(batch));
                    }
                }
            }
            Batch::Exclusive(_) => {
                let mut found = batch.find(wanted).await?;
                if found.is_as_presumed(wanted, grants) {
                    None
                } else {
                    found.unread.clone_from(&wanted.earnings);
                    Some(found)
                }
            }
        };
        match (found, batch) {
            (Some(found), mut batch) => {
                let facts = batch.complete(found, wanted, now_ms).await?;
                Ok(Tried::Read(batch, facts))
            }
            (None, Batch::Optimistic(connection, _)) => {
                self.kept = Some(connection);
                Ok(Tried::Written)
            }
            // That no earning is recorded shows now: by its unique key.
            (None, batch) => self.end(batch, grants, now_ms).await.map(|()| Tried::Written),
        }
    }
}

/// An error of the driver as that of the library around it.
pub(super) fn of_driver(error: sqlx::Error) -> StorageError {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))).into()
}

impl Batch {
    /// What is recorded of `wanted`, at `now_ms` (milliseconds since 1970-01-01T00:00:00Z).
    ///
    /// Counts are read before earnings, or at the same moment: a count that another process raised in between belongs
    /// to an earning that is then seen, and never makes a repeat look like one too many.
    ///
    /// # Errors
    /// Of the database.
    pub async fn facts(&mut self, wanted: &Wanted, now_ms: i64) -> Result<Facts, StorageError> {
        let found = match self {
            Self::Optimistic(connection, store) if store.dialect == Dialect::Postgres => {
                at_once::read(connection, wanted).await?
            }
            _ => Found { unread: wanted.earnings.clone(), ..self.find(wanted).await? },
        };
        self.complete(found, wanted, now_ms).await
    }

    /// Everything but earnings, one kind after the other.
    async fn find(&mut self, wanted: &Wanted) -> Result<Found, StorageError> {
        let mut found = Found::default();
        if !wanted.customers.is_empty() {
            let keys: Vec<_> = wanted.customers.iter().copied().collect();
            for row in self.look_up(CUSTOMERS, of_customers(&wanted.customers)).await? {
                found.customers.insert(*of_row(&keys, &row)?);
            }
        }
        if !wanted.limited.is_empty() {
            let keys: Vec<_> = wanted.limited.iter().copied().collect();
            for row in self.look_up(AUDIENCES, holders(&keys)).await? {
                found.audiences.insert(*of_row(&keys, &row)?);
            }
        }
        if !wanted.capped.is_empty() {
            let keys: Vec<_> = wanted.capped.keys().copied().collect();
            for row in self.look_up(USAGE, holders(&keys)).await? {
                let used = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
                found.usage.insert(*of_row(&keys, &row)?, used);
            }
        }
        Ok(found)
    }

    async fn look_up(&mut self, lookup: Lookup, rows: Rows<'_>) -> Result<Vec<QueryResult>, StorageError> {
        match self {
            Self::Exclusive(transaction) => statement::query(&transaction.0, &lookup.body(transaction.1), rows).await,
            Self::Optimistic(connection, store) => {
                let found = rows.query(&lookup.body(store.dialect)).fetch_all(&mut **connection).await;
                Ok(found.map_err(of_driver)?.into_iter().map(QueryResult::from).collect())
            }
        }
    }

    /// The facts of what was found, and of what is still to be read.
    async fn complete(&mut self, mut found: Found, wanted: &Wanted, now_ms: i64) -> Result<Facts, StorageError> {
        let unsure = |(key, since_ms): (&Holder, &Option<i64>)| {
            let counted_at = found.usage.get(key).map(|(_, counted_at)| *counted_at);
            (*since_ms).filter(|since_ms| counted_at.is_none_or(|at| at < since_ms + UNCOUNTED_FOR_MS)).map(|_| *key)
        };
        let uncounted: Vec<_> = wanted.capped.iter().filter_map(unsure).collect();
        let mut used: HashMap<_, _> = found.usage.iter().map(|(key, (used, _))| (*key, count(*used))).collect();
        if !uncounted.is_empty() {
            used.extend(self.count_anew(&uncounted, now_ms).await?);
        }
        let keys: Vec<_> = found.unread.iter().collect();
        if !keys.is_empty() {
            let rows = of_events(&keys)
                .ids("promotion_id", keys.iter().map(|key| key.promotion_id))
                .texts("earned_from_id", keys.iter().map(|key| &*key.earned_from_id));
            for row in self.look_up(EARNINGS, rows).await? {
                found.instances.insert(earning_key(of_row(&keys, &row)?, &row)?, row);
            }
        }
        let earnings = earnings(found.instances)?;
        Ok(Facts { earnings, used, audiences: found.audiences, customers: found.customers })
    }

    async fn count_anew(&mut self, keys: &[Holder], now_ms: i64) -> Result<BTreeMap<Holder, u32>, StorageError> {
        match self {
            Self::Exclusive(transaction) => transaction.count_anew(keys, now_ms).await,
            Self::Optimistic(_, store) => {
                let transaction = store.begin().await?;
                let used = transaction.count_anew(keys, now_ms).await?;
                transaction.commit().await?;
                Ok(used)
            }
        }
    }
}

/// What is recorded of each earning. By key and ordinal, the first instance of one comes first, and has its payload.
fn earnings(
    instances: BTreeMap<(EarningKey, i64), QueryResult>,
) -> Result<HashMap<EarningKey, RecordedEarning>, StorageError> {
    let mut earnings: HashMap<EarningKey, RecordedEarning> = HashMap::new();
    for ((key, _), row) in instances {
        let instance = Instance {
            earn_id: object_id(&row.try_get_by_index::<String>(7)?)?,
            valid_till_ms: row.try_get_by_index(3)?,
        };
        if let Some(earning) = earnings.get_mut(&key) {
            earning.instances.push(instance);
            continue;
        }
        let earned_from_type: String = row.try_get_by_index(8)?;
        let event_payload: Option<String> = row.try_get_by_index(9)?;
        let earning = RecordedEarning {
            earned_from_type: EarnedFromType::from_name(&earned_from_type)
                .ok_or_else(|| StorageError::Corrupt(format!("earned_from_type {earned_from_type:?}")))?,
            event_time_ms: row.try_get_by_index(4)?,
            event_payload: event_payload.map(Into::into),
            instances: vec![instance],
        };
        earnings.insert(key, earning);
    }
    Ok(earnings)
}

impl Transaction {
    /// Counts what these customers hold of promotions that were capped later than they were first earned.
    async fn count_anew(&self, keys: &[Holder], now_ms: i64) -> Result<BTreeMap<Holder, u32>, StorageError> {
        statement::execute(&self.0, LOCK_USAGE, holders(keys)).await?;
        // A statement of its own, so that it sees what was committed before the locks were had.
        let mut used: BTreeMap<_, _> = keys.iter().map(|key| (*key, 0)).collect();
        for row in statement::query(&self.0, &COUNT.body(self.1), holders(keys)).await? {
            used.insert(*of_row(keys, &row)?, count(row.try_get_by_index(1)?));
        }
        let rows = holders(keys)
            .integers("used", used.values().map(|used| i64::from(*used)))
            .integers("counted_at_ms", keys.iter().map(|_| now_ms));
        statement::execute(&self.0, SET_USAGE, rows).await?;
        Ok(used)
    }
}

/// The holders as rows of a statement.
pub(super) fn holders<'a>(keys: impl IntoIterator<Item = &'a Holder, IntoIter: Clone>) -> Rows<'static> {
    let keys = keys.into_iter();
    Rows::default()
        .integers("org_id", keys.clone().map(|key| key.org_id.0))
        .integers("customer_id", keys.clone().map(|key| key.customer_id.0))
        .ids("promotion_id", keys.map(|key| key.promotion_id))
}

/// The customers as rows of a statement.
pub(super) fn of_customers<'a>(
    keys: impl IntoIterator<Item = &'a (OrgId, CustomerId), IntoIter: Clone>,
) -> Rows<'static> {
    let keys = keys.into_iter();
    Rows::default().integers("org_id", keys.clone().map(|key| key.0.0)).integers("customer_id", keys.map(|key| key.1.0))
}

/// The events of these earnings as rows of a statement.
pub(super) fn of_events<'a>(keys: &[&'a EarningKey]) -> Rows<'a> {
    Rows::default()
        .integers("org_id", keys.iter().map(|key| key.org_id.0))
        .integers("customer_id", keys.iter().map(|key| key.customer_id.0))
        .texts("event_id", keys.iter().map(|key| &*key.event_id))
}

/// The earning of a row that was found for `wanted` or its event, and the ordinal of the instance.
pub(super) fn earning_key(wanted: &EarningKey, row: &QueryResult) -> Result<(EarningKey, i64), StorageError> {
    let key = EarningKey {
        promotion_id: object_id(&row.try_get_by_index::<String>(5)?)?,
        earned_from_id: row.try_get_by_index::<String>(6)?.into(),
        ..wanted.clone()
    };
    Ok((key, row.try_get_by_index(2)?))
}

/// The key that a row answers: its first column is the key's place in the statement's list.
pub(super) fn of_row<'a, K>(keys: &'a [K], row: &QueryResult) -> Result<&'a K, StorageError> {
    let place: i64 = row.try_get_by_index(0)?;
    usize::try_from(place - 1)
        .ok()
        .and_then(|place| keys.get(place))
        .ok_or_else(|| StorageError::Corrupt(format!("place {place} in a list of {}", keys.len())))
}

pub(super) fn object_id(text: &str) -> Result<ObjectId, StorageError> {
    ObjectId::parse(text).ok_or_else(|| StorageError::Corrupt(format!("id {text:?}")))
}

fn count(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::{ConnectionTrait, DbBackend};

    use crate::storage::StoreOptions;

    /// How SQLite goes about a statement.
    async fn plan(lookup: Lookup, rows: Rows<'_>) -> String {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("x.db").display());
        let timeout = std::time::Duration::from_secs(5);
        let options = StoreOptions { max_connections: 1, timeout, statement_timeout: None };
        let store = Store::open(&url, options).await.unwrap();
        store.migrate().await.unwrap();
        let mut statement = rows.statement(DbBackend::Sqlite, &lookup.body(Dialect::Sqlite));
        statement.sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
        let rows = store.database.query_all_raw(statement).await.unwrap();
        let lines = rows.iter().map(|row| row.try_get_by_index::<String>(3).unwrap());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[tokio::test]
    async fn what_a_batch_reads_is_searched_by_its_whole_key_and_never_scanned() {
        let key = "org_id=? AND customer_id=? AND promotion_id=?";
        for (lookup, search) in [
            (CUSTOMERS, "SEARCH t USING PRIMARY KEY (org_id=? AND customer_id=?)".to_owned()),
            (AUDIENCES, format!("SEARCH t USING PRIMARY KEY ({key})")),
            (USAGE, format!("SEARCH t USING PRIMARY KEY ({key})")),
            (
                COUNT,
                "SEARCH t USING COVERING INDEX earned_promotions_earning_key (org_id=? AND customer_id=?)".to_owned(),
            ),
            (
                EARNINGS,
"SEARCH t USING INDEX earned_promotions_earning_key (org_id=? AND customer_id=? AND event_id=? AND promotion_id=? AND earned_from_id=?)".to_owned(),
            ),
        ] {
            let rows = holders(&[]).texts("event_id", []).texts("earned_from_id", []);
            let plan = plan(lookup, rows).await;
            assert!(plan.contains(&search), "{lookup:?}\n{plan}");
            assert_eq!(plan.matches("SCAN").count(), 1, "the list alone is scanned: {plan}");
        }
    }
}
