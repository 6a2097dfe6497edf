//! The statements about what belongs to an organization.
//!
//! Whoever reads or writes such a table says which entity and what else; the organization is in every statement by
//! itself, as a column of the list of rows, or as `$1` where all is of one. No other file of the room names a table, so it
//! can write no statement that leaves the organization out; `tests/architecture.rs` holds that.

use std::fmt::Write as _;

use sea_orm::sea_query::{Query, SelectStatement, SqliteQueryBuilder};
use sea_orm::{ConnectionTrait, DbBackend, IdenStatic, PartialModelTrait, QueryResult, QuerySelect, Statement, Value};

use super::StorageError;
use super::engine::Engine;
use super::entity::{
    OrgOwned, api_client, audience, cap_usage, customer, earned_promotion, former_term, org, promotion, redemption,
};
use super::statement::{ORG_ID, On, Placed, Rows, WANTED};
use crate::earning::OrgId;

/// A search for each row of a list, by the organization and further columns of a key.
#[derive(Debug, Clone)]
pub(super) struct Search<E: OrgOwned> {
    /// Columns of the key behind the organization, named in the list as in the table.
    pub key: &'static [E::Column],
    /// The index of the key, where SQLite would take another and walk through all that an organization granted.
    pub index: Option<&'static str>,
    /// A further condition on the row, with its columns named by [`column()`]; empty: none.
    pub condition: String,
    /// The order of the index of the key, behind `ORDER BY`, where PostgreSQL might take another index; empty: none.
    pub order: String,
    /// Rows that are answered for each wanted one, at most. Only PostgreSQL can be told.
    pub most: Option<usize>,
    /// True where the wanted rows have no organization, as it is what is asked for.
    pub of_any_org: bool,
}

impl<E: OrgOwned> Search<E> {
    /// Searches by these columns.
    pub fn by(key: &'static [E::Column]) -> Self {
        Self { key, index: None, condition: String::new(), order: String::new(), most: None, of_any_org: false }
    }

    /// Writes the search of the list of this name. It answers the columns of `M`, behind the place of the wanted row.
    pub fn text<M: PartialModelTrait>(&self, engine: &dyn Engine, list: &str) -> String {
        self.with_answers(engine, list, &answers::<M>())
    }

    /// Writes the search of the list of this name. It answers the place of each wanted row that is found.
    pub fn places(&self, engine: &dyn Engine, list: &str) -> String {
        self.with_answers(engine, list, "")
    }

    fn with_answers(&self, engine: &dyn Engine, list: &str, answers: &str) -> String {
        let conditions = self.conditions(list);
        let Self { index, most, order, .. } = self;
        let table = table::<E>();
        engine.search(&SearchText { table, list, answers, conditions: &conditions, index: *index, order, most: *most })
    }

    /// Writes a subquery for one row of the list of this name: one row for each that is found.
    pub fn one(&self, list: &str) -> String {
        let order = if self.order.is_empty() { String::new() } else { format!(" ORDER BY {}", self.order) };
        format!("SELECT 1 FROM {} WHERE {}{order} OFFSET 0", table::<E>(), self.conditions(list))
    }

    /// Writes a subquery for one row of the list of this name: a column of those that are found.
    pub fn all(&self, list: &str, answer: E::Column) -> String {
        format!("SELECT {} FROM {} WHERE {} OFFSET 0", answer.as_str(), table::<E>(), self.conditions(list))
    }

    fn conditions(&self, list: &str) -> String {
        let table = table::<E>();
        let org = (!self.of_any_org).then(|| format!("{table}.{} = {list}.{ORG_ID}", E::ORG.as_str()));
        let key = self.key.iter().map(|column| format!("{table}.{0} = {list}.{0}", column.as_str()));
        let further = (!self.condition.is_empty()).then(|| self.condition.clone());
        org.into_iter().chain(key).chain(further).collect::<Vec<_>>().join(" AND ")
    }

    /// Runs the search for `rows`; asks nothing for none.
    pub async fn run<M: PartialModelTrait>(
        &self,
        on: &On<'_, impl ConnectionTrait>,
        rows: Rows<'_>,
    ) -> Result<Vec<Placed<M>>, StorageError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        on.query(&self.text::<M>(on.engine, WANTED), rows).await?.iter().map(Placed::read).collect()
    }

    /// Returns which of `keys`, whose rows these are, are found; asks nothing for none.
    pub async fn which<'k, K>(
        &self,
        on: &On<'_, impl ConnectionTrait>,
        keys: &'k [K],
        rows: Rows<'_>,
    ) -> Result<Vec<&'k K>, StorageError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let found = on.query(&self.places(on.engine, WANTED), rows).await?;
        found.iter().map(|row| super::statement::at_place(row.try_get("", "place")?, keys)).collect()
    }
}

/// The parts of a search, for an engine to put together.
#[derive(Debug)]
pub(super) struct SearchText<'a> {
    pub table: &'static str,
    pub list: &'a str,
    /// Columns to answer, with a comma between; empty: the place alone.
    pub answers: &'a str,
    pub conditions: &'a str,
    pub index: Option<&'static str>,
    /// Columns behind `ORDER BY`; empty: none.
    pub order: &'a str,
    pub most: Option<usize>,
}

/// Returns the name of the table.
pub(super) fn table<E: OrgOwned>() -> &'static str {
    E::default().table_name()
}

/// Returns the names of all tables.
pub(super) fn tables() -> [&'static str; 9] {
    [
        table::<api_client::Entity>(),
        table::<audience::Entity>(),
        table::<cap_usage::Entity>(),
        table::<customer::Entity>(),
        table::<earned_promotion::Entity>(),
        table::<former_term::Entity>(),
        table::<org::Entity>(),
        table::<promotion::Entity>(),
        table::<redemption::Entity>(),
    ]
}

/// Names a column with its table.
pub(super) fn column<E: OrgOwned>(column: E::Column) -> String {
    format!("{}.{}", table::<E>(), column.as_str())
}

/// Lists columns with a comma between.
pub(super) fn names(columns: &[impl IdenStatic]) -> String {
    columns.iter().map(IdenStatic::as_str).collect::<Vec<_>>().join(", ")
}

/// The columns of a model, as SeaORM selects them.
struct Answers(SelectStatement);

impl QuerySelect for Answers {
    type QueryStatement = SelectStatement;

    fn query(&mut self) -> &mut SelectStatement {
        &mut self.0
    }
}

/// Lists the columns of `M`, each with its table.
fn answers<M: PartialModelTrait>() -> String {
    let Answers(select) = M::select_cols(Answers(Query::select()));
    let select = select.to_string(SqliteQueryBuilder);
    select.trim_start_matches("SELECT ").to_owned()
}

/// What becomes of a row that is there already.
#[derive(Debug, Clone)]
pub(super) enum Present {
    /// The statement is refused.
    Refused,
    /// It stays as it is.
    Kept,
    /// It is found by the columns of a unique key behind the organization, and changed so; empty: by whichever unique key
    /// it meets, each of which has the organization in it.
    Changed {
        /// Columns of the key behind the organization.
        key: String,
        /// The text behind `SET`.
        set: String,
    },
}

/// An insertion of the rows of a list.
#[derive(Debug, Clone)]
pub(super) struct Insertion<E: OrgOwned> {
    /// Columns behind the organization.
    pub columns: Vec<E::Column>,
    /// The value of each of them, from the list.
    pub values: String,
    pub present: Present,
    /// True to answer a row for each that was written.
    pub answers: bool,
}

impl<E: OrgOwned> Insertion<E> {
    /// Inserts these columns, as the list has them.
    pub fn of(columns: &[E::Column], present: Present) -> Self {
        Self { columns: columns.to_vec(), values: names(columns), present, answers: false }
    }

    pub fn body(&self) -> String {
        self.body_of(WANTED, "true")
    }

    /// Writes the insertion of the list of this name, provided that the condition holds.
    pub fn body_of(&self, list: &str, condition: &str) -> String {
        let Self { columns, values, .. } = self;
        let (table, org) = (table::<E>(), E::ORG.as_str());
        let present = match &self.present {
            Present::Refused => String::new(),
            Present::Kept => " ON CONFLICT DO NOTHING".to_owned(),
            Present::Changed { key, set } if key.is_empty() => format!(" ON CONFLICT DO UPDATE SET {set}"),
            Present::Changed { key, set } => format!(" ON CONFLICT ({org}, {key}) DO UPDATE SET {set}"),
        };
        let answers = if self.answers { " RETURNING 1 AS written" } else { "" };
        format!(
            "INSERT INTO {table} ({org}, {columns}) SELECT {ORG_ID}, {values} FROM {list} WHERE {condition}{present}{answers}",
            columns = names(columns)
        )
    }
}

/// Writes the removal of the rows whose key is in a list: the organization, and these columns behind it.
pub(super) fn removal<E: OrgOwned>(engine: &dyn Engine, key: &'static [E::Column]) -> String {
    let search = Search::<E>::by(key);
    let columns = format!("{}, {}", E::ORG.as_str(), names(key));
    engine.removal(&Removal { table: table::<E>(), columns: &columns, one: &search.conditions(WANTED) })
}

/// The parts of a removal, for an engine to put together.
#[derive(Debug)]
pub(super) struct Removal<'a> {
    pub table: &'static str,
    /// Columns of the key, with a comma between, named in the list as in the table.
    pub columns: &'a str,
    /// The condition by which a row of the list finds its row.
    pub one: &'a str,
}

/// Rows for SQLite to insert value by value.
#[derive(Debug)]
pub(super) struct RowValues(Vec<Value>, usize);

impl RowValues {
    /// Makes room for so many values.
    pub fn with_capacity(values: usize) -> Self {
        Self(Vec::with_capacity(values), 0)
    }

    /// Adds a row: whose it is, and the values of the other columns.
    pub fn push(&mut self, org_id: OrgId, values: impl IntoIterator<Item = Value>) {
        self.0.push(org_id.0.into());
        self.0.extend(values);
        self.1 += 1;
    }

    /// Writes their insertion; the columns are those behind the organization.
    pub fn insertion<E: OrgOwned>(self, columns: &[E::Column]) -> Statement {
        let row = format!("({})", vec!["?"; self.0.len() / self.1.max(1)].join(", "));
        let rows = vec![row; self.1].join(", ");
        let (table, org, columns) = (table::<E>(), E::ORG.as_str(), names(columns));
        let sql = format!("INSERT INTO {table} ({org}, {columns}) VALUES {rows}");
        Statement::from_sql_and_values(DbBackend::Sqlite, sql, self.0)
    }
}

/// A question about the rows of one organization, in one statement.
#[derive(Debug)]
pub(super) struct Question {
    values: Vec<Value>,
    selects: String,
}

impl Question {
    /// Asks about this organization, which is `$1`.
    pub fn about(org_id: OrgId) -> Self {
        Self { values: vec![org_id.0.into()], selects: String::new() }
    }

    /// Returns the place of a further value.
    pub fn place(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Asks for the columns of `M` in the rows of the organization that meet the condition. `index` is the engine's hint of
    /// an index; what follows the condition is of these rows alone.
    pub fn select<E: OrgOwned, M: PartialModelTrait>(&mut self, index: &str, condition: &str) {
        let union = if self.selects.is_empty() { "" } else { " UNION ALL " };
        let (table, org, answers) = (table::<E>(), E::ORG.as_str(), answers::<M>());
        // Writing to a text does not fail.
        let _ = write!(
            self.selects,
            "{union}SELECT * FROM (SELECT {answers} FROM {table} {index} WHERE {org} = $1 AND {condition}) AS part"
        );
    }

    /// Writes the statement; `rest` is of all that was asked for.
    pub fn statement(self, backend: DbBackend, rest: &str) -> Statement {
        Statement::from_sql_and_values(backend, format!("{} {rest}", self.selects), self.values)
    }

    /// Asks it, if there is anything to ask.
    pub async fn ask<M: PartialModelTrait>(
        self,
        database: &impl ConnectionTrait,
        rest: &str,
    ) -> Result<Vec<M>, StorageError> {
        if self.selects.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<QueryResult> =
            database.query_all_raw(self.statement(database.get_database_backend(), rest)).await?;
        Ok(rows.iter().map(|row| M::from_query_result(row, "")).collect::<Result<_, _>>()?)
    }
}
