//! Admission, which the router wraps around every route: checks who may call it, and limits the length and arrival time
//! of its body and the memory that the call and its answer hold.
//!
//! [`Rule::of`] names the rule of a route. A route without a rule of its own is for API clients and gets the small
//! limits of a route without a body.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use super::answer::{Account, StreamRefusal, counted};
use super::auth::Gatekeeper;
use super::body::{BodyLimits, MAX_BODY_BYTES, SMALL_BODY_BYTES, check_length, collect};
use super::call_name::CallName;
use super::content::{is_grpc, is_json};
use super::lifecycle::{Lifecycle, UnderWay};
use super::messages::{MessageLimits, Messages};
use super::refusal::{Refusal, Unauthenticated};
use super::shares::{CALL_BYTES, Share, ShareHolder, Shares, UsedUp};
use crate::access::Caller;
use crate::telemetry::call;

/// Limits the body of a token request: bytes. A username and a secret take less than 3 KiB.
const TOKEN_BODY_BYTES: usize = 8 * 1024;
/// Limits one message of the reflection service: bytes.
pub const REFLECTION_MESSAGE_BYTES: usize = 64 * 1024;
/// Memory that a stream holds: bytes. A reflection stream holds a message in the decoder, one in the service, and two
/// in the answer, along with a file of the descriptor set.
const WATCH_BYTES: usize = 16 * 1024;
const REFLECTION_BYTES: usize = 4 * REFLECTION_MESSAGE_BYTES;

/// Memory and time limits of all calls.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionLimits {
    /// Time in which a body, or one message of a stream, must arrive.
    pub body_timeout: Duration,
    /// Memory that the bodies of all running calls share: bytes.
    pub body_memory_bytes: usize,
    /// Memory that all answers not yet sent completely share: bytes.
    pub answer_memory_bytes: usize,
    /// Time after which a stream is ended.
    pub stream_lifetime: Duration,
}

/// Callers that a route admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callers {
    /// API clients that present credentials, while the service serves.
    Clients,
    /// Every caller, while the service serves.
    Anybody,
    /// Every caller, in every phase of the service.
    Probes,
}

/// Limits of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    callers: Callers,
    /// Set if the request is a stream of messages.
    messages: bool,
    /// Set if the answer is a stream of messages.
    stream: bool,
    /// Longest body or message: bytes.
    max_bytes: usize,
    /// Memory that a call holds: bytes.
    holds: usize,
}

impl Rule {
    const SMALL: Self = Self {
        callers: Callers::Clients,
        messages: false,
        stream: false,
        max_bytes: SMALL_BODY_BYTES,
        holds: CALL_BYTES,
    };

    /// Returns the limits of the route at `path`.
    fn of(path: &str) -> Self {
        let (call, probe) =
            (Self { max_bytes: MAX_BODY_BYTES, ..Self::SMALL }, Self { callers: Callers::Probes, ..Self::SMALL });
        match path {
            "/healthz" | "/readyz" | "/openapi.json" | "/docs" => probe,
            "/v3/oauth/token/generate" => {
                Self { callers: Callers::Anybody, max_bytes: TOKEN_BODY_BYTES, ..Self::SMALL }
            }
            "/grpc.health.v1.Health/Watch" => Self { stream: true, holds: WATCH_BYTES, ..probe },
            _ if path.starts_with("/api_gateway/v1/") || path.starts_with("/cartpromotions.v1.") => call,
            _ if path.starts_with("/grpc.health.v1.Health/") => probe,
            _ if path.starts_with("/grpc.reflection.v1") => Self {
                messages: true,
                stream: true,
                max_bytes: REFLECTION_MESSAGE_BYTES,
                holds: REFLECTION_BYTES,
                ..probe
            },
            _ => Self::SMALL,
        }
    }
}

/// Admission of every route.
#[derive(Debug)]
pub struct Admission {
    lifecycle: Arc<Lifecycle>,
    gatekeeper: Arc<Gatekeeper>,
    limits: AdmissionLimits,
    bodies: Shares,
    answers: Shares,
}

/// A call whose caller is known.
struct Call {
    rule: Rule,
    holder: ShareHolder,
    under_way: Option<UnderWay>,
    next: Next,
}

/// A request whose body is in memory, or is a stream with limits.
struct Taken {
    request: Request,
    call: Option<Share>,
    ended: Option<StreamRefusal>,
}

impl Admission {
    /// Returns the admission of a service with no running call.
    pub fn new(limits: AdmissionLimits, lifecycle: Arc<Lifecycle>, gatekeeper: Arc<Gatekeeper>) -> Arc<Self> {
        let (bodies, answers) = (Shares::new(limits.body_memory_bytes), Shares::new(limits.answer_memory_bytes));
        Arc::new(Self { lifecycle, gatekeeper, limits, bodies, answers })
    }

    /// Admits a request to its route.
    pub async fn admit(State(admission): State<Arc<Self>>, request: Request, next: Next) -> Response {
        let rule = Rule::of(request.uri().path());
        let under_way = if rule.callers == Callers::Probes {
            None
        } else {
            match UnderWay::enter(&admission.lifecycle) {
                Some(under_way) => Some(under_way),
                None => return Refusal::NotServing.into_response(is_grpc(request.headers())),
            }
        };
        if rule.callers != Callers::Clients {
            let address = admission.gatekeeper.address(request.headers(), request.extensions());
            let call = Call { rule, holder: ShareHolder::stranger(address), under_way, next };
            return admission.run(request, call).await;
        }
        let gatekeeper = &admission.gatekeeper;
        let run = |request: Request| async {
            let holder = match request.extensions().get::<Arc<Caller>>() {
                Some(caller) => ShareHolder::Client(Arc::clone(&caller.username)),
                None => {
                    return Refusal::Unauthenticated(Unauthenticated::Credentials)
                        .into_response(is_grpc(request.headers()));
                }
            };
            admission.run(request, Call { rule, holder, under_way, next }).await
        };
        gatekeeper.admit(request, run).await
    }

    async fn run(&self, request: Request, call: Call) -> Response {
        let grpc = is_grpc(request.headers());
        self.answer(request, call).await.unwrap_or_else(|refusal| refusal.into_response(grpc))
    }

    async fn answer(&self, request: Request, call: Call) -> Result<Response, Refusal> {
        let Call { rule, holder, under_way, next } = call;
        // A caller without memory left is refused before any work is done for it.
        if rule.callers != Callers::Probes && !self.answers.has_room(&holder) {
            return Err(Refusal::Overloaded);
        }
        let Taken { request, mut call, ended } = self.take(request, rule, &holder).await?;
        let response = next.run(request).await;
        if let Some(share) = &mut call {
            share.shrink_to(rule.holds);
        }
        let (answers, lifetime) = (self.answers.clone(), self.limits.stream_lifetime);
        counted(response, Account { answers, holder, call, ended, under_way, lifetime }).await
    }

    async fn take(&self, request: Request, rule: Rule, holder: &ShareHolder) -> Result<Taken, Refusal> {
        let (parts, mut body) = request.into_parts();
        let hold = |bytes| self.bodies.take(holder, bytes).map_err(|UsedUp| Refusal::Overloaded);
        let nothing = body.is_end_stream() && rule.callers == Callers::Probes && !rule.stream;
        let mut call = if nothing { None } else { Some(hold(rule.holds)?) };
        let ended = rule.stream.then(StreamRefusal::default);
        if let (true, Some(ended)) = (rule.messages, &ended) {
            let Rule { max_bytes, .. } = rule;
            let AdmissionLimits { body_timeout: timeout, stream_lifetime: lifetime, .. } = self.limits;
            let limits = MessageLimits { max_bytes, timeout, lifetime };
            body = Body::new(Messages::new(body, limits, Arc::clone(ended)));
        } else if let Some(share) = &mut call
            && !body.is_end_stream()
        {
            check_length(&parts.headers, rule.max_bytes)?;
            refuse_unasked(&parts)?;
            let until_draining = (rule.callers != Callers::Probes).then_some(&*self.lifecycle);
            let limits = BodyLimits { max_bytes: rule.max_bytes, timeout: self.limits.body_timeout, until_draining };
            let bytes = collect(&parts.headers, &mut body, limits, share).await?;
            call::record(|record| record.bytes_in = Some(bytes.len() as u64));
            body = Body::from(bytes);
        }
        Ok(Taken { request: Request::from_parts(parts, body), call, ended })
    }
}

/// Refuses a body of a wrong type before its peer is told to send it: reading it has the library do that (RFC 9110,
/// section 10.1.1).
///
/// # Errors
/// Returns the refusal of the type.
fn refuse_unasked(parts: &Parts) -> Result<(), Refusal> {
    if !parts.headers.contains_key(header::EXPECT) || is_grpc(&parts.headers) || is_json(&parts.headers) {
        return Ok(());
    }
    if CallName::of_json(&parts.method, parts.uri.path()).takes_json() { Err(Refusal::NotJson) } else { Ok(()) }
}
