//! The command of a request for the recorded changes of a catalog, with every violation, and the response.

use chrono_tz::Tz;

use super::event::InvalidRequest;
use super::page::{Pages, change_limit};
use super::payload::Payload;
use super::promotion::promotion_id;
use super::response_size::first_that_fit;
use super::time::to_iso;
use super::violation::Violations;
use crate::app::history::{Content, HistoryPage, HistoryPart, HistoryPlace, RecordedChange};
use crate::earning::{ObjectId, OrgId};
use crate::proto;
use crate::proto::recorded_change::Action;

/// Returns the part of the history that a request asks for, and the pages of that query.
///
/// # Errors
/// Returns every violation of the request.
pub fn parse_list(
    request: &proto::ListCatalogChangesRequest,
    org_id: OrgId,
    found: Violations,
) -> Result<(HistoryPart, Pages), InvalidRequest> {
    let mut violations = found;
    let limit = change_limit(request.limit, &mut violations);
    // Many clients send an empty text for an absent id.
    let given = request.promotion_id.as_deref().filter(|id| !id.is_empty());
    let promotion_id = given.map(|id| promotion_id("promotionId", id, &mut violations));
    let pages = Pages::of(org_id, &format!("changes {promotion_id:?}"));
    let after = pages.read(request.page_token.as_deref(), &mut violations);
    let after = after.map(|(version, id)| HistoryPlace { version, part: part_of(id) });
    violations.or_ok((HistoryPart { promotion_id, after, limit }, pages)).map_err(InvalidRequest::Invalid)
}

/// Returns the message of a page, cut off before the response is longer than `max_bytes`. Writes ISO 8601 times in
/// `zone`.
pub fn encode_page(page: &HistoryPage, pages: Pages, zone: Tz, max_bytes: usize) -> proto::ListCatalogChangesResponse {
    let data = page.changes.iter().map(|change| encode(change, zone)).collect();
    let data = first_that_fit(data, max_bytes);
    let ended = data.len() < page.changes.len();
    let last = data.len().checked_sub(1).map(|last| page.changes[last].place).filter(|_| ended);
    let next_page_token = last.or(page.more_after).map(|place| next_page(pages, place));
    proto::ListCatalogChangesResponse { data, errors: Vec::new(), next_page_token }
}

/// Returns the message of a change. Writes ISO 8601 times in `zone`.
pub fn encode(recorded: &RecordedChange, zone: Tz) -> proto::RecordedChange {
    let change = &recorded.change;
    let customers = |side: Option<&Content>| match side {
        Some(Content::Audience(customers)) => customers.clone(),
        _ => Vec::new(),
    };
    let fields = |side: Option<&Content>| match side {
        None | Some(Content::Audience(_)) => None,
        Some(content) => Payload::from_text(&content.to_string()),
    };
    proto::RecordedChange {
        time: recorded.at.millis(),
        time_iso: to_iso(recorded.at, zone),
        action: Action::from_str_name(change.action.name()).unwrap_or_default() as i32,
        actor: recorded.actor.clone(),
        request_id: recorded.request_id.clone(),
        promotion_id: change.promotion_id.map(|id| id.to_string()),
        before: fields(change.before.as_ref()),
        after: fields(change.after.as_ref()),
        added: customers(change.after.as_ref()),
        removed: customers(change.before.as_ref()),
    }
}

/// Returns the token of the page after a change. Its id holds the part in the last eight bytes.
fn next_page(pages: Pages, place: HistoryPlace) -> String {
    let mut id = [0; 12];
    id[4..].copy_from_slice(&place.part.to_be_bytes());
    pages.write(place.version, ObjectId(id))
}

fn part_of(ObjectId(id): ObjectId) -> i64 {
    let mut part = [0; 8];
    part.copy_from_slice(&id[4..]);
    i64::from_be_bytes(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_the_change_that_it_was_written_for() {
        let pages = Pages::of(OrgId(1), "changes None");
        for number in [1, i64::MAX] {
            let place = HistoryPlace { version: number, part: number };
            let request = proto::ListCatalogChangesRequest {
                page_token: Some(next_page(pages, place)),
                ..proto::ListCatalogChangesRequest::default()
            };
            let (part, _) = parse_list(&request, OrgId(1), Violations::default()).unwrap();
            assert_eq!(part, HistoryPart { promotion_id: None, after: Some(place), limit: 50 });
        }
    }
}
