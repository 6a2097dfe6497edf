//! Options of the commands that read without a service, or ask one: `export`, `doctor`, `probe`, `completions`, `man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::every_command::Common;
use super::listen::ListenAddress;

/// Options of `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Organization to export. By default, all.
    #[arg(long, value_name = "ORG", value_parser = clap::value_parser!(i64).range(1..))]
    pub org: Option<i64>,
    /// Leaves the customers out.
    #[arg(long)]
    pub without_customers: bool,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `probe`.
#[derive(Debug, Args)]
pub struct Probe {
    /// Asks whether the server accepts calls (`/readyz`). By default, whether it runs (`/healthz`).
    #[arg(long)]
    pub ready: bool,
    /// Address of the server. By default that of --admin-listen, else that of --listen.
    #[arg(value_name = "ADDRESS")]
    pub address: Option<ListenAddress>,
    /// Address of the server's admin listener, as the server has it.
    #[arg(long, env = "CART_PROMOTIONS_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<ListenAddress>,
    /// Address of the server's listener for calls, as the server has it. It must be without TLS.
    #[arg(long, env = "CART_PROMOTIONS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: ListenAddress,
    /// Maximum wait for the answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub timeout_ms: u64,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// Shell to complete for.
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Folder for the pages of all commands. By default the page of the program goes to standard output.
    #[arg(long, value_name = "FOLDER")]
    pub directory: Option<PathBuf>,
}
