//! The encoding of files, request bodies and tokens: UTF-8, with or without a byte order mark, and in JSON without
//! escapes of half a character.

/// The byte order mark of UTF-8.
const UTF_8: &[u8] = b"\xef\xbb\xbf";
/// The byte order marks of UTF-16, and their byte orders.
const UTF_16: [(&[u8], &str); 2] = [(b"\xff\xfe", "little-endian"), (b"\xfe\xff", "big-endian")];

/// The text is UTF-16, in this byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is UTF-16 ({0}); save it as UTF-8")]
pub struct Utf16(&'static str);

/// Returns the text without its byte order mark, if it has one.
///
/// # Errors
/// Returns the byte order when the mark is one of UTF-16, or when every file of UTF-16 without a mark would begin so: with
/// an ASCII character, one of whose two bytes is zero.
pub fn without_mark(text: &[u8]) -> Result<&[u8], Utf16> {
    match (UTF_16.into_iter().find(|(mark, _)| text.starts_with(mark)), text) {
        (Some((_, order)), _) => Err(Utf16(order)),
        (None, [1..=0x7f, 0, ..]) => Err(Utf16(UTF_16[0].1)),
        (None, [0, 1..=0x7f, ..]) => Err(Utf16(UTF_16[1].1)),
        (None, _) => Ok(text.strip_prefix(UTF_8).unwrap_or(text)),
    }
}

/// A JSON text has bytes, or escapes, that are no characters. Readers skip these in members that they ignore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUnicode {
    /// The text is not valid UTF-8 from this byte on.
    #[error("is no UTF-8, from byte {0} on")]
    NotUtf8(usize),
    /// An escape at this byte is one half of a surrogate pair, without the other.
    #[error("has one half of a surrogate pair without the other, at byte {0}")]
    HalfPair(usize),
}

/// Returns a JSON text whose bytes and escapes are all characters, including those of members that a reader ignores.
///
/// # Errors
/// Returns the first byte, or escape, that is no character.
pub fn json_text(json: &[u8]) -> Result<&str, NotUnicode> {
    let text = std::str::from_utf8(json).map_err(|error| NotUnicode::NotUtf8(error.valid_up_to()))?;
    match half_pair(text) {
        Some(at) => Err(NotUnicode::HalfPair(at)),
        None => Ok(text),
    }
}

/// Returns the position of the first escape that is half of a surrogate pair without the other half.
fn half_pair(text: &str) -> Option<usize> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) { u16::from_str_radix(digits, 16).ok() } else { None }
    };
    let mut from = 0;
    while let Some(at) = text[from..].find('\\').map(|at| from + at) {
        from = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at + 12,
            Some(0xd800..=0xdfff) => return Some(at),
            Some(_) => at + 6,
            // The character after the backslash may have several bytes in a text that is no JSON.
            None => at + 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_mark_is_passed_over_and_those_of_utf_16_are_told() {
        for (text, behind) in
            [(&b"{}"[..], &b"{}"[..]), (b"\xef\xbb\xbf{}", b"{}"), (b"\xef\xbb", b"\xef\xbb"), (b"", b"")]
        {
            assert_eq!(without_mark(text), Ok(behind));
        }
        for (text, order) in [
            (b"\xff\xfe{\0", "little-endian"),
            (b"\xfe\xff\0{", "big-endian"),
            (b"{\0}\0", "little-endian"),
            (b"\0{\0}", "big-endian"),
        ] {
            let refused = without_mark(text).unwrap_err().to_string();
            assert_eq!(refused, format!("is UTF-16 ({order}); save it as UTF-8"));
        }
    }

    #[test]
    fn an_escape_of_half_a_character_is_found_wherever_it_stands() {
        for (text, found) in [
            (r#""\ud83d\ude00""#, None),
            (r#""\uD83D\uDE00\u0041""#, None),
            (r#""\\ud800""#, None),
            (r#""\ud7ff\ue000""#, None),
            (r#""\ud800""#, Some(1)),
            (r#"{"a":1,"b":["\udc00"]}"#, Some(13)),
            (r#""\ud800\ud800\udc00""#, Some(1)),
            (r#""\ud83d\ude00\ude00""#, Some(13)),
            (r#""\\\uDFFF""#, Some(3)),
            (r#""\ud800\n""#, Some(1)),
        ] {
            assert_eq!(json_text(text.as_bytes()).err(), found.map(NotUnicode::HalfPair), "{text}");
        }
        assert_eq!(json_text(b"\"a\xff\""), Err(NotUnicode::NotUtf8(2)));
    }

    proptest! {
        #[test]
        fn every_json_string_is_judged_as_its_reader_judges_it(
            parts in prop::collection::vec(r"\\u[dD][89abcdefABCDEF][0-9a-f]{2}|\\u00[46][1-9]|\\\\|\\n|[a-zé]", 0..8),
        ) {
            let text = format!("\"{}\"", parts.concat());
            let read = serde_json::from_str::<String>(&text).is_ok();
            prop_assert_eq!(json_text(text.as_bytes()).is_ok(), read, "{}", text);
        }

        #[test]
        fn no_text_panics(text in r"[\\ud8c0é]{0,20}") {
            let _ = json_text(text.as_bytes());
        }
    }
}
