//! The one place where statements about what belongs to an organization are put together.
//!
//! Whoever reads or writes such a table, says which table and what else; the organization is in every statement by
//! itself, as a column of the list of rows, or as `$1` where all is of one. No other file of the room knows the tables'
//! names, so it can write no statement that leaves the organization out; `tests/architecture.rs` holds that.

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

use super::StorageError;
use super::statement::{Dialect, WANTED};
use crate::earning::OrgId;

/// A table whose rows belong to an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Orgs,
    Promotions,
    Customers,
    Audiences,
    ApiClients,
    CapUsage,
    Redemptions,
    EarnedMarks,
    EarnedPromotions,
}

impl Table {
    const ALL: [Self; 9] = [
        Self::Orgs,
        Self::Promotions,
        Self::Customers,
        Self::Audiences,
        Self::ApiClients,
        Self::CapUsage,
        Self::Redemptions,
        Self::EarnedMarks,
        Self::EarnedPromotions,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Orgs => "orgs",
            Self::Promotions => "promotions",
            Self::Customers => "customers",
            Self::Audiences => "audiences",
            Self::ApiClients => "api_clients",
            Self::CapUsage => "cap_usage",
            Self::Redemptions => "redemptions",
            Self::EarnedMarks => "earned_marks",
            Self::EarnedPromotions => "earned_promotions",
        }
    }

    /// The column that says whose a row is.
    fn org_column(self) -> &'static str {
        if self == Self::Orgs { "id" } else { "org_id" }
    }
}

/// Whether every table that a call needs is there: one row of each is looked at, all in one statement.
pub fn probe() -> String {
    let looks = Table::ALL.map(|table| format!("(SELECT count(*) FROM (SELECT 1 FROM {} LIMIT 1) AS a)", table.name()));
    format!("SELECT {}", looks.join(" + "))
}

/// A search for each of the wanted rows, by the organization and the rest of a key.
#[derive(Debug, Clone, Copy)]
pub struct Lookup {
    /// Where it is searched; `t` in what follows.
    pub table: Table,
    /// What is answered of each row that is found, behind the place of the wanted row.
    pub answers: &'static str,
    /// The index of the key, where SQLite would take another and walk through all that an organization granted.
    pub index: Option<&'static str>,
    /// The columns of the key behind the organization, named as those of the wanted rows are.
    pub key: &'static [&'static str],
    /// What a row must also be: empty, or a condition on `t`.
    pub condition: &'static str,
    /// The order of the index of the key, where PostgreSQL might take another.
    pub order: &'static str,
    /// Rows that are answered for each wanted one, at most. Only PostgreSQL can be told.
    pub most: Option<usize>,
    /// What follows: `GROUP BY`.
    pub rest: &'static str,
    /// That the wanted rows have no organization, as it is what is asked for: who calls is not known yet.
    pub of_any_org: bool,
}

impl Lookup {
    /// What most lookups in a table have no need of.
    pub const fn of(table: Table) -> Self {
        Self {
            table,
            answers: "",
            index: None,
            key: &[],
            condition: "",
            order: "",
            most: None,
            rest: "",
            of_any_org: false,
        }
    }

    /// The wanted rows come first, each with one search in the index: never the other way round, whatever the engine
    /// believes of how many rows the table has. SQLite keeps to the order of a `CROSS JOIN`. PostgreSQL has to be kept
    /// from reordering (`OFFSET 0`): a plan that was made while the table was known to be empty would read all of it,
    /// and is kept. Citus takes no such subquery, and plans each time.
    pub fn body(&self, dialect: Dialect) -> String {
        self.body_of(WANTED, dialect)
    }

    /// The same, of the list of this name.
    pub fn body_of(&self, list: &str, dialect: Dialect) -> String {
        let Self { answers, order, rest, .. } = self;
        let (table, org_column) = (self.table.name(), self.table.org_column());
        let limit = self.most.map(|most| format!(" LIMIT {most}")).unwrap_or_default();
        let mut conditions = Vec::new();
        if !self.of_any_org {
            conditions.push(format!("t.{org_column} = {list}.org_id"));
        }
        conditions.extend(self.key.iter().map(|column| format!("t.{column} = {list}.{column}")));
        if !self.condition.is_empty() {
            conditions.push(self.condition.to_owned());
        }
        let conditions = conditions.join(" AND ");
        let select = format!("SELECT {list}.place{}{answers} FROM {list}", if answers.is_empty() { "" } else { ", " });
        match dialect {
            Dialect::Sqlite => {
                let index = self.index.map(|index| format!("INDEXED BY {index} ")).unwrap_or_default();
                format!("{select} CROSS JOIN {table} AS t {index}WHERE {conditions} {rest}")
            }
            Dialect::Postgres => format!(
                "{select} CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE {conditions} {order} OFFSET 0{limit}) AS t \
                 {rest}"
            ),
            Dialect::Citus => format!("{select} CROSS JOIN {table} AS t WHERE {conditions} {rest}"),
        }
    }
}

/// What becomes of a row that is there already.
#[derive(Debug, Clone, Copy)]
pub enum Present {
    /// The statement is refused.
    Refused,
    /// It stays as it is.
    Kept,
    /// It is found by the columns of a unique key behind the organization, and changed so; `{table}` is the row.
    Changed {
        /// Empty: by whichever unique key it meets. Each has the organization in it.
        key: &'static str,
        /// What follows `SET`.
        set: &'static str,
    },
}

/// An insertion of the rows of a list.
#[derive(Debug, Clone, Copy)]
pub struct Insertion<'a> {
    pub table: Table,
    /// Columns behind the organization.
    pub columns: &'a str,
    /// What of the list goes into them.
    pub values: &'a str,
    pub present: Present,
    /// What follows: `RETURNING`.
    pub rest: &'static str,
}

impl Insertion<'_> {
    pub fn body(&self) -> String {
        self.body_of(WANTED, "true")
    }

    /// Of the list of this name, provided that the condition holds.
    pub fn body_of(&self, list: &str, condition: &str) -> String {
        let Self { columns, values, rest, .. } = self;
        let table = self.table.name();
        let present = match self.present {
            Present::Refused => String::new(),
            Present::Kept => " ON CONFLICT DO NOTHING".to_owned(),
            Present::Changed { key, set } => {
                let key = if key.is_empty() { String::new() } else { format!("(org_id, {key}) ") };
                format!(" ON CONFLICT {key}DO UPDATE SET {}", set.replace("{table}", table))
            }
        };
        format!(
            "INSERT INTO {table} (org_id, {columns}) SELECT org_id, {values} FROM {list} WHERE {condition}{present} {rest}"
        )
    }
}

/// What is done to the rows whose key is in a list.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub table: Table,
    /// What follows `SET`; empty: the rows are removed.
    pub set: &'static str,
    /// The columns of the key behind the organization.
    pub key: &'static [&'static str],
    /// What of the list they are compared with.
    pub wanted: &'static [&'static str],
}

impl Change {
    pub fn body(&self) -> String {
        let table = self.table.name();
        let begin = if self.set.is_empty() {
            format!("DELETE FROM {table}")
        } else {
            format!("UPDATE {table} SET {}", self.set)
        };
        let key = [&[self.table.org_column()], self.key].concat().join(", ");
        let wanted = [&["org_id"], self.wanted].concat().join(", ");
        format!("{begin} WHERE ({key}) IN (SELECT {wanted} FROM {WANTED})")
    }
}

/// Rows for SQLite to insert value by value.
#[derive(Debug)]
pub struct RowValues(Vec<Value>, usize);

impl RowValues {
    /// With room for so many values.
    pub fn with_capacity(values: usize) -> Self {
        Self(Vec::with_capacity(values), 0)
    }

    /// A row more: whose it is, and the values of the other columns.
    pub fn push(&mut self, org_id: OrgId, values: impl IntoIterator<Item = Value>) {
        self.0.push(org_id.0.into());
        self.0.extend(values);
        self.1 += 1;
    }

    /// Their insertion; the columns are those behind the organization.
    pub fn insertion(self, table: Table, columns: &str) -> Statement {
        let row = format!("({})", vec!["?"; self.0.len() / self.1.max(1)].join(", "));
        let rows = vec![row; self.1].join(", ");
        let sql = format!("INSERT INTO {} (org_id, {columns}) VALUES {rows}", table.name());
        Statement::from_sql_and_values(DbBackend::Sqlite, sql, self.0)
    }
}

/// A question about the rows of one organization, in one statement.
#[derive(Debug)]
pub struct Question {
    values: Vec<Value>,
    selects: String,
}

impl Question {
    /// About this one, which is `$1`.
    pub fn about(org_id: OrgId) -> Self {
        Self { values: vec![org_id.0.into()], selects: String::new() }
    }

    /// The place of a value more.
    pub fn place(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Asks for the rows of the organization that meet the condition. What follows is of them alone, as is `INDEXED BY`.
    pub fn select(&mut self, (columns, table): (&str, Table), index: &str, condition: &str) {
        let union = if self.selects.is_empty() { "" } else { " UNION ALL " };
        let (table, org_column) = (table.name(), table.org_column());
        // Writing to a text does not fail.
        let _ = write!(
            self.selects,
            "{union}SELECT * FROM (SELECT {columns} FROM {table} {index} WHERE {org_column} = $1 AND {condition}) AS part"
        );
    }

    /// The statement; `rest` is of all that was asked for.
    pub fn statement(self, backend: DbBackend, rest: &str) -> Statement {
        Statement::from_sql_and_values(backend, format!("{} {rest}", self.selects), self.values)
    }

    /// Asks it, if there is anything to ask.
    pub async fn ask(self, database: &impl ConnectionTrait, rest: &str) -> Result<Vec<QueryResult>, StorageError> {
        if self.selects.is_empty() {
            return Ok(Vec::new());
        }
        Ok(database.query_all_raw(self.statement(database.get_database_backend(), rest)).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::storage::{Store, StoreOptions};

    #[tokio::test]
    async fn every_table_is_named_here_and_has_the_organization_in_each_unique_key() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("x.db").display());
        let timeout = std::time::Duration::from_secs(5);
        let options = StoreOptions { max_connections: 1, timeout, statement_timeout: None };
        let store = Store::open(&url, options).await.unwrap();
        store.migrate().await.unwrap();
        let texts = async |sql: String| -> Vec<String> {
            let rows = store.database.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap();
            rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
        };
        let made = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'seaql_migrations' ORDER BY name";
        let mut named = Table::ALL.map(Table::name);
        named.sort_unstable();
        assert_eq!(texts(made.to_owned()).await, named);
        let mut keys = 0;
        for table in Table::ALL {
            for key in texts(format!("SELECT name FROM pragma_index_list('{}') WHERE \"unique\"", table.name())).await {
                let columns = texts(format!("SELECT name FROM pragma_index_info('{key}')")).await;
                let by_name = table == Table::ApiClients && columns == ["username"];
                assert!(by_name || columns.iter().any(|column| column == table.org_column()), "{key}: {columns:?}");
                keys += 1;
            }
        }
        assert_eq!(keys, 11, "a primary key each, the earning key, and the name of active promotions");
    }
}
