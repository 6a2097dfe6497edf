//! The reasons for which the service did not start, or ended by itself.

use std::time::Duration;

use super::import::ImportFileError;
use crate::access::issuers::KeyFileError;
use crate::access::shared_key::SharedKeyError;
use crate::config::DatabaseUrl;
use crate::config::access::AccessOptionError;
use crate::earning::OrgId;
use crate::edge::TlsError;
use crate::storage::StorageError;
use crate::transport::SchemaError;

/// The reason for which the service did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database could not be opened or migrated.
    #[error("cannot use the database {url}{}", advice(source))]
    Database {
        /// URL of the database.
        url: DatabaseUrl,
        /// The cause.
        source: StorageError,
    },
    /// The demo catalog conflicts with the contents of the database.
    #[error("cannot import the demo catalog")]
    Demo(#[from] ImportFileError),
    /// The database holds other organizations, and the credentials of the demo catalog are public.
    #[error("--demo: the database {url} holds the organization {}; use an empty one, or one of the demo", .other.0)]
    DemoOnOthers {
        /// URL of the database.
        url: DatabaseUrl,
        /// An organization that is not of the demo.
        other: OrgId,
    },
    /// The database holds other organizations, and every caller would be admitted.
    #[error(
        "--without-authentication {org}: the database {url} holds the organization {}, too; use a database of this \
         organization alone", .other.0
    )]
    OpenToOthers {
        /// URL of the database.
        url: DatabaseUrl,
        /// The organization that every caller acts for.
        org: i64,
        /// An organization beside it.
        other: OrgId,
    },
    /// The access options are invalid.
    #[error(transparent)]
    Access(#[from] AccessOptionError),
    /// No key for access tokens is configured, and that of the database cannot be used.
    #[error(transparent)]
    SharedKey(SharedKeyError),
    /// The keys of a trusted issuer cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The reflection service has no schema.
    #[error("cannot serve reflection")]
    Reflection(#[from] SchemaError),
    /// A task that runs as long as the service ended unexpectedly.
    #[error("the {0} ended unexpectedly")]
    Died(&'static str),
    /// Accepted calls did not finish within the drain timeout.
    #[error("stopped with requests unanswered: they took longer than {0:?}")]
    DrainTimeout(Duration),
}

/// Returns what to do about a database that cannot be opened, as a text that follows its URL.
fn advice(error: &StorageError) -> String {
    match error.advice() {
        "" => String::new(),
        advice => format!(" ({advice})"),
    }
}
