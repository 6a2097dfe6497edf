//! The service as its callers meet it: a real server on a port of its own, through both doors.

mod bad_input;
mod command_line;
mod concurrency;
mod documented;
mod errors;
mod health;
mod import;
mod process;
mod support;
