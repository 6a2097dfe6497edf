//! The JSON form of the proto messages, for the JSON door and the import file.
//!
//! The rules are those of proto JSON with two differences that the documented API asks for: 64-bit integers are written
//! as numbers, and fields without presence are written even when they are zero or empty. Reading goes on after a value
//! of the wrong kind, so that every fault is found. `build.rs` writes the implementations, a few lines per message,
//! from what is here.

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
