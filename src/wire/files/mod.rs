//! The files that operators give: catalogs, customers, trusted issuers.

pub mod catalog;
mod csv;
pub mod customer;
pub mod export;
pub mod issuers;
mod lines;
