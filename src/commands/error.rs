//! Errors of commands, worded for the one line that is printed for them.

use std::io::ErrorKind;

use crate::app::catalog::CatalogError;
use crate::app::clients::ClientError;
use crate::config::ListenAddress;
use crate::config::traces::TraceOptionError;
use crate::earning::object_id::MAX_ECHOED_CHARACTERS;
use crate::earning::{CustomerId, OrgId, codes};
use crate::server::{ImportFileError, ServeError};
use crate::storage::StorageError;
use crate::telemetry::metrics::MetricsError;
use crate::telemetry::traces::TraceError;
use crate::wire::{InvalidRequest, Violations};

/// Number of what a command names and is not recorded, whatever it is.
const NOT_FOUND: i32 = codes::CUSTOMER_NOT_FOUND;

/// A field of a message, and the option for it.
pub(super) type FieldOption = (&'static str, &'static str);

/// The reason for which a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A refusal like those of the API: the documented number, and the message.
    #[error("{code}: {message}")]
    Refused {
        /// The documented number.
        code: i32,
        /// The message.
        message: String,
    },
    /// The database could not be opened or migrated.
    #[error(transparent)]
    Open(#[from] ServeError),
    /// A variable for traces is invalid.
    #[error(transparent)]
    TraceOption(#[from] TraceOptionError),
    /// Traces cannot be sent.
    #[error("cannot send traces")]
    Traces(#[from] TraceError),
    /// The metrics contradict one another.
    #[error("cannot make the metrics")]
    Metrics(#[from] MetricsError),
    /// The database failed.
    #[error("the database failed")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A client could not be recorded.
    #[error(transparent)]
    Client(ClientError),
    /// The result could not be printed.
    #[error("cannot write to standard output")]
    Output(#[source] std::io::Error),
    /// A file could not be read at all.
    #[error("cannot read {file}")]
    File {
        /// Name of the file.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {file}{}", if source.kind() == ErrorKind::AlreadyExists { " (name a new file)" } else { "" })]
    Unwritable {
        /// Name of the file.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A server is not well, or does not answer.
    #[error("{url}: {problem}")]
    Probe {
        /// The address that was asked.
        url: String,
        /// The answer, or why there is none.
        problem: String,
    },
    /// The doctor found problems.
    #[error("{0} problems found")]
    Doctor(usize),
    /// A catalog file was not imported.
    #[error("{file}")]
    ImportFile {
        /// Name of the file.
        file: String,
        /// Violations of the file, or the failure of the database.
        source: ImportFileError,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({})", advice(source, option))]
    Listen {
        /// The option that has the address.
        option: &'static str,
        /// The address.
        address: ListenAddress,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The tables could not be distributed.
    #[error("cannot distribute the tables")]
    Distribute(#[source] StorageError),
    /// The signal handlers cannot be installed.
    #[error("cannot listen for signals")]
    Signal(#[source] std::io::Error),
    /// An import ended before the end of its file.
    #[error(transparent)]
    Import(#[from] ImportEnded),
}

/// Returns what to do about an address that cannot be listened on.
fn advice(error: &std::io::Error, option: &str) -> String {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "something listens there already: end it, or take another port",
        ErrorKind::AddrNotAvailable => "this machine has no such address: use one of it, or :PORT for all,",
        ErrorKind::PermissionDenied => "this user may not take the port: take one from 1024 on",
        _ => "use another address",
    };
    format!("{advice} with {option}")
}

/// The reason for which an import of customers ended before the end of its file, and the line to continue from.
#[derive(Debug, thiserror::Error)]
pub enum ImportEnded {
    /// A line is malformed.
    #[error(
        "{file}:{line}: {problem}; the lines before it are recorded: put it right and go on with --from-line {line}"
    )]
    WrongLine {
        /// Name of the file.
        file: String,
        /// Number of the line.
        line: u64,
        /// The violation.
        problem: String,
    },
    /// The operator interrupted the import.
    #[error("interrupted; the lines of {file} before {line} are recorded: go on with --from-line {line}")]
    Interrupted {
        /// Name of the file.
        file: String,
        /// Number of the first line that is not known to be recorded.
        line: u64,
    },
    /// The database failed.
    #[error("the lines of {file} before {line} are recorded: go on with --from-line {line}")]
    Storage {
        /// Name of the file.
        file: String,
        /// Number of the first line that is not known to be recorded.
        line: u64,
        /// The error of the database.
        source: StorageError,
    },
}

impl CommandError {
    /// Returns a refusal with this number and message.
    pub(super) fn refused(code: i32, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }

    /// Returns the refusal of options, or of a file, with this message.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::refused(codes::INVALID_REQUEST, message)
    }

    /// Returns the refusal for an organization that is not recorded.
    pub(super) fn no_organization(org_id: OrgId) -> Self {
        Self::refused(NOT_FOUND, CatalogError::NoOrganization(org_id).to_string())
    }

    /// Returns the refusal for a customer that is not recorded.
    pub(super) fn no_customer(customer_id: CustomerId) -> Self {
        Self::refused(NOT_FOUND, format!("customer {} not found", customer_id.0))
    }

    /// Returns the refusal of a malformed request. `names` are the options of its fields.
    pub(super) fn of_invalid_request(problem: InvalidRequest, names: &[FieldOption]) -> Self {
        match problem {
            InvalidRequest::Invalid(violations) => Self::of_violations(&violations, names),
            InvalidRequest::InvalidCustomerId(id) => {
                Self::refused(codes::INVALID_CUSTOMER_ID, format!("CUSTOMER: must be a positive integer, not {id}"))
            }
            InvalidRequest::InvalidPromotionId(id) => {
                let id: String = id.chars().take(MAX_ECHOED_CHARACTERS).collect();
                let problem = format!("a promotion id must be 24 hexadecimal digits, not {id:?}");
                Self::refused(codes::INVALID_PROMOTION_ID, problem)
            }
        }
    }

    /// Returns the refusal that lists every violation under the name of its option.
    pub(super) fn of_violations(violations: &Violations, names: &[FieldOption]) -> Self {
        let problems = violations.as_slice().iter().map(|violation| {
            let option = option_of(&violation.field, names);
            // The description may name another field of the message.
            let description = match violation.field.split_once('.') {
                Some((message, _)) => violation.description.replace(&format!("{message}."), ""),
                None => violation.description.clone(),
            };
            format!("{option}: {description}")
        });
        Self::invalid(problems.collect::<Vec<_>>().join("; "))
    }

    /// Returns the refusal of a change of a promotion, which names the field by its name in messages.
    pub(super) fn of_catalog(error: CatalogError) -> Self {
        let refused = match error {
            CatalogError::Unavailable(source) | CatalogError::Storage(source) => {
                return Self::Storage(source.into());
            }
            CatalogError::NoOrganization(org_id) => return Self::no_organization(org_id),
            CatalogError::Refused(refused) => refused,
        };
        match refused.field() {
            Some(field) => Self::refused(refused.code(), format!("{field}: {refused}")),
            None => Self::refused(refused.code(), refused.to_string()),
        }
    }
}

/// Returns the option of a field, or of the list that it belongs to; without one, the path of the field in its message,
/// by which a command line names it.
fn option_of<'a>(field: &'a str, names: &[FieldOption]) -> &'a str {
    let whole = field.split('[').next().unwrap_or(field);
    let option = names.iter().find(|(name, _)| *name == whole).map(|(_, option)| *option);
    option.unwrap_or_else(|| field.split_once('.').map_or(field, |(_, path)| path))
}

impl From<StorageError> for CommandError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::NoOrganization(_) | ClientError::NotFound(_) => NOT_FOUND,
            ClientError::NameTaken { .. } => codes::INVALID_REQUEST,
            ClientError::Hash(_) | ClientError::Storage(_) => return Self::Client(error),
        };
        Self::refused(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_told_under_the_name_of_its_option_or_else_of_its_field() {
        let names = [("client.access", "--access"), ("promotionId", "--promotion")];
        for (field, option) in [
            ("client.access", "--access"),
            ("client.access[0]", "--access"),
            ("promotionId[3]", "--promotion"),
            ("promotion.endDate", "endDate"),
            ("other", "other"),
        ] {
            assert_eq!(option_of(field, &names), option);
        }
        let violations = Violations::of("promotion.endDate", "must not be before startDate");
        let error = CommandError::of_violations(&violations, &names);
        assert_eq!(error.to_string(), "400: endDate: must not be before startDate");
    }
}
