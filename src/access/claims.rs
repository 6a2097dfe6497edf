//! The claims of an access token that are judged alike whoever gave it out: when it holds.

/// How far the clocks of those who give out and those who check may be apart: milliseconds. Only for the beginning of a
/// token.
const LEEWAY_MS: i64 = 30_000;

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// It was good once.
    Expired,
    /// It may be good: the keys of its issuer were not read yet.
    KeysNotRead,
    /// Anything else.
    Wrong,
}

/// When a token holds: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    /// From when on.
    pub from_ms: Option<i64>,
    /// Until when, itself excluded.
    pub until_ms: i64,
}

impl Period {
    /// Until when the token may be used.
    pub(super) fn check(self, now_ms: i64) -> Result<i64, TokenFault> {
        if self.from_ms.is_some_and(|from_ms| now_ms.saturating_add(LEEWAY_MS) < from_ms) {
            return Err(TokenFault::Wrong);
        }
        if now_ms < self.until_ms { Ok(self.until_ms) } else { Err(TokenFault::Expired) }
    }
}
