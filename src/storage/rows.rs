//! Lists of rows as parameters of a statement. The text of the statement is the same for a list of any length, so it is
//! prepared once, and a list does not exceed the number of parameters that an engine allows.
//!
//! A statement reads the list under the name `wanted`, with the columns of the list and `place`, counted from 1. On
//! PostgreSQL each column is one array parameter; on SQLite the whole list is one JSON parameter.

use sea_orm::IdenStatic;
use sea_orm::sqlx;
use sea_orm::sqlx::postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgTypeInfo, Postgres};
use sea_orm::sqlx::query::Query;

use super::StorageError;
use crate::earning::{ObjectId, OrgId, Timestamp};

/// Rows for a statement, column by column.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    columns: Vec<(&'static str, ColumnValues<'a>)>,
}

/// The values of one column.
#[derive(Debug)]
pub(super) enum ColumnValues<'a> {
    Integers(Vec<i64>),
    Texts(Vec<&'a str>),
    Owned(Vec<String>),
    Ids(Vec<ObjectId>),
}

/// Name under which a statement with one list reads it.
pub(super) const WANTED: &str = "wanted";
/// Column of a list that names the organization of a row.
pub(super) const ORG_ID: &str = "org_id";

impl<'a> Rows<'a> {
    /// Lists rows, one for each of these organizations.
    pub fn of_orgs(orgs: impl IntoIterator<Item = OrgId>) -> Self {
        Self { columns: vec![(ORG_ID, ColumnValues::Integers(orgs.into_iter().map(|org_id| org_id.0).collect()))] }
    }

    /// Lists rows without an organization.
    pub fn of_any_org() -> Self {
        Self { columns: Vec::new() }
    }

    /// Adds a column of integers.
    pub fn integers(mut self, column: impl IdenStatic, values: impl IntoIterator<Item = i64>) -> Self {
        self.columns.push((column.as_str(), ColumnValues::Integers(values.into_iter().collect())));
        self
    }

    /// Adds a column of times.
    pub fn times(self, column: impl IdenStatic, values: impl IntoIterator<Item = Timestamp>) -> Self {
        self.integers(column, values.into_iter().map(Timestamp::millis))
    }

    /// Adds a column of texts.
    pub fn texts(mut self, column: impl IdenStatic, values: impl IntoIterator<Item = &'a str>) -> Self {
        self.columns.push((column.as_str(), ColumnValues::Texts(values.into_iter().collect())));
        self
    }

    /// Adds a column of ids, as texts of 24 digits.
    pub fn ids(mut self, column: impl IdenStatic, values: impl IntoIterator<Item = ObjectId>) -> Self {
        self.columns.push((column.as_str(), ColumnValues::Ids(values.into_iter().collect())));
        self
    }

    /// Adds a column of texts that the list owns.
    pub fn owned_texts(mut self, column: impl IdenStatic, values: impl IntoIterator<Item = String>) -> Self {
        self.columns.push((column.as_str(), ColumnValues::Owned(values.into_iter().collect())));
        self
    }

    /// Returns true if the list has no row.
    pub fn is_empty(&self) -> bool {
        self.length() == 0
    }

    /// Returns the number of rows.
    pub fn length(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| match values {
            ColumnValues::Integers(integers) => integers.len(),
            ColumnValues::Texts(texts) => texts.len(),
            ColumnValues::Owned(texts) => texts.len(),
            ColumnValues::Ids(ids) => ids.len(),
        })
    }

    /// Returns the columns and their values.
    pub fn into_columns(self) -> Vec<(&'static str, ColumnValues<'a>)> {
        self.columns
    }

    /// Returns the names of the columns, each with its type on PostgreSQL.
    pub fn postgres_types(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.columns
            .iter()
            .map(|(name, values)| (*name, if matches!(values, ColumnValues::Integers(_)) { "bigint" } else { "text" }))
    }

    /// Binds whole lists instead of single values, for the statements of every call.
    pub fn bind<'q>(self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>
    where
        'a: 'q,
    {
        self.columns.into_iter().fold(query, |query, (_, values)| match values {
            ColumnValues::Integers(integers) => query.bind(integers),
            ColumnValues::Texts(texts) => query.bind(texts),
            ColumnValues::Owned(texts) => query.bind(texts),
            ColumnValues::Ids(ids) => query.bind(ids.into_iter().map(Digits).collect::<Vec<_>>()),
        })
    }
}

/// Id that the driver encodes as digits without allocating a text first.
struct Digits(ObjectId);

impl sqlx::Type<Postgres> for Digits {
    fn type_info() -> PgTypeInfo {
        <str as sqlx::Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Digits {
    fn array_type_info() -> PgTypeInfo {
        <&str as PgHasArrayType>::array_type_info()
    }
}

impl sqlx::Encode<'_, Postgres> for Digits {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        buffer.extend_from_slice(&self.0.digits());
        Ok(sqlx::encode::IsNull::No)
    }
}

/// Returns the element of `keys` at a place.
pub(super) fn at_place<K>(place: i64, keys: &[K]) -> Result<&K, StorageError> {
    usize::try_from(place - 1)
        .ok()
        .and_then(|place| keys.get(place))
        .ok_or_else(|| StorageError::Corrupt(format!("place {place} in a list of {}", keys.len())))
}
