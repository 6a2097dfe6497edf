//! Options of `wallet`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use strum::VariantNames as _;

use super::every_command::Common;
use super::output::{MAX_SHOWN, Organization, TimedOutput};
use crate::earning::change::EarnedStatus;

/// The commands of `wallet`.
#[derive(Debug, Subcommand)]
pub enum Wallet {
    /// Shows the present and former earned promotions of a customer, ordered by end of validity, the latest first.
    #[command(after_help = "Example:\n  cart-promotions wallet show --org 100737 566881933 --status UNLOCKED")]
    Show(ShowWallet),
}

/// Options of `wallet show`.
#[derive(Debug, Args)]
pub struct ShowWallet {
    /// Organization of the customer.
    #[command(flatten)]
    pub org: Organization,
    /// Customer.
    #[arg(value_name = "CUSTOMER", allow_negative_numbers = true)]
    pub customer: i64,
    /// Status to show; may be repeated. By default, all.
    #[arg(long = "status", value_name = "STATUS", ignore_case = true, value_parser = earned_status())]
    pub statuses: Vec<EarnedStatus>,
    /// Id of a promotion to show; may be repeated. By default, all.
    #[arg(long = "promotion", value_name = "ID")]
    pub promotions: Vec<String>,
    /// Maximum number of earned promotions to show.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHOWN)))]
    pub limit: u32,
    /// Output options.
    #[command(flatten)]
    pub output: TimedOutput,
}

impl Wallet {
    /// Returns the options of every command.
    pub fn common(&self) -> &Common {
        let Self::Show(options) = self;
        &options.output.output.common
    }
}

fn earned_status() -> impl TypedValueParser<Value = EarnedStatus> {
    PossibleValuesParser::new(EarnedStatus::VARIANTS).try_map(|name| name.to_ascii_uppercase().parse::<EarnedStatus>())
}
