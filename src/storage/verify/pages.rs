//! Reading tables in pages, for checks that SQL cannot express. Texts are returned as they are stored, even if they are
//! invalid.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ConnectionTrait, FromQueryResult, IdenStatic, QueryFilter, QueryOrder, QueryResult, QuerySelect, QueryTrait, Value,
};

use super::snapshot::Snapshot;
use crate::storage::StorageError;
use crate::storage::entity::OrgOwned;
use crate::storage::org_owned::{column, table};

/// Read of a table in the order of a key, one page at a time.
#[derive(Debug)]
pub struct Walk<E: OrgOwned> {
    /// Columns of the key.
    pub by: &'static [E::Column],
    /// Other columns to read.
    pub beside: &'static [E::Column],
    /// Condition on the rows; `None` for all rows.
    pub condition: Option<String>,
    /// Number of rows of a page.
    pub rows: u64,
}

/// Row that is read in pages.
pub trait Walked: FromQueryResult {
    /// Entity of the table.
    type Entity: OrgOwned;

    /// Returns the order and the columns of the read.
    fn walk() -> Walk<Self::Entity>;
}

/// Position of a row in the read of a table.
#[derive(Debug, Clone)]
pub struct PageCursor(Vec<Value>);

/// Page of rows. A row that cannot be read is replaced by its breach.
#[derive(Debug)]
pub struct VerifyPage<R> {
    /// Rows of the page.
    pub rows: Vec<Result<R, String>>,
    /// Position of the last row; `None` at the end of the table.
    pub last: Option<PageCursor>,
}

impl Snapshot {
    /// Reads the page after `after`, or the first page.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn page<R: Walked>(&self, after: Option<&PageCursor>) -> Result<VerifyPage<R>, StorageError> {
        let Walk { by, beside, condition, rows } = R::walk();
        let expression = |each: &<R::Entity as sea_orm::EntityTrait>::Column| Expr::cust(column::<R::Entity>(*each));
        let mut select =
            <R::Entity as sea_orm::EntityTrait>::find().select_only().columns(by.iter().chain(beside).copied());
        if let Some(condition) = condition {
            select = select.filter(Expr::cust(condition));
        }
        if let Some(PageCursor(values)) = after {
            let place = Expr::tuple(values.iter().cloned().map(Expr::value));
            select = select.filter(Expr::tuple(by.iter().map(expression)).gt(place));
        }
        let select = by.iter().fold(select, |select, each| select.order_by_asc(*each)).limit(rows);
        let found = self.transaction.query_all_raw(select.build(self.dialect.backend())).await?;
        let mut page = VerifyPage {
            rows: found.iter().map(|row| read(row, table::<R::Entity>(), &names(by))).collect(),
            last: None,
        };
        if let Some(last) = found.last().filter(|_| found.len() as u64 == rows) {
            page.last = by.iter().map(|each| key_value(last, each.as_str())).collect::<Option<_>>().map(PageCursor);
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

/// Decodes a row by the names of its columns. The error says which row cannot be read.
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

/// Returns the value of a key column, an integer or a text; `None` if it is neither.
fn key_value(row: &QueryResult, name: &str) -> Option<Value> {
    let integer = row.try_get::<i64>("", name).map(Value::from);
    integer.or_else(|_| row.try_get::<String>("", name).map(Value::from)).ok()
}
