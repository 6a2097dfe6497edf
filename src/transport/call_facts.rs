//! The facts of a call that writes, for its log line: whose wallet, about which event, and with which result.

use std::sync::Arc;

use crate::app::changes::Changed;
use crate::earning::change::WalletChange;
use crate::earning::revoke::RevokedDetail;
use crate::earning::{BulkEarn, EntryOutcome};
use crate::telemetry::call::{self, CallResult, CallSubject, FailureCodes};

/// Records the subject of a command to earn.
pub(super) fn earning(command: &BulkEarn) {
    let event = Some(Arc::clone(&command.event_id));
    let subject = CallSubject { org: command.org_id.0, customer: command.customer_id.0, event, transaction: None };
    call::record(|record| record.subject = Some(subject));
}

/// Records the outcomes of a command to earn.
pub(super) fn earned(command: &BulkEarn, outcomes: &[EntryOutcome]) {
    let (mut granted, mut replayed, mut codes) = (0, 0, FailureCodes::default());
    for outcome in outcomes {
        replayed += outcome.replayed as u64;
        granted += (outcome.instances.len() - outcome.replayed) as u64;
        if let Some(failure) = &outcome.failure {
            codes.count(failure.code());
        }
    }
    let asked: u64 = command.entries.iter().map(|entry| u64::from(entry.earn_count)).sum();
    let failed = asked.saturating_sub(granted + replayed);
    let result = CallResult {
        granted: Some(granted),
        replayed: Some(replayed),
        failed: Some(failed),
        codes,
        ..CallResult::default()
    };
    call::record(|record| record.result = Some(result));
}

/// Records the subject of a change.
pub(super) fn changing(change: &WalletChange) {
    let (org_id, customer_id) = change.customer();
    let transaction = match change {
        WalletChange::Revoke(_) => None,
        WalletChange::Redeem(redeem) => Some(Arc::clone(&redeem.transaction_identifier)),
    };
    let subject = CallSubject { org: org_id.0, customer: customer_id.0, event: None, transaction };
    call::record(|record| record.subject = Some(subject));
}

/// Records the outcome of a change.
pub(super) fn changed(changed: &Changed) {
    let result = match changed {
        Changed::Revoked(details) => revoked(details),
        Changed::Redeemed(Ok(redemption)) => {
            CallResult { redeemed: Some(redemption.lines().count() as u64), ..CallResult::default() }
        }
        // The whole call is refused.
        Changed::Redeemed(Err(_)) => return,
    };
    call::record(|record| record.result = Some(result));
}

fn revoked(details: &[RevokedDetail]) -> CallResult {
    let mut codes = FailureCodes::default();
    let revoked: usize = details.iter().map(|detail| detail.revoked.len()).sum();
    let failures = details.iter().flat_map(|detail| &detail.failed);
    let failed: usize = failures.clone().map(|(_, indices)| indices.len()).sum();
    failures.for_each(|(failure, _)| codes.count(failure.code()));
    CallResult { revoked: Some(revoked as u64), failed: Some(failed as u64), codes, ..CallResult::default() }
}
