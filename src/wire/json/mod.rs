//! The JSON form of the proto messages, for the JSON endpoint and the import file.
//!
//! The rules are those of proto JSON, with two differences that the documented API requires: 64-bit integers are
//! written as numbers, and fields without presence are written even if they are zero or empty. Reading continues after
//! a value of the wrong kind, so that every violation is found. `build.rs` generates the implementations, a few lines
//! for each message, from the parts in this module.

mod composite;
mod integer;
mod read;
mod scalar;
mod slot;
mod write;

#[cfg(test)]
mod tests;

pub use read::{
    Context, InvalidJson, JsonEnum, JsonMessage, ReadJson, UnknownFields, document, from_slice, read_parameters,
};

use composite::read_message;
use read::skip;
use scalar::EnumValue;
use write::{EnumName, Number};

#[allow(clippy::all, clippy::pedantic)]
mod generated {
    use super::*;

    include!(concat!(env!("OUT_DIR"), "/json.rs"));
}
