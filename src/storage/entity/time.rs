//! Instants as columns: integers, in milliseconds since 1970-01-01T00:00:00Z.
//!
//! `DeriveValueType` would write this too, beside the type. The rules, which know no database, have the type.

use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, DbErr, QueryResult, TryFromU64, TryGetError, TryGetable, Value};

use crate::earning::Timestamp;

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        time.millis().into()
    }
}

impl TryGetable for Timestamp {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        i64::try_get_by(row, index).map(Self::from_millis)
    }
}

impl ValueType for Timestamp {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <i64 as ValueType>::try_from(value).map(Self::from_millis)
    }

    fn type_name() -> String {
        "Timestamp".to_owned()
    }

    fn array_type() -> ArrayType {
        i64::array_type()
    }

    fn column_type() -> ColumnType {
        i64::column_type()
    }
}

impl Nullable for Timestamp {
    fn null() -> Value {
        i64::null()
    }
}

/// SeaORM requires the conversion of every column of a primary key.
impl TryFromU64 for Timestamp {
    fn try_from_u64(number: u64) -> Result<Self, DbErr> {
        i64::try_from_u64(number).map(Self::from_millis)
    }
}
