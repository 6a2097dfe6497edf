//! The commands of requests to `WalletService`, with every violation, and the responses.

use std::collections::{BTreeSet, HashSet};

use chrono_tz::Tz;
use strum::VariantNames as _;

use super::count;
use super::earn::encode_event;
use super::event::{EnumField, InvalidRequest, customer, encode_type};
use super::page::{Pages, wallet_limit};
use super::promotion::promotion_id;
use super::response_size::first_that_fit;
use super::text::check_text;
use super::time::{TimePair, to_iso};
use super::violation::Violations;
use crate::app::wallet::{ListWallet, Page, WalletItem};
use crate::earning::change::{EarnedStatus, Redeem, Revoke};
use crate::earning::limits::{earn_revoke_details, list_earned_promotions_request, redeem_request, redemption_line};
use crate::earning::revoke::RevokedDetail;
use crate::earning::{Amount, GivenId, ObjectId, OrgId, Redemption, RedemptionLine, Timestamp};
use crate::proto;
use crate::proto::revoked_details::Status;
use crate::proto::wallet_entry::{ApplicationMode, PromotionStatus};

/// Limits the promotions that one request filters by.
const MAX_FILTERED: usize = list_earned_promotions_request::PROMOTION_ID_MAX_ITEMS;
/// Limits the earn ids that one request revokes.
const MAX_REVOKED: usize = earn_revoke_details::EARN_IDS_MAX_TOTAL;
/// Limits the elements of a transaction.
const MAX_LINES: usize = redeem_request::LINE_ITEMS_AND_REDEMPTIONS_MAX_ITEMS;
/// The first accepted time of a transaction. Seconds sent as milliseconds are before it.
const FIRST_TRANSACTION: Timestamp = Timestamp::from_millis(redeem_request::TRANSACTION_DATE_GTE);

/// Returns the part of a wallet that a request asks for, and the pages of that query.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_list(
    request: &proto::ListEarnedPromotionsRequest,
    org_id: OrgId,
    found: Violations,
) -> Result<(ListWallet, Pages), InvalidRequest> {
    let mut violations = found;
    let limit = wallet_limit(request.limit, &mut violations);
    let mut statuses = BTreeSet::new();
    for (index, number) in request.earned_status.iter().enumerate() {
        let given = proto::EarnedStatus::try_from(*number).ok();
        let read = given.and_then(|given| given.as_str_name().parse::<EarnedStatus>().ok());
        let names = || EarnedStatus::VARIANTS.join(", ");
        let field = format_args!("earnedStatus[{index}]");
        statuses.extend(EnumField { field, number: *number }.one_of(&mut violations, read, names));
    }
    if request.earned_status.is_empty() {
        statuses.insert(EarnedStatus::Unlocked);
    }
    let promotions = request.promotion_id.iter().enumerate();
    let promotions: BTreeSet<_> =
        promotions.map(|(index, id)| promotion_id(format_args!("promotionId[{index}]"), id, &mut violations)).collect();
    let filtered = request.promotion_id.len();
    if filtered > MAX_FILTERED {
        violations.add("promotionId", format!("must have at most {MAX_FILTERED} ids, not {filtered}"));
    }
    let pages = Pages::of(org_id, &format!("wallet {} {statuses:?} {promotions:?}", request.customer_id));
    let after = pages.read(request.page_token.as_deref(), &mut violations);
    let after = after.map(|(ms, id)| (Timestamp::from_millis(ms), id));
    let customer_id = customer(request.customer_id, violations)?;
    Ok((ListWallet { org_id, customer_id, limit, after, statuses, promotions }, pages))
}

/// Returns the earn id of a path.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_earn_id(given: &str, found: Violations) -> Result<ObjectId, InvalidRequest> {
    let mut violations = found;
    let id = promotion_id("earnedPromotionId", given, &mut violations);
    violations.or_ok(id).map_err(InvalidRequest::Invalid)
}

/// Returns the message of an earned promotion. Writes ISO 8601 times in `zone`.
pub fn encode_entry(entry: &WalletItem, zone: Tz) -> proto::WalletEntry {
    let row = &entry.row;
    let (event_details, supplementary_criteria) = encode_event(&row.event_id, row.earned_from_type, Some(&row.details));
    let status = proto::EarnedStatus::from_str_name(entry.status.name()).unwrap_or_default();
    let promotion_status = if entry.promotion_active { PromotionStatus::Active } else { PromotionStatus::Inactive };
    proto::WalletEntry {
        earned_promotion_id: row.key.earn_id.to_string(),
        promotion_id: row.held.promotion_id.to_string(),
        promotion_name: entry.promotion_name.clone(),
        customer_id: row.key.customer_id.0,
        valid_till: row.held.valid_till.millis(),
        valid_till_iso: to_iso(row.held.valid_till, zone),
        unlocked_date: row.granted_at.millis(),
        unlocked_date_iso: to_iso(row.granted_at, zone),
        event_time: row.held.event_time.millis(),
        event_time_iso: to_iso(row.held.event_time, zone),
        earned_from_type: encode_type(row.earned_from_type),
        earned_from_id: row.earned_from_id.clone(),
        event_details: Some(event_details),
        earned_status: status as i32,
        promotion_status: promotion_status as i32,
        application_mode: ApplicationMode::Discount as i32,
        supplementary_criteria,
    }
}

/// Returns the message of a page, cut off before the response is longer than `max_bytes`. Writes ISO 8601 times in
/// `zone`.
pub fn encode_page(page: &Page, pages: Pages, zone: Tz, max_bytes: usize) -> proto::ListEarnedPromotionsResponse {
    let data = page.entries.iter().map(|entry| encode_entry(entry, zone)).collect();
    let data = first_that_fit(data, max_bytes);
    let ended = data.len() < page.entries.len();
    let last = data.len().checked_sub(1).map(|last| &page.entries[last].row);
    let last = last.filter(|_| ended).map(|row| (row.held.valid_till, row.key.earn_id));
    let next_page_token = last.or(page.more_after).map(|(time, id)| pages.write(time.millis(), id));
    proto::ListEarnedPromotionsResponse { data, errors: Vec::new(), next_page_token }
}

/// Returns the earned promotions to revoke.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_revoke(
    request: proto::RevokeEarnedPromotionsRequest,
    org_id: OrgId,
    found: Violations,
) -> Result<Revoke, InvalidRequest> {
    let mut violations = found;
    let (mut promotions, mut count) = (HashSet::new(), 0);
    let mut details = Vec::new();
    for (index, detail) in request.earn_revoke_details.into_iter().take(MAX_REVOKED + 1).enumerate() {
        let at = format!("earnRevokeDetails[{index}]");
        check_text(&mut violations, format_args!("{at}.promotionId"), &detail.promotion_id, usize::MAX);
        if !detail.promotion_id.is_empty() && !promotions.insert(detail.promotion_id.to_ascii_lowercase()) {
            violations.add(format_args!("{at}.promotionId"), "repeats that of an earlier element");
        }
        let mut seen = HashSet::new();
        // A list beyond the limit is refused in any case, so its rest is not checked.
        for (index, earn_id) in detail.earn_ids.iter().take(MAX_REVOKED).enumerate() {
            let at = format_args!("{at}.earnIds[{index}]");
            check_text(&mut violations, at, earn_id, earn_revoke_details::EARN_IDS_MAX_LEN);
            if !seen.insert(earn_id.to_ascii_lowercase()) {
                violations.add(at, "repeats an earlier one");
            }
        }
        if detail.earn_ids.is_empty() {
            violations.add(format_args!("{at}.earnIds"), "must have at least 1 earn id");
        }
        count += detail.earn_ids.len();
        details.push((detail.promotion_id.into(), detail.earn_ids.into_iter().map(GivenId::from).collect()));
    }
    if details.is_empty() {
        violations.add("earnRevokeDetails", "must have at least 1 element");
    }
    if count > MAX_REVOKED {
        violations.add("earnRevokeDetails", format!("must have at most {MAX_REVOKED} earn ids, not {count}"));
    }
    Ok(Revoke { org_id, customer_id: customer(request.customer_id, violations)?, details })
}

/// Returns the response to `revoke` with this outcome.
pub fn encode_revoked(revoke: &Revoke, outcome: &[RevokedDetail]) -> proto::RevokeEarnedPromotionsResponse {
    let mut errors = Vec::new();
    let details = revoke.details.iter().zip(outcome).map(|((promotion, earn_ids), detail)| {
        let given = |places: &[usize]| places.iter().map(|place| earn_ids[*place].text.clone()).collect::<Vec<_>>();
        errors.extend(detail.failed.iter().map(|(failure, places)| proto::RevokeError {
            code: failure.code(),
            message: failure.to_string(),
            promotion_id: promotion.text.clone(),
            earn_ids: given(places),
        }));
        let status = match (detail.revoked.is_empty(), detail.failed.is_empty()) {
            (_, true) => Status::Success,
            (false, false) => Status::Partial,
            (true, false) => Status::Failure,
        };
        proto::RevokedDetails {
            promotion_id: promotion.text.clone(),
            revoked_earn_ids: given(&detail.revoked),
            status: status as i32,
        }
    });
    let revoked_details = details.collect();
    let data = proto::RevokedEarnedPromotions { customer_id: revoke.customer_id.0, revoked_details };
    proto::RevokeEarnedPromotionsResponse { data: Some(data), errors }
}

/// Returns the transaction to redeem. `now` is the current time.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_redeem(
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
pub fn encode_redemption(
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
