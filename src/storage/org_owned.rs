//! Statements about rows that belong to an organization.
//!
//! A caller of this file names the entity and the other parts; every statement contains the organization by itself, as
//! a column of the list of rows, or as `$1` for rows of one organization. No other file of storage names a table, so
//! none can write a statement without the organization; `tests/architecture/` checks that.

use std::fmt::Write as _;

use sea_orm::sea_query::{Query, SelectStatement, SqliteQueryBuilder};
use sea_orm::{
    ConnectionTrait, DbBackend, EntityName as _, IdenStatic, PartialModelTrait, QueryResult, QuerySelect, Statement,
    Value,
};

use super::StorageError;
use super::dialect::{Dialect, Removal, SearchText};
use super::entity::{
    OrgOwned, api_client, audience, cap_usage, catalog_change, customer, earned_promotion, former_term, org, promotion,
    redemption, token_key,
};
use super::rows::{ORG_ID, Rows, WANTED, at_place};
use super::statement::{On, Placed};
use crate::earning::OrgId;

/// Search for each row of a list, by the organization and the other columns of a key.
#[derive(Debug, Clone)]
pub(super) struct Search<E: OrgOwned> {
    /// Columns of the key after the organization. They have the same names in the list and in the table.
    pub key: &'static [E::Column],
    /// Index of the key, for searches in which SQLite would choose another one and read all rows of an organization.
    pub index: Option<&'static str>,
    /// Further condition on the row, with its columns named by [`column()`]; empty for none.
    pub condition: String,
    /// Columns of `ORDER BY` that match the index, for searches in which PostgreSQL might choose another one; empty for
    /// none.
    pub order: String,
    /// Largest number of rows returned for each wanted row. Only PostgreSQL supports this limit.
    pub most: Option<usize>,
    /// True if the wanted rows have no organization, because the search is to find it.
    pub of_any_org: bool,
}

impl<E: OrgOwned> Search<E> {
    /// Creates a search by these columns.
    pub fn by(key: &'static [E::Column]) -> Self {
        Self { key, index: None, condition: String::new(), order: String::new(), most: None, of_any_org: false }
    }

    /// Returns the SQL of the search for the list of this name. Its result is the place of the wanted row and the
    /// columns of `M`.
    pub fn text<M: PartialModelTrait>(&self, dialect: &dyn Dialect, list: &str) -> String {
        self.with_answers(dialect, list, &answers::<M>())
    }

    /// Returns the SQL of the search for the list of this name. Its result is the place of each wanted row that is
    /// found.
    pub fn places(&self, dialect: &dyn Dialect, list: &str) -> String {
        self.with_answers(dialect, list, "")
    }

    fn with_answers(&self, dialect: &dyn Dialect, list: &str, answers: &str) -> String {
        let conditions = self.conditions(list);
        let Self { index, most, order, .. } = self;
        let table = table::<E>();
        dialect.search(&SearchText { table, list, answers, conditions: &conditions, index: *index, order, most: *most })
    }

    /// Returns a subquery for one row of the list of this name, with one result row for each row found.
    pub fn one(&self, list: &str) -> String {
        let order = if self.order.is_empty() { String::new() } else { format!(" ORDER BY {}", self.order) };
        format!("SELECT 1 FROM {} WHERE {}{order} OFFSET 0", table::<E>(), self.conditions(list))
    }

    /// Returns a subquery for one row of the list of this name, with a column of each row found.
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

    /// Runs the search for `rows`; runs no statement if there are none.
    pub async fn run<M: PartialModelTrait>(
        &self,
        on: &On<'_, impl ConnectionTrait>,
        rows: Rows<'_>,
    ) -> Result<Vec<Placed<M>>, StorageError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        on.query(&self.text::<M>(on.dialect, WANTED), rows).await?.iter().map(Placed::read).collect()
    }

    /// Returns the elements of `keys` that are found; `rows` lists them. Runs no statement if there are none.
    pub async fn which<'k, K>(
        &self,
        on: &On<'_, impl ConnectionTrait>,
        keys: &'k [K],
        rows: Rows<'_>,
    ) -> Result<Vec<&'k K>, StorageError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let found = on.query(&self.places(on.dialect, WANTED), rows).await?;
        found.iter().map(|row| at_place(row.try_get("", "place")?, keys)).collect()
    }
}

/// Returns the name of the table.
pub(super) fn table<E: OrgOwned>() -> &'static str {
    E::default().table_name()
}

/// Returns the names of all tables.
pub(super) fn tables() -> [&'static str; 11] {
    [
        table::<api_client::Entity>(),
        table::<audience::Entity>(),
        table::<cap_usage::Entity>(),
        table::<catalog_change::Entity>(),
        table::<customer::Entity>(),
        table::<earned_promotion::Entity>(),
        table::<former_term::Entity>(),
        table::<org::Entity>(),
        table::<promotion::Entity>(),
        table::<redemption::Entity>(),
        token_key::Entity.table_name(),
    ]
}

/// Returns the rights on rows that the service needs: each table, and a right on it. Records of changes and keys are only
/// added and read.
pub(super) fn rights() -> Vec<(&'static str, &'static str)> {
    let added_only = [table::<catalog_change::Entity>(), token_key::Entity.table_name()];
    let rights = |table: &'static str| {
        let rights: &[_] =
            if added_only.contains(&table) { &["SELECT", "INSERT"] } else { &["SELECT", "INSERT", "UPDATE", "DELETE"] };
        rights.iter().map(move |right| (table, *right))
    };
    tables().into_iter().flat_map(rights).collect()
}

/// Returns the name of a column with its table.
pub(super) fn column<E: OrgOwned>(column: E::Column) -> String {
    format!("{}.{}", table::<E>(), column.as_str())
}

/// Returns the names of columns, separated by commas.
pub(super) fn names(columns: &[impl IdenStatic]) -> String {
    columns.iter().map(IdenStatic::as_str).collect::<Vec<_>>().join(", ")
}

/// Query that collects the columns of a model from SeaORM.
struct Answers(SelectStatement);

impl QuerySelect for Answers {
    type QueryStatement = SelectStatement;

    fn query(&mut self) -> &mut SelectStatement {
        &mut self.0
    }
}

/// Returns the columns of `M`, each with its table.
fn answers<M: PartialModelTrait>() -> String {
    let Answers(select) = M::select_cols(Answers(Query::select()));
    let select = select.to_string(SqliteQueryBuilder);
    select.trim_start_matches("SELECT ").to_owned()
}

/// Handling of a row that is already recorded.
#[derive(Debug, Clone)]
pub(super) enum Present {
    /// The statement fails.
    Refused,
    /// The row stays as it is.
    Kept,
    /// The row is changed. It is found by the columns of a unique key after the organization; if they are empty, by
    /// whichever unique key it conflicts with, each of which contains the organization.
    Changed {
        /// Columns of the key after the organization.
        key: String,
        /// Text after `SET`.
        set: String,
    },
}

/// Insertion of the rows of a list.
#[derive(Debug, Clone)]
pub(super) struct Insertion<E: OrgOwned> {
    /// Columns after the organization.
    pub columns: Vec<E::Column>,
    /// Expressions for the values of the columns, from the list.
    pub values: String,
    pub present: Present,
    /// True to return a row for each row written.
    pub answers: bool,
}

impl<E: OrgOwned> Insertion<E> {
    /// Creates an insertion of these columns with the values of the list.
    pub fn of(columns: &[E::Column], present: Present) -> Self {
        Self { columns: columns.to_vec(), values: names(columns), present, answers: false }
    }

    /// Returns the SQL of the insertion for the wanted rows, without a condition.
    pub fn body(&self) -> String {
        self.body_of(WANTED, "true")
    }

    /// Returns the SQL of the insertion for the list of this name, on the condition given.
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

/// Returns the SQL that removes the rows whose key is in a list: the organization and these columns.
pub(super) fn removal<E: OrgOwned>(dialect: &dyn Dialect, key: &'static [E::Column]) -> String {
    let search = Search::<E>::by(key);
    let columns = format!("{}, {}", E::ORG.as_str(), names(key));
    dialect.removal(&Removal { table: table::<E>(), columns: &columns, one: &search.conditions(WANTED) })
}

/// Rows that SQLite inserts value by value.
#[derive(Debug)]
pub(super) struct RowValues(Vec<Value>, usize);

impl RowValues {
    /// Reserves memory for this number of values.
    pub fn with_capacity(values: usize) -> Self {
        Self(Vec::with_capacity(values), 0)
    }

    /// Adds a row: its organization, and the values of the other columns.
    pub fn push(&mut self, org_id: OrgId, values: impl IntoIterator<Item = Value>) {
        self.0.push(org_id.0.into());
        self.0.extend(values);
        self.1 += 1;
    }

    /// Returns the insertion of the rows. The columns are those after the organization.
    pub fn insertion<E: OrgOwned>(self, columns: &[E::Column]) -> Statement {
        let row = format!("({})", vec!["?"; self.0.len() / self.1.max(1)].join(", "));
        let rows = vec![row; self.1].join(", ");
        let (table, org, columns) = (table::<E>(), E::ORG.as_str(), names(columns));
        let sql = format!("INSERT INTO {table} ({org}, {columns}) VALUES {rows}");
        Statement::from_sql_and_values(DbBackend::Sqlite, sql, self.0)
    }
}

/// Query of the rows of one organization, in one statement.
#[derive(Debug)]
pub(super) struct OrgQuery {
    values: Vec<Value>,
    selects: String,
}

impl OrgQuery {
    /// Creates a query of this organization, which is `$1`.
    pub fn about(org_id: OrgId) -> Self {
        Self { values: vec![org_id.0.into()], selects: String::new() }
    }

    /// Binds a value. Returns its placeholder.
    pub fn place(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Adds the columns of `M` of the organization's rows that meet the condition. `index` is the engine's index hint.
    /// Clauses after the condition apply to these rows alone.
    pub fn select<E: OrgOwned, M: PartialModelTrait>(&mut self, index: &str, condition: &str) {
        let union = if self.selects.is_empty() { "" } else { " UNION ALL " };
        let (table, org, answers) = (table::<E>(), E::ORG.as_str(), answers::<M>());
        // Writing to a string does not fail.
        let _ = write!(
            self.selects,
            "{union}SELECT * FROM (SELECT {answers} FROM {table} {index} WHERE {org} = $1 AND {condition}) AS part"
        );
    }

    /// Returns the statement; the clauses of `rest` apply to all rows.
    pub fn statement(self, backend: DbBackend, rest: &str) -> Statement {
        Statement::from_sql_and_values(backend, format!("{} {rest}", self.selects), self.values)
    }

    /// Runs the query; runs no statement if nothing was added.
    pub async fn run<M: PartialModelTrait>(
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
