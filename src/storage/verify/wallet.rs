//! Checks of the wallet: earn ids, earnings, statuses, and the counts under caps.

use super::columns::columns;
use crate::earning::change::RecordedStatus;
use crate::storage::entity::stored::StoredStatus;
use crate::storage::entity::{cap_usage, earned_promotion, promotion};
use crate::storage::org_owned::table;

/// Returns a check for earn ids that several rows of any customers have.
pub(super) fn earn_ids() -> Vec<String> {
    columns!(earned_promotion: earn_id = EarnId);
    let wallet = table::<earned_promotion::Entity>();
    vec![format!(
        "SELECT 'earn id ' || {earn_id} || ' is given ' || count(*) || ' times' AS breach
         FROM {wallet} GROUP BY {earn_id} HAVING count(*) > 1"
    )]
}

/// Returns checks for earnings whose instances are not numbered 1 to n or differ, and for details on a later instance.
pub(super) fn earnings() -> Vec<String> {
    columns!(earned_promotion: org_id = OrgId, customer_id = CustomerId, promotion_id = PromotionId, event_id = EventId,
        earned_from_id = EarnedFromId, ordinal = Ordinal, kind = EarnedFromType, event_time = EventTimeMs,
        event_type = EventType, payload = EventPayload, criteria = SupplementaryCriteria, earn_id = EarnId);
    let wallet = table::<earned_promotion::Entity>();
    let uneven = format!(
        "SELECT 'the earning of organization ' || {org_id} || ', customer ' || {customer_id} || ', promotion '
             || {promotion_id} || ', event ' || {event_id} || ', earned from ' || {earned_from_id} || ' has ' || count(*)
             || ' instances, ' || count(DISTINCT {ordinal}) || ' of them different, numbered ' || min({ordinal}) || ' to '
             || max({ordinal}) || ', of types ' || min({kind}) || ' to ' || max({kind})
             || ' and event times (milliseconds) ' || min({event_time}) || ' to ' || max({event_time}) AS breach
         FROM {wallet}
         GROUP BY {org_id}, {customer_id}, {promotion_id}, {event_id}, {earned_from_id}
         HAVING min({ordinal}) <> 1 OR max({ordinal}) <> count(*) OR count(DISTINCT {ordinal}) <> count(*)
             OR min({kind}) <> max({kind}) OR min({event_time}) <> max({event_time})"
    );
    let details = format!(
        "SELECT 'earned promotion ' || {earn_id} || ' of customer ' || {customer_id} || ' of organization ' || {org_id}
             || ' is instance ' || {ordinal} || ' of its earning, and has details' AS breach
         FROM {wallet} WHERE {ordinal} <> 1 AND coalesce({event_type}, {payload}, {criteria}) IS NOT NULL"
    );
    vec![uneven, details]
}

/// Returns a check for statuses that other columns contradict.
pub(super) fn statuses() -> Vec<String> {
    columns!(earned_promotion: org_id = OrgId, customer_id = CustomerId, earn_id = EarnId, status = EarnedStatus,
        changed_at = ChangedAtMs, transaction = TransactionIdentifier);
    let wallet = table::<earned_promotion::Entity>();
    let [unlocked, redeemed] = [RecordedStatus::Unlocked, RecordedStatus::Redeemed].map(StoredStatus::text);
    vec![format!(
        "SELECT 'earned promotion ' || {earn_id} || ' of customer ' || {customer_id} || ' of organization ' || {org_id}
             || ' is ' || {status} || ', ' || CASE WHEN {changed_at} IS NULL THEN 'never changed' ELSE 'changed' END
             || ', by transaction ' || coalesce({transaction}, 'none') AS breach
         FROM {wallet}
         WHERE ({status} <> '{unlocked}') <> ({changed_at} IS NOT NULL)
             OR ({status} = '{redeemed}') <> ({transaction} IS NOT NULL)"
    )]
}

/// Returns checks for counts that differ from the wallet, exceed their cap, or have a later period than their
/// promotion.
///
/// Counts of a promotion that has no cap now, or of a former period, are not used. Without a count of the present
/// period, the customer holds none in period 0, and the number held is not known in later periods.
pub(super) fn counts() -> Vec<String> {
    columns!(cap_usage: org_id = OrgId, customer_id = CustomerId, promotion_id = PromotionId, used = Used, cap = Cap,
        period = CapPeriod);
    columns!(promotion: id = Id, most = Cap, present = CapPeriod);
    columns!(earned_promotion: status = EarnedStatus);
    let (counts, promotions, wallet) =
        (table::<cap_usage::Entity>(), table::<promotion::Entity>(), table::<earned_promotion::Entity>());
    let revoked = StoredStatus::text(RecordedStatus::Revoked);
    let holder = |one: &str| {
        format!(
            "'customer ' || {one}.{customer_id} || ' of organization ' || {one}.{org_id} || ' and promotion ' || {one}.{promotion_id}"
        )
    };
    let same = |one: &str, other: &str| {
        [org_id, customer_id, promotion_id].map(|column| format!("{one}.{column} = {other}.{column}")).join(" AND ")
    };
    let is_of = |one: &str| format!("p.{org_id} = {one}.{org_id} AND p.{id} = {one}.{promotion_id}");
    // Another check below names a count of a later period.
    let miscounted = format!(
        "SELECT {} || ': ' || count(*) || ' are held, and ' || coalesce(u.{used}, 0) || ' are counted under the cap' AS breach
         FROM {wallet} AS e JOIN {promotions} AS p ON {}
         LEFT JOIN {counts} AS u ON {} AND u.{period} >= p.{present}
         WHERE p.{most} IS NOT NULL AND e.{status} <> '{revoked}' AND (p.{present} = 0 OR u.{used} IS NOT NULL)
         GROUP BY e.{org_id}, e.{customer_id}, e.{promotion_id}, u.{used}
         HAVING count(*) <> coalesce(u.{used}, 0)",
        holder("e"),
        is_of("e"),
        same("u", "e")
    );
    let counted_for_nothing = format!(
        "SELECT {} || ': none is held, and ' || u.{used} || ' are counted under the cap' AS breach
         FROM {counts} AS u JOIN {promotions} AS p ON {}
         WHERE u.{used} > 0 AND p.{most} IS NOT NULL AND u.{period} = p.{present} AND NOT EXISTS (
             SELECT 1 FROM {wallet} AS e WHERE {} AND e.{status} <> '{revoked}')",
        holder("u"),
        is_of("u"),
        same("e", "u")
    );
    let past_cap = format!(
        "SELECT {} || ': ' || u.{used} || ' are counted under a cap of ' || u.{cap} AS breach
         FROM {counts} AS u WHERE u.{used} > u.{cap}",
        holder("u")
    );
    let too_late = format!(
        "SELECT {} || ': the count is of period ' || u.{period} || ', and the cap of period ' || p.{present} AS breach
         FROM {counts} AS u JOIN {promotions} AS p ON {} WHERE u.{period} > p.{present}",
        holder("u"),
        is_of("u")
    );
    vec![miscounted, counted_for_nothing, past_cap, too_late]
}
