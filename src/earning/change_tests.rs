//! Tests of the decision to redeem: a table of the reasons against it in their order of precedence, and its bounds.

use super::*;
use crate::earning::Amount;

const NOW_MS: i64 = 1_762_840_800_000;
const LATE_FROM_MS: i64 = NOW_MS - 7 * DAY_MS;

const EARN_ID: ObjectId = ObjectId([1; 12]);
const PROMOTION: ObjectId = ObjectId([2; 12]);
const KEY: InstanceKey = InstanceKey { org_id: OrgId(1), customer_id: CustomerId(7), earn_id: EARN_ID };

fn held() -> HeldPromotion {
    HeldPromotion {
        promotion_id: PROMOTION,
        event_time_ms: NOW_MS - 30 * DAY_MS,
        valid_till_ms: NOW_MS,
        status: RecordedStatus::Unlocked,
        redeemed_by: None,
    }
}

fn transaction(date_ms: i64) -> Redeem {
    let line = RedemptionLine {
        promotion: GivenId::in_lower_case(PROMOTION.to_string()),
        earned_promotion: GivenId::in_lower_case(EARN_ID.to_string()),
        sku: None,
        redemption_count: 1,
        discount: Amount::default(),
        discount_applied_on_quantity: Amount::default(),
        promotion_applied_on_quantity: Amount::default(),
    };
    let redemption = Redemption {
        customer_id: KEY.customer_id,
        transaction_number: "1".into(),
        transaction_date_ms: date_ms,
        amount: Amount::default(),
        line_items: vec![line.clone()],
        redemptions: vec![line],
    };
    Redeem { org_id: KEY.org_id, transaction_identifier: "t".into(), transaction: redemption.into() }
}

fn outcome(command: &Redeem, held: HeldPromotion) -> Result<Redeemed, RedeemFailure> {
    let mut facts = ChangeFacts { held: HashMap::from([(KEY, held)]), ..ChangeFacts::default() };
    redeem(command, &mut facts, LATE_FROM_MS)
}

#[test]
fn what_is_in_both_lists_is_redeemed_once_and_the_repeat_is_answered_from_what_is_recorded() {
    let mut facts = ChangeFacts { held: HashMap::from([(KEY, held())]), ..ChangeFacts::default() };
    let first = transaction(NOW_MS);
    assert_eq!(redeem(&first, &mut facts, LATE_FROM_MS).unwrap().newly, [KEY]);
    assert_eq!(facts.held[&KEY].redeemed_by.as_deref(), Some("t"));
    // The repeat has the same second and meets a digest of another release.
    let recorded = facts.transactions.values_mut().next().unwrap();
    recorded.digest = "0:other".into();
    let again = redeem(&transaction(NOW_MS + 999), &mut facts, LATE_FROM_MS).unwrap();
    assert!(again.newly.is_empty());
    assert_eq!(again.redemption.transaction_date_ms, NOW_MS);
    let other = redeem(&transaction(NOW_MS + 1000), &mut facts, LATE_FROM_MS).unwrap_err();
    let field = "transactionDate".to_owned();
    assert_eq!(other, RedeemFailure::OtherContent { transaction_identifier: "t".into(), field });
    // Another transaction receives the identifier of the one that redeemed it.
    let second = Redeem { transaction_identifier: "u".into(), ..first };
    let failure = redeem(&second, &mut facts, LATE_FROM_MS).unwrap_err();
    assert_eq!(failure, RedeemFailure::Redeemed { earn_id: EARN_ID, by: "t".into() });
}

#[test]
fn a_transaction_may_be_dated_a_day_before_the_event_and_not_a_millisecond_more() {
    let event_time_ms = NOW_MS + DAY_MS / 2;
    let earned = || HeldPromotion { event_time_ms, valid_till_ms: i64::MAX, ..held() };
    assert!(outcome(&transaction(event_time_ms - DAY_MS), earned()).is_ok());
    let failure = outcome(&transaction(event_time_ms - DAY_MS - 1), earned()).unwrap_err();
    let text = failure.to_string();
    assert!(matches!(failure, RedeemFailure::BeforeEvent { .. }), "{text}");
    assert!(text.contains("24 hours before 2025-11-11T18:00:00Z, the eventTime of earned promotion 0101"), "{text}");
    assert!(text.ends_with("it is 2025-11-10T17:59:59.999Z"), "{text}");
}

#[test]
fn validity_is_judged_when_the_transaction_occurred_or_as_long_ago_as_it_may_be_told() {
    for (date_ms, valid_till_ms, valid) in [
        (NOW_MS, NOW_MS, true),
        (NOW_MS, NOW_MS - 1, false),
        // The redemption arrives two days late.
        (NOW_MS - 2 * DAY_MS, NOW_MS - 2 * DAY_MS, true),
        (NOW_MS - 2 * DAY_MS, NOW_MS - 2 * DAY_MS - 1, false),
        // The redemption arrives as late as is allowed, and later.
        (LATE_FROM_MS, LATE_FROM_MS, true),
        (LATE_FROM_MS - 1, LATE_FROM_MS, true),
        (LATE_FROM_MS - 1, LATE_FROM_MS - 1, false),
        // The transaction is dated ahead of now.
        (NOW_MS + DAY_MS, NOW_MS + DAY_MS - 1, false),
        (NOW_MS + DAY_MS, NOW_MS + DAY_MS, true),
    ] {
        let outcome = outcome(&transaction(date_ms), HeldPromotion { valid_till_ms, ..held() });
        let judged_ms = date_ms.max(LATE_FROM_MS);
        match outcome {
            Ok(_) => assert!(valid, "{date_ms} {valid_till_ms}"),
            Err(failure) => {
                assert!(!valid, "{date_ms} {valid_till_ms}: {failure}");
                assert_eq!(failure, RedeemFailure::Expired { earn_id: EARN_ID, judged_ms, valid_till_ms });
                let until = format!("had expired at {}: it was valid until {}", iso(judged_ms), iso(valid_till_ms));
                assert!(failure.to_string().ends_with(&until), "{failure}");
            }
        }
    }
}

/// Edit that gives an earned promotion one reason against redeeming it.
type SpoilHeld = fn(&mut HeldPromotion);
type Expected = fn(&RedeemFailure) -> bool;

#[test]
fn of_the_reasons_why_not_the_first_wins() {
    let rows: [(SpoilHeld, Expected); 5] = [
        (|held| held.promotion_id = EARN_ID, |failure| matches!(failure, RedeemFailure::NotHeld(_))),
        (|held| held.status = RecordedStatus::Revoked, |failure| matches!(failure, RedeemFailure::Revoked(_))),
        (
            |held| {
                // A revoked earned promotion was not redeemed.
                if held.status == RecordedStatus::Unlocked {
                    held.status = RecordedStatus::Redeemed;
                    held.redeemed_by = Some("other".into());
                }
            },
            |failure| matches!(failure, RedeemFailure::Redeemed { .. }),
        ),
        (
            |held| held.event_time_ms = NOW_MS + 2 * DAY_MS,
            |failure| matches!(failure, RedeemFailure::BeforeEvent { .. }),
        ),
        (|held| held.valid_till_ms = NOW_MS - 1, |failure| matches!(failure, RedeemFailure::Expired { .. })),
    ];
    for (first, (spoil, expected)) in rows.iter().enumerate() {
        for (also, _) in &rows[first..] {
            let mut held = held();
            spoil(&mut held);
            also(&mut held);
            let failure = outcome(&transaction(NOW_MS), held).unwrap_err();
            assert!(expected(&failure), "{first}: {failure}");
        }
    }
}
