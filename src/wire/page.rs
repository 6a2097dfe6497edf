//! Pages of lists: their length, and the tokens that ask for the next page.
//!
//! A token names the last element of the page before, and carries a digest of the organization and the query, so that
//! it is invalid for any other query. It is opaque to callers, and holds no secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::violation::Violations;
use crate::earning::limits::{list_catalog_changes_request, list_earned_promotions_request, list_promotions_request};
use crate::earning::{ObjectId, OrgId};

/// Length of the digest of the query in a token: bytes.
const QUERY_BYTES: usize = 8;
/// Length of a token: bytes. Consists of the digest, a number, and an id.
const TOKEN_BYTES: usize = QUERY_BYTES + 8 + 12;

/// Returns the number of elements of a wallet page.
pub fn wallet_limit(limit: Option<i32>, violations: &mut Violations) -> usize {
    let most = list_earned_promotions_request::LIMIT_LTE;
    read_limit(limit.unwrap_or(list_earned_promotions_request::LIMIT_DEFAULT), most, violations)
}

/// Returns the number of elements of a page of promotions.
pub fn promotion_limit(limit: Option<i32>, violations: &mut Violations) -> usize {
    let most = list_promotions_request::LIMIT_LTE;
    read_limit(limit.unwrap_or(list_promotions_request::LIMIT_DEFAULT), most, violations)
}

/// Returns the number of elements of a page of changes.
pub fn change_limit(limit: Option<i32>, violations: &mut Violations) -> usize {
    let most = list_catalog_changes_request::LIMIT_LTE;
    read_limit(limit.unwrap_or(list_catalog_changes_request::LIMIT_DEFAULT), most, violations)
}

fn read_limit(limit: i32, most: i32, violations: &mut Violations) -> usize {
    if !(1..=most).contains(&limit) {
        violations.add("limit", format!("must be from 1 to {most}, not {limit}"));
    }
    usize::try_from(limit).unwrap_or_default()
}

/// The pages of one query.
#[derive(Debug, Clone, Copy)]
pub struct Pages([u8; QUERY_BYTES]);

impl Pages {
    /// Returns the pages of the list of promotions of an organization.
    pub fn of_promotions(org_id: OrgId) -> Self {
        Self::of(org_id, "promotions")
    }

    /// Returns the pages of a list of an organization. `list` names the list, including its filters.
    pub fn of(org_id: OrgId, list: &str) -> Self {
        let mut bytes = [0; QUERY_BYTES];
        bytes.copy_from_slice(&Sha256::digest(format!("{} {list}", org_id.0))[..QUERY_BYTES]);
        Self(bytes)
    }

    /// Returns the token of the page after an element.
    pub fn write(self, number: i64, id: ObjectId) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend(self.0);
        bytes.extend(number.to_be_bytes());
        bytes.extend(id.0);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns the element that a token names, or `None` for the first page or an invalid token.
    pub fn read(self, token: Option<&str>, violations: &mut Violations) -> Option<(i64, ObjectId)> {
        // Many clients send an empty text for the first page.
        let token = token.filter(|token| !token.is_empty())?;
        let element = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| {
            let rest = <[u8; TOKEN_BYTES]>::try_from(bytes).ok()?;
            let rest = rest.strip_prefix(&self.0)?;
            let (number, id) = rest.split_first_chunk::<8>()?;
            Some((i64::from_be_bytes(*number), ObjectId(id.try_into().ok()?)))
        });
        if element.is_none() {
            violations.add("pageToken", "must be the nextPageToken of an answer to the same request");
        }
        element
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORG: OrgId = OrgId(1);

    #[test]
    fn a_token_comes_back_for_its_own_question_and_for_no_other() {
        let element = (-5, ObjectId([7; 12]));
        let token = Pages::of(ORG, "a").write(element.0, element.1);
        let mut violations = Violations::default();
        assert_eq!(Pages::of(ORG, "a").read(Some(&token), &mut violations), Some(element));
        assert!(violations.is_empty());
        for other in [Pages::of(ORG, "b"), Pages::of(OrgId(2), "a"), Pages::of_promotions(ORG)] {
            let mut violations = Violations::default();
            assert_eq!(other.read(Some(&token), &mut violations), None);
            assert!(violations.has("pageToken"));
        }
    }

    proptest! {
        #[test]
        fn no_token_panics(token in ".{1,80}") {
            let mut violations = Violations::default();
            let _ = Pages::of(ORG, "a").read(Some(&token), &mut violations);
            prop_assert!(violations.has("pageToken"));
        }
    }
}
