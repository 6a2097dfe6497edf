//! Options of `orgs`.

use chrono_tz::Tz;
use clap::{Args, Subcommand};

use super::every_command::{Common, time_zone};
use super::output::{HistoryOutput, Output};

/// The commands of `orgs`.
#[derive(Debug, Subcommand)]
pub enum Orgs {
    /// Shows the organizations, ordered by id.
    List(ListOrgs),
    /// Shows an organization.
    Show(ShowOrg),
    /// Changes settings of an organization; the others stay. Takes effect at once in every server.
    #[command(after_help = "Example:\n  cart-promotions orgs set 100737 --max-active-promotions 300")]
    Set(SetOrg),
    /// Shows the recorded changes of an organization, its promotions, audiences and API clients, the latest first: when,
    /// who, and what changed.
    #[command(after_help = "Example:\n  cart-promotions orgs history 100737")]
    History(OrgHistory),
}

/// Options of `orgs list`.
#[derive(Debug, Args)]
pub struct ListOrgs {
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `orgs show`.
#[derive(Debug, Args)]
pub struct ShowOrg {
    /// Organization.
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub org: i64,
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `orgs set`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("settings").required(true).multiple(true)
    .args(["name", "org_time_zone", "max_active_promotions", "accept_unknown_customers"]))]
pub struct SetOrg {
    /// Organization.
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub org: i64,
    /// Display name.
    #[arg(long)]
    pub name: Option<String>,
    /// IANA time zone in which its days begin and end.
    #[arg(id = "org_time_zone", long = "org-time-zone", value_name = "ZONE", value_parser = time_zone)]
    pub time_zone: Option<Tz>,
    /// Maximum number of active promotions; earning fails while more are active.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub max_active_promotions: Option<u32>,
    /// True accepts every customer id, false refuses customers that are not recorded.
    #[arg(long, value_name = "BOOL")]
    pub accept_unknown_customers: Option<bool>,
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `orgs history`.
#[derive(Debug, Args)]
pub struct OrgHistory {
    /// Organization.
    #[arg(value_name = "ORG", value_parser = clap::value_parser!(i64).range(1..))]
    pub id: i64,
    /// Output options.
    #[command(flatten)]
    pub output: HistoryOutput,
}

impl Orgs {
    /// Returns the options of every command.
    pub fn common(&self) -> &Common {
        match self {
            Self::List(options) => &options.output.common,
            Self::Show(options) => &options.output.common,
            Self::Set(options) => &options.output.common,
            Self::History(options) => &options.output.output.output.common,
        }
    }
}
