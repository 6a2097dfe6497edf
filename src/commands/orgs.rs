//! `orgs`: shows the history of organizations.

use super::{CommandError, history};
use crate::config::operator::Orgs;
use crate::earning::OrgId;

/// Runs the command.
///
/// # Errors
/// Returns why it failed.
pub async fn run(command: &Orgs) -> Result<(), CommandError> {
    match command {
        Orgs::History(options) => history::run(OrgId(options.id), None, &options.output).await,
    }
}
