//! The 12-byte identifier of promotions and earned promotions, written as 24 hexadecimal digits.

use std::fmt;

/// Identifier of 12 bytes. An earn id has 4 bytes of seconds since 1970, 5 random bytes of the process and 3 bytes of a
/// counter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub [u8; 12]);

impl ObjectId {
    /// Parses 24 hexadecimal digits of either case. Returns `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 24] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 12];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        Some(Self(bytes))
    }

    /// Returns the 24 digits in lower case, as ASCII.
    pub fn digits(self) -> [u8; 24] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

/// Limits the part of a value that a message repeats: characters.
pub const MAX_ECHOED_CHARACTERS: usize = 100;

/// Identifier in the form in which a caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenId {
    /// Text of the caller.
    pub text: String,
    /// Id that the text denotes; `None` when the text is not an id.
    pub id: Option<ObjectId>,
}

impl GivenId {
    /// Parses `text` and writes an id in lower case, so that one id always has one text.
    pub fn in_lower_case(text: String) -> Self {
        let id = ObjectId::parse(&text);
        Self { text: id.map_or(text, |id| id.to_string()), id }
    }
}

impl From<String> for GivenId {
    fn from(text: String) -> Self {
        Self { id: ObjectId::parse(&text), text }
    }
}

/// Writes the 24 digits in lower case.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_four_hex_digits_of_either_case_are_read_and_written_in_lower_case() {
        let id = ObjectId::parse("6912CED9d39e256f754a83F8").expect("an id");
        assert_eq!(id.to_string(), "6912ced9d39e256f754a83f8");
    }

    #[test]
    fn anything_else_is_no_id() {
        for text in [
            "",
            "6912ced9d39e256f754a83f",
            "6912ced9d39e256f754a83f80",
            "6912ced9d39e256f754a83g8",
            "éééééééééééé",
            "+912ced9d39e256f754a83f8",
        ] {
            assert_eq!(ObjectId::parse(text), None, "{text}");
        }
    }
}
