//! Names of columns for the texts of checks.

/// Binds the names of columns of an entity to variables, for SQL texts.
macro_rules! columns {
    ($entity:ident: $($name:ident = $column:ident),+ $(,)?) => {
        $(let $name = sea_orm::IdenStatic::as_str(&crate::storage::entity::$entity::Column::$column);)+
    };
}
pub(super) use columns;
