//! Options of `clients`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use strum::VariantNames as _;

use super::every_command::Common;
use super::output::{Organization, Output};
use crate::access::groups::AccessGroup;

/// The commands of `clients`.
#[derive(Debug, Subcommand)]
pub enum Clients {
    /// Creates an API client. Its secret is generated and printed once: only its hash is stored.
    #[command(after_help = "Examples:\n  cart-promotions clients add --org 100737 till --access earn:write\n  \
        secret=$(cart-promotions clients add --org 100737 till --new-secret)")]
    Add(AddClient),
    /// Shows the API clients. Stored secrets are never shown.
    List(ListClients),
    /// Shows an API client.
    Show(ShowClient),
    /// Removes an API client: every server refuses its credentials within a second. Its earned promotions stay.
    Remove(SwitchClient),
    /// Disables an API client: every server refuses its credentials within a second.
    Disable(SwitchClient),
    /// Enables an API client again.
    Enable(SwitchClient),
}

/// Options of `clients add`.
#[derive(Debug, Args)]
pub struct AddClient {
    /// Organization that the client calls for.
    #[command(flatten)]
    pub org: Organization,
    /// Username without a colon, unique among all clients.
    #[arg(value_name = "USERNAME")]
    pub username: String,
    /// Access group of the client; may be repeated. By default the client may do everything.
    #[arg(long = "access", value_name = "GROUP", value_parser = PossibleValuesParser::new(AccessGroup::VARIANTS))]
    pub access: Vec<String>,
    /// Number of requests that it may send in a minute; 0 means no limit. By default, the limit of the server.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub requests_per_minute: Option<i32>,
    /// Replaces the secret of an existing client; the old one is refused within a second. Its access stays unless
    /// `--access` is given.
    #[arg(long)]
    pub new_secret: bool,
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `clients list`.
#[derive(Debug, Args)]
pub struct ListClients {
    /// Organization whose clients are shown. By default, all.
    #[arg(long, value_name = "ORG", value_parser = clap::value_parser!(i64).range(1..))]
    pub org: Option<i64>,
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `clients show`.
#[derive(Debug, Args)]
pub struct ShowClient {
    /// Username of the client.
    #[arg(value_name = "USERNAME")]
    pub username: String,
    /// Output options.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `clients disable`, `clients enable` and `clients remove`.
#[derive(Debug, Args)]
pub struct SwitchClient {
    /// Username of the client.
    #[arg(value_name = "USERNAME")]
    pub username: String,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

impl Clients {
    /// Returns the options of every command.
    pub fn common(&self) -> &Common {
        match self {
            Self::Add(options) => &options.output.common,
            Self::List(options) => &options.output.common,
            Self::Show(options) => &options.output.common,
            Self::Disable(options) | Self::Enable(options) | Self::Remove(options) => &options.common,
        }
    }
}
