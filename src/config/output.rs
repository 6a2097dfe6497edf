//! Options that the operator's commands share: their output, and the organization that they are about.

use chrono_tz::Tz;
use clap::Args;

use super::every_command::{Common, time_zone};

/// Maximum number of earned promotions, or of changes, that one command shows.
pub(super) const MAX_SHOWN: u32 = 100_000;

/// Options of every command that prints a result.
#[derive(Debug, Clone, Args)]
pub struct Output {
    /// Prints JSON for programs, one object a line, instead of a table for people.
    #[arg(long)]
    pub json: bool,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command that prints times.
#[derive(Debug, Clone, Args)]
pub struct TimedOutput {
    /// IANA time zone of the times in the output.
    #[arg(long, env = "CART_PROMOTIONS_TIME_ZONE", value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    pub time_zone: Tz,
    /// Other output options.
    #[command(flatten)]
    pub output: Output,
}

/// The organization of a command.
#[derive(Debug, Clone, Copy, Args)]
pub struct Organization {
    /// Organization.
    #[arg(id = "org", long, value_name = "ORG", value_parser = clap::value_parser!(i64).range(1..))]
    pub id: i64,
}

/// Output options of the commands that show recorded changes.
#[derive(Debug, Args)]
pub struct HistoryOutput {
    /// Maximum number of changes to show.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHOWN)))]
    pub limit: u32,
    /// Other output options.
    #[command(flatten)]
    pub output: TimedOutput,
}
