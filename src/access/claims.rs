//! The claims of an access token that are judged alike whoever gave it out: when it holds.

use std::time::Duration;

use crate::earning::Timestamp;

/// Tolerance between the clocks of issuer and verifier. Applies only to the beginning of a token's validity.
const LEEWAY: Duration = Duration::from_secs(30);

/// The reason for which a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// The token was valid, and has expired.
    Expired,
    /// The token may be valid: the keys of its issuer have not been read yet.
    KeysNotRead,
    /// Any other reason.
    Wrong,
}

/// The validity of a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    /// Beginning of the validity.
    pub from: Option<Timestamp>,
    /// End of the validity, exclusive.
    pub until: Timestamp,
}

impl Period {
    /// Returns the end of the validity if the token is valid at `now`.
    pub(super) fn check(self, now: Timestamp) -> Result<Timestamp, TokenRefusal> {
        if self.from.is_some_and(|from| now + LEEWAY < from) {
            return Err(TokenRefusal::Wrong);
        }
        if now < self.until { Ok(self.until) } else { Err(TokenRefusal::Expired) }
    }
}
