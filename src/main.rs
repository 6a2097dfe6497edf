//! The program: reads the command line, starts logging, and does what it was asked to.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use cart_promotions::app::Clock;
use cart_promotions::app::import::ImportOptions;
use cart_promotions::config::{Cli, Command, ImportFile, Migrate, Serve, hide_password, one_line};
use cart_promotions::printable::with_causes;
use cart_promotions::proto::DESCRIPTOR_SET;
use cart_promotions::telemetry::Log;
use cart_promotions::{commands, demo, server, telemetry};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A request makes some hundred small allocations; this allocator takes a fifth less of the time of a request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Waits for the last lines of the log when the program ends, by a panic too.
struct FlushAtEnd(Log);

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        self.0.flush();
    }
}

fn main() -> ExitCode {
    let hidden = hide_password();
    let log = match Log::start() {
        Ok(log) => FlushAtEnd(log),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cart-promotions: cannot start the thread of the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    let log = &log.0;
    if let Err(error) = hidden {
        log.say(&format!("cart-promotions: the password stays in the command line: {error}"));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(line) = one_line(&error) {
                return fail(log, &line, 2);
            }
            // `--help` or `--version`: what was asked for, and nothing else to do when nobody reads it.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
    };
    match run(cli.command, log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(log, &with_causes(&*error), 1),
    }
}

/// Writes one clear line, behind those of the log, and returns the exit code.
fn fail(log: &Log, line: &str, code: u8) -> ExitCode {
    log.say(&format!("cart-promotions: {}", line.replace('\n', " ")));
    ExitCode::from(code)
}

#[tokio::main]
async fn run(command: Command, log: &Log) -> anyhow::Result<()> {
    match command {
        Command::Serve(options) => serve(&options, log).await,
        Command::Import(options) => import(&options, log).await,
        Command::Migrate(options) => migrate(&options, log).await,
        Command::Verify(options) => {
            telemetry::start(&options.common, log);
            Ok(commands::verify::run(&options).await?)
        }
        Command::Promotions(command) => {
            telemetry::start(command.common(), log);
            Ok(commands::promotions::run(&command, &Clock::system()).await?)
        }
        Command::Customers(command) => {
            telemetry::start(command.common(), log);
            Ok(commands::customers::run(&command).await?)
        }
        Command::Wallet(command) => {
            telemetry::start(command.common(), log);
            Ok(commands::wallet::run(&command, &Clock::system()).await?)
        }
        Command::Clients(command) => {
            telemetry::start(command.common(), log);
            Ok(commands::clients::run(&command).await?)
        }
        Command::DescriptorSet => {
            std::io::stdout().write_all(DESCRIPTOR_SET).context("cannot write to standard output")
        }
    }
}

async fn serve(options: &Serve, log: &Log) -> anyhow::Result<()> {
    telemetry::start(&options.common, log);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    };
    let listener =
        TcpListener::bind(options.listen).await.with_context(|| format!("cannot listen on {}", options.listen))?;
    let address = listener.local_addr()?;
    let started = || {
        let tls = options.edge.tls_files();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let clients = tls.as_ref().and_then(|files| files.client_ca.as_ref()).map(|_| "required");
        tracing::info!(
            %address,
            database = %options.common.database_url,
            tls = tls.is_some(),
            client_certificates = clients,
            "serving gRPC and JSON"
        );
        if options.access.token_keys.is_empty() {
            tracing::info!("access tokens are good for this process only: no key for them is configured");
        }
        if let Some(org) = options.access.without_authentication {
            tracing::warn!(
                org,
                "nobody is asked for credentials: everybody is taken for this organization, with all access"
            );
        }
        if options.demo {
            tracing::warn!("everybody knows the credentials of the demo, demo/demo: not for production");
            print_beside(demo::curl(scheme, address));
        }
    };
    Ok(server::run(listener, options, Clock::system(), (started, stop)).await?)
}

/// Writes a line to standard output on a thread of its own: a reader that stalls does not hold the service up.
fn print_beside(line: String) {
    let print = move || drop(writeln!(std::io::stdout(), "{line}"));
    if let Err(error) = std::thread::Builder::new().spawn(print) {
        tracing::warn!(error = &error as &dyn std::error::Error, "nothing could be printed");
    }
}

async fn migrate(options: &Migrate, log: &Log) -> anyhow::Result<()> {
    telemetry::start(&options.common, log);
    let store = server::open(&options.common).await?;
    if options.citus {
        store.distribute().await.context("cannot distribute the tables")?;
    }
    store.close().await;
    let _ = writeln!(std::io::stdout(), "{} is up to date", options.common.database_url);
    Ok(())
}

async fn import(options: &ImportFile, log: &Log) -> anyhow::Result<()> {
    telemetry::start(&options.common, log);
    let file = options.file.display();
    let json = tokio::fs::read(&options.file).await.with_context(|| format!("cannot read {file}"))?;
    // Before the database is touched: a wrong file leaves nothing behind.
    let import = server::read_import(&json).with_context(|| file.to_string())?;
    let store = server::open(&options.common).await?;
    let how = ImportOptions { replace_secrets: options.replace_secrets, dry_run: options.dry_run };
    let imported = import.run(&store, how).await.with_context(|| file.to_string())?;
    store.close().await;
    for warning in imported.warnings {
        log.say(&format!("cart-promotions: warning: {warning}"));
    }
    let mut out = std::io::stdout();
    if options.dry_run {
        if imported.changes.is_empty() {
            let _ = writeln!(out, "nothing would change");
        }
        for change in imported.changes {
            let _ = writeln!(out, "{change}");
        }
    } else {
        let _ = writeln!(out, "imported {file}");
    }
    Ok(())
}
