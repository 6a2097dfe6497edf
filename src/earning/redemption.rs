//! The content of a transaction that redeems: its domain fields, their digest, and the first difference between two
//! contents.
//!
//! Two contents are equal when their fields are, whatever the order of lines within a list, and whatever message they
//! were read from. The digests are compared first. The version of a digest says which fields it covers, and in which
//! order.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::object_id::{GivenId, MAX_ECHOED_CHARACTERS};
use super::{Amount, CustomerId, Timestamp};

/// Version of the digest, written in front of it. A change of what [`Redemption::digest`] covers needs another version.
const DIGEST_VERSION: u8 = 1;

/// Content of a transaction that redeems earned promotions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redemption {
    /// Customer who holds the earned promotions.
    pub customer_id: CustomerId,
    /// Number of the transaction, given by the caller.
    pub transaction_number: Arc<str>,
    /// Date of the transaction. Dates within the same second are equal.
    pub transaction_date: Timestamp,
    /// Amount of the transaction.
    pub amount: Amount,
    /// Earned promotions that are redeemed on lines of the transaction: each once, in any order.
    pub line_items: Vec<RedemptionLine>,
    /// Earned promotions that are redeemed on the transaction as a whole: each once, in any order.
    pub redemptions: Vec<RedemptionLine>,
}

/// One earned promotion that a transaction redeems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedemptionLine {
    /// Promotion id, in lower case.
    pub promotion: GivenId,
    /// Earn id, in lower case.
    pub earned_promotion: GivenId,
    /// Article; `None` when the caller names none.
    pub sku: Option<String>,
    /// Number of times that the promotion is redeemed.
    pub redemption_count: u32,
    /// Amount by which the promotion lowers the price.
    pub discount: Amount,
    /// Number of articles to which the discount applies.
    pub discount_applied_on_quantity: Amount,
    /// Number of articles to which the promotion applies.
    pub promotion_applied_on_quantity: Amount,
}

impl Redemption {
    /// Returns every line, in the order of the request.
    pub fn lines(&self) -> impl Iterator<Item = &RedemptionLine> {
        self.line_items.iter().chain(&self.redemptions)
    }

    /// Returns the digest of the content with its version in front: `1:` and 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        // Every field is named here, so that the build fails when one is added.
        let Self { customer_id, transaction_number, transaction_date, amount, line_items, redemptions } = self;
        let mut fields = Fields(Sha256::new());
        fields.integer(customer_id.0.cast_unsigned());
        fields.text(transaction_number);
        fields.integer(transaction_date.seconds().cast_unsigned());
        fields.integer(amount.millionths());
        for list in [line_items, redemptions] {
            fields.integer(list.len() as u64);
            for line in by_earned_promotion(list).into_values() {
                line.add_to(&mut fields);
            }
        }
        let mut text = format!("{DIGEST_VERSION}:");
        for byte in fields.0.finalize() {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default()));
        }
        text
    }
}

impl RedemptionLine {
    fn add_to(&self, fields: &mut Fields) {
        let Self {
            promotion,
            earned_promotion,
            sku,
            redemption_count,
            discount,
            discount_applied_on_quantity,
            promotion_applied_on_quantity,
        } = self;
        fields.text(&promotion.text);
        fields.text(&earned_promotion.text);
        fields.integer(sku.is_some().into());
        fields.text(sku.as_deref().unwrap_or_default());
        fields.integer((*redemption_count).into());
        for amount in [discount, discount_applied_on_quantity, promotion_applied_on_quantity] {
            fields.integer(amount.millionths());
        }
    }

    /// Returns the first field in which `given`, a line of the same earned promotion, differs.
    fn first_difference(&self, given: &Self) -> Option<&'static str> {
        first_of([
            ("promotionId", self.promotion.text == given.promotion.text),
            ("sku", self.sku == given.sku),
            ("redemptionCount", self.redemption_count == given.redemption_count),
            ("discount", self.discount == given.discount),
            ("discountAppliedOnQuantity", self.discount_applied_on_quantity == given.discount_applied_on_quantity),
            ("promotionAppliedOnQuantity", self.promotion_applied_on_quantity == given.promotion_applied_on_quantity),
        ])
    }
}

/// Returns the path of the first field in which `given` differs from the `recorded` content, in the order of the
/// message; `None` when they are equal. The path contains no value that only the recorded content has.
pub fn first_difference(recorded: &Redemption, given: &Redemption) -> Option<String> {
    let field = first_of([
        ("customerId", recorded.customer_id == given.customer_id),
        ("transactionNumber", recorded.transaction_number == given.transaction_number),
        ("transactionDate", recorded.transaction_date.seconds() == given.transaction_date.seconds()),
        ("amount", recorded.amount == given.amount),
    ]);
    let lists = || {
        let line_items = || difference_of_lines("lineItems", &recorded.line_items, &given.line_items);
        line_items().or_else(|| difference_of_lines("redemptions", &recorded.redemptions, &given.redemptions))
    };
    field.map(str::to_owned).or_else(lists)
}

fn difference_of_lines(list: &str, recorded: &[RedemptionLine], given: &[RedemptionLine]) -> Option<String> {
    let (recorded, given) = (by_earned_promotion(recorded), by_earned_promotion(given));
    for (id, line) in &given {
        // A text that is not an id may be long.
        let path =
            || format!("{list}[earnedPromotionId={}]", id.chars().take(MAX_ECHOED_CHARACTERS).collect::<String>());
        match recorded.get(id).map(|recorded| recorded.first_difference(line)) {
            None => return Some(path()),
            Some(Some(field)) => return Some(format!("{}.{field}", path())),
            Some(None) => {}
        }
    }
    (recorded.len() > given.len()).then(|| list.to_owned())
}

fn first_of<const N: usize>(fields: [(&'static str, bool); N]) -> Option<&'static str> {
    fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}

/// Returns the lines by earned promotion, so that their order does not matter.
fn by_earned_promotion(lines: &[RedemptionLine]) -> BTreeMap<&str, &RedemptionLine> {
    lines.iter().map(|line| (line.earned_promotion.text.as_str(), line)).collect()
}

/// Hasher of fields. A length precedes each text, so that no two lists of fields have the same bytes.
struct Fields(Sha256);

impl Fields {
    fn integer(&mut self, value: u64) {
        self.0.update(value.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.integer(text.len() as u64);
        self.0.update(text);
    }
}

#[cfg(test)]
#[path = "redemption_tests.rs"]
pub(crate) mod tests;
