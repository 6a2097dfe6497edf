//! Checks transactions one by one: each redeemed the earned promotions that its content names, while they were valid.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::earning::redeem::{MAX_BEFORE_EVENT, MAX_LATE_REDEMPTION_DAYS};
use crate::earning::time::DAY;
use crate::earning::{OrgId, Redemption};
use crate::storage::StorageError;
use crate::storage::verify::{Breaches, PageCursor, RecordedRedemption, RedeemedInstance, Snapshot, VerifyPage};

/// Longest time from the end of validity to the recording of a transaction.
const MAX_LATE: Duration = DAY.saturating_mul(MAX_LATE_REDEMPTION_DAYS);

/// The breaches of the two checks that are made together.
#[derive(Debug, Default)]
pub(super) struct RedeemedCheck {
    /// Breaches in the earned promotions that transactions redeemed.
    pub contents: Breaches,
    /// Breaches in the times of redemptions.
    pub times: Breaches,
}

/// Compares every transaction with the earned promotions that it names.
pub(super) async fn check(snapshot: &Snapshot) -> Result<RedeemedCheck, StorageError> {
    let (mut found, mut after) = (RedeemedCheck::default(), None::<PageCursor>);
    loop {
        let VerifyPage { rows, last } = snapshot.redemptions(after.as_ref()).await?;
        for row in rows {
            match row {
                Ok(recorded) => found.judge(&recorded),
                Err(breach) => found.contents.add(breach),
            }
        }
        if last.is_none() {
            return Ok(found);
        }
        after = last;
    }
}

impl RedeemedCheck {
    fn judge(&mut self, recorded: &RecordedRedemption) {
        let RecordedRedemption { org_id: OrgId(org_id), transaction_identifier, instances, digest, .. } = recorded;
        let name = format!("transaction {transaction_identifier} of organization {org_id}");
        let content = match &recorded.content {
            Ok(content) => content,
            Err(error) => return self.contents.add(format!("{name} cannot be read: {error}")),
        };
        if !is_digest_of(digest, content) {
            self.contents.add(format!("{name} has the digest {digest:?}, which is not that of its content"));
        }
        let named: BTreeMap<_, _> =
            content.lines().map(|line| (&line.earned_promotion.text, &line.promotion.text)).collect();
        if i64::try_from(named.len()) != Ok(*instances) {
            let count = named.len();
            self.contents.add(format!("{name} names {count} earned promotions, and says that it redeemed {instances}"));
        }
        for (earn_id, promotion_id) in named {
            let held = recorded.held.get(earn_id).filter(|held| held.promotion_id == *promotion_id);
            let Some(held) = held else {
                let of = format!("of promotion {promotion_id}, which its customer does not hold");
                self.contents.add(format!("{name} names earned promotion {earn_id} {of}"));
                continue;
            };
            if !held.is_redeemed_by(transaction_identifier) {
                self.contents.add(format!("{name} names earned promotion {earn_id}, which it did not redeem"));
            } else if let Some(breach) = breach_of_times(recorded, content, held) {
                self.times.add(format!("{name} redeemed earned promotion {earn_id}, {breach}"));
            }
        }
    }
}

/// Returns true if `digest` is that of the content, or has the version of another release, which is not known here.
fn is_digest_of(digest: &str, content: &Redemption) -> bool {
    let computed = content.digest();
    let version = |digest: &str| digest.split_once(':').and_then(|(version, _)| version.parse::<u8>().ok());
    match version(digest) {
        None | Some(0) => false,
        Some(other) => digest == computed || Some(other) != version(&computed),
    }
}

/// Returns a description of the breach in the times of a redemption, if there is one.
///
/// Validity is judged at the date of the transaction, or at the time of recording less the days within which the server
/// accepted late redemptions, whichever is later. That number of days is not recorded, so the longest is allowed here.
fn breach_of_times(recorded: &RecordedRedemption, content: &Redemption, held: &RedeemedInstance) -> Option<String> {
    let (date, recorded_at, valid_till) = (content.transaction_date, recorded.redeemed_at, held.valid_till_ms);
    if valid_till < date {
        return Some(format!("valid until {valid_till}, at {date}"));
    }
    if valid_till < recorded_at - MAX_LATE {
        let late = format!("more than {MAX_LATE_REDEMPTION_DAYS} days later");
        return Some(format!("valid until {valid_till}, and was recorded {late}, at {recorded_at}"));
    }
    if date < held.event_time_ms - MAX_BEFORE_EVENT {
        return Some(format!("earned by an event of {}, long before it, at {date}", held.event_time_ms));
    }
    let changed_at = held.changed_at_ms.unwrap_or(recorded_at);
    (changed_at != recorded_at).then(|| format!("at {recorded_at}, and the wallet has {changed_at}"))
}
