//! The command of `Redeem`, with every violation, and the message of a transaction.

use std::collections::HashSet;

use chrono_tz::Tz;

use super::count;
use super::event::{InvalidRequest, customer};
use super::text::check_text;
use super::time::{TimePair, to_iso};
use super::violation::Violations;
use crate::earning::change::Redeem;
use crate::earning::limits::{redeem_request, redemption_line};
use crate::earning::{Amount, GivenId, OrgId, Redemption, RedemptionLine, Timestamp};
use crate::proto;

/// Limits the elements of a transaction.
const MAX_LINES: usize = redeem_request::LINE_ITEMS_AND_REDEMPTIONS_MAX_ITEMS;
/// The first accepted time of a transaction. Seconds sent as milliseconds are before it.
const FIRST_TRANSACTION: Timestamp = Timestamp::from_millis(redeem_request::TRANSACTION_DATE_GTE);

/// Returns the transaction to redeem. `now` is the current time.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse(
    request: proto::RedeemRequest,
    org_id: OrgId,
    now: Timestamp,
    found: Violations,
) -> Result<Redeem, InvalidRequest> {
    let mut violations = found;
    let identifier = request.transaction_identifier;
    check_text(&mut violations, "transactionIdentifier", &identifier, redeem_request::TRANSACTION_IDENTIFIER_MAX_LEN);
    check_text(
        &mut violations,
        "transactionNumber",
        &request.transaction_number,
        redeem_request::TRANSACTION_NUMBER_MAX_LEN,
    );
    let iso_text = request.transaction_date_iso.as_deref();
    let date = TimePair { field: "transactionDate", ms: request.transaction_date, iso: iso_text }.read(&mut violations);
    if let Some(date) = date {
        check_transaction_date(date, now, &mut violations);
    }
    let amount = read_amount("amount", request.amount, &mut violations);
    let (lines, redemptions) = (request.line_items.len(), request.redemptions.len());
    let line_items = read_lines("lineItems", request.line_items, &mut violations);
    let others = read_lines("redemptions", request.redemptions, &mut violations);
    match lines + redemptions {
        0 => violations.add("lineItems", "must have at least 1 element, or redemptions must"),
        many if many > MAX_LINES => {
            violations.add("lineItems", format!("must have at most {MAX_LINES} elements with redemptions, not {many}"));
        }
        _ => {}
    }
    let redemption = Redemption {
        customer_id: customer(request.customer_id, violations)?,
        transaction_number: request.transaction_number.into(),
        // Without violations the date was read, so the default is never used.
        transaction_date: date.unwrap_or(Timestamp::EPOCH),
        amount,
        line_items,
        redemptions: others,
    };
    Ok(Redeem { org_id, transaction_identifier: identifier.into(), transaction: redemption.into() })
}

/// Checks the time of a transaction by the rules for every transaction. A violation names the milliseconds field, even
/// if the ISO field was given.
fn check_transaction_date(date: Timestamp, now: Timestamp, violations: &mut Violations) {
    let field = "transactionDate";
    if date < FIRST_TRANSACTION {
        let advice = "seconds may have been sent for milliseconds";
        let problem = format!("must not be before {FIRST_TRANSACTION}: it is {date}; {advice}");
        violations.add(field, problem);
    }
    if date > now + redeem_request::TRANSACTION_DATE_MAX_AHEAD {
        let problem = format!("must be at most 24 hours ahead of now, {now}: it is {date}");
        violations.add(field, problem);
    }
}

/// Reads the elements of a list.
fn read_lines(list: &str, lines: Vec<proto::RedemptionLine>, violations: &mut Violations) -> Vec<RedemptionLine> {
    let mut seen = HashSet::new();
    let mut read = Vec::with_capacity(lines.len().min(MAX_LINES));
    // A list beyond the limit is refused in any case, so its rest is not checked.
    for (index, line) in lines.into_iter().take(MAX_LINES).enumerate() {
        let field = |name: &str| format!("{list}[{index}].{name}");
        check_text(violations, field("promotionId"), &line.promotion_id, redemption_line::PROMOTION_ID_MAX_LEN);
        check_text(
            violations,
            field("earnedPromotionId"),
            &line.earned_promotion_id,
            redemption_line::EARNED_PROMOTION_ID_MAX_LEN,
        );
        let earned_promotion = GivenId::in_lower_case(line.earned_promotion_id);
        if !seen.insert(earned_promotion.text.clone()) {
            violations.add(field("earnedPromotionId"), "repeats that of an earlier element");
        }
        if let Some(sku) = &line.sku {
            check_text(violations, field("sku"), sku, redemption_line::SKU_MAX_LEN);
        }
        if line.redemption_count != 1 {
            let problem = format!("must be 1, not {}: an earned promotion is redeemed once", line.redemption_count);
            violations.add(field("redemptionCount"), problem);
        }
        let mut amount = |name: &str, given| read_amount(field(name), given, violations);
        read.push(RedemptionLine {
            promotion: GivenId::in_lower_case(line.promotion_id),
            earned_promotion,
            sku: line.sku,
            redemption_count: line.redemption_count.unsigned_abs(),
            discount: amount("discount", line.discount),
            discount_applied_on_quantity: amount("discountAppliedOnQuantity", line.discount_applied_on_quantity),
            promotion_applied_on_quantity: amount("promotionAppliedOnQuantity", line.promotion_applied_on_quantity),
        });
    }
    read
}

fn read_amount(field: impl std::fmt::Display, given: Option<f64>, violations: &mut Violations) -> Amount {
    let Some(number) = given else {
        violations.add(field, "is required");
        return Amount::default();
    };
    Amount::from_f64(number).unwrap_or_else(|| {
        let rule = "must be 0 or more, with at most 9 digits before the point and 6 after";
        // Debug formatting writes large numbers with an exponent, not with hundreds of digits.
        violations.add(field, format!("{rule}, not {number:?}"));
        Amount::default()
    })
}

/// Returns the message of a transaction. Writes ISO 8601 times in `zone`.
pub fn encode(
    org_id: OrgId,
    transaction_identifier: &str,
    recorded: &Redemption,
    zone: Tz,
) -> proto::RedeemedTransaction {
    let lines = |lines: &[RedemptionLine]| lines.iter().map(encode_line).collect();
    proto::RedeemedTransaction {
        org_id: org_id.0,
        customer_id: recorded.customer_id.0,
        transaction_identifier: transaction_identifier.to_owned(),
        transaction_number: recorded.transaction_number.as_ref().to_owned(),
        transaction_date: recorded.transaction_date.millis(),
        transaction_date_iso: to_iso(recorded.transaction_date, zone),
        amount: recorded.amount.to_f64(),
        line_items: lines(&recorded.line_items),
        redemptions: lines(&recorded.redemptions),
    }
}

fn encode_line(line: &RedemptionLine) -> proto::RedeemedLine {
    proto::RedeemedLine {
        promotion_id: line.promotion.text.clone(),
        earned_promotion_id: line.earned_promotion.text.clone(),
        sku: line.sku.clone(),
        redemption_count: count(line.redemption_count),
        discount: line.discount.to_string(),
        discount_applied_on_quantity: line.discount_applied_on_quantity.to_string(),
        promotion_applied_on_quantity: line.promotion_applied_on_quantity.to_string(),
    }
}
