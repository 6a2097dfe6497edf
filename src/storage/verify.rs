//! Recounting the wallet: what must never be untrue, asked of the database as a whole.
//!
//! Every question is asked in one snapshot, beside the service's writes. A question answers with what breaks it, in
//! words, at most [`MAX_BREACHES`].

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, DbBackend, IsolationLevel, Statement, TransactionOptions,
    TransactionTrait,
};

use super::entity::org;
use super::entity::stored::Id;
use super::{StorageError, Store};
use crate::earning::{CustomerId, ObjectId, OrgId};

/// Breaches of one kind that are named; more are not looked for.
pub const MAX_BREACHES: usize = 100;
/// Earned promotions that are read at once.
const PAGE_ROWS: usize = 10_000;

const REPEATED_EARN_IDS: &str = "
    SELECT 'earn id ' || earn_id || ' is given ' || count(*) || ' times' AS breach
    FROM earned_promotions GROUP BY earn_id HAVING count(*) > 1";

const UNEVEN_EARNINGS: &str = "
    SELECT 'the earning of organization ' || org_id || ', customer ' || customer_id || ', promotion ' || promotion_id
        || ', event ' || event_id || ', earned from ' || earned_from_id || ' has ' || count(*) || ' instances, '
        || count(DISTINCT ordinal) || ' of them different, numbered ' || min(ordinal) || ' to ' || max(ordinal)
        || ', of types ' || min(earned_from_type) || ' to ' || max(earned_from_type)
        || ' and event times ' || min(event_time_ms) || ' to ' || max(event_time_ms) AS breach
    FROM earned_promotions
    GROUP BY org_id, customer_id, promotion_id, event_id, earned_from_id
    HAVING min(ordinal) <> 1 OR max(ordinal) <> count(*) OR count(DISTINCT ordinal) <> count(*)
        OR min(earned_from_type) <> max(earned_from_type) OR min(event_time_ms) <> max(event_time_ms)";

const MISCOUNTED: &str = "
    SELECT 'customer ' || e.customer_id || ' of organization ' || e.org_id || ' holds ' || count(*) || ' of promotion '
        || e.promotion_id || ', and ' || coalesce(u.used, 0) || ' are counted under its cap' AS breach
    FROM earned_promotions AS e JOIN promotions AS p ON p.org_id = e.org_id AND p.id = e.promotion_id
    LEFT JOIN cap_usage AS u
      ON u.org_id = e.org_id AND u.customer_id = e.customer_id AND u.promotion_id = e.promotion_id
        AND u.cap_period = p.cap_period
    WHERE p.max_earning_per_customer IS NOT NULL AND e.earned_status <> 'REVOKED'
      AND (p.cap_period = 0 OR u.used IS NOT NULL)
    GROUP BY e.org_id, e.customer_id, e.promotion_id, u.used
    HAVING count(*) <> coalesce(u.used, 0)";

const COUNTED_FOR_NOTHING: &str = "
    SELECT 'customer ' || u.customer_id || ' of organization ' || u.org_id || ' holds none of promotion '
        || u.promotion_id || ', and ' || u.used || ' are counted under its cap' AS breach
    FROM cap_usage AS u JOIN promotions AS p ON p.org_id = u.org_id AND p.id = u.promotion_id
    WHERE u.used > 0 AND p.max_earning_per_customer IS NOT NULL AND u.cap_period = p.cap_period AND NOT EXISTS (
        SELECT 1 FROM earned_promotions AS e
        WHERE e.org_id = u.org_id AND e.customer_id = u.customer_id AND e.promotion_id = u.promotion_id
            AND e.earned_status <> 'REVOKED')";

/// Each put together by itself first: on Citus the two are in different places.
const TRANSACTIONS: &str = "
    WITH spent AS MATERIALIZED (
        SELECT org_id, customer_id, transaction_identifier, count(*) AS instances
        FROM earned_promotions WHERE earned_status = 'REDEEMED'
        GROUP BY org_id, customer_id, transaction_identifier),
    recorded AS MATERIALIZED (
        SELECT org_id, customer_id, transaction_identifier, max(instances) AS instances
        FROM redemptions GROUP BY org_id, customer_id, transaction_identifier)";

const REDEEMED_BY_NOTHING: &str = "
    {transactions} SELECT e.instances || ' earned promotions of customer ' || e.customer_id || ' of organization '
        || e.org_id || ' are redeemed by transaction ' || e.transaction_identifier
        || ', which is not recorded for them' AS breach
    FROM spent AS e LEFT JOIN recorded AS r
      ON r.org_id = e.org_id AND r.customer_id = e.customer_id AND r.transaction_identifier = e.transaction_identifier
    WHERE r.org_id IS NULL";

const UNEVEN_REDEMPTIONS: &str = "
    {transactions} SELECT 'transaction ' || r.transaction_identifier || ' of organization ' || r.org_id || ' redeemed '
        || r.instances || ' earned promotions, and the wallet has ' || coalesce(e.instances, 0) || ' of it' AS breach
    FROM recorded AS r LEFT JOIN spent AS e
      ON e.org_id = r.org_id AND e.customer_id = r.customer_id AND e.transaction_identifier = r.transaction_identifier
    WHERE r.instances <> coalesce(e.instances, 0)";

/// As the checks of the table have it; for what was written around them.
const UNEVEN_STATUSES: &str = "
    SELECT 'earned promotion ' || earn_id || ' of customer ' || customer_id || ' of organization ' || org_id
        || ' is ' || earned_status || ', changed ' || CASE WHEN changed_at_ms IS NULL THEN 'never' ELSE 'once' END
        || ', by transaction ' || coalesce(transaction_identifier, 'none') AS breach
    FROM earned_promotions
    WHERE (earned_status <> 'UNLOCKED') <> (changed_at_ms IS NOT NULL)
        OR (earned_status = 'REDEEMED') <> (transaction_identifier IS NOT NULL)";

const PAGE: &str = "
    SELECT earn_id, customer_id, promotion_id, event_time_ms, valid_till_ms, granted_at_ms
    FROM earned_promotions
    WHERE org_id = $1 AND (earn_id, customer_id) > ($2, $3) AND earn_id >= ''
    ORDER BY earn_id, customer_id LIMIT $4";

/// A question that answers with breaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Is an earn id given more than once?
    EarnIds,
    /// Has an earning instances other than 1 to n, or several types or event times?
    Earnings,
    /// Are the counts under caps those of the wallet?
    Counts,
    /// Is everything that is redeemed redeemed by a transaction that is recorded, and the other way round?
    Redemptions,
}

/// What verification reads of an earned promotion.
#[derive(Debug, Clone)]
pub struct EarnedRow {
    /// Its id.
    pub earn_id: ObjectId,
    /// Who holds it.
    pub customer_id: CustomerId,
    /// Of which promotion it is.
    pub promotion_id: ObjectId,
    /// When its event occurred, milliseconds since 1970-01-01T00:00:00Z.
    pub event_time_ms: i64,
    /// Last millisecond at which it is valid, since 1970-01-01T00:00:00Z.
    pub valid_till_ms: i64,
    /// When it was granted, milliseconds since 1970-01-01T00:00:00Z.
    pub granted_at_ms: i64,
}

/// The database as it is at one moment.
#[derive(Debug)]
pub struct Snapshot(DatabaseTransaction);

impl Store {
    /// The database as it is now.
    ///
    /// # Errors
    /// Of the database.
    pub async fn snapshot(&self) -> Result<Snapshot, StorageError> {
        let options = match self.reads.get_database_backend() {
            DbBackend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..Default::default()
            },
            // Every transaction of SQLite reads one snapshot.
            _ => TransactionOptions::default(),
        };
        Ok(Snapshot(self.reads.begin_with_options(options).await?))
    }
}

impl Snapshot {
    /// What breaks the rule.
    ///
    /// # Errors
    /// Of the database.
    pub async fn breaches(&self, question: Question) -> Result<Vec<String>, StorageError> {
        let statements: &[&str] = match question {
            Question::EarnIds => &[REPEATED_EARN_IDS],
            Question::Earnings => &[UNEVEN_EARNINGS],
            Question::Counts => &[MISCOUNTED, COUNTED_FOR_NOTHING],
            Question::Redemptions => &[UNEVEN_STATUSES, REDEEMED_BY_NOTHING, UNEVEN_REDEMPTIONS],
        };
        let mut breaches = Vec::new();
        for sql in statements {
            let sql = sql.replace("{transactions}", TRANSACTIONS);
            let sql = format!("{sql} LIMIT {MAX_BREACHES}");
            for row in self.0.query_all_raw(Statement::from_string(self.0.get_database_backend(), sql)).await? {
                breaches.push(row.try_get("", "breach")?);
            }
        }
        Ok(breaches)
    }

    /// How many earned promotions there are.
    ///
    /// # Errors
    /// Of the database.
    pub async fn earned(&self) -> Result<u64, StorageError> {
        let sql = "SELECT count(*) AS earned FROM earned_promotions";
        let row = self.0.query_one_raw(Statement::from_string(self.0.get_database_backend(), sql)).await?;
        let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "earned"))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Every organization.
    ///
    /// # Errors
    /// Of the database.
    pub async fn org_ids(&self) -> Result<Vec<OrgId>, StorageError> {
        Ok(org::ids(&self.0).await?)
    }

    /// The catalogue of an organization.
    ///
    /// # Errors
    /// Of the database.
    pub async fn catalogue(&self, org_id: OrgId) -> Result<Option<crate::earning::Catalogue>, StorageError> {
        super::catalog::load(&self.0, org_id).await
    }

    /// Earned promotions of an organization in the order of their ids, those after `after`; empty at the end.
    ///
    /// # Errors
    /// Of the database.
    pub async fn page(&self, org_id: OrgId, after: Option<&EarnedRow>) -> Result<Vec<EarnedRow>, StorageError> {
        let (earn_id, customer_id) =
            after.map_or((String::new(), 0), |row| (row.earn_id.to_string(), row.customer_id.0));
        let values = [org_id.0.into(), earn_id.into(), customer_id.into(), (PAGE_ROWS as u64).into()];
        let statement = Statement::from_sql_and_values(self.0.get_database_backend(), PAGE, values);
        let mut page = Vec::new();
        for row in self.0.query_all_raw(statement).await? {
            page.push(EarnedRow {
                earn_id: row.try_get::<Id>("", "earn_id")?.0,
                customer_id: CustomerId(row.try_get("", "customer_id")?),
                promotion_id: row.try_get::<Id>("", "promotion_id")?.0,
                event_time_ms: row.try_get("", "event_time_ms")?,
                valid_till_ms: row.try_get("", "valid_till_ms")?,
                granted_at_ms: row.try_get("", "granted_at_ms")?,
            });
        }
        Ok(page)
    }
}
