//! The one table of errors: the reasons for which a whole call is refused.
//!
//! `refusal_form` gives a refusal its form on each endpoint. `docs/errors.md` prints the table, and a test compares them.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tonic::Code;

use crate::access::groups::AccessGroup;
use crate::earning::OrgId;
use crate::proto::Reason;
use crate::wire::Violations;
use crate::wire::text::not_positive;
use crate::writer::error::Outage;

/// Message to callers without valid credentials.
const UNAUTHENTICATED: &str = "credentials are missing or wrong: send HTTP Basic with the username and secret of an API \
    client, or an access token";
const EXPIRED: &str = "the access token has expired: get another one";

/// Limits the part of a path, or of a name of the schema, that an answer repeats: bytes.
pub const MAX_ECHOED_BYTES: usize = 200;

/// Values in a message, by name.
pub type MetadataValues = Vec<(&'static str, String)>;

/// The internal cause of a refusal, for the log and never for a caller.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// The violation in the credentials of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unauthenticated {
    /// No credentials were presented, or a wrong username or secret.
    Credentials,
    /// The token is not accepted.
    Token,
    /// The token was valid and has expired.
    ExpiredToken,
}

impl Unauthenticated {
    fn text(self) -> &'static str {
        match self {
            Self::Credentials | Self::Token => UNAUTHENTICATED,
            Self::ExpiredToken => EXPIRED,
        }
    }

    /// Returns the challenge for a token (RFC 6750).
    pub(super) fn bearer(self) -> &'static str {
        match self {
            Self::Credentials => r#"Bearer realm="cart-promotions""#,
            Self::Token => r#"Bearer realm="cart-promotions", error="invalid_token""#,
            Self::ExpiredToken => {
                r#"Bearer realm="cart-promotions", error="invalid_token", error_description="the token has expired""#
            }
        }
    }
}

/// A refusal of a whole call.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The credentials are missing or wrong.
    #[error("{}", .0.text())]
    Unauthenticated(Unauthenticated),
    /// The keys of the issuer of the token have not been read yet.
    #[error("the keys of the token's issuer were not read yet; try again")]
    KeysNotRead,
    /// Too many logins failed, from one address or for one username.
    #[error("too many logins failed; try again in {} s", retry_after.as_secs())]
    TooManyFailedLogins {
        /// Time until another try is accepted.
        retry_after: Duration,
    },
    /// The client is beyond its rate limit.
    #[error("over the rate limit of {per_minute} a minute; try again in {} s", retry_after.as_secs())]
    RateLimited {
        /// The rate limit per minute.
        per_minute: u32,
        /// Time until the next request is accepted.
        retry_after: Duration,
    },
    /// The request names another organization than that of the credentials.
    #[error("orgId {given} is not the organization of the credentials")]
    OrgMismatch {
        /// `orgId` of the request.
        given: i64,
    },
    /// A trusted issuer issued a token for an organization that is not recorded.
    #[error("the organization {} of the access token is not recorded", .0.0)]
    UnknownOrganization(OrgId),
    /// The credentials lack an access group.
    #[error("the credentials lack the access group {}", .0.name())]
    AccessDenied(AccessGroup),
    /// The request violates rules of its form.
    #[error("{}", summary(.0))]
    Invalid(Violations),
    /// The customer id is not a positive number.
    #[error("customerId: {}", not_positive(*.0))]
    InvalidCustomerId(i64),
    /// The promotion id does not have the form of an id.
    #[error("promotionId: must be 24 hexadecimal digits, not {0:?}")]
    InvalidPromotionId(String),
    /// The organization has no such customer.
    #[error("customer {0} not found")]
    CustomerNotFound(i64),
    /// The organization has no such promotion.
    #[error("promotion {0:?} not found")]
    PromotionNotFound(String),
    /// The organization has no such earned promotion.
    #[error("earned promotion {0} not found")]
    EarnedPromotionNotFound(String),
    /// A promotion is created with the id of a recorded one, but with other content.
    #[error("promotion {promotion_id} is recorded with other content ({differing})")]
    PromotionExists {
        /// The id of the promotion.
        promotion_id: String,
        /// The fields that differ, joined by commas.
        differing: String,
    },
    /// The recorded state forbids the call, for one of the documented reasons.
    #[error("{message}")]
    Precondition {
        /// The documented reason.
        reason: Reason,
        /// The message to the caller.
        message: String,
        /// The values in the message, by name.
        values: MetadataValues,
    },
    /// The customer could not be looked up in the database.
    #[error("customer {customer_id} could not be looked up: {}", told(*outage))]
    CustomerLookupFailed {
        /// The id of the customer.
        customer_id: i64,
        /// The class of the failure, which selects the message.
        outage: Outage,
        /// The error of the database.
        #[source]
        cause: Cause,
    },
    /// Other work was in the way: a change that holds a lock, or calls that hold all connections. Nothing is recorded.
    #[error("{}", told(*.0))]
    Busy(Outage, #[source] Cause),
    /// The queue of waiting requests is full.
    #[error("too many requests are waiting; try again")]
    Overloaded,
    /// The service does not serve yet, or no longer.
    #[error("the service is starting or stopping; try again")]
    NotServing,
    /// The database failed. The service does not know if a change was saved.
    #[error("{}", told(*.0))]
    Unavailable(Outage, #[source] Cause),
    /// Any other internal failure.
    #[error("internal error; the request id names it in the log")]
    Internal(#[source] Cause),
    /// The path names no call.
    #[error("{0} is unknown")]
    UnknownPath(String),
    /// The path accepts only other HTTP methods.
    #[error("the path takes other methods: see Allow")]
    MethodNotAllowed,
    /// The body is larger than a request may be.
    #[error("the body is larger than {max_bytes} bytes")]
    TooLarge {
        /// The largest body: bytes.
        max_bytes: usize,
    },
    /// The headers are too long, or there are too many (HTTP/1.1).
    #[error("the request has too many headers, or they are longer than {max_bytes} bytes in all")]
    HeadersTooLarge {
        /// The longest headers: bytes.
        max_bytes: usize,
    },
    /// The target of a request of HTTP/1.1 is too long.
    #[error("the target of the request, its path and query, is too long")]
    TargetTooLong,
    /// The body takes too long to arrive.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The call took longer than it may. The service does not know if a change was saved.
    #[error("the call was not answered in time; it may have been recorded: try again")]
    DeadlineExceeded,
    /// A gRPC path is called in another form.
    #[error(
        "this path speaks gRPC: send Content-Type: application/grpc over HTTP/2, or see the documentation for the JSON paths"
    )]
    NotGrpc,
    /// The body is not declared as plain JSON.
    #[error("the body must be JSON: send one Content-Type, application/json in UTF-8, and no Content-Encoding")]
    NotJson,
}

/// Returns the message for an outage. Where a retry may fail the same way, the message does not suggest one.
pub fn told(outage: Outage) -> &'static str {
    match outage {
        Outage::Busy => "another change of the same rows is under way; nothing is recorded: try again",
        Outage::Unreachable => "the database cannot be reached at the moment; try again",
        Outage::NoConnection => "other calls hold the connections to the database; nothing is recorded: try again",
        Outage::Exhausted => "the database has no connection or memory to spare at the moment; try again",
        Outage::TooSlow => "the database took too long",
        Outage::Unwritable => "the database cannot write: its disk is full or fails, or it may only be read",
    }
}

/// Rounds a wait up to whole seconds, because a retry before its end would be refused again.
pub(super) fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// The form of a refusal on both endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalRow {
    /// Documented error number.
    pub code: i32,
    /// Status on the JSON endpoint.
    pub http: StatusCode,
    /// Status on the gRPC endpoint.
    pub grpc: Code,
    /// Name of the reason in `ErrorInfo`.
    pub reason: &'static str,
}

/// The row of a reason in the one table of errors, `proto/cartpromotions/v1/reason.proto`.
impl From<Reason> for RefusalRow {
    fn from(reason: Reason) -> Self {
        Self {
            code: reason.code(),
            // A test makes the row of every reason.
            http: StatusCode::from_u16(reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            grpc: Code::from_i32(reason.grpc_code()),
            reason: reason.name(),
        }
    }
}

impl Refusal {
    /// Returns the row of the refusal in the table of errors.
    pub fn row(&self) -> RefusalRow {
        self.reason().into()
    }

    fn reason(&self) -> Reason {
        match self {
            Self::UnknownPath(_) => Reason::UnknownPath,
            Self::MethodNotAllowed => Reason::MethodNotAllowed,
            Self::NotServing => Reason::NotServing,
            Self::Unauthenticated(_) => Reason::Unauthenticated,
            Self::KeysNotRead => Reason::KeysNotRead,
            Self::TooManyFailedLogins { .. } => Reason::TooManyFailedLogins,
            Self::RateLimited { .. } => Reason::RateLimited,
            Self::NotJson => Reason::NotJson,
            Self::NotGrpc => Reason::NotGrpc,
            Self::HeadersTooLarge { .. } => Reason::HeadersTooLarge,
            Self::TargetTooLong => Reason::TargetTooLong,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::TooSlow => Reason::TooSlow,
            Self::UnknownOrganization(_) => Reason::UnknownOrganization,
            Self::AccessDenied(_) => Reason::AccessDenied,
            Self::OrgMismatch { .. } => Reason::OrgMismatch,
            Self::Invalid(_) => Reason::InvalidRequest,
            Self::InvalidCustomerId(_) => Reason::InvalidCustomerId,
            Self::InvalidPromotionId(_) => Reason::InvalidPromotionId,
            Self::PromotionNotFound(_) => Reason::PromotionNotFound,
            Self::EarnedPromotionNotFound(_) => Reason::EarnedPromotionNotFound,
            Self::PromotionExists { .. } => Reason::PromotionExists,
            Self::Precondition { reason, .. } => *reason,
            Self::Overloaded => Reason::Overloaded,
            Self::CustomerNotFound(_) => Reason::CustomerNotFound,
            Self::CustomerLookupFailed { .. } => Reason::CustomerLookupFailed,
            Self::Busy(..) => Reason::Busy,
            Self::Unavailable(..) => Reason::Unavailable,
            Self::DeadlineExceeded => Reason::DeadlineExceeded,
            Self::Internal(_) => Reason::Internal,
        }
    }

    /// Returns the refusal of a call that the database failed. `outage` classifies a failure that may be temporary.
    pub(super) fn of_database(outage: Option<Outage>, cause: Cause) -> Self {
        match outage {
            None => Self::Internal(cause),
            Some(outage @ (Outage::Busy | Outage::NoConnection)) => Self::Busy(outage, cause),
            Some(outage) => Self::Unavailable(outage, cause),
        }
    }

    /// Returns the refusal for an internal error: a use case returned the outcome of another command.
    pub(super) fn mismatch() -> Self {
        Self::Internal(Arc::new(std::io::Error::other("the outcome of another command")))
    }

    /// Returns the values in the message, by name.
    pub(super) fn values(&self) -> MetadataValues {
        match self {
            Self::RateLimited { per_minute, retry_after } => vec![
                ("requestsPerMinute", per_minute.to_string()),
                ("retryAfterSeconds", retry_after.as_secs().to_string()),
            ],
            Self::TooManyFailedLogins { retry_after } => {
                vec![("retryAfterSeconds", retry_after.as_secs().to_string())]
            }
            Self::TooLarge { max_bytes } | Self::HeadersTooLarge { max_bytes } => {
                vec![("maxBytes", max_bytes.to_string())]
            }
            Self::Invalid(violations) => vec![("violations", violations.as_slice().len().to_string())],
            Self::OrgMismatch { given: id } | Self::UnknownOrganization(OrgId(id)) => vec![("orgId", id.to_string())],
            Self::AccessDenied(group) => vec![("accessGroup", group.name().to_owned())],
            Self::InvalidCustomerId(id)
            | Self::CustomerNotFound(id)
            | Self::CustomerLookupFailed { customer_id: id, .. } => vec![("customerId", id.to_string())],
            Self::InvalidPromotionId(id) | Self::PromotionNotFound(id) => vec![("promotionId", id.clone())],
            Self::EarnedPromotionNotFound(id) => vec![("earnedPromotionId", id.clone())],
            Self::PromotionExists { promotion_id, differing } => {
                vec![("promotionId", promotion_id.clone()), ("differing", differing.clone())]
            }
            Self::Precondition { values, .. } => values.clone(),
            _ => Vec::new(),
        }
    }
}

/// Returns the first violation, and the number of further ones.
fn summary(violations: &Violations) -> String {
    match violations.as_slice() {
        [] => "invalid request".to_owned(),
        [only] => only.to_string(),
        [first, more @ ..] => format!("{first} (and {} more)", more.len()),
    }
}
