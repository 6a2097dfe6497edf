//! cart-promotions: grants cart promotions in bulk.
pub mod earning;
