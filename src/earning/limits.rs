//! Limits that the options of `proto/` state: one module per message, one constant per field and rule.
//!
//! `build.rs` writes them, so that each limit stands once. Every room that checks one, or relies on one, takes it from
//! here.

#![allow(
    missing_docs,
    clippy::unreadable_literal,
    clippy::duration_suboptimal_units,
    reason = "generated; the proto files say what each means"
)]

include!(concat!(env!("OUT_DIR"), "/limits.rs"));
