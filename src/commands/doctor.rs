//! `doctor`: checks everything around the service that an operator can put right, and says how. Changes nothing.

use std::fmt::Write as _;

use super::{CommandError, print};
use crate::clock::Clock;
use crate::config::inspect::Doctor;
use crate::printable::with_causes;
use crate::server;
use crate::storage::{StorageError, Store};

/// Largest difference between the clocks that is not told, in milliseconds: calls are judged by the clock of the server
/// that takes them, and times in the log are compared across machines.
const MAX_CLOCK_DIFFERENCE_MS: i64 = 1_000;
/// Least number of connections that the limit of open files must allow: the default of `--max-connections`.
const ENOUGH_CONNECTIONS: usize = 4_096;

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Well,
    Warning,
    Problem,
}

/// The checks made so far, a line each.
#[derive(Default)]
struct Report {
    lines: String,
    problems: usize,
}

impl Report {
    fn add(&mut self, verdict: Verdict, check: &str, text: &str) {
        let word = match verdict {
            Verdict::Well => "ok     ",
            Verdict::Warning => "warning",
            Verdict::Problem => "PROBLEM",
        };
        self.problems += usize::from(verdict == Verdict::Problem);
        let _ = writeln!(self.lines, "{word}  {check}: {}", text.replace('\n', " "));
    }
}

/// Makes every check, and prints each.
///
/// # Errors
/// Returns the number of problems, or why nothing could be printed.
pub async fn run(options: &Doctor, clock: &Clock) -> Result<(), CommandError> {
    let mut report = Report::default();
    check_files(&mut report);
    let url = options.common.database_url();
    match server::open_any(&options.common).await {
        Ok(store) => {
            report.add(Verdict::Well, "connection", &format!("{url} answers"));
            check_schema(&mut report, &store).await;
            check_durability(&mut report, &store).await;
            check_server(&mut report, &store, clock).await;
            store.close().await;
        }
        Err(error) => report.add(Verdict::Problem, "connection", &with_causes(&error)),
    }
    print(&report.lines)?;
    if report.problems == 0 { Ok(()) } else { Err(CommandError::Doctor(report.problems)) }
}

fn check_files(report: &mut Report) {
    let connections = server::connections_allowed();
    if connections >= ENOUGH_CONNECTIONS {
        return report.add(Verdict::Well, "open files", &format!("{connections} connections are possible"));
    }
    let advice = format!(
        "the limit allows {connections} connections; raise it (ulimit -Hn, LimitNOFILE=) or lower --max-connections"
    );
    report.add(Verdict::Warning, "open files", &advice);
}

async fn check_schema(report: &mut Report, store: &Store) {
    match store.require_current_schema().await {
        Ok(()) => {
            report.add(Verdict::Well, "schema", "is up to date");
            if let Err(error) = store.ping().await {
                report.add(Verdict::Problem, "writes", &with_causes(&error));
            }
        }
        Err(error) => report.add(Verdict::Problem, "schema", &with_causes(&error)),
    }
}

async fn check_durability(report: &mut Report, store: &Store) {
    match store.warnings().await {
        Ok(warnings) if warnings.is_empty() => report.add(Verdict::Well, "durability", "commits reach the disk"),
        Ok(warnings) => report.add(Verdict::Warning, "durability", &format!("{}; set it to on", warnings.join("; "))),
        Err(error) => report.add(Verdict::Problem, "durability", &with_causes(&error)),
    }
}

async fn check_server(report: &mut Report, store: &Store, clock: &Clock) {
    let examined: Result<_, StorageError> = store.examine().await;
    let examined = match examined {
        Ok(Some(examined)) => examined,
        Ok(None) => return report.add(Verdict::Well, "role and clock", "SQLite has neither"),
        Err(error) => return report.add(Verdict::Problem, "role", &with_causes(&error)),
    };
    if !examined.lacking.is_empty() {
        let lacking = examined.lacking.join(", ");
        report.add(Verdict::Problem, "role", &format!("lacks {lacking}; grant it, see docs/roles.sql"));
    } else if examined.is_superuser {
        let advice = "is a superuser; use one that may only read and write rows, see docs/roles.sql";
        report.add(Verdict::Warning, "role", advice);
    } else {
        report.add(Verdict::Well, "role", "may read and write rows");
    }
    let difference = clock.now().millis() - examined.now.millis();
    let text = format!("differs by {difference} ms from that of the database");
    if difference.abs() <= MAX_CLOCK_DIFFERENCE_MS {
        report.add(Verdict::Well, "clock", &text);
    } else {
        report.add(Verdict::Warning, "clock", &format!("{text}; synchronize both with NTP"));
    }
}
