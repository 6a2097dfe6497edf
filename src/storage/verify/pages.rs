//! Pages of tables, for what SQL cannot judge. Texts are given as they are stored, whether they can be read or not.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ConnectionTrait, FromQueryResult, IdenStatic, QueryFilter, QueryOrder, QueryResult, QuerySelect, QueryTrait, Value,
};

use super::Snapshot;
use crate::storage::StorageError;
use crate::storage::entity::OrgOwned;
use crate::storage::org_owned::{column, table};

/// Rows of a table in the order of a key, a page at a time.
#[derive(Debug)]
pub struct Walk<E: OrgOwned> {
    /// Columns of the key.
    pub by: &'static [E::Column],
    /// Further columns to read.
    pub beside: &'static [E::Column],
    /// Condition on the rows.
    pub condition: Option<String>,
    /// Rows of a page.
    pub rows: u64,
}

/// A row that is read in pages.
pub trait Walked: FromQueryResult {
    /// The table.
    type Entity: OrgOwned;

    /// Returns the order and the columns.
    fn walk() -> Walk<Self::Entity>;
}

/// The place of a row in a walk.
#[derive(Debug, Clone)]
pub struct Place(Vec<Value>);

/// A page: rows, or the breach of one that cannot be read.
#[derive(Debug)]
pub struct Page<R> {
    /// The rows.
    pub rows: Vec<Result<R, String>>,
    /// The place of the last one; `None` at the end of the walk.
    pub last: Option<Place>,
}

impl Snapshot {
    /// Reads a page, behind `after`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn page<R: Walked>(&self, after: Option<&Place>) -> Result<Page<R>, StorageError> {
        let Walk { by, beside, condition, rows } = R::walk();
        let expression = |each: &<R::Entity as sea_orm::EntityTrait>::Column| Expr::cust(column::<R::Entity>(*each));
        let mut select =
            <R::Entity as sea_orm::EntityTrait>::find().select_only().columns(by.iter().chain(beside).copied());
        if let Some(condition) = condition {
            select = select.filter(Expr::cust(condition));
        }
        if let Some(Place(values)) = after {
            let place = Expr::tuple(values.iter().cloned().map(Expr::value));
            select = select.filter(Expr::tuple(by.iter().map(expression)).gt(place));
        }
        let select = by.iter().fold(select, |select, each| select.order_by_asc(*each)).limit(rows);
        let found = self.transaction.query_all_raw(select.build(self.engine.backend())).await?;
        let mut page =
            Page { rows: found.iter().map(|row| read(row, table::<R::Entity>(), &names(by))).collect(), last: None };
        if let Some(last) = found.last().filter(|_| found.len() as u64 == rows) {
            page.last = by.iter().map(|each| key_value(last, each.as_str())).collect::<Option<_>>().map(Place);
            if page.last.is_none() {
                page.rows.push(Err(format!(
                    "{} has rows that are not looked at: the key before them cannot be read",
                    table::<R::Entity>()
                )));
            }
        }
        Ok(page)
    }
}

fn names<C: IdenStatic>(columns: &[C]) -> Vec<&'static str> {
    columns.iter().map(IdenStatic::as_str).collect()
}

/// Reads a row by the names of its columns, or says which row cannot be read.
fn read<R: FromQueryResult>(row: &QueryResult, table: &str, key: &[&str]) -> Result<R, String> {
    R::from_query_result(row, "").map_err(|error| {
        let key = key.iter().map(|name| {
            let shown = match key_value(row, name) {
                Some(Value::BigInt(Some(integer))) => integer.to_string(),
                Some(Value::String(Some(text))) => text,
                _ => "?".to_owned(),
            };
            format!("{name} {shown}")
        });
        format!("{table} ({}) cannot be read: {error}", key.collect::<Vec<_>>().join(", "))
    })
}

/// Returns the value of a column of a key, of whichever type it is.
fn key_value(row: &QueryResult, name: &str) -> Option<Value> {
    let integer = row.try_get::<i64>("", name).map(Value::from);
    integer.or_else(|_| row.try_get::<String>("", name).map(Value::from)).ok()
}
