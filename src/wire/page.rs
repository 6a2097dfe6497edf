//! Pages of lists: how many, and the tokens that ask for the next one.
//!
//! A token names the last element of the page before, and carries a digest of what was asked for, and of which organization:
//! to another question it is no answer. It is opaque to callers, and nothing secret is in it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::violation::Violations;
use crate::earning::{ObjectId, OrgId};

/// Elements of one page, at most.
const MAX_LIMIT: i32 = 1_000;
/// Elements of a page of a wallet, where the request does not say.
const WALLET_LIMIT: i32 = 10;
/// Elements of a page of promotions, where the request does not say.
const PROMOTION_LIMIT: i32 = 100;
/// Bytes of a token that tell its question.
const QUESTION_BYTES: usize = 8;
/// Bytes of a token: the question, a number, an id.
const TOKEN_BYTES: usize = QUESTION_BYTES + 8 + 12;

/// How many elements of a wallet are asked for.
pub fn wallet_limit(limit: Option<i32>, violations: &mut Violations) -> usize {
    read_limit(limit.unwrap_or(WALLET_LIMIT), violations)
}

/// How many promotions are asked for.
pub fn promotion_limit(limit: Option<i32>, violations: &mut Violations) -> usize {
    read_limit(limit.unwrap_or(PROMOTION_LIMIT), violations)
}

fn read_limit(limit: i32, violations: &mut Violations) -> usize {
    if !(1..=MAX_LIMIT).contains(&limit) {
        violations.add("limit", format!("must be from 1 to {MAX_LIMIT}, not {limit}"));
    }
    usize::try_from(limit).unwrap_or_default()
}

/// The pages of one question.
#[derive(Debug, Clone, Copy)]
pub struct Pages([u8; QUESTION_BYTES]);

impl Pages {
    /// Returns the pages of the list of promotions of an organization.
    pub fn of_promotions(org_id: OrgId) -> Self {
        Self::of(org_id, "promotions")
    }

    /// Returns the pages of the list of an organization that `question` names, filters included.
    pub fn of(org_id: OrgId, question: &str) -> Self {
        let mut bytes = [0; QUESTION_BYTES];
        bytes.copy_from_slice(&Sha256::digest(format!("{} {question}", org_id.0))[..QUESTION_BYTES]);
        Self(bytes)
    }

    /// The token of the page after an element.
    pub fn write(self, (number, id): (i64, ObjectId)) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend(self.0);
        bytes.extend(number.to_be_bytes());
        bytes.extend(id.0);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The element that a token names; `None` from the beginning, or with a fault.
    pub fn read(self, token: Option<&str>, violations: &mut Violations) -> Option<(i64, ObjectId)> {
        // Many clients send the empty text for the first page.
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
        let token = Pages::of(ORG, "a").write(element);
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
