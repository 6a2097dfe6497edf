//! Why a command failed, in words for the one line that is printed of it.

use std::net::SocketAddr;

use crate::app::catalog::CatalogError;
use crate::app::clients::ClientError;
use crate::earning::{CustomerId, OrgId};
use crate::server::{ImportFileError, ServeError};
use crate::storage::StorageError;
use crate::wire::{Fault, Violations};

/// How much of an id that is none a message repeats: characters.
const MAX_ECHOED_CHARACTERS: usize = 100;

/// A field of a message, and the option it is given by.
pub(super) type FieldOption = (&'static str, &'static str);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Refused, as the API would: the documented number, and why.
    #[error("{code}: {message}")]
    Refused {
        /// The documented number.
        code: i32,
        /// Why.
        message: String,
    },
    /// The database could not be opened or migrated.
    #[error(transparent)]
    Open(#[from] ServeError),
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
        /// Its name.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A catalog file was not imported.
    #[error("{file}")]
    ImportFile {
        /// Its name.
        file: String,
        /// Why.
        source: ImportFileError,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The tables could not be distributed.
    #[error("cannot distribute the tables")]
    Distribute(#[source] StorageError),
    /// The process cannot be told of signals.
    #[error("cannot listen for signals")]
    Signal(#[source] std::io::Error),
    /// An import ended before the end of its file.
    #[error(transparent)]
    Import(#[from] ImportEnded),
}

/// Why an import of customers ended before the end of its file, and where to go on.
#[derive(Debug, thiserror::Error)]
pub enum ImportEnded {
    /// A line is wrong.
    #[error(
        "{file}:{line}: {problem}; the lines before it are recorded: put it right and go on with --from-line {line}"
    )]
    WrongLine {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The operator ended it.
    #[error("interrupted; the lines of {file} before {line} are recorded: go on with --from-line {line}")]
    Interrupted {
        /// The file.
        file: String,
        /// The first line that is not known to be recorded.
        line: u64,
    },
    /// The database failed.
    #[error("the lines of {file} before {line} are recorded: go on with --from-line {line}")]
    Storage {
        /// The file.
        file: String,
        /// The first line that is not known to be recorded.
        line: u64,
        /// What the database says.
        source: StorageError,
    },
}

impl CommandError {
    /// Nothing of that number and name is there.
    pub(super) fn refused(code: i32, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }

    /// There is no such organization.
    pub(super) fn no_organization(org_id: OrgId) -> Self {
        Self::refused(404, CatalogError::NoOrganization(org_id).to_string())
    }

    /// There is no such customer.
    pub(super) fn no_customer(customer_id: CustomerId) -> Self {
        Self::refused(404, format!("customer {} not found", customer_id.0))
    }

    /// A message that options say is wrong in itself. `names` are the options of its fields.
    pub(super) fn of_fault(fault: Fault, names: &[FieldOption]) -> Self {
        match fault {
            Fault::Invalid(violations) => Self::of_violations(&violations, names),
            Fault::InvalidCustomerId(id) => {
                Self::refused(1006, format!("CUSTOMER: must be a positive integer, not {id}"))
            }
            Fault::InvalidPromotionId(id) => {
                let id: String = id.chars().take(MAX_ECHOED_CHARACTERS).collect();
                Self::refused(725, format!("a promotion id must be 24 hexadecimal digits, not {id:?}"))
            }
        }
    }

    /// Every fault, under the name of its option.
    pub(super) fn of_violations(violations: &Violations, names: &[FieldOption]) -> Self {
        let faults = violations.as_slice().iter().map(|violation| {
            let option = option_of(&violation.field, names);
            // Where one field is compared with another.
            format!("{option}: {}", violation.description.replace("startDate", "--start"))
        });
        Self::refused(400, faults.collect::<Vec<_>>().join("; "))
    }

    /// A promotion stays as it is. `names` are the options of its fields.
    pub(super) fn of_catalog(error: CatalogError, names: &[FieldOption]) -> Self {
        let refused = match error {
            CatalogError::Unavailable(source) | CatalogError::Storage(source) => {
                return Self::Storage(source.into());
            }
            CatalogError::NoOrganization(org_id) => return Self::no_organization(org_id),
            CatalogError::Refused(refused) => refused,
        };
        match refused.field() {
            Some(field) => {
                let field = format!("promotion.{field}");
                Self::refused(refused.code(), format!("{}: {refused}", option_of(&field, names)))
            }
            None => Self::refused(refused.code(), refused.to_string()),
        }
    }
}

/// The option of a field, or of the list or pair of fields that it is a part of.
fn option_of<'a>(field: &'a str, names: &[FieldOption]) -> &'a str {
    let whole = field.split('[').next().unwrap_or(field);
    let whole = whole.strip_suffix("ISO").unwrap_or(whole);
    names.iter().find(|(name, _)| *name == whole).map_or(field, |(_, option)| option)
}

impl From<StorageError> for CommandError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::NoOrganization(_) | ClientError::NotFound(_) => 404,
            ClientError::NameTaken { .. } => 400,
            ClientError::Hash(_) | ClientError::Storage(_) => return Self::Client(error),
        };
        Self::refused(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_under_the_name_of_its_option() {
        let names = [("promotion.endDate", "--end"), ("promotionId", "--promotion")];
        for (field, option) in [
            ("promotion.endDate", "--end"),
            ("promotion.endDateISO", "--end"),
            ("promotionId[3]", "--promotion"),
            ("other", "other"),
        ] {
            assert_eq!(option_of(field, &names), option);
        }
        let violations = Violations::of("promotion.endDate", "must not be before startDate");
        let error = CommandError::of_violations(&violations, &names);
        assert_eq!(error.to_string(), "400: --end: must not be before --start");
    }
}
