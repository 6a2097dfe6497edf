//! The stored form of a redemption's content: JSON of the domain fields, with its own names and numbers.
//!
//! The form does not depend on any message. A missing name has its default, and an unknown name is ignored, so that
//! rows of other releases can be read. The customer has a separate column.

use serde::{Deserialize, Serialize};

use super::StorageError;
use crate::earning::{Amount, CustomerId, GivenId, Redemption, RedemptionLine, Timestamp};

/// Version of the form. It changes when the meaning of a name changes, but not when a name is added.
const VERSION: u32 = 1;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StoredContent {
    version: u32,
    transaction_number: String,
    transaction_date_ms: i64,
    amount_millionths: u64,
    line_items: Vec<StoredLine>,
    redemptions: Vec<StoredLine>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StoredLine {
    promotion_id: String,
    earned_promotion_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<String>,
    redemption_count: u32,
    discount_millionths: u64,
    discount_applied_on_quantity_millionths: u64,
    promotion_applied_on_quantity_millionths: u64,
}

impl Default for StoredLine {
    fn default() -> Self {
        Self {
            promotion_id: String::new(),
            earned_promotion_id: String::new(),
            sku: None,
            // An earned promotion is redeemed once unless the row says otherwise.
            redemption_count: 1,
            discount_millionths: 0,
            discount_applied_on_quantity_millionths: 0,
            promotion_applied_on_quantity_millionths: 0,
        }
    }
}

/// Returns the stored form of the content of a redemption.
pub(super) fn write(redemption: &Redemption) -> String {
    let content = StoredContent {
        version: VERSION,
        transaction_number: redemption.transaction_number.as_ref().to_owned(),
        transaction_date_ms: redemption.transaction_date.millis(),
        amount_millionths: redemption.amount.millionths(),
        line_items: redemption.line_items.iter().map(StoredLine::from).collect(),
        redemptions: redemption.redemptions.iter().map(StoredLine::from).collect(),
    };
    // Serializing strings and integers does not fail.
    serde_json::to_string(&content).unwrap_or_default()
}

/// Parses the stored content of a redemption of this customer.
pub(super) fn read(customer_id: CustomerId, text: &str) -> Result<Redemption, StorageError> {
    let corrupt = |what: &str| StorageError::Corrupt(format!("the content of a redemption: {what}"));
    let content: StoredContent = serde_json::from_str(text).map_err(|error| corrupt(&error.to_string()))?;
    let amount = |millionths: u64| Amount::from_millionths(millionths).ok_or_else(|| corrupt("an amount is too large"));
    let lines = |lines: Vec<StoredLine>| {
        let line = |line: StoredLine| {
            Ok(RedemptionLine {
                promotion: GivenId::in_lower_case(line.promotion_id),
                earned_promotion: GivenId::in_lower_case(line.earned_promotion_id),
                sku: line.sku,
                redemption_count: line.redemption_count,
                discount: amount(line.discount_millionths)?,
                discount_applied_on_quantity: amount(line.discount_applied_on_quantity_millionths)?,
                promotion_applied_on_quantity: amount(line.promotion_applied_on_quantity_millionths)?,
            })
        };
        lines.into_iter().map(line).collect::<Result<Vec<_>, StorageError>>()
    };
    Ok(Redemption {
        customer_id,
        transaction_number: content.transaction_number.into(),
        transaction_date: Timestamp::from_millis(content.transaction_date_ms),
        amount: amount(content.amount_millionths)?,
        line_items: lines(content.line_items)?,
        redemptions: lines(content.redemptions)?,
    })
}

impl From<&RedemptionLine> for StoredLine {
    fn from(line: &RedemptionLine) -> Self {
        Self {
            promotion_id: line.promotion.text.clone(),
            earned_promotion_id: line.earned_promotion.text.clone(),
            sku: line.sku.clone(),
            redemption_count: line.redemption_count,
            discount_millionths: line.discount.millionths(),
            discount_applied_on_quantity_millionths: line.discount_applied_on_quantity.millionths(),
            promotion_applied_on_quantity_millionths: line.promotion_applied_on_quantity.millionths(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::earning::redemption::tests::redemption;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(redemption in redemption()) {
            let read = read(redemption.customer_id, &write(&redemption)).unwrap();
            prop_assert_eq!(&read, &redemption);
            prop_assert_eq!(read.digest(), redemption.digest());
        }
    }

    #[test]
    fn a_row_of_another_release_is_understood() {
        let customer_id = CustomerId(7);
        let text = r#"{"version":9,"transactionNumber":"n","transactionDateMs":1500,"amountMillionths":2500000,
            "till":"3","lineItems":[{"promotionId":"6912ced9d39e256f754a83f8","earnedPromotionId":
            "6912D0E01C5B9E4F7A000001","discountMillionths":1,"color":"red"}]}"#;
        let redemption = read(customer_id, text).unwrap();
        assert_eq!((&*redemption.transaction_number, redemption.transaction_date.millis()), ("n", 1_500));
        assert_eq!(redemption.amount.to_string(), "2.500000");
        assert!(redemption.redemptions.is_empty());
        let [line] = &redemption.line_items[..] else { panic!("{redemption:?}") };
        assert_eq!(line.earned_promotion.text, "6912d0e01c5b9e4f7a000001");
        assert_eq!((line.redemption_count, line.discount.millionths(), &line.sku), (1, 1, &None));
    }

    #[test]
    fn what_is_no_content_is_refused() {
        for text in ["", "7", r#"{"amountMillionths":1000000000000000}"#, r#"{"lineItems":[7]}"#] {
            assert!(matches!(read(CustomerId(1), text), Err(StorageError::Corrupt(_))), "{text}");
        }
    }
}
