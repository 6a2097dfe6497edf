//! The program: reads the command line, starts logging, and runs the command.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use cart_promotions::clock::Clock;
use cart_promotions::config::{Cli, CliCommand, CliError};
use cart_promotions::printable::with_causes;
use cart_promotions::proto::DESCRIPTOR_SET;
use cart_promotions::telemetry::Log;
use cart_promotions::telemetry::LogFormat;
use cart_promotions::{commands, telemetry};

/// A request makes some hundred small allocations; this allocator saves a fifth of the time of a request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Waits for the last log lines when the program ends, by a panic too.
struct FlushAtEnd(Log);

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        self.0.flush();
    }
}

fn main() -> ExitCode {
    let log = match Log::start() {
        Ok(log) => FlushAtEnd(log),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cart-promotions: cannot start the logging thread: {error}");
            return ExitCode::FAILURE;
        }
    };
    let log = &log.0;
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(CliError::Help(text)) => {
            let Err(error) = text.print() else { return ExitCode::SUCCESS };
            telemetry::fail(log, &format!("cannot write to standard output: {error}"), None);
            return ExitCode::FAILURE;
        }
        // The help goes to standard error here, so there is no place for the reason why it cannot be written.
        Err(CliError::NoCommand(text)) => {
            let _ = text.print();
            return ExitCode::from(2);
        }
        Err(CliError::Wrong { line, format }) => {
            telemetry::fail(log, &line, format);
            return ExitCode::from(2);
        }
    };
    let url = cli.command.common().map(|common| common.database_url().clone());
    let format = match &cli.command {
        CliCommand::Serve(options) => Some(options.common.log_format.unwrap_or_else(LogFormat::by_default)),
        _ => None,
    };
    match run(cli, log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = with_causes(&*error);
            telemetry::fail(log, &url.map_or(line.clone(), |url| url.redact(&line)), format);
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(cli: Cli, log: &Log) -> anyhow::Result<()> {
    let level = cli.command.common().map(|common| telemetry::start(log, common.log, common.log_format));
    if cli.shows_password {
        tracing::warn!(
            "--database-url: other users of this machine can read the password on the command line; set \
             CART_PROMOTIONS_DATABASE_URL or use --database-url-file"
        );
    }
    match cli.command {
        CliCommand::Serve(options) => commands::serve::run(&options, log, level).await?,
        CliCommand::Import(options) => commands::import::run(&options, log, &Clock::system()).await?,
        CliCommand::Migrate(options) => commands::migrate::run(&options).await?,
        CliCommand::Verify(options) => commands::verify::run(&options).await?,
        CliCommand::Promotions(command) => commands::promotions::run(&command, &Clock::system()).await?,
        CliCommand::Orgs(command) => commands::orgs::run(&command, &Clock::system()).await?,
        CliCommand::Customers(command) => commands::customers::run(&command).await?,
        CliCommand::Wallet(command) => commands::wallet::run(&command, &Clock::system()).await?,
        CliCommand::Clients(command) => commands::clients::run(&command, &Clock::system()).await?,
        CliCommand::Export(options) => commands::export::run(&options).await?,
        CliCommand::Doctor(options) => commands::doctor::run(&options, &Clock::system()).await?,
        CliCommand::Probe(options) => commands::probe::run(&options).await?,
        CliCommand::Completions(options) => commands::manual::completions(&options)?,
        CliCommand::Man(options) => commands::manual::man(&options)?,
        CliCommand::DescriptorSet => {
            std::io::stdout().write_all(DESCRIPTOR_SET).context("cannot write to standard output")?;
        }
    }
    Ok(())
}
