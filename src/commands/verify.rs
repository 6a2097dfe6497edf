//! `verify`: recounts the database, and prints each check as it is made.

use std::io::Write;
use std::sync::mpsc;

use crate::app::verify::{self, Check};
use crate::config::Verify;
use crate::server::{self, ServeError};
use crate::storage::StorageError;

/// The reason for which a database could not be verified, or has breaches.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database could not be opened, or its schema is not up to date.
    #[error(transparent)]
    Open(#[from] ServeError),
    /// The database failed during the verification.
    #[error("cannot verify")]
    Ask(#[source] StorageError),
    /// Some checks found breaches.
    #[error("{broken} of {checks} checks found breaches")]
    Broken {
        /// Number of checks that found some.
        broken: usize,
        /// Number of checks that were made.
        checks: usize,
    },
}

/// Recounts the database, whose schema is left unchanged.
///
/// # Errors
/// Returns the number of checks that found breaches, or why the verification could not be completed.
pub async fn run(options: &Verify) -> Result<(), VerifyError> {
    let store = server::open_unchanged(&options.common).await?;
    // A thread prints, so that a stalled reader does not keep the snapshot open while no statement runs.
    let (tell, made) = mpsc::channel::<Check>();
    let printer = tokio::task::spawn_blocking(move || made.iter().for_each(|check| print(&check)));
    let (mut broken, mut checks) = (0, 0);
    let verified = verify::verify(&store, |check| {
        checks += 1;
        broken += usize::from(!check.breaches.is_empty());
        // The printer reads until the channel is closed.
        let _ = tell.send(check);
    })
    .await;
    drop(tell);
    let _ = printer.await;
    store.close().await;
    verified.map_err(VerifyError::Ask)?;
    if broken == 0 { Ok(()) } else { Err(VerifyError::Broken { broken, checks }) }
}

fn print(check: &Check) {
    let mut out = std::io::stdout();
    let breaches = &check.breaches;
    let verdict = if breaches.is_empty() { "ok    " } else { "BREACH" };
    // A closed output does not change the result.
    let _ = writeln!(out, "{verdict} {}", check.what);
    for breach in breaches.named() {
        // Each breach takes one line, whatever a stored text holds.
        let _ = writeln!(out, "       {}", breach.replace(char::is_control, " "));
    }
    if breaches.more() {
        let _ = writeln!(out, "       and more");
    }
}
