//! The command of `RevokeEarnedPromotions`, with every violation, and the response.

use std::collections::HashSet;

use super::event::{InvalidRequest, customer};
use super::text::check_text;
use super::violation::Violations;
use crate::earning::change::Revoke;
use crate::earning::limits::earn_revoke_details;
use crate::earning::revoke::RevokedDetail;
use crate::earning::{GivenId, OrgId};
use crate::proto;
use crate::proto::revoked_details::Status;

/// Limits the earn ids that one request revokes.
const MAX_REVOKED: usize = earn_revoke_details::EARN_IDS_MAX_TOTAL;

/// Returns the earned promotions to revoke.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse(
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
pub fn encode(revoke: &Revoke, outcome: &[RevokedDetail]) -> proto::RevokeEarnedPromotionsResponse {
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
