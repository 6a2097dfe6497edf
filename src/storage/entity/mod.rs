//! The tables as SeaORM entities. The migrations make them; nothing outside `storage` sees them.

#![allow(clippy::struct_field_names, reason = "columns are named in full")]

pub mod api_client;
pub mod audience;
pub mod cap_usage;
pub mod customer;
pub mod earned_mark;
pub mod earned_promotion;
pub mod org;
pub mod promotion;
pub mod redemption;
