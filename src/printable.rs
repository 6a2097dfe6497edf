//! Makes untrusted text safe to display: on one line, without characters that a terminal interprets or that change the
//! order in which a line reads.

use std::error::Error;
use std::fmt::{self, Write};

/// Returns an error and its causes in one line. A cause that ends the text before it is not repeated.
pub fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

/// Returns true when a character is displayed as itself: it is no control or format character, no line separator, and
/// assigned.
pub fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    // The character is tested behind a letter, as a combining mark is displayed only there.
    let mut utf_8 = [b'a'; 5];
    let length = 1 + character.encode_utf8(&mut utf_8[1..]).len();
    std::str::from_utf8(&utf_8[..length]).is_ok_and(|text| text.escape_debug().nth(2).is_none())
}

/// A writer that escapes characters that are not displayed as themselves (such as `\u{9b}`), and cuts the text.
#[derive(Debug)]
pub struct Printable<W> {
    to: W,
    /// Number of bytes that may still be written before the text is cut.
    room: usize,
    is_cut: bool,
}

impl<W: Write> Printable<W> {
    /// Returns a writer to `to` of about `max_bytes` bytes.
    pub fn new(to: W, max_bytes: usize) -> Self {
        Self { to, room: max_bytes, is_cut: false }
    }

    fn take(&mut self, piece: &str) -> fmt::Result {
        if let Some(room) = self.room.checked_sub(piece.len()) {
            self.room = room;
            return self.to.write_str(piece);
        }
        self.is_cut = true;
        self.to.write_char('…')
    }
}

impl<W: Write> Write for Printable<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        // Most texts are written in one piece.
        while !self.is_cut && !rest.is_empty() {
            let shown = rest.find(|character| !is_printable(character)).unwrap_or(rest.len());
            if shown > 0 {
                let fits = rest.floor_char_boundary(shown.min(self.room));
                let (now, behind) = rest.split_at(fits);
                self.take(now)?;
                rest = behind;
                if fits < shown {
                    self.room = 0;
                    self.take(rest)?;
                }
            } else if let Some(character) = rest.chars().next() {
                let mut escaped = [0; 16];
                let escaped = escape(character, &mut escaped);
                self.take(escaped)?;
                rest = &rest[character.len_utf8()..];
            }
        }
        Ok(())
    }
}

/// Returns the escape of a character in Rust's notation.
fn escape(character: char, into: &mut [u8; 16]) -> &str {
    let mut length = 0;
    for (byte, escaped) in into.iter_mut().zip(character.escape_default()) {
        *byte = u8::try_from(escaped).unwrap_or(b'?');
        length += 1;
    }
    std::str::from_utf8(&into[..length]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, max_bytes: usize) -> String {
        let mut shown = String::new();
        Printable::new(&mut shown, max_bytes).write_str(text).unwrap();
        shown
    }

    #[test]
    fn text_of_any_language_stays_and_what_hides_or_obeys_is_escaped() {
        for text in ["", "Ten off", "割引", "हिन्दी", "e\u{301}", "a\\b\"c", "😀", "…"] {
            assert_eq!(shown(text, 100), text);
        }
        for (text, escaped) in [
            ("a\nb\t\u{1b}[2J", "a\\nb\\t\\u{1b}[2J"),
            ("\u{9b}\u{202e}\u{2066}\u{feff}", "\\u{9b}\\u{202e}\\u{2066}\\u{feff}"),
            ("\u{2028}\u{2029}\u{85}\0\u{7f}", "\\u{2028}\\u{2029}\\u{85}\\u{0}\\u{7f}"),
            ("\u{e0001}\u{10ffff}\u{ad}", "\\u{e0001}\\u{10ffff}\\u{ad}"),
        ] {
            assert_eq!(shown(text, 100), escaped);
        }
    }

    #[test]
    fn text_is_cut_at_the_limit_and_not_before() {
        assert_eq!((shown("abc", 3), shown("abcd", 3)), ("abc".to_owned(), "abc…".to_owned()));
        assert_eq!((shown("aé", 3), shown("aéb", 3), shown("aaé", 3)), ("aé".into(), "aé…".into(), "aa…".into()));
        assert_eq!((shown("\u{9b}", 6), shown("\u{9b}", 5)), ("\\u{9b}".to_owned(), "…".to_owned()));
    }

    proptest! {
        #[test]
        fn every_text_shows_in_bounds(
            pieces in prop::collection::vec(prop_oneof![any::<String>(), any::<char>().prop_map(String::from)], 0..8),
            room in 0_usize..40,
        ) {
            let mut written = String::new();
            let mut printable = Printable::new(&mut written, room);
            for piece in &pieces {
                printable.write_str(piece).unwrap();
            }
            prop_assert!(written.len() <= room + '…'.len_utf8());
            prop_assert!(written.chars().all(is_printable), "{:?}", written);
        }
    }
}
