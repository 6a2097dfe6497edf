//! The record of one call: what its log line says beside the status, filled while the call runs by the code that knows it.
//!
//! The record belongs to the task of the call. Code that runs in another task, or outside a call, records nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;

use super::traces::{CallTrace, SampledCall};

tokio::task_local! {
    static RECORD: RefCell<CallRecord>;
}

/// The facts of a call for its log line.
#[derive(Debug, Default)]
pub struct CallRecord {
    /// Request id of the call: visible ASCII.
    pub request_id: Option<HeaderValue>,
    /// The refusal of the call as a whole.
    pub refusal: Option<CallRefusal>,
    /// The trace of the call.
    pub trace: CallTrace,
    /// Username of the API client.
    pub client: Option<Arc<str>>,
    /// Address that the call comes from.
    pub peer: Option<IpAddr>,
    /// Size of the request body: bytes.
    pub bytes_in: Option<u64>,
    /// Subject of a call that writes.
    pub subject: Option<CallSubject>,
    /// Result of a call that writes.
    pub result: Option<CallResult>,
}

/// The refusal of a call as a whole.
#[derive(Debug, Clone)]
pub struct CallRefusal {
    /// Name of the reason in the table of errors.
    pub reason: &'static str,
    /// Message to the caller.
    pub message: String,
}

/// The wallet that a call writes to, and the event or transaction.
#[derive(Debug, Clone)]
pub struct CallSubject {
    /// Id of the organization.
    pub org: i64,
    /// Id of the customer.
    pub customer: i64,
    /// Id of the event.
    pub event: Option<Arc<str>>,
    /// Identifier of the transaction.
    pub transaction: Option<Arc<str>>,
}

/// The result of a call that writes: numbers of instances, of those that its method has.
#[derive(Debug, Clone, Default)]
pub struct CallResult {
    /// Instances that were granted by this call.
    pub granted: Option<u64>,
    /// Instances that an earlier call was granted.
    pub replayed: Option<u64>,
    /// Instances that are revoked, by this call or an earlier one.
    pub revoked: Option<u64>,
    /// Instances that the transaction redeems, by this call or an earlier one.
    pub redeemed: Option<u64>,
    /// Instances that were asked for and not written.
    pub failed: Option<u64>,
    /// Failed entries by error number.
    pub codes: FailureCodes,
}

/// Numbers of failures by error number. Displayed as a JSON object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureCodes(BTreeMap<i32, u64>);

impl FailureCodes {
    /// Counts an entry that failed with this error number.
    pub fn count(&mut self, code: i32) {
        *self.0.entry(code).or_default() += 1;
    }

    /// Returns true when no entry failed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Display for FailureCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "{";
        for (code, count) in &self.0 {
            write!(f, "{separator}\"{code}\":{count}")?;
            separator = ",";
        }
        f.write_str(if self.0.is_empty() { "{}" } else { "}" })
    }
}

/// Runs the future of a call, with a record of its own.
pub async fn recorded<F: Future>(record: CallRecord, call: F) -> F::Output {
    RECORD.scope(RefCell::new(record), call).await
}

/// Changes the record of the running call.
pub fn record(change: impl FnOnce(&mut CallRecord)) {
    // Outside a call there is nothing to change.
    let _ = RECORD.try_with(|record| record.try_borrow_mut().map(|mut record| change(&mut record)));
}

/// Passes on the request id of the running call.
pub fn with_request_id<T>(then: impl FnOnce(&str) -> T) -> Option<T> {
    let id = RECORD.try_with(|record| record.try_borrow().ok()?.request_id.clone()).ok().flatten()?;
    id.to_str().ok().map(then)
}

/// Returns true if the running call presented the credentials of an API client.
pub fn is_authenticated() -> bool {
    RECORD.try_with(|record| record.try_borrow().is_ok_and(|record| record.client.is_some())).unwrap_or(false)
}

/// Returns the span of the running call, if the call is sampled.
pub fn sampled() -> Option<SampledCall> {
    RECORD.try_with(|record| record.try_borrow().ok()?.trace.sampled).ok().flatten()
}

/// Takes the record of the running call, which is empty from then on.
pub fn take() -> CallRecord {
    RECORD.try_with(RefCell::take).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_has_its_own_record_and_other_tasks_none() {
        let call = |org: i64| {
            recorded(CallRecord::default(), async move {
                record(|record| {
                    record.subject = Some(CallSubject { org, customer: 1, event: None, transaction: None });
                });
                tokio::spawn(async { record(|record| record.subject = None) }).await.unwrap();
                tokio::task::yield_now().await;
                take().subject.map(|subject| subject.org)
            })
        };
        assert_eq!(tokio::join!(call(1), call(2)), (Some(1), Some(2)));
        record(|record| record.bytes_in = Some(1));
        assert_eq!(take().bytes_in, None);
    }

    #[test]
    fn codes_are_written_as_an_object() {
        let mut codes = FailureCodes::default();
        assert_eq!(codes.to_string(), "{}");
        for code in [2, 1, 2] {
            codes.count(code);
        }
        assert_eq!(codes.to_string(), r#"{"1":1,"2":2}"#);
    }
}
