//! The database engines: the trait that they implement, and one file for each of SQLite, PostgreSQL and Citus.
//!
//! Every difference between the engines is here. `dialect` declares the texts in which they differ.

mod citus;
mod detect;
mod interface;
mod postgres;
mod postgres_texts;
mod sqlite;

pub(super) use detect::of;
pub(super) use interface::{Engine, Write};
