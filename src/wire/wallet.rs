//! The commands of `ListEarnedPromotions` and `GetEarnedPromotion`, with every violation, and the responses.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use strum::VariantNames as _;

use super::earn::encode_event;
use super::event::{EnumField, InvalidRequest, customer, encode_type};
use super::page::{Pages, wallet_limit};
use super::promotion::promotion_id;
use super::response_size::first_that_fit;
use super::time::to_iso;
use super::violation::Violations;
use crate::app::wallet::{ListWallet, Page, WalletItem};
use crate::earning::change::EarnedStatus;
use crate::earning::limits::list_earned_promotions_request;
use crate::earning::{ObjectId, OrgId, Timestamp};
use crate::proto;
use crate::proto::wallet_entry::{ApplicationMode, PromotionStatus};

/// Limits the promotions that one request filters by.
const MAX_FILTERED: usize = list_earned_promotions_request::PROMOTION_ID_MAX_ITEMS;

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
