//! The commands of requests to `CatalogService`, with every violation, and the responses.

use std::collections::BTreeSet;

use super::event::InvalidRequest;
use super::page::{Pages, promotion_limit};
use super::promotion;
use super::text::check_id;
use super::violation::Violations;
use crate::app::audience::ChangeAudience;
use crate::earning::limits::{change_audience_request, list_promotions_request};
use crate::earning::{CustomerId, ObjectId, OrgId, PromotionDraft};
use crate::proto;

/// Limits the ids that one request asks for.
const MAX_IDS: usize = list_promotions_request::PROMOTION_IDS_MAX_ITEMS;
/// Limits the customers that one request adds and removes.
const MAX_CHANGED: usize = change_audience_request::ADD_AND_REMOVE_MAX_ITEMS;

/// Returns the id of the promotion in a path.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_id(given: &str, violations: Violations) -> Result<ObjectId, InvalidRequest> {
    let id = ObjectId::parse(given);
    match (violations.is_empty(), id) {
        (true, Some(id)) => Ok(id),
        (true, None) => Err(InvalidRequest::InvalidPromotionId(given.to_owned())),
        (false, _) => {
            let mut violations = violations;
            promotion::promotion_id("promotionId", given, &mut violations);
            Err(InvalidRequest::Invalid(violations))
        }
    }
}

/// Returns the promotion to create, with the given id or else one from `new_id`.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_new(
    request: proto::CreatePromotionRequest,
    new_id: impl FnOnce() -> ObjectId,
    found: Violations,
) -> Result<PromotionDraft, InvalidRequest> {
    let mut violations = found;
    let given = required(request.promotion, &mut violations);
    let id = match given.id.as_str() {
        "" => new_id(),
        id => ObjectId::parse(id).unwrap_or(ObjectId([0; 12])),
    };
    let well_named = given.id.is_empty() || ObjectId::parse(&given.id).is_some();
    let named = given.id.clone();
    let promotion = promotion::read_whole("promotion", id, given, &mut violations);
    if violations.is_empty() && !well_named {
        return Err(InvalidRequest::InvalidPromotionId(named));
    }
    if !well_named {
        promotion::promotion_id("promotion.id", &named, &mut violations);
    }
    violations.or_ok(promotion).map_err(InvalidRequest::Invalid)
}

/// Returns the promotion that replaces a recorded one.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_replacement(
    request: proto::ReplacePromotionRequest,
    found: Violations,
) -> Result<PromotionDraft, InvalidRequest> {
    let mut violations = found;
    let given = required(request.promotion, &mut violations);
    let id = ObjectId::parse(&request.promotion_id);
    if !given.id.is_empty() && ObjectId::parse(&given.id) != id {
        violations.add("promotion.id", "must be the promotionId of the path, or absent");
    }
    let promotion = promotion::read_whole("promotion", id.unwrap_or(ObjectId([0; 12])), given, &mut violations);
    parse_id(&request.promotion_id, violations).map(|_| promotion)
}

fn required(promotion: Option<proto::Promotion>, violations: &mut Violations) -> proto::Promotion {
    promotion.unwrap_or_else(|| {
        violations.add("promotion", "is required");
        proto::Promotion::default()
    })
}

/// The promotions that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromotionsWanted {
    /// The promotions with these ids, in this order.
    Ids(Vec<ObjectId>),
    /// A page of all promotions, in the order of their ids.
    Page {
        /// Limits the promotions of the page.
        limit: usize,
        /// The last promotion of the page before.
        after: Option<ObjectId>,
    },
}

/// Returns the promotions that a request asks for.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_list(
    request: &proto::ListPromotionsRequest,
    org_id: OrgId,
    found: Violations,
) -> Result<PromotionsWanted, InvalidRequest> {
    let mut violations = found;
    let mut ids = Vec::new();
    // Each id has its own index, whether a value holds one id or several separated by commas.
    for (index, id) in request.promotion_ids.iter().flat_map(|text| text.split(',')).enumerate() {
        ids.push(promotion::promotion_id(format_args!("promotionIds[{index}]"), id.trim(), &mut violations));
    }
    if ids.len() > MAX_IDS {
        violations.add("promotionIds", format!("must have at most {MAX_IDS} ids, not {}", ids.len()));
    }
    let limit = promotion_limit(request.limit, &mut violations);
    let after = Pages::of_promotions(org_id).read(request.page_token.as_deref(), &mut violations);
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
    let wanted = if request.promotion_ids.is_empty() {
        PromotionsWanted::Page { limit, after: after.map(|(_, id)| id) }
    } else {
        PromotionsWanted::Ids(ids)
    };
    violations.or_ok(wanted).map_err(InvalidRequest::Invalid)
}

/// Returns the token of the page after the one that ends with `last`.
pub fn next_page(org_id: OrgId, last: ObjectId) -> String {
    Pages::of_promotions(org_id).write(0, last)
}

/// Returns the change of an audience.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_audience(
    request: &proto::ChangeAudienceRequest,
    org_id: OrgId,
    found: Violations,
) -> Result<ChangeAudience, InvalidRequest> {
    let mut violations = found;
    let add = customers("add", &request.add, &mut violations);
    let remove = customers("remove", &request.remove, &mut violations);
    for (index, customer_id) in request.remove.iter().enumerate() {
        if add.contains(&CustomerId(*customer_id)) {
            violations.add(format_args!("remove[{index}]"), "is among those to add");
        }
    }
    match request.add.len() + request.remove.len() {
        0 => violations.add("add", "must have at least 1 customer, or remove must"),
        many if many > MAX_CHANGED => {
            violations.add("add", format!("must have at most {MAX_CHANGED} customers with remove, not {many}"));
        }
        _ => {}
    }
    Ok(ChangeAudience { org_id, promotion_id: parse_id(&request.promotion_id, violations)?, add, remove })
}

/// Returns the customers of a list.
pub fn customers(field: &str, ids: &[i64], violations: &mut Violations) -> BTreeSet<CustomerId> {
    for (index, id) in ids.iter().enumerate() {
        check_id(violations, format_args!("{field}[{index}]"), *id);
    }
    ids.iter().copied().map(CustomerId).collect()
}
