//! PostgreSQL: two statements read the facts of a batch, and one statement writes it, which is a transaction by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use async_trait::async_trait;
use foldhash::HashMap;
use sea_orm::sqlx::{self, postgres::PgConnection};
use sea_orm::{FromQueryResult, IdenStatic, QueryResult, Statement};

use super::interface::{Engine, Write};
use super::postgres_texts::{self, text};
use crate::earning::{EarningKey, Facts};
use crate::storage::StorageError;
use crate::storage::batch::catalogs;
use crate::storage::batch::counts::{self, held, holders};
use crate::storage::batch::earnings::{EarningsWanted, rows};
use crate::storage::batch::fence::Basis;
use crate::storage::batch::read::{self, EarningContext, Instances, RecordedRow, of_customers, of_earnings, of_events};
use crate::storage::batch::write;
use crate::storage::connection::{Connection, of_driver};
use crate::storage::dialect::{Dialect, Removal, SearchText};
use crate::storage::entity::cap_usage::{Column as Usage, Entity as CapUsage};
use crate::storage::entity::earned_promotion::{self, Column as Wallet};
use crate::storage::entity::stored::count;
use crate::storage::org_owned::{Insertion, Present, Search};
use crate::storage::rows::{Rows, WANTED, at_place};
use crate::storage::statement::Placed;

/// Limits how many instances of one event of a customer are read as a whole. Beyond it only the earnings of the batch
/// are read, as a caller may use one event for everything that it grants.
const MAX_OF_AN_EVENT: usize = 100;

/// Names of the lists of a statement.
const CATALOGS: &str = "the_catalogs";
const CUSTOMERS: &str = "the_customers";
const AUDIENCES: &str = "the_audiences";
const COUNTS: &str = "the_counts";
const UNTOUCHED: &str = "the_untouched";

/// Engine for PostgreSQL.
#[derive(Debug)]
pub struct Postgres;

impl Dialect for Postgres {
    fn needs_transaction(&self) -> bool {
        false
    }

    /// Writes a join in which the wanted rows come first, each with one index search, whatever statistics PostgreSQL
    /// has of the table: `OFFSET 0` prevents reordering. Otherwise a plan that was made while the table was known to be
    /// empty would read the whole table, and PostgreSQL would keep that plan.
    fn search(&self, search: &SearchText<'_>) -> String {
        let SearchText { table, list, answers, conditions, order, most, .. } = search;
        let (found, columns) = if answers.is_empty() { ("", "1") } else { (", found.*", *answers) };
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {order}") };
        let limit = most.map(|most| format!(" LIMIT {most}")).unwrap_or_default();
        format!(
            "SELECT {list}.place{found} FROM {list} CROSS JOIN LATERAL \
             (SELECT {columns} FROM {table} WHERE {conditions}{order} OFFSET 0{limit}) AS found"
        )
    }

    /// Finds the rows first, each by its whole key, and removes them by their physical location, whatever statistics
    /// PostgreSQL has of the table.
    fn removal(&self, removal: &Removal<'_>) -> String {
        let Removal { table, one, .. } = removal;
        format!(
            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT found.ctid FROM {WANTED} CROSS JOIN LATERAL \
             (SELECT ctid FROM {table} WHERE {one} OFFSET 0) AS found))"
        )
    }

    fn statement(&self, rows: Rows<'_>, body: &str) -> Statement {
        postgres_texts::with_lists(rows, body)
    }
}

#[async_trait]
impl Engine for Postgres {
    async fn read(&self, connection: &mut Connection, wanted: &EarningsWanted) -> Result<Option<Facts>, StorageError> {
        let connection = connection.postgres()?;
        let Some(context) = read_context(connection, wanted).await? else { return Ok(None) };
        let instances = read_instances(connection, wanted).await?;
        Ok(Some(context.with(instances, wanted)))
    }

    /// Writes with one statement. `COPY` would cost the database less, but the driver sends its end in a separate
    /// packet, which waits 40 ms for the acknowledgment of the packet before (Nagle's algorithm).
    async fn write(&self, connection: &mut Connection, batch: &Write<'_>) -> Result<bool, StorageError> {
        let Write { wanted, grants, fence } = *batch;
        let rows = rows(grants);
        let mut lists = Lists::with(WANTED, write::list(&rows, fence.now));
        lists.variant = if write::any_details(&rows) { DETAILS } else { 0 };
        lists.add(CATALOGS, 0, catalogs::rows(fence.catalogs));
        let late = grants.under_cap.values().any(|under| under.cap_period > 0);
        let with_counts = if late { WITH_COUNTS | WITH_LATE_COUNTS } else { WITH_COUNTS };
        lists.add_some(COUNTS, with_counts, counts::granted(grants));
        let presumed = fence.basis == Basis::Presumed;
        let untouched = if presumed { grants.untouched(wanted) } else { Vec::new() };
        if presumed {
            lists.add_some(CUSTOMERS, WITH_CUSTOMERS, of_customers(&wanted.customers));
            lists.add_some(AUDIENCES, WITH_AUDIENCES, holders(&wanted.limited));
            lists.add_some(UNTOUCHED, WITH_UNTOUCHED, of_earnings(&untouched));
        } else {
            // A customer may have been removed from an audience since it was read.
            let granted: BTreeSet<_> = grants.grants.iter().map(|grant| grant.key.holder()).collect();
            lists.add_some(AUDIENCES, WITH_AUDIENCES, holders(granted.intersection(&wanted.limited)));
        }
        let text = lists.text(&WRITE_TEXTS, write_body);
        let written = lists.bind(text).execute(connection.postgres()?).await.map_err(of_driver)?;
        Ok(written.rows_affected() == rows.len() as u64)
    }
}

/// Lists of a statement, and the number of its text among the variants. Parts that a batch does not use are left out,
/// as PostgreSQL would spend time on preparing them.
struct Lists<'a> {
    lists: Vec<(&'static str, Rows<'a>)>,
    variant: usize,
}

impl<'a> Lists<'a> {
    fn with(name: &'static str, rows: Rows<'a>) -> Self {
        Self { lists: vec![(name, rows)], variant: 0 }
    }

    fn add(&mut self, name: &'static str, variant: usize, rows: Rows<'a>) {
        self.variant |= variant;
        self.lists.push((name, rows));
    }

    /// Adds a list unless it is empty.
    fn add_some(&mut self, name: &'static str, variant: usize, rows: Rows<'a>) {
        if !rows.is_empty() {
            self.add(name, variant, rows);
        }
    }

    fn has(&self, name: &str) -> bool {
        self.lists.iter().any(|(list, _)| *list == name)
    }

    /// Returns the text of the variant, which is written once per process.
    fn text<const N: usize>(
        &self,
        texts: &'static [OnceLock<String>; N],
        body: impl FnOnce(&Self) -> String,
    ) -> &'static str {
        texts[self.variant].get_or_init(|| text(&self.lists, &body(self)))
    }

    fn bind(self, text: &'static str) -> PgQuery<'a> {
        self.lists.into_iter().fold(sqlx::query(text), |query, (_, rows)| rows.bind(query))
    }
}

type PgQuery<'a> = sqlx::query::Query<'a, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Texts of the statement that writes, one for each choice of lists.
static WRITE_TEXTS: [OnceLock<String>; 64] = [const { OnceLock::new() }; 64];
/// Bits of the number of a variant of the text that writes.
const DETAILS: usize = 1;
const WITH_COUNTS: usize = 2;
const WITH_LATE_COUNTS: usize = 4;
const WITH_CUSTOMERS: usize = 8;
const WITH_AUDIENCES: usize = 16;
const WITH_UNTOUCHED: usize = 32;

/// Returns the SQL that writes a batch. It forces PostgreSQL to write the counts before the instances.
fn write_body(lists: &Lists<'_>) -> String {
    let search = |places: String, list: &str, expected: String| {
        lists.has(list).then(|| format!("(SELECT count(*) FROM ({places}) AS found) = {expected}"))
    };
    let all = |list: &str| format!("(SELECT count(*) FROM {list})");
    let held = format!("(SELECT bool_and(hold_catalog(org_id, catalog_version)) FROM {CATALOGS})");
    let conditions = [
        Some(held),
        search(read::customers().places(&Postgres, CUSTOMERS), CUSTOMERS, all(CUSTOMERS)),
        search(read::audiences().places(&Postgres, AUDIENCES), AUDIENCES, all(AUDIENCES)),
        search(read::earnings().places(&Postgres, UNTOUCHED), UNTOUCHED, "0".to_owned()),
    ];
    let conditions = conditions.into_iter().flatten().collect::<Vec<_>>().join(" AND ");
    let may = format!(", may AS MATERIALIZED (SELECT {conditions} AS yes)");
    let yes = "(SELECT yes FROM may)";
    let with_details = lists.variant & DETAILS != 0;
    let insertion = write::insertion(with_details, Present::Refused, false);
    if !lists.has(COUNTS) {
        return format!("{may} {}", insertion.body_of(WANTED, yes));
    }
    let addition = if lists.variant & WITH_LATE_COUNTS != 0 { late_addition() } else { counts::addition() };
    let addition = Insertion { answers: true, ..addition }.body_of(COUNTS, yes);
    let insert = insertion.body_of(WANTED, &format!("{yes} AND (SELECT count(*) FROM counted) >= 0"));
    format!("{may}, counted AS ({addition}) {insert}")
}

/// Searches counts with the cap period that the list names.
fn of_period() -> Search<CapUsage> {
    Search::by(&[Usage::CustomerId, Usage::PromotionId, Usage::CapPeriod])
}

/// Returns an expression that counts the instances of a row of the list of counts if its cap came late.
fn held_late() -> String {
    let period = Usage::CapPeriod.as_str();
    format!("CASE WHEN {COUNTS}.{period} > 0 THEN (SELECT count(*) FROM ({}) AS held) ELSE 0 END", held().one(COUNTS))
}

/// Adds to counts. Where there is no count of the period, also adds the instances that the wallet holds.
///
/// The wallet is counted as it was when the statement began. That is correct: the cap was set before, as the batch was
/// decided from the catalog that has it, and since then every grant or revocation leaves a count of the period, which
/// this insertion conflicts with and adds to instead.
fn late_addition() -> Insertion<CapUsage> {
    let addition = counts::addition();
    let values = addition.columns.iter().map(|column| match column {
        Usage::Used => format!(
            "{} + CASE WHEN EXISTS ({}) THEN 0 ELSE {} END",
            column.as_str(),
            of_period().one(COUNTS),
            held_late()
        ),
        column => column.as_str().to_owned(),
    });
    Insertion { values: values.collect::<Vec<_>>().join(", "), ..addition }
}

/// Facts of a batch apart from its earnings, as places in the lists.
#[derive(Debug, FromQueryResult)]
struct ContextRow {
    current: bool,
    known: Vec<i64>,
    included: Vec<i64>,
    counted: Vec<i64>,
    used: Vec<i64>,
}

/// Reads the facts apart from the earnings, in one statement and so at one moment. Returns `None` if a catalog has
/// another version.
async fn read_context(
    connection: &mut PgConnection,
    wanted: &EarningsWanted,
) -> Result<Option<EarningContext>, StorageError> {
    static TEXTS: [OnceLock<String>; 16] = [const { OnceLock::new() }; 16];
    let mut lists = Lists::with(CATALOGS, catalogs::rows(&wanted.catalogs));
    lists.add_some(CUSTOMERS, 1, of_customers(&wanted.customers));
    lists.add_some(AUDIENCES, 2, holders(&wanted.limited));
    let periods = wanted.capped.values().copied();
    let counts = holders(wanted.capped.keys()).integers(Usage::CapPeriod, periods);
    lists.add_some(COUNTS, if wanted.has_late_caps() { 4 | 8 } else { 4 }, counts);
    let text = lists.text(&TEXTS, |lists| context_body(lists, lists.variant & 8 != 0));
    let row = lists.bind(text).fetch_one(connection).await.map_err(of_driver)?;
    let row = ContextRow::from_query_result(&QueryResult::from(row), "")?;
    if !row.current {
        return Ok(None);
    }
    let (customers, limited): (Vec<_>, Vec<_>) = (wanted.customers.iter().collect(), wanted.limited.iter().collect());
    let capped: Vec<_> = wanted.capped.keys().collect();
    let mut used = HashMap::default();
    for (place, number) in row.counted.iter().zip(row.used) {
        used.insert(**at_place(*place, &capped)?, count(number));
    }
    Ok(Some(EarningContext {
        customers: at_places(&row.known, &customers)?,
        audiences: at_places(&row.included, &limited)?,
        used,
    }))
}

fn at_places<K: Copy>(places: &[i64], keys: &[&K]) -> Result<Vec<K>, StorageError> {
    places.iter().map(|place| Ok(**at_place(*place, keys)?)).collect()
}

fn context_body(lists: &Lists<'_>, late: bool) -> String {
    let places = |list: &str, places: String| {
        if lists.has(list) { format!("ARRAY({places})") } else { "ARRAY[]::bigint[]".to_owned() }
    };
    let current = catalogs::current().places(&Postgres, CATALOGS);
    let current = format!("(SELECT count(*) FROM ({current}) AS found) = (SELECT count(*) FROM {CATALOGS}) AS current");
    let known = places(CUSTOMERS, read::customers().places(&Postgres, CUSTOMERS));
    let included = places(AUDIENCES, read::audiences().places(&Postgres, AUDIENCES));
    let counted = places(COUNTS, "SELECT place FROM counts ORDER BY place".to_owned());
    let used = places(COUNTS, "SELECT used FROM counts ORDER BY place".to_owned());
    let mut counts = String::new();
    if lists.has(COUNTS) {
        let held = if late { held_late() } else { "0".to_owned() };
        let recorded = of_period().all(COUNTS, Usage::Used);
        counts = format!(
            ", counts AS MATERIALIZED (SELECT {COUNTS}.place, coalesce(recorded.used, {held}) AS used \
             FROM {COUNTS} LEFT JOIN LATERAL ({recorded}) AS recorded ON true)"
        );
    }
    format!("{counts} SELECT {current}, {known} AS known, {included} AS included, {counted} AS counted, {used} AS used")
}

/// Reads the recorded instances of the earnings. Each event is looked up as a whole; for an event with too many
/// instances, each earning is looked up by itself.
async fn read_instances(connection: &mut PgConnection, wanted: &EarningsWanted) -> Result<Instances, StorageError> {
    static OF_EVENTS: OnceLock<String> = OnceLock::new();
    static OF_EARNINGS: OnceLock<String> = OnceLock::new();
    let mut events: Vec<_> = wanted.earnings.iter().collect();
    // Earnings of one event are adjacent, as the event precedes the promotion in the key.
    events.dedup_by(|one, other| one.event() == other.event());
    let text = OF_EVENTS.get_or_init(|| {
        let search = Search {
            most: Some(MAX_OF_AN_EVENT + 1),
            ..Search::<earned_promotion::Entity>::by(&[Wallet::CustomerId, Wallet::EventId])
        };
        text(&[(WANTED, of_events(&[]))], &search.text::<RecordedRow>(&Postgres, WANTED))
    });
    let (mut instances, mut large) = (Instances::new(), Vec::new());
    let mut of_event: BTreeMap<&EarningKey, Vec<RecordedRow>> = BTreeMap::new();
    for found in fetch(connection, text, of_events(&events)).await? {
        of_event.entry(*found.of(&events)?).or_default().push(found.row);
    }
    for (event, rows) in of_event {
        if rows.len() > MAX_OF_AN_EVENT {
            large.extend(wanted.earnings.iter().filter(|key| key.event() == event.event()));
            continue;
        }
        for row in rows {
            let key = (read::earning_key(event, &row), row.ordinal);
            if wanted.earnings.contains(&key.0) {
                instances.insert(key, row);
            }
        }
    }
    if !large.is_empty() {
        let of_none = [(WANTED, of_earnings(&[]))];
        let body = || text_of_earnings(&of_none);
        for found in fetch(connection, OF_EARNINGS.get_or_init(body), of_earnings(&large)).await? {
            instances.insert(((**found.of(&large)?).clone(), found.row.ordinal), found.row);
        }
    }
    Ok(instances)
}

fn text_of_earnings(lists: &[(&'static str, Rows<'_>)]) -> String {
    text(lists, &read::earnings().text::<RecordedRow>(&Postgres, WANTED))
}

async fn fetch(
    connection: &mut PgConnection,
    text: &'static str,
    rows: Rows<'_>,
) -> Result<Vec<Placed<RecordedRow>>, StorageError> {
    let found = rows.bind(sqlx::query(text)).fetch_all(connection).await.map_err(of_driver)?;
    found.into_iter().map(|row| Placed::read(&QueryResult::from(row))).collect()
}
