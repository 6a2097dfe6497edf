//! The command line, the environment and the file of options, read once. `--help` shows the default and the limits of each option.

pub mod access;
mod changed;
pub mod clients;
mod command_line;
pub mod customers;
mod database_url;
pub mod edge;
mod environment;
mod every_command;
mod file;
pub mod inspect;
mod listen;
mod operator_name;
mod options;
pub mod orgs;
pub mod output;
pub mod promotions;
mod serve;
pub mod telemetry;
pub mod traces;
mod url_file;
pub mod wallet;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use command_line::CliError;
pub use database_url::DatabaseUrl;
pub use every_command::Common;
pub use listen::ListenAddress;
pub use operator_name::operator_name;
pub use serve::Serve;

/// Grants cart promotions in bulk, over gRPC and JSON on one port.
#[derive(Debug, Parser)]
#[command(name = "cart-promotions", version, max_term_width = 100)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: CliCommand,
    /// True when the URL of the database stands on the command line and has a password. Set by [`Cli::read`].
    #[arg(skip)]
    pub shows_password: bool,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Serves gRPC and JSON until SIGTERM or SIGINT.
    Serve(Box<Serve>),
    /// Imports organizations, promotions, customers and API clients from a JSON file, all or nothing.
    ///
    /// An existing record changes in the fields that the file names, and keeps the rest; importing the same file twice
    /// changes nothing. The change takes effect at once in every server on the database; changed secrets within a
    /// second.
    Import(ImportFile),
    /// Brings the schema of a database up to date; `serve` and `import` do so by themselves.
    Migrate(Migrate),
    /// Checks every invariant of the wallet, beside a running service. Exits with 1 when it finds a breach.
    Verify(Verify),
    /// Shows organizations and their history, and changes their settings.
    #[command(subcommand)]
    Orgs(orgs::Orgs),
    /// Lists, shows, creates, updates, activates and deactivates promotions, and shows their history.
    #[command(subcommand)]
    Promotions(promotions::Promotions),
    /// Records and counts customers.
    #[command(subcommand)]
    Customers(customers::Customers),
    /// Shows wallets.
    #[command(subcommand)]
    Wallet(wallet::Wallet),
    /// Issues and withdraws the credentials of API clients.
    #[command(subcommand)]
    Clients(clients::Clients),
    /// Writes the catalogs and the customers to standard output, as a file that `import` reads.
    Export(inspect::Export),
    /// Checks the connection, the role, the schema, the durability, the clock and the limit of open files, and says what to
    /// do. Changes nothing. Exits with 1 when it finds a problem.
    Doctor(inspect::Doctor),
    /// Asks a running server for its health. Exits with 0 if it is well.
    Probe(inspect::Probe),
    /// Writes the completions of a shell to standard output.
    Completions(inspect::Completions),
    /// Writes the manual page to standard output.
    Man(inspect::Man),
    /// Writes the descriptor set of the API to standard output, for gateways in front of the service.
    DescriptorSet,
}

impl CliCommand {
    /// Returns the options of every command that uses a database; `None` for the others.
    pub fn common(&self) -> Option<&Common> {
        match self {
            Self::Serve(options) => Some(&options.common),
            Self::Import(options) => Some(&options.common),
            Self::Migrate(options) => Some(&options.common),
            Self::Verify(options) => Some(&options.common),
            Self::Promotions(command) => Some(command.common()),
            Self::Orgs(command) => Some(command.common()),
            Self::Customers(command) => Some(command.common()),
            Self::Wallet(command) => Some(command.common()),
            Self::Clients(command) => Some(command.common()),
            Self::Export(options) => Some(&options.common),
            Self::Doctor(options) => Some(&options.common),
            Self::Probe(_) | Self::Completions(_) | Self::Man(_) | Self::DescriptorSet => None,
        }
    }
}

/// Options of `import`.
#[derive(Debug, Args)]
pub struct ImportFile {
    /// The file to import; docs/import.md describes it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Changes nothing, and prints one line for each record that would change.
    #[arg(long)]
    pub dry_run: bool,
    /// Replaces the secrets of recorded API clients by those of the file. By default the recorded ones stay.
    #[arg(long)]
    pub replace_secrets: bool,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    /// Distributes the tables over the workers of a Citus cluster: the tables of customers by customer, the catalog as
    /// reference tables.
    #[arg(long)]
    pub citus: bool,
    /// Changes nothing, and exits with 1 unless the schema is up to date.
    #[arg(long, conflicts_with = "citus")]
    pub check: bool,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}
