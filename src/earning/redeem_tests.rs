//! Tests of the decision to redeem: a table of the reasons against it in their order of precedence, and its bounds.

use std::collections::HashMap;

use super::super::change::HeldPromotion;
use super::super::object_id::GivenId;
use super::super::time::MILLISECOND;
use super::super::{Amount, CustomerId, OrgId};
use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_762_840_800_000);
const LATE_FROM: Timestamp = Timestamp::from_millis(NOW.millis() - 7 * 86_400_000);

const EARN_ID: ObjectId = ObjectId([1; 12]);
const PROMOTION: ObjectId = ObjectId([2; 12]);
const KEY: InstanceKey = InstanceKey { org_id: OrgId(1), customer_id: CustomerId(7), earn_id: EARN_ID };

fn held() -> HeldPromotion {
    HeldPromotion {
        promotion_id: PROMOTION,
        event_time: NOW - 30 * DAY,
        valid_till: NOW,
        status: RecordedStatus::Unlocked,
        redeemed_by: None,
    }
}

fn transaction(date: Timestamp) -> Redeem {
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
        transaction_date: date,
        amount: Amount::default(),
        line_items: vec![line.clone()],
        redemptions: vec![line],
    };
    Redeem { org_id: KEY.org_id, transaction_identifier: "t".into(), transaction: redemption.into() }
}

fn outcome(command: &Redeem, held: HeldPromotion) -> Result<Redeemed, RedeemFailure> {
    let mut facts = ChangeFacts { held: HashMap::from([(KEY, held)]), ..ChangeFacts::default() };
    redeem(command, &mut facts, LATE_FROM)
}

#[test]
fn what_is_in_both_lists_is_redeemed_once_and_the_repeat_is_answered_from_what_is_recorded() {
    let mut facts = ChangeFacts { held: HashMap::from([(KEY, held())]), ..ChangeFacts::default() };
    let first = transaction(NOW);
    assert_eq!(redeem(&first, &mut facts, LATE_FROM).unwrap().newly, [KEY]);
    assert_eq!(facts.held[&KEY].redeemed_by.as_deref(), Some("t"));
    // The repeat has the same second and meets a digest of another release.
    let recorded = facts.transactions.values_mut().next().unwrap();
    recorded.digest = "0:other".into();
    let again = redeem(&transaction(NOW + 999 * MILLISECOND), &mut facts, LATE_FROM).unwrap();
    assert!(again.newly.is_empty());
    assert_eq!(again.redemption.transaction_date, NOW);
    let other = redeem(&transaction(NOW + 1000 * MILLISECOND), &mut facts, LATE_FROM).unwrap_err();
    let field = "transactionDate".to_owned();
    assert_eq!(other, RedeemFailure::OtherContent { transaction_identifier: "t".into(), field });
    // Another transaction receives the identifier of the one that redeemed it.
    let second = Redeem { transaction_identifier: "u".into(), ..first };
    let failure = redeem(&second, &mut facts, LATE_FROM).unwrap_err();
    assert_eq!(failure, RedeemFailure::Redeemed { earn_id: EARN_ID, by: "t".into() });
}

#[test]
fn a_transaction_may_be_dated_a_day_before_the_event_and_not_a_millisecond_more() {
    let event_time = NOW + DAY / 2;
    let earned = || HeldPromotion { event_time, valid_till: Timestamp::MAX, ..held() };
    assert!(outcome(&transaction(event_time - DAY), earned()).is_ok());
    let failure = outcome(&transaction(event_time - DAY - MILLISECOND), earned()).unwrap_err();
    let text = failure.to_string();
    assert!(matches!(failure, RedeemFailure::BeforeEvent { .. }), "{text}");
    assert!(text.contains("24 hours before 2025-11-11T18:00:00Z, the eventTime of earned promotion 0101"), "{text}");
    assert!(text.ends_with("it is 2025-11-10T17:59:59.999Z"), "{text}");
}

#[test]
fn validity_is_judged_when_the_transaction_occurred_or_as_long_ago_as_it_may_be_told() {
    for (date, valid_till, valid) in [
        (NOW, NOW, true),
        (NOW, NOW - MILLISECOND, false),
        // The redemption arrives two days late.
        (NOW - 2 * DAY, NOW - 2 * DAY, true),
        (NOW - 2 * DAY, NOW - 2 * DAY - MILLISECOND, false),
        // The redemption arrives as late as is allowed, and later.
        (LATE_FROM, LATE_FROM, true),
        (LATE_FROM - MILLISECOND, LATE_FROM, true),
        (LATE_FROM - MILLISECOND, LATE_FROM - MILLISECOND, false),
        // The transaction is dated ahead of now.
        (NOW + DAY, NOW + DAY - MILLISECOND, false),
        (NOW + DAY, NOW + DAY, true),
    ] {
        let outcome = outcome(&transaction(date), HeldPromotion { valid_till, ..held() });
        let judged_at = date.max(LATE_FROM);
        match outcome {
            Ok(_) => assert!(valid, "{date} {valid_till}"),
            Err(failure) => {
                assert!(!valid, "{date} {valid_till}: {failure}");
                assert_eq!(failure, RedeemFailure::Expired { earn_id: EARN_ID, judged_at, valid_till });
                let until = format!("had expired at {judged_at}: it was valid until {valid_till}");
                assert!(failure.to_string().ends_with(&until), "{failure}");
            }
        }
    }
}

/// Edit that gives an earned promotion one reason against redeeming it.
type SpoilHeld = fn(&mut HeldPromotion);
type ExpectedFailure = fn(&RedeemFailure) -> bool;

#[test]
fn of_the_reasons_why_not_the_first_wins() {
    let rows: [(SpoilHeld, ExpectedFailure); 5] = [
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
        (|held| held.event_time = NOW + 2 * DAY, |failure| matches!(failure, RedeemFailure::BeforeEvent { .. })),
        (|held| held.valid_till = NOW - MILLISECOND, |failure| matches!(failure, RedeemFailure::Expired { .. })),
    ];
    for (first, (spoil, expected)) in rows.iter().enumerate() {
        for (also, _) in &rows[first..] {
            let mut held = held();
            spoil(&mut held);
            also(&mut held);
            let failure = outcome(&transaction(NOW), held).unwrap_err();
            assert!(expected(&failure), "{first}: {failure}");
        }
    }
}
