//! Checks of values and keys: each column holds a value that it takes, and no row exists twice.
//!
//! Most of this is enforced by the constraints of the tables. These checks find what was written around them.

use sea_orm::{ColumnTrait, DbBackend, IdenStatic, Iterable, PrimaryKeyToColumn};

use super::takes::{HasCursor, Takes};
use crate::earning::object_id::MAX_ECHOED_CHARACTERS;
use crate::storage::entity::{
    OrgOwned, api_client, audience, cap_usage, catalog_change, customer, earned_promotion, former_term, org, promotion,
    redemption,
};
use crate::storage::org_owned::{column, table};

/// Returns a check of each table for rows with a value that its column does not take.
pub(super) fn values(backend: DbBackend) -> Vec<String> {
    let start = column::<promotion::Entity>(promotion::Column::StartMs);
    let end = column::<promotion::Entity>(promotion::Column::EndMs);
    let ends_before_start = format!(
        "SELECT {} || ' ends before it starts' AS breach FROM {} WHERE {end} < {start}",
        row_name::<promotion::Entity>(),
        table::<promotion::Entity>()
    );
    vec![
        of_table::<org::Entity>(backend),
        of_table::<promotion::Entity>(backend),
        ends_before_start,
        of_table::<audience::Entity>(backend),
        of_table::<customer::Entity>(backend),
        of_table::<api_client::Entity>(backend),
        of_table::<earned_promotion::Entity>(backend),
        of_table::<cap_usage::Entity>(backend),
        of_table::<redemption::Entity>(backend),
        of_table::<former_term::Entity>(backend),
        of_table::<catalog_change::Entity>(backend),
    ]
}

/// Returns the check of one table, in one pass. The breach names each wrong value of the row.
fn of_table<E: HasCursor>(backend: DbBackend) -> String {
    let (mut wrong, mut told) = (Vec::new(), Vec::new());
    for each in E::Column::iter() {
        let (name, qualified, takes) = (each.as_str(), column::<E>(each), E::takes(each));
        let condition = is_wrong(&each, &qualified, &takes, backend);
        let shown = match takes {
            Takes::Hidden => "'a value that is not shown'".to_owned(),
            _ => format!("coalesce(substr(CAST({qualified} AS text), 1, {MAX_ECHOED_CHARACTERS}), 'NULL')"),
        };
        told.push(format!("CASE WHEN {condition} THEN ' {name} = ' || {shown} || ';' ELSE '' END"));
        wrong.push(format!("({condition})"));
    }
    format!(
        "SELECT {} || ' holds what its columns do not take:' || {} AS breach FROM {} WHERE {}",
        row_name::<E>(),
        told.join(" || "),
        table::<E>(),
        wrong.join(" OR ")
    )
}

/// Returns the condition that a column holds a wrong value. SQLite allows any type in any column.
fn is_wrong<C: ColumnTrait>(column: &C, qualified: &str, takes: &Takes, backend: DbBackend) -> String {
    let definition = column.def();
    let otherwise = takes.otherwise(qualified);
    let of_type = (backend == DbBackend::Sqlite).then(|| match definition.get_column_type() {
        sea_orm::ColumnType::BigInteger => format!("typeof({qualified}) <> 'integer'"),
        sea_orm::ColumnType::Boolean => format!("{qualified} NOT IN (0, 1)"),
        _ => format!("typeof({qualified}) <> 'text'"),
    });
    let conditions = otherwise.into_iter().chain(of_type).collect::<Vec<_>>().join(" OR ");
    match (definition.is_null(), conditions.is_empty()) {
        (true, true) => "false".to_owned(),
        (true, false) => format!("{qualified} IS NOT NULL AND ({conditions})"),
        (false, true) => format!("{qualified} IS NULL"),
        (false, false) => format!("{qualified} IS NULL OR {conditions}"),
    }
}

/// Returns a check of each table for keys that several rows have. The wallet has other checks, of earn ids and of
/// earnings.
pub(super) fn keys() -> Vec<String> {
    vec![
        repeated_key::<org::Entity>(),
        repeated_key::<promotion::Entity>(),
        repeated_key::<audience::Entity>(),
        repeated_key::<customer::Entity>(),
        repeated_key::<api_client::Entity>(),
        repeated_key::<cap_usage::Entity>(),
        repeated_key::<redemption::Entity>(),
        repeated_key::<former_term::Entity>(),
        repeated_key::<catalog_change::Entity>(),
    ]
}

fn repeated_key<E: OrgOwned>() -> String {
    let key = key::<E>().map(|each| column::<E>(each)).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT {} || ' is there ' || count(*) || ' times' AS breach FROM {} GROUP BY {key} HAVING count(*) > 1",
        row_name::<E>(),
        table::<E>()
    )
}

fn key<E: OrgOwned>() -> impl Iterator<Item = E::Column> {
    E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column)
}

/// Returns an expression that names a row by its table and its key.
pub(super) fn row_name<E: OrgOwned>() -> String {
    let key =
        key::<E>().map(|each| format!("'{} ' || coalesce(CAST({} AS text), 'NULL')", each.as_str(), column::<E>(each)));
    format!("'{} (' || {} || ')'", table::<E>(), key.collect::<Vec<_>>().join(" || ', ' || "))
}
