//! Reading what a batch depends on: who is a customer, who is in an audience, what is counted under a cap, and what is
//! recorded of the earnings that it names.
//!
//! PostgreSQL answers all of it in one statement; SQLite, and Citus, one kind after the other. Nothing that is read is
//! locked: see `wallet`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use foldhash::{HashMap, HashSet};
use sea_orm::QueryResult;
use sea_orm::sqlx::postgres::PgConnection;

use super::org_owned::{Insertion, Lookup, Present, Table};
use super::statement::{Dialect, Rows, query_of_lists};
use super::wallet::{Batch, Grants, Wanted, of_driver};
use super::{StorageError, Transaction, statement};
use crate::earning::change::RecordedStatus;
use crate::earning::{
    CustomerId, Details, EarnedFromType, EarningKey, Facts, Holder, Instance, ObjectId, OrgId, ProgramType,
    RecordedEarning, SupplementaryCriteria,
};

/// Instances that an event earned its customer, up to which all of them are read for a batch that names some: a caller
/// may use one event for everything it ever grants.
const MAX_OF_AN_EVENT: usize = 100;

/// What a row tells of.
const CUSTOMER: i64 = 1;
const AUDIENCE: i64 = 2;
const USED: i64 = 3;
const EARNED: i64 = 4;

/// How long after a promotion was given a cap a process may still grant without counting, because it has not heard of
/// it: a second, and the time of a transaction; with room for clocks that differ. Milliseconds.
pub const UNCOUNTED_FOR_MS: i64 = 60_000;

pub(super) const CUSTOMERS: Lookup = Lookup { key: &["customer_id"], ..Lookup::of(Table::Customers) };

pub(super) const AUDIENCES: Lookup = Lookup { key: &HOLDER, ..Lookup::of(Table::Audiences) };

const USAGE: Lookup = Lookup { answers: "3, t.used, t.counted_at_ms", key: &HOLDER, ..Lookup::of(Table::CapUsage) };

/// In the order of the listing, so that no engine takes another index, which begins with more than the customer. Its
/// condition is the first one.
const COUNT: Lookup = Lookup {
    answers: "count(*)",
    index: Some("earned_promotions_listing"),
    key: &HOLDER,
    condition: "t.earned_status <> '' AND t.earned_status <> 'REVOKED'",
    order: "ORDER BY t.earned_status, t.valid_till_ms DESC, t.earn_id",
    rest: "GROUP BY wanted.place",
    ..Lookup::of(Table::EarnedPromotions)
};

pub(super) const EARNINGS: Lookup = Lookup {
    answers: "CAST(4 AS bigint) AS kind, t.ordinal, t.valid_till_ms, t.event_time_ms, t.promotion_id, t.earned_from_id, t.earn_id, \
              t.earned_from_type, t.earned_status, t.event_type, t.event_payload, t.supplementary_criteria",
    index: Some(EARNING_KEY),
    key: &["customer_id", "event_id", "promotion_id", "earned_from_id"],
    ..Lookup::of(Table::EarnedPromotions)
};

const HOLDER: [&str; 2] = ["customer_id", "promotion_id"];
const EARNING_KEY: &str = "earned_promotions_earning_key";

/// In one statement all rows have the same columns: behind the place of what was wanted and the kind, three integers and
/// eight texts. Parts that a batch has no use for are left out, as the engine would prepare to run them nevertheless.
const EVENTS: Lookup = Lookup { key: &["customer_id", "event_id"], most: Some(MAX_OF_AN_EVENT + 1), ..EARNINGS };
const AT_ONCE: [(&str, Lookup); 4] = [
    ("the_events", EVENTS),
    ("the_customers", Lookup { answers: "1, 0, 0, 0, '', '', '', '', '', '', '', ''", ..CUSTOMERS }),
    ("the_audiences", Lookup { answers: "2, 0, 0, 0, '', '', '', '', '', '', '', ''", ..AUDIENCES }),
    ("the_usage", Lookup { answers: "3, t.used, t.counted_at_ms, 0, '', '', '', '', '', '', '', ''", ..USAGE }),
];

/// The statements, for each choice of what is wanted besides events.
static TEXTS: [OnceLock<String>; 8] = [const { OnceLock::new() }; 8];

/// Locks the rows, making those that are not there: until the transaction ends nobody else can add to them.
const LOCK_USAGE: Insertion<'_> = Insertion {
    table: Table::CapUsage,
    columns: USAGE_COLUMNS,
    values: "customer_id, promotion_id, 0, 0, 0",
    present: Present::Changed { key: USAGE_KEY, set: "cap = {table}.cap" },
    rest: "",
};

const SET_USAGE: Insertion<'_> = Insertion {
    values: "customer_id, promotion_id, used, used, counted_at_ms",
    present: Present::Changed {
        key: USAGE_KEY,
        set: "used = excluded.used, cap = excluded.cap, counted_at_ms = excluded.counted_at_ms",
    },
    ..LOCK_USAGE
};

pub(super) const USAGE_COLUMNS: &str = "customer_id, promotion_id, used, cap, counted_at_ms";
pub(super) const USAGE_KEY: &str = "customer_id, promotion_id";

/// What was read of what is wanted, and by which places.
#[derive(Debug)]
struct Reading<'a> {
    wanted: &'a Wanted,
    /// One earning of each event that is wanted.
    events: Vec<&'a EarningKey>,
    customers: Vec<(OrgId, CustomerId)>,
    limited: Vec<Holder>,
    capped: Vec<Holder>,
    known: HashSet<(OrgId, CustomerId)>,
    audiences: HashSet<Holder>,
    /// How many are used, and when that was counted last.
    usage: HashMap<Holder, (i64, i64)>,
    /// Earned promotions, by earning and ordinal.
    instances: BTreeMap<(EarningKey, i64), QueryResult>,
    /// Earnings that were not looked for yet.
    unread: BTreeSet<EarningKey>,
}

impl<'a> Reading<'a> {
    fn of(wanted: &'a Wanted) -> Self {
        let mut events: Vec<_> = wanted.earnings.iter().collect();
        // Side by side: the event comes early in the key.
        events.dedup_by(|one, other| one.event() == other.event());
        Self {
            wanted,
            events,
            customers: wanted.customers.iter().copied().collect(),
            limited: wanted.limited.iter().copied().collect(),
            capped: wanted.capped.keys().copied().collect(),
            known: HashSet::default(),
            audiences: HashSet::default(),
            usage: HashMap::default(),
            instances: BTreeMap::new(),
            unread: BTreeSet::new(),
        }
    }

    /// Takes in a row of this kind; of an earned promotion, what it was looked up by is to be told.
    fn add(&mut self, kind: i64, row: &QueryResult) -> Result<(), StorageError> {
        match kind {
            CUSTOMER => drop(self.known.insert(*of_row(&self.customers, row)?)),
            AUDIENCE => drop(self.audiences.insert(*of_row(&self.limited, row)?)),
            USED => {
                let used = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
                self.usage.insert(*of_row(&self.capped, row)?, used);
            }
            kind => return Err(StorageError::Corrupt(format!("a fact of kind {kind}"))),
        }
        Ok(())
    }

    /// Takes in the instances of an event, at most one more than are read of one.
    fn add_event(&mut self, rows: Vec<QueryResult>) -> Result<(), StorageError> {
        let Some(event) = rows.first().map(|row| of_row(&self.events, row).copied()).transpose()? else {
            return Ok(());
        };
        if rows.len() > MAX_OF_AN_EVENT {
            let of_it = self.wanted.earnings.iter().filter(|key| key.event() == event.event());
            self.unread.extend(of_it.cloned());
            return Ok(());
        }
        for row in rows {
            let key = earning_key(event, &row)?;
            if self.wanted.earnings.contains(&key.0) {
                self.instances.insert(key, row);
            }
        }
        Ok(())
    }
}

/// Reads all that is wanted in one statement.
async fn read_at_once(connection: &mut PgConnection, reading: &mut Reading<'_>) -> Result<(), StorageError> {
    let wanted = reading.wanted;
    let [of_event, of_customer, of_audience, of_usage] = AT_ONCE.map(|(list, _)| list);
    let mut lists = vec![(of_event, of_events(&reading.events))];
    let mut text = 0;
    if !wanted.customers.is_empty() {
        text |= 1;
        lists.push((of_customer, of_customers(&wanted.customers)));
    }
    if !wanted.limited.is_empty() {
        text |= 2;
        lists.push((of_audience, holders(&wanted.limited)));
    }
    if !wanted.capped.is_empty() {
        text |= 4;
        lists.push((of_usage, holders(wanted.capped.keys())));
    }
    let read = query_of_lists(&TEXTS[text], lists, |lists| {
        let wanted = AT_ONCE.iter().filter(|(name, _)| lists.iter().any(|(list, _)| list == name));
        wanted.map(|(list, lookup)| lookup.body_of(list, Dialect::Postgres)).collect::<Vec<_>>().join(" UNION ALL ")
    });
    let mut of_event: BTreeMap<i64, Vec<QueryResult>> = BTreeMap::new();
    for row in read.fetch_all(connection).await.map_err(of_driver)? {
        let row = QueryResult::from(row);
        match row.try_get_by_index(1)? {
            EARNED => of_event.entry(row.try_get_by_index(0)?).or_default().push(row),
            kind => reading.add(kind, &row)?,
        }
    }
    of_event.into_values().try_for_each(|rows| reading.add_event(rows))
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
        let mut reading = Reading::of(wanted);
        match self {
            Self::Statements(connection, _) => read_at_once(connection, &mut reading).await?,
            Self::Transaction(_) => {
                self.read_one_by_one(&mut reading).await?;
                reading.unread.clone_from(&wanted.earnings);
            }
        }
        self.complete(reading, now_ms).await
    }

    /// Whether every customer of `wanted` is known, all are in the audiences, and the counts have room for what is
    /// added.
    pub(super) async fn is_as_presumed(&mut self, wanted: &Wanted, grants: &Grants) -> Result<bool, StorageError> {
        let mut reading = Reading::of(wanted);
        self.read_one_by_one(&mut reading).await?;
        let fits = |(holder, (granted, cap)): (&Holder, &(u32, u32))| {
            let used = reading.usage.get(holder).map_or(0, |(used, _)| *used);
            used + i64::from(*granted) <= i64::from(*cap)
        };
        let all_in = reading.known.len() == wanted.customers.len() && reading.audiences.len() == wanted.limited.len();
        Ok(all_in && grants.under_cap.iter().all(fits))
    }

    /// Everything but earnings, one kind after the other.
    async fn read_one_by_one(&mut self, reading: &mut Reading<'_>) -> Result<(), StorageError> {
        let wanted = reading.wanted;
        let lists = [
            (CUSTOMER, CUSTOMERS, of_customers(&wanted.customers)),
            (AUDIENCE, AUDIENCES, holders(&wanted.limited)),
            (USED, USAGE, holders(wanted.capped.keys())),
        ];
        for (kind, lookup, rows) in lists {
            for row in self.look_up(lookup, rows).await? {
                reading.add(kind, &row)?;
            }
        }
        Ok(())
    }

    async fn look_up(&mut self, lookup: Lookup, rows: Rows<'_>) -> Result<Vec<QueryResult>, StorageError> {
        match self {
            Self::Transaction(transaction) => transaction.look_up(lookup, rows).await,
            Self::Statements(..) if rows.is_empty() => Ok(Vec::new()),
            Self::Statements(connection, _) => {
                let found = rows.query(&lookup.body(Dialect::Postgres)).fetch_all(&mut **connection).await;
                Ok(found.map_err(of_driver)?.into_iter().map(QueryResult::from).collect())
            }
        }
    }

    /// The facts of what was read, and of what is still to be read.
    async fn complete(&mut self, mut reading: Reading<'_>, now_ms: i64) -> Result<Facts, StorageError> {
        let unsure = |(key, since_ms): (&Holder, &Option<i64>)| {
            let counted_at = reading.usage.get(key).map(|(_, counted_at)| *counted_at);
            (*since_ms).filter(|since_ms| counted_at.is_none_or(|at| at < since_ms + UNCOUNTED_FOR_MS)).map(|_| *key)
        };
        let uncounted: Vec<_> = reading.wanted.capped.iter().filter_map(unsure).collect();
        let mut used: HashMap<_, _> = reading.usage.iter().map(|(key, (used, _))| (*key, count(*used))).collect();
        if !uncounted.is_empty() {
            used.extend(self.count_anew(&uncounted, now_ms).await?);
        }
        let keys: Vec<_> = reading.unread.iter().collect();
        for row in self.look_up(EARNINGS, of_earnings(&keys)).await? {
            reading.instances.insert(earning_key(of_row(&keys, &row)?, &row)?, row);
        }
        let earnings = earnings(reading.instances)?;
        let each_named_once = reading.wanted.each_named_once;
        Ok(Facts { earnings, each_named_once, used, audiences: reading.audiences, customers: reading.known })
    }

    async fn count_anew(&mut self, keys: &[Holder], now_ms: i64) -> Result<BTreeMap<Holder, u32>, StorageError> {
        match self {
            Self::Transaction(transaction) => transaction.count_anew(keys, now_ms).await,
            Self::Statements(_, store) => {
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
    let mut earnings: HashMap<EarningKey, RecordedEarning> = HashMap::default();
    for ((key, _), row) in instances {
        let instance = Instance {
            earn_id: object_id(&row.try_get_by_index::<String>(7)?)?,
            valid_till_ms: row.try_get_by_index(3)?,
            revoked: row.try_get_by_index::<String>(9)? == RecordedStatus::Revoked.name(),
        };
        if let Some(earning) = earnings.get_mut(&key) {
            earning.instances.push(instance);
            continue;
        }
        let earning = RecordedEarning {
            earned_from_type: named(&row.try_get_by_index::<String>(8)?, EarnedFromType::from_name)?,
            event_time_ms: row.try_get_by_index(4)?,
            details: details(&row, 10)?.shared(),
            instances: vec![instance],
        };
        earnings.insert(key, earning);
    }
    Ok(earnings)
}

impl Transaction {
    /// What is found for the rows; nothing is asked for none.
    pub(super) async fn look_up(&self, lookup: Lookup, rows: Rows<'_>) -> Result<Vec<QueryResult>, StorageError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        statement::query(&self.0, &lookup.body(self.1), rows).await
    }

    /// Counts what these customers hold of promotions that were capped later than they were first earned.
    async fn count_anew(&self, keys: &[Holder], now_ms: i64) -> Result<BTreeMap<Holder, u32>, StorageError> {
        statement::execute(&self.0, &LOCK_USAGE.body(), holders(keys)).await?;
        // A statement of its own, so that it sees what was committed before the locks were had.
        let mut used: BTreeMap<_, _> = keys.iter().map(|key| (*key, 0)).collect();
        for row in statement::query(&self.0, &COUNT.body(self.1), holders(keys)).await? {
            used.insert(*of_row(keys, &row)?, count(row.try_get_by_index(1)?));
        }
        let rows = holders(keys)
            .integers("used", used.values().map(|used| i64::from(*used)))
            .integers("counted_at_ms", keys.iter().map(|_| now_ms));
        statement::execute(&self.0, &SET_USAGE.body(), rows).await?;
        Ok(used)
    }
}

/// The holders as rows of a statement.
pub(super) fn holders<'a>(keys: impl IntoIterator<Item = &'a Holder, IntoIter: Clone>) -> Rows<'static> {
    let keys = keys.into_iter();
    Rows::of_orgs(keys.clone().map(|key| key.org_id))
        .integers("customer_id", keys.clone().map(|key| key.customer_id.0))
        .ids("promotion_id", keys.map(|key| key.promotion_id))
}

/// The customers as rows of a statement.
pub(super) fn of_customers<'a>(
    keys: impl IntoIterator<Item = &'a (OrgId, CustomerId), IntoIter: Clone>,
) -> Rows<'static> {
    let keys = keys.into_iter();
    Rows::of_orgs(keys.clone().map(|key| key.0)).integers("customer_id", keys.map(|key| key.1.0))
}

/// The events of these earnings as rows of a statement.
fn of_events<'a>(keys: &[&'a EarningKey]) -> Rows<'a> {
    Rows::of_orgs(keys.iter().map(|key| key.org_id))
        .integers("customer_id", keys.iter().map(|key| key.customer_id.0))
        .texts("event_id", keys.iter().map(|key| &*key.event_id))
}

/// These earnings as rows of a statement.
pub(super) fn of_earnings<'a>(keys: &[&'a EarningKey]) -> Rows<'a> {
    of_events(keys)
        .ids("promotion_id", keys.iter().map(|key| key.promotion_id))
        .texts("earned_from_id", keys.iter().map(|key| &*key.earned_from_id))
}

/// The earning of a row that was found for `wanted` or its event, and the ordinal of the instance.
fn earning_key(wanted: &EarningKey, row: &QueryResult) -> Result<(EarningKey, i64), StorageError> {
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

/// The value of this name.
pub(super) fn named<T>(name: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<T, StorageError> {
    from_name(name).ok_or_else(|| StorageError::Corrupt(format!("the name {name:?}")))
}

/// The details of an earning: event type, payload and programme, in the columns from `first` on.
pub(super) fn details(row: &QueryResult, first: usize) -> Result<Details, StorageError> {
    let text = |column| Ok::<_, StorageError>(row.try_get_by_index::<Option<String>>(first + column)?);
    Ok(Details {
        event_type: text(0)?.map(Into::into),
        event_payload: text(1)?.map(Into::into),
        supplementary_criteria: text(2)?.as_deref().map(read_criteria).transpose()?,
    })
}

/// A supplementary programme as a text of the wallet: its three parts with a space between them.
pub(super) fn write_criteria(criteria: SupplementaryCriteria) -> String {
    let SupplementaryCriteria { loyalty_program_id, program_type, partner_program_id } = criteria;
    format!("{loyalty_program_id} {} {partner_program_id}", program_type.name())
}

fn read_criteria(text: &str) -> Result<SupplementaryCriteria, StorageError> {
    let corrupt = || StorageError::Corrupt(format!("supplementary_criteria {text:?}"));
    let [loyalty, kind, partner] = text.split(' ').collect::<Vec<_>>()[..] else { return Err(corrupt()) };
    Ok(SupplementaryCriteria {
        loyalty_program_id: loyalty.parse().map_err(|_| corrupt())?,
        program_type: ProgramType::from_name(kind).ok_or_else(corrupt)?,
        partner_program_id: partner.parse().map_err(|_| corrupt())?,
    })
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

    use crate::storage::{Store, StoreOptions};

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
                "SEARCH t USING INDEX earned_promotions_listing (org_id=? AND customer_id=?)".to_owned(),
            ),
            (
                EARNINGS,
"SEARCH t USING INDEX earned_promotions_earning_key (org_id=? AND event_id=? AND customer_id=? AND promotion_id=? AND earned_from_id=?)".to_owned(),
            ),
        ] {
            let rows = holders(&[]).texts("event_id", []).texts("earned_from_id", []);
            let plan = plan(lookup, rows).await;
            assert!(plan.contains(&search), "{lookup:?}\n{plan}");
            assert_eq!(plan.matches("SCAN").count(), 1, "the list alone is scanned: {plan}");
        }
    }
}
