//! The one table of errors: why a call as a whole is refused, and how each door says so.
//!
//! Every refusal of either door is made here, and a cause on our side is logged here, once. `docs/errors.md` prints the
//! table; a test compares them.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::json_response::json_response;
use crate::access::groups::AccessGroup;
use crate::earning::OrgId;
use crate::printable::with_causes;
use crate::proto::CallError;
use crate::wire::Violations;
use crate::wire::text::not_positive;
use crate::writer::error::Outage;

/// Who defines the reasons: the `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "cartpromotions";
/// What callers without credentials are told.
const UNAUTHENTICATED: &str = "credentials are missing or wrong: send HTTP Basic with the username and secret of an API \
    client, or an access token";
const EXPIRED: &str = "the access token has expired: get another one";
/// How to say who calls, with a username and a secret.
const BASIC: &str = r#"Basic realm="cart-promotions", charset="UTF-8""#;
/// What a caller is asked to wait when the service is busy, starts or stops.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Violations travel in a header on gRPC, a third longer for its encoding, and stock clients refuse headers above 8 KiB
/// in all. `violations` in the metadata says how many there are; those that do not fit are left out.
const MAX_GRPC_VIOLATION_BYTES: usize = 5_000;

/// Values in a message, by name.
pub type Values = Vec<(&'static str, String)>;

/// What went wrong on our side: for the log, never for a caller.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// What is wrong with what a caller showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unauthenticated {
    /// Nothing was shown, or a wrong username or secret.
    Credentials,
    /// A token that is not taken.
    Token,
    /// A token that was good once.
    ExpiredToken,
}

impl Unauthenticated {
    fn text(self) -> &'static str {
        match self {
            Self::Credentials | Self::Token => UNAUTHENTICATED,
            Self::ExpiredToken => EXPIRED,
        }
    }

    /// How to say who calls, with a token (RFC 6750).
    fn bearer(self) -> &'static str {
        match self {
            Self::Credentials => r#"Bearer realm="cart-promotions""#,
            Self::Token => r#"Bearer realm="cart-promotions", error="invalid_token""#,
            Self::ExpiredToken => {
                r#"Bearer realm="cart-promotions", error="invalid_token", error_description="the token has expired""#
            }
        }
    }
}

/// Why a call is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// No credentials, or wrong ones.
    #[error("{}", .0.text())]
    Unauthenticated(Unauthenticated),
    /// A token of an issuer whose keys were not read yet.
    #[error("the keys of the token's issuer were not read yet; try again")]
    KeysNotRead,
    /// Too many logins failed, from one address or for one username.
    #[error("too many logins failed; try again in {} s", retry_after.as_secs())]
    TooManyFailedLogins {
        /// When another try is welcome.
        retry_after: Duration,
    },
    /// More requests than the client may send.
    #[error("over the rate limit of {per_minute} a minute; try again in {} s", retry_after.as_secs())]
    RateLimited {
        /// The limit.
        per_minute: u32,
        /// When the next one is welcome.
        retry_after: Duration,
    },
    /// The request is for another organization than the credentials.
    #[error("orgId {given} is not the organization of the credentials")]
    OrgMismatch {
        /// `orgId` of the request.
        given: i64,
    },
    /// A trusted issuer gave out a token for an organization that is not recorded.
    #[error("the organization {} of the access token is not recorded", .0.0)]
    UnknownOrganization(OrgId),
    /// The credentials lack an access group.
    #[error("the credentials lack the access group {}", .0.name())]
    AccessDenied(AccessGroup),
    /// The request breaks rules of its form.
    #[error("{}", summary(.0))]
    Invalid(Violations),
    /// The customer id cannot be one.
    #[error("customerId: {}", not_positive(*.0))]
    InvalidCustomerId(i64),
    /// The promotion id cannot be one.
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
    /// A promotion is created with the id of a recorded one, and other content.
    #[error("promotion {promotion_id} is recorded with other content ({differing})")]
    PromotionExists {
        /// The id.
        promotion_id: String,
        /// The fields that differ.
        differing: String,
    },
    /// What is recorded forbids it, for one of the documented reasons.
    #[error("{message}")]
    Precondition {
        /// The reason.
        precondition: Precondition,
        /// What is so.
        message: String,
        /// The values in the message, by name.
        values: Values,
    },
    /// The database could not be asked for the customer.
    #[error("customer {customer_id} could not be looked up: {}", told(*outage))]
    CustomerLookupFailed {
        /// The customer.
        customer_id: i64,
        /// What is told of the database.
        outage: Outage,
        /// What it said.
        #[source]
        cause: Cause,
    },
    /// Other work was in the way: a change that holds a lock, or calls that hold the connections. Nothing is recorded.
    #[error("{}", told(*.0))]
    Busy(Outage, #[source] Cause),
    /// As many requests wait as may.
    #[error("too many requests are waiting; try again")]
    Overloaded,
    /// Not yet, or no longer.
    #[error("the service is starting or stopping; try again")]
    NotServing,
    /// The database did not serve. Whether something was saved is not known.
    #[error("{}", told(*.0))]
    Unavailable(Outage, #[source] Cause),
    /// Anything else on our side.
    #[error("internal error; the request id names it in the log")]
    Internal(#[source] Cause),
    /// There is no such call.
    #[error("{0} is unknown")]
    UnknownPath(String),
    /// The path takes other HTTP methods.
    #[error("the path takes other methods: see Allow")]
    MethodNotAllowed,
    /// The body is larger than a request may be.
    #[error("the body is larger than {max_bytes} bytes")]
    TooLarge {
        /// How large it may be.
        max_bytes: usize,
    },
    /// The body takes too long to arrive.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The call took longer than it may. Whether something was saved is not known.
    #[error("the call was not answered in time; it may have been recorded: try again")]
    DeadlineExceeded,
    /// A path of gRPC is called by something else.
    #[error(
        "this path speaks gRPC: send Content-Type: application/grpc over HTTP/2, or see the documentation for the JSON paths"
    )]
    NotGrpc,
    /// The body is not declared to be plain JSON.
    #[error("the body must be JSON: send one Content-Type, application/json in UTF-8, and no Content-Encoding")]
    NotJson,
}

/// Why what is recorded forbids a call: the documented numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// 705.
    TooManyActivePromotions,
    /// 706.
    Expired,
    /// 707.
    TypeNotSupported,
    /// 708.
    CapReached,
    /// 709.
    NotRunning,
    /// 713.
    EarnedFromTypeChanged,
    /// 714.
    TypeNotEarnable,
    /// 715.
    NotInAudience,
    /// 716.
    NameTaken,
    /// 729.
    AlreadyRedeemed,
    /// 731.
    RevokedOrNotHeld,
    /// 800.
    OtherTransaction,
}

impl Precondition {
    /// Every one there is, with its number and the name of its reason.
    pub const ALL: [(Self, i32, &'static str); 12] = [
        (Self::TooManyActivePromotions, 705, "TOO_MANY_ACTIVE_PROMOTIONS"),
        (Self::Expired, 706, "EXPIRED"),
        (Self::TypeNotSupported, 707, "TYPE_NOT_SUPPORTED"),
        (Self::CapReached, 708, "CAP_REACHED"),
        (Self::NotRunning, 709, "NOT_RUNNING"),
        (Self::EarnedFromTypeChanged, 713, "EARNED_FROM_TYPE_CHANGED"),
        (Self::TypeNotEarnable, 714, "TYPE_NOT_EARNABLE"),
        (Self::NotInAudience, 715, "NOT_IN_AUDIENCE"),
        (Self::NameTaken, 716, "NAME_TAKEN"),
        (Self::AlreadyRedeemed, 729, "ALREADY_REDEEMED"),
        (Self::RevokedOrNotHeld, 731, "REVOKED_OR_NOT_HELD"),
        (Self::OtherTransaction, 800, "OTHER_TRANSACTION"),
    ];

    fn row(self) -> Row {
        let (_, code, reason) = Self::ALL[self as usize];
        Row { code, http: StatusCode::CONFLICT, grpc: Code::FailedPrecondition, reason }
    }
}

/// Returns the text of an outage. Where another try may meet the same, the text does not invite one.
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

/// How the doors say a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Documented number.
    pub code: i32,
    /// On the JSON door.
    pub http: StatusCode,
    /// On gRPC.
    pub grpc: Code,
    /// Name of the reason, in `ErrorInfo`.
    pub reason: &'static str,
}

impl Refusal {
    /// How the doors say it.
    pub fn row(&self) -> Row {
        let row = |code, http, grpc, reason| Row { code, http, grpc, reason };
        match self {
            Self::UnknownPath(_) => row(404, StatusCode::NOT_FOUND, Code::Unimplemented, "UNKNOWN_PATH"),
            Self::MethodNotAllowed => {
                row(405, StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "METHOD_NOT_ALLOWED")
            }
            Self::NotServing => row(500, StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "NOT_SERVING"),
            Self::Unauthenticated(_) => row(401, StatusCode::UNAUTHORIZED, Code::Unauthenticated, "UNAUTHENTICATED"),
            Self::KeysNotRead => row(500, StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "KEYS_NOT_READ"),
            Self::TooManyFailedLogins { .. } => {
                row(429, StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted, "TOO_MANY_FAILED_LOGINS")
            }
            Self::RateLimited { .. } => {
                row(429, StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted, "RATE_LIMITED")
            }
            Self::NotJson => row(415, StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "NOT_JSON"),
            Self::NotGrpc => row(415, StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "NOT_GRPC"),
            // Not RESOURCE_EXHAUSTED, which gateways turn into 429: another try would not help.
            Self::TooLarge { .. } => row(413, StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidArgument, "TOO_LARGE"),
            Self::TooSlow => row(408, StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "TOO_SLOW"),
            Self::UnknownOrganization(_) => {
                row(403, StatusCode::FORBIDDEN, Code::PermissionDenied, "UNKNOWN_ORGANIZATION")
            }
            Self::AccessDenied(_) => row(403, StatusCode::FORBIDDEN, Code::PermissionDenied, "ACCESS_DENIED"),
            Self::OrgMismatch { .. } => row(403, StatusCode::FORBIDDEN, Code::PermissionDenied, "ORG_MISMATCH"),
            Self::Invalid(_) => row(400, StatusCode::BAD_REQUEST, Code::InvalidArgument, "INVALID_REQUEST"),
            Self::InvalidCustomerId(_) => {
                row(1006, StatusCode::BAD_REQUEST, Code::InvalidArgument, "INVALID_CUSTOMER_ID")
            }
            Self::InvalidPromotionId(_) => {
                row(725, StatusCode::BAD_REQUEST, Code::InvalidArgument, "INVALID_PROMOTION_ID")
            }
            Self::PromotionNotFound(_) => row(404, StatusCode::NOT_FOUND, Code::NotFound, "PROMOTION_NOT_FOUND"),
            Self::EarnedPromotionNotFound(_) => {
                row(404, StatusCode::NOT_FOUND, Code::NotFound, "EARNED_PROMOTION_NOT_FOUND")
            }
            Self::PromotionExists { .. } => row(409, StatusCode::CONFLICT, Code::AlreadyExists, "PROMOTION_EXISTS"),
            Self::Precondition { precondition, .. } => precondition.row(),
            Self::Overloaded => row(500, StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "OVERLOADED"),
            Self::CustomerNotFound(_) => row(404, StatusCode::NOT_FOUND, Code::NotFound, "CUSTOMER_NOT_FOUND"),
            Self::CustomerLookupFailed { .. } => {
                row(1007, StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "CUSTOMER_LOOKUP_FAILED")
            }
            Self::Busy(..) => row(500, StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "BUSY"),
            Self::Unavailable(..) => row(500, StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "UNAVAILABLE"),
            Self::DeadlineExceeded => {
                row(504, StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
            }
            Self::Internal(_) => row(500, StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "INTERNAL"),
        }
    }

    /// Returns the refusal of a call that the database failed, which `outage` classifies where it may pass.
    pub(super) fn of_database(outage: Option<Outage>, cause: Cause) -> Self {
        match outage {
            None => Self::Internal(cause),
            Some(outage @ (Outage::Busy | Outage::NoConnection)) => Self::Busy(outage, cause),
            Some(outage) => Self::Unavailable(outage, cause),
        }
    }

    /// A use case gave the outcome of another command: a fault of ours.
    pub(super) fn mismatch() -> Self {
        Self::Internal(Arc::new(std::io::Error::other("the outcome of another command")))
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::TooManyFailedLogins { retry_after } => Some(*retry_after),
            _ => (self.row().http == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER),
        }
    }

    /// The values in the message, by name.
    pub(super) fn values(&self) -> Values {
        match self {
            Self::RateLimited { per_minute, retry_after } => vec![
                ("requestsPerMinute", per_minute.to_string()),
                ("retryAfterSeconds", retry_after.as_secs().to_string()),
            ],
            Self::TooManyFailedLogins { retry_after } => {
                vec![("retryAfterSeconds", retry_after.as_secs().to_string())]
            }
            Self::TooLarge { max_bytes } => vec![("maxBytes", max_bytes.to_string())],
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

    fn details(&self) -> ErrorDetails {
        let code = ("code".to_owned(), self.row().code.to_string());
        let values = self.values().into_iter().map(|(name, value)| (name.to_owned(), value));
        let metadata = std::iter::once(code).chain(values).collect::<std::collections::HashMap<_, _>>();
        let mut details = ErrorDetails::new();
        details.set_error_info(self.row().reason, DOMAIN, metadata);
        if let Some(delay) = self.retry_after() {
            details.set_retry_info(Some(delay));
        }
        if let Self::Invalid(violations) = self {
            let mut room = MAX_GRPC_VIOLATION_BYTES;
            for violation in violations.as_slice() {
                // Names and lengths of a violation take up to 8 bytes.
                let size = violation.field.len() + violation.description.len() + 8;
                let Some(left) = room.checked_sub(size) else { break };
                room = left;
                details.add_bad_request_violation(&violation.field, &violation.description);
            }
        }
        details
    }

    /// One for each fault, as the JSON door says it.
    pub(super) fn errors(&self) -> Vec<CallError> {
        let error = |message| CallError { code: self.row().code, message };
        match self {
            Self::Invalid(violations) => violations.as_slice().iter().map(|each| error(each.to_string())).collect(),
            _ => vec![error(self.to_string())],
        }
    }

    /// The answer of the JSON door.
    pub fn into_json(self) -> Response<Body> {
        self.log();
        self.to_json()
    }

    fn to_json(&self) -> Response<Body> {
        #[derive(Serialize)]
        struct Errors {
            errors: Vec<CallError>,
        }

        let mut response = json_response(self.row().http, &Errors { errors: self.errors() });
        let headers = response.headers_mut();
        if let Some(delay) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
        }
        if let Self::Unauthenticated(reason) = self {
            for challenge in [BASIC, reason.bearer()] {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        response
    }

    /// The answer of whichever door `grpc` says.
    pub fn into_response(self, grpc: bool) -> Response<Body> {
        if grpc { Status::from(self).into_http() } else { self.into_json() }
    }

    /// Notes the refusal for the request's log line, and logs its cause.
    fn log(&self) {
        tracing::Span::current()
            .record("refusal", tracing::field::display(format_args!("{}: {self}", self.row().reason)));
        if let Some(cause) = self.source() {
            let reason = self.row().reason;
            tracing::error!(reason, cause = %with_causes(cause), "call failed on our side");
        }
    }
}

/// The first fault, and how many more there are.
fn summary(violations: &Violations) -> String {
    match violations.as_slice() {
        [] => "invalid request".to_owned(),
        [only] => only.to_string(),
        [first, more @ ..] => format!("{first} (and {} more)", more.len()),
    }
}

/// The answer of gRPC. It carries the refusal itself, for the JSON door to find.
impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        refusal.log();
        let mut status = Self::with_error_details(refusal.row().grpc, refusal.to_string(), refusal.details());
        status.set_source(Arc::new(refusal));
        status
    }
}

/// The answer of the JSON door to a status that a service gave.
pub(super) fn status_to_json(status: &Status) -> Response<Body> {
    if let Some(refusal) = status.source().and_then(|source| source.downcast_ref::<Refusal>()) {
        refusal.to_json()
    } else {
        // No service of ours makes one by itself.
        tracing::error!(code = ?status.code(), message = status.message(), "a status without a refusal");
        Refusal::Internal(Arc::new(status.clone())).to_json()
    }
}
