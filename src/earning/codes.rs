//! Documented numbers of the reasons for which calls are refused and entries fail.
//!
//! `build.rs` writes them from `proto/cartpromotions/v1/reason.proto`, where each number stands once.

#![allow(missing_docs, reason = "the proto file says what each means")]

include!(concat!(env!("OUT_DIR"), "/codes.rs"));
