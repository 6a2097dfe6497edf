//! The claims of an access token that are judged alike whoever gave it out: when it holds.

/// Tolerance between the clocks of issuer and verifier, in milliseconds. Applies only to the beginning of a token's
/// validity.
const LEEWAY_MS: i64 = 30_000;

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

/// The validity of a token, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    /// Beginning of the validity.
    pub from_ms: Option<i64>,
    /// End of the validity, exclusive.
    pub until_ms: i64,
}

impl Period {
    /// Returns the end of the validity if the token is valid at `now_ms`.
    pub(super) fn check(self, now_ms: i64) -> Result<i64, TokenRefusal> {
        if self.from_ms.is_some_and(|from_ms| now_ms.saturating_add(LEEWAY_MS) < from_ms) {
            return Err(TokenRefusal::Wrong);
        }
        if now_ms < self.until_ms { Ok(self.until_ms) } else { Err(TokenRefusal::Expired) }
    }
}
