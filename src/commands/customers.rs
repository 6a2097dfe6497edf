//! `customers`: counts customers, and records them from a file of any size, in transactions of many rows.
//!
//! A thread reads the file into batches, and a task records them: a batch is recorded while the next is read. At most a
//! few are in memory.

use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::customer_input::{self, Input, is_stdin};
use super::error::ImportEnded;
use super::rejects::Rejects;
use super::table::Table;
use super::{CommandError, note, on_database, print, show};
use crate::app::catalog;
use crate::config::customers::{CountCustomers, Customers, ImportCustomers};
use crate::earning::{CustomerId, OrgId};
use crate::storage::{StorageError, Store};
use crate::wire::files::customer::{CsvForm, CustomerFile, CustomerLines, LineContent, LineViolation};

/// Number of rows of the file in one transaction.
const BATCH: u64 = 10_000;
/// Maximum number of batches that wait to be recorded.
const MAX_WAITING_BATCHES: usize = 1;
/// Pause between two batches on SQLite. A process that waits to write looks about every 25 ms whether it can: without a
/// longer pause, the calls of a running service would wait for many batches.
const OTHERS_WRITE_FOR: Duration = Duration::from_millis(30);
/// Interval at which the progress of an input of unknown length is redrawn.
const TICK_EVERY: Duration = Duration::from_millis(200);

/// A message of the reading thread.
enum ReadLines {
    /// Customers to record.
    Customers(CustomerBatch),
    /// A line that holds no customer: its number, and the violation. No message follows.
    Violation(u64, LineViolation),
    /// The file of rejected lines could not be written. No message follows.
    Unwritable(std::io::Error),
    /// The end of the file.
    End(End),
}

/// The end of a file.
#[derive(Debug, Clone, Copy)]
struct End {
    /// Number of its last line.
    lines: u64,
    /// Number of malformed lines that were passed over.
    rejected: u64,
    /// The content up to there.
    content: LineContent,
}

/// A batch of customers to record.
#[derive(Default)]
struct CustomerBatch {
    customers: BTreeSet<CustomerId>,
    /// Number of rows that name them; a customer may appear twice.
    rows: u64,
    /// Number of the first line after them.
    next_line: u64,
    /// Number of bytes of the file up to there.
    bytes: u64,
}

/// The progress of the import.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportProgress {
    /// Number of rows that were read, each of which names a customer.
    rows: u64,
    /// Number of customers that were not recorded before.
    added: u64,
    /// Number of malformed lines that were passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
    /// Number of the first line that is not known to be recorded.
    #[serde(skip)]
    next_line: u64,
    /// The end of the file, after it was read to there.
    #[serde(skip)]
    end: Option<End>,
}

/// The number of customers of an organization.
#[derive(Debug, Serialize)]
struct CustomerCount {
    customers: u64,
}

/// Runs the command.
///
/// # Errors
/// Returns why it failed, or why it ended before the end of the file.
pub async fn run(command: &Customers) -> Result<(), CommandError> {
    match command {
        Customers::Import(options) => import(options).await,
        Customers::Count(options) => count(options).await,
    }
}

async fn count(options: &CountCustomers) -> Result<(), CommandError> {
    let org_id = OrgId(options.org.id);
    let counted = async |store: &Store| {
        let snapshot = store.catalog_snapshot().await?;
        snapshot.catalog(org_id).await?.ok_or_else(|| CommandError::no_organization(org_id))?;
        Ok(snapshot.count_customers(org_id).await?)
    };
    let customers = on_database(&options.output.common, counted).await?;
    if options.output.json {
        return show(true, &[CustomerCount { customers }], || Table::new(&[]));
    }
    print(&format!("{customers}\n"))
}

async fn import(options: &ImportCustomers) -> Result<(), CommandError> {
    let org_id = OrgId(options.org.id);
    let file = if is_stdin(options) { "standard input".to_owned() } else { options.file.display().to_string() };
    let unreadable = |source| CommandError::File { file: file.clone(), source };
    let format = customer_input::format(options)?;
    let Input { reader, length } = customer_input::open(options).map_err(unreadable)?;
    let rejects = Rejects::create(options)?;
    let bar = progress(length);
    let csv = CsvForm { separator: options.delimiter, column: options.column.clone() };
    let lines = CustomerLines::new(reader, CustomerFile { format, csv, org_id, from_line: options.from_line });
    let mut recorded = ImportProgress { rows: 0, added: 0, rejected: None, next_line: options.from_line, end: None };
    let pause = options.output.common.database_url().is_sqlite().then_some(OTHERS_WRITE_FOR);
    let import = async |store: &Store| {
        // The organization is checked first, as otherwise every row would be refused.
        catalog::recorded(store, org_id).await.map_err(CommandError::of_catalog)?;
        // Signals are handled from here on: before, no line is recorded, so the default action is enough.
        let listen = |kind| signal(kind).map_err(CommandError::Signal);
        let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let (send, batches) = mpsc::channel(MAX_WAITING_BATCHES);
        // The thread is not of the runtime, which would wait for it while it waits for a terminal or a pipe.
        std::thread::spawn(move || read(lines, rejects, &send));
        let ended = tokio::select! {
            biased;
            _ = term.recv() => Err(ImportEnd::Interrupted),
            _ = int.recv() => Err(ImportEnd::Interrupted),
            done = record(Target { store, org_id, pause, dry_run: options.dry_run }, batches, &mut recorded, &bar) => done,
        };
        ended.map_err(|ended| ended.told_of(options, file.clone(), recorded.next_line))
    };
    let ended = on_database(&options.output.common, import).await;
    bar.finish_and_clear();
    ended?;
    if recorded.rows == 0
        && let Some(end) = recorded.end
    {
        tell_of_no_rows(&file, options.from_line, end)?;
    }
    let rejected = recorded.end.map_or(0, |end| end.rejected);
    if options.rejects.is_some() || options.dry_run {
        recorded.rejected = Some(rejected);
    }
    tell(options, &file, recorded)?;
    if options.dry_run && options.rejects.is_none() && rejected > 0 {
        return Err(CommandError::invalid(format!("{file} has {rejected} malformed lines")));
    }
    Ok(())
}

/// Prints the result.
fn tell(options: &ImportCustomers, file: &str, recorded: ImportProgress) -> Result<(), CommandError> {
    if options.output.json {
        return show(true, &[recorded], || Table::new(&[]));
    }
    let ImportProgress { rows, added, rejected, .. } = recorded;
    let (done, known) = (if options.dry_run { "would record" } else { "recorded" }, rows - added);
    let rejected = match (rejected, &options.rejects) {
        (Some(rejected), Some(rejects)) if rejected > 0 => {
            format!("; {rejected} malformed lines in {}", rejects.display())
        }
        (Some(rejected), _) => format!("; {rejected} malformed lines"),
        (None, _) => String::new(),
    };
    print(&format!("{done} {rows} customers of {file}: {added} new, {known} known{rejected}\n"))
}

/// Tells the operator why a file that was read to its end held no customers.
///
/// # Errors
/// Returns an error when the file is empty, or `from_line` is past its end.
fn tell_of_no_rows(file: &str, from_line: u64, end: End) -> Result<(), CommandError> {
    match end.content {
        LineContent::Nothing => return Err(CommandError::invalid(format!("{file} is empty"))),
        // An interrupted import may name the line after the last one.
        _ if from_line > end.lines + 1 => {
            let lines = end.lines;
            let problem = format!("--from-line: {from_line} is past the end of {file}, which has {lines} lines");
            return Err(CommandError::invalid(problem));
        }
        _ if end.rejected > 0 => note(&format!("{file} has no well-formed line")),
        LineContent::Header => note(&format!("{file} has a header and no customers")),
        LineContent::Rows => note(&format!("{file} has no customers from line {from_line} on")),
    }
    Ok(())
}

/// The reason for which recording ended before the end of the file.
enum ImportEnd {
    Interrupted,
    Line(u64, LineViolation),
    Unwritable(std::io::Error),
    Storage(StorageError),
}

impl ImportEnd {
    /// Converts the reason to an error for a file of which everything before `line` is recorded.
    fn told_of(self, options: &ImportCustomers, file: String, line: u64) -> CommandError {
        let ended = match self {
            Self::Interrupted => ImportEnded::Interrupted { file, line },
            Self::Line(line, LineViolation::File(problem)) => {
                return CommandError::invalid(format!("{file}:{line}: {problem}"));
            }
            Self::Line(line, problem) => ImportEnded::WrongLine { file, line, problem: problem.to_string() },
            Self::Unwritable(source) => {
                let rejects = options.rejects.as_ref().map(|file| file.display().to_string());
                return CommandError::Unwritable { file: rejects.unwrap_or_default(), source };
            }
            Self::Storage(source) => ImportEnded::Storage { file, line, source },
        };
        ended.into()
    }
}

/// The organization whose customers are recorded, and the pause after each batch.
struct Target<'a> {
    store: &'a Store,
    org_id: OrgId,
    pause: Option<Duration>,
    /// True when nothing is recorded.
    dry_run: bool,
}

impl Target<'_> {
    /// Records customers, or counts those that would be new.
    async fn record(&self, customers: &BTreeSet<CustomerId>) -> Result<usize, StorageError> {
        if self.dry_run {
            catalog::count_new(self.store, self.org_id, customers).await
        } else {
            catalog::record_customers(self.store, self.org_id, customers).await
        }
    }
}

/// Records batch by batch, and keeps `recorded` up to date.
async fn record(
    target: Target<'_>,
    mut batches: mpsc::Receiver<ReadLines>,
    recorded: &mut ImportProgress,
    bar: &ProgressBar,
) -> Result<(), ImportEnd> {
    while let Some(read) = batches.recv().await {
        let batch = match read {
            ReadLines::Customers(batch) => batch,
            ReadLines::Violation(line, problem) => return Err(ImportEnd::Line(line, problem)),
            ReadLines::Unwritable(error) => return Err(ImportEnd::Unwritable(error)),
            ReadLines::End(end) => {
                recorded.end = Some(end);
                break;
            }
        };
        let added = target.record(&batch.customers).await.map_err(ImportEnd::Storage)?;
        recorded.rows += batch.rows;
        recorded.added += added as u64;
        recorded.next_line = recorded.next_line.max(batch.next_line);
        bar.set_position(batch.bytes);
        bar.set_message(recorded.rows.to_string());
        if let Some(pause) = target.pause {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

/// Reads the file to its end, or to its first violation unless malformed lines are passed over. Ends also when the receiver
/// is gone.
fn read(mut lines: CustomerLines, mut rejects: Rejects, send: &mpsc::Sender<ReadLines>) {
    loop {
        let mut batch = CustomerBatch::default();
        let end = loop {
            match lines.next() {
                Some(Ok(customer_id)) => {
                    batch.customers.insert(customer_id);
                    batch.rows += 1;
                    if batch.rows == BATCH {
                        break None;
                    }
                }
                Some(Err(LineViolation::Wrong(problem))) if rejects.are_passed_over() => {
                    if let Err(error) = rejects.add(&lines, &problem) {
                        break Some(ReadLines::Unwritable(error));
                    }
                }
                Some(Err(problem)) => break Some(ReadLines::Violation(lines.line(), problem)),
                None => break Some(end(&lines, &mut rejects)),
            }
        };
        let is_wrong = matches!(end, Some(ReadLines::Violation(..)));
        batch.next_line = lines.line() + u64::from(!is_wrong);
        batch.bytes = lines.bytes();
        if batch.rows > 0 && send.blocking_send(ReadLines::Customers(batch)).is_err() {
            return;
        }
        if let Some(end) = end {
            return drop(send.blocking_send(end));
        }
    }
}

/// Returns the message of the end of the file.
fn end(lines: &CustomerLines, rejects: &mut Rejects) -> ReadLines {
    match rejects.finish() {
        Ok(rejected) => ReadLines::End(End { lines: lines.line(), rejected, content: lines.content() }),
        Err(error) => ReadLines::Unwritable(error),
    }
}

/// Returns a progress bar on standard error, if that is a terminal.
fn progress(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:30} {percent}%  {msg} customers  {elapsed}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} customers  {elapsed}"),
    };
    // An invalid template leaves the default bar.
    bar.set_message("0");
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    if length.is_none() {
        bar.enable_steady_tick(TICK_EVERY);
    }
    bar
}
