//! The encoding of files and request bodies: UTF-8, with or without a byte order mark.

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
/// Returns the byte order when the mark is one of UTF-16.
pub fn without_mark(text: &[u8]) -> Result<&[u8], Utf16> {
    match UTF_16.into_iter().find(|(mark, _)| text.starts_with(mark)) {
        Some((_, order)) => Err(Utf16(order)),
        None => Ok(text.strip_prefix(UTF_8).unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_is_passed_over_and_those_of_utf_16_are_told() {
        for (text, behind) in
            [(&b"{}"[..], &b"{}"[..]), (b"\xef\xbb\xbf{}", b"{}"), (b"\xef\xbb", b"\xef\xbb"), (b"", b"")]
        {
            assert_eq!(without_mark(text), Ok(behind));
        }
        for (text, order) in [(b"\xff\xfe{\0", "little-endian"), (b"\xfe\xff\0{", "big-endian")] {
            let refused = without_mark(text).unwrap_err().to_string();
            assert_eq!(refused, format!("is UTF-16 ({order}); save it as UTF-8"));
        }
    }
}
