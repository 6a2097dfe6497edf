//! Tests of the equality of two contents, by properties: equal contents have one digest, and every difference is named.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::super::time::MILLISECOND;
use super::*;

prop_compose! {
    fn line()(
        promotion in 0..3_u8,
        sku in option::of("[a-c]{0,2}"),
        amounts in [0..3_u64, 0..3_u64, 0..3_u64],
    ) -> RedemptionLine {
        let [discount, discounted, promoted] = amounts.map(|amount| Amount::from_millionths(amount).unwrap());
        RedemptionLine {
            promotion: id(promotion),
            earned_promotion: id(0),
            sku,
            redemption_count: 1,
            discount,
            discount_applied_on_quantity: discounted,
            promotion_applied_on_quantity: promoted,
        }
    }
}

/// Generates lines in any order, with each earned promotion once.
fn lines() -> impl Strategy<Value = Vec<RedemptionLine>> {
    let named = |(number, line)| RedemptionLine { earned_promotion: id(number), ..line };
    let lines = btree_map(0..9_u8, line(), 0..4);
    lines.prop_map(move |lines| lines.into_iter().map(named).collect::<Vec<_>>()).prop_shuffle()
}

prop_compose! {
    /// Generates contents of few values, so that two of them are often nearly equal.
    pub(crate) fn redemption()(
        customer in 1..3_i64,
        number in "[a-b]{1,2}",
        date in -2_000..2_000_i64,
        amount in 0..3_u64,
        line_items in lines(),
        redemptions in lines(),
    ) -> Redemption {
        Redemption {
            customer_id: CustomerId(customer),
            transaction_number: number.into(),
            transaction_date: Timestamp::from_millis(date),
            amount: Amount::from_millionths(amount).unwrap(),
            line_items,
            redemptions,
        }
    }
}

fn id(number: u8) -> GivenId {
    GivenId::in_lower_case(format!("6912CED9D39E256F754A83{number:02X}"))
}

fn one() -> Redemption {
    let line = |number| RedemptionLine {
        promotion: id(1),
        earned_promotion: id(number),
        sku: Some("SHIRT-M".to_owned()),
        redemption_count: 1,
        discount: Amount::from_millionths(500_000_000).unwrap(),
        discount_applied_on_quantity: Amount::from_millionths(1_000_000).unwrap(),
        promotion_applied_on_quantity: Amount::from_millionths(2_000_000).unwrap(),
    };
    Redemption {
        customer_id: CustomerId(566_881_933),
        transaction_number: "0042".into(),
        transaction_date: Timestamp::from_millis(1_762_840_500_250),
        amount: Amount::from_millionths(4_999_500_000).unwrap(),
        line_items: vec![line(2), line(3)],
        redemptions: vec![line(4)],
    }
}

#[test]
fn the_digest_of_a_version_never_changes() {
    // Recorded rows contain this digest: a change of it needs another version.
    assert_eq!(one().digest(), "1:b63e1286a51c85979507d6a9a8cb431f724223f446dbf66a4a28577be62985ea");
}

type Edit = fn(&mut Redemption);

const EDITS: [(&str, Edit); 15] = [
    ("customerId", |content| content.customer_id.0 += 1),
    ("transactionNumber", |content| content.transaction_number = "42".into()),
    ("transactionDate", |content| content.transaction_date = content.transaction_date + 750 * MILLISECOND),
    ("amount", |content| content.amount = Amount::default()),
    ("lineItems[earnedPromotionId=6912ced9d39e256f754a8303].promotionId", |content| {
        content.line_items[1].promotion = id(9);
    }),
    ("lineItems[earnedPromotionId=6912ced9d39e256f754a8303].sku", |content| content.line_items[1].sku = None),
    ("lineItems[earnedPromotionId=6912ced9d39e256f754a8303].redemptionCount", |content| {
        content.line_items[1].redemption_count = 2;
    }),
    ("lineItems[earnedPromotionId=6912ced9d39e256f754a8303].discount", |content| {
        content.line_items[1].discount = Amount::default();
    }),
    ("lineItems[earnedPromotionId=6912ced9d39e256f754a8303].discountAppliedOnQuantity", |content| {
        content.line_items[1].discount_applied_on_quantity = Amount::default();
    }),
    ("lineItems[earnedPromotionId=6912ced9d39e256f754a8303].promotionAppliedOnQuantity", |content| {
        content.line_items[1].promotion_applied_on_quantity = Amount::default();
    }),
    ("lineItems[earnedPromotionId=6912ced9d39e256f754a8308]", |content| {
        content.line_items[0].earned_promotion = id(8);
    }),
    ("lineItems", |content| drop(content.line_items.pop())),
    ("redemptions[earnedPromotionId=6912ced9d39e256f754a8304].sku", |content| {
        content.redemptions[0].sku = Some(String::new());
    }),
    ("redemptions", |content| content.redemptions.clear()),
    ("lineItems[earnedPromotionId=6912ced9d39e256f754a8304]", |content| {
        content.line_items.append(&mut content.redemptions);
    }),
];

#[test]
fn a_change_of_one_field_is_other_content_and_names_the_field() {
    for (path, edit) in EDITS {
        let mut given = one();
        edit(&mut given);
        assert_eq!(first_difference(&one(), &given).as_deref(), Some(path));
        assert_ne!(one().digest(), given.digest(), "{path}");
    }
    for (first, (path, edit)) in EDITS[..4].iter().enumerate() {
        // When a later field differs too, the first is named.
        for (_, later) in &EDITS[first + 1..] {
            let mut given = one();
            later(&mut given);
            edit(&mut given);
            assert_eq!(first_difference(&one(), &given).as_deref(), Some(*path));
        }
    }
}

#[test]
fn a_long_text_for_an_id_is_named_by_its_beginning() {
    let mut given = one();
    given.redemptions[0].earned_promotion = GivenId::in_lower_case("é".repeat(250));
    let path = format!("redemptions[earnedPromotionId={}]", "é".repeat(100));
    assert_eq!(first_difference(&one(), &given), Some(path));
}

proptest! {
    #[test]
    fn contents_are_the_same_exactly_when_their_digests_are(one in redemption(), other in redemption()) {
        for other in [&one, &other] {
            prop_assert_eq!(first_difference(&one, other).is_none(), one.digest() == other.digest());
        }
    }

    #[test]
    fn the_order_of_lines_and_the_milliseconds_change_nothing(
        one in redemption(),
        places in vec(any::<prop::sample::Index>(), 8),
        ms in 0..1000_u32,
    ) {
        let mut other = one.clone();
        other.transaction_date = Timestamp::from_seconds(one.transaction_date.seconds()) + ms * MILLISECOND;
        for list in [&mut other.line_items, &mut other.redemptions] {
            for place in places.iter().filter(|_| !list.is_empty()).collect::<Vec<_>>() {
                let at = place.index(list.len());
                list.swap(0, at);
            }
        }
        prop_assert_eq!(first_difference(&one, &other), None);
        prop_assert_eq!(one.digest(), other.digest());
    }
}
