//! What the comment of a field says of its values, in the phrases that the build understands:
//!
//! | phrase | meaning |
//! |---|---|
//! | `Required` (but not `Required with`) | it must be given |
//! | `At least one of `a` and `b`` | one of these fields must be given |
//! | `Required with VALUE, refused without` | it goes with that value of its sibling `type` |
//! | `1 to 250 characters` | length of a text |
//! | `without white space at either end` | a text does not begin or end with white space |
//! | `1 to 100 entries`, `1 or more ids`, `at most 100 ids` (or `elements`) | length of a list |
//! | `24 hexadecimal digits` | a text's form; with `commas in between`, several of these |
//! | `1 to 1,000`, `1 or more`, `always 1` | a number |
//! | `at most 9 digits before the point` | a decimal |
//! | `milliseconds since 1970` | a time in the years 1 to 9999 |
//! | `not before 2000-01-01T00:00:00Z` | its earliest |
//! | `in ISO 8601` | the same as text |
//! | `Default: VALUE.` | what stands for it when it is absent |
//!
//! In the comment of a list, whatever is not the length of the list is of its elements. A comment that uses these words in
//! another way stops the build: what is not understood would be missing from the documentation.

/// What of a field's values is known.
#[derive(Debug, Default, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a phrase of its own")]
pub struct Hints {
    pub required: bool,
    pub characters: Option<(u64, u64)>,
    /// True: the text does not begin or end with white space.
    pub trimmed: bool,
    pub items: (Option<u64>, Option<u64>),
    pub hex_digits: Option<u64>,
    pub number: (Option<i64>, Option<i64>),
    /// Digits before the point, at most.
    pub whole_digits: Option<u64>,
    pub calendar: bool,
    /// The time is in the year 2000 or later.
    pub since_2000: bool,
    pub iso: bool,
    pub default: Option<String>,
}

/// The years 1 to 9999 in epoch milliseconds; as in `wire/time.rs`.
pub const CALENDAR_MS: (i64, i64) = (-62_135_596_800_000, 253_402_300_799_999);

/// 2000-01-01T00:00:00Z in epoch milliseconds; as in `wire/wallet.rs`.
pub const YEAR_2000_MS: i64 = 946_684_800_000;

const LIST_UNITS: [&str; 3] = ["elements", "entries", "ids"];

/// Reads the comment of the field of this name.
pub fn read(name: &str, comment: &str) -> Hints {
    let mut hints = Hints::default();
    let words: Vec<&str> =
        comment.split_whitespace().map(|word| word.trim_matches([',', '.', ';', ':', '(', ')'])).collect();
    let mut at = 0;
    while at < words.len() {
        let taken = phrase(&mut hints, &words[at..]);
        if taken == 0 {
            let left = words[at].trim_matches('`');
            let known = ["Required", "characters", "hexadecimal", "Default", "ISO"].contains(&left);
            assert!(!known, "{name}: {left:?} is said in a way that build/hints.rs does not understand: {comment}");
        }
        at += taken.max(1);
    }
    hints
}

/// Takes the phrase that `words` begin with: how many words it has, 0 for none.
fn phrase(hints: &mut Hints, words: &[&str]) -> usize {
    match words {
        ["Required", "with", _, ..] | ["commas", "in", "between", ..] => 3,
        ["Required", ..] => {
            hints.required = true;
            1
        }
        ["At", "least", "one", "of", _, "and", _, ..] => 7,
        ["Default", value, ..] => {
            hints.default = Some((*value).to_owned());
            2
        }
        ["milliseconds", "since", "1970-01-01T00:00:00Z", ..] => {
            hints.calendar = true;
            3
        }
        ["not", "before", "2000-01-01T00:00:00Z", ..] => {
            hints.since_2000 = true;
            3
        }
        ["in", "ISO", "8601", ..] => {
            hints.iso = true;
            3
        }
        ["without", "white", "space", "at", "either", "end", ..] => {
            hints.trimmed = true;
            6
        }
        _ => range(hints, words),
    }
}

/// Takes a phrase with numbers.
fn range(hints: &mut Hints, words: &[&str]) -> usize {
    let number = |word: &str| word.replace(',', "").parse::<u32>().ok();
    match words {
        ["at", "most", digits, "digits", "before", "the", "point", ..] => {
            hints.whole_digits = number(digits).map(u64::from);
            7
        }
        ["at", "most", most, unit, ..] if LIST_UNITS.contains(unit) => {
            hints.items.1 = number(most).map(u64::from);
            4
        }
        ["always", value, ..] if number(value).is_some() => {
            hints.number = (number(value).map(i64::from), number(value).map(i64::from));
            2
        }
        [digits, "hexadecimal", "digits", ..] | [digits, "lower-case", "hexadecimal", "digits", ..] => {
            hints.hex_digits = number(digits).map(u64::from);
            3 + usize::from(words[1] != "hexadecimal")
        }
        [least, "or", "more", rest @ ..] if number(least).is_some() => {
            let is_list = rest.first().is_some_and(|unit| LIST_UNITS.contains(unit));
            if is_list {
                hints.items.0 = number(least).map(u64::from);
            } else {
                hints.number.0 = number(least).map(i64::from);
            }
            3 + usize::from(is_list)
        }
        [least, "to", most, rest @ ..] => {
            let (Some(least), Some(most)) = (number(least), number(most)) else { return 0 };
            match rest.first() {
                Some(&"characters") => hints.characters = Some((least.into(), most.into())),
                Some(unit) if LIST_UNITS.contains(unit) => hints.items = (Some(least.into()), Some(most.into())),
                _ => hints.number = (Some(least.into()), Some(most.into())),
            }
            // With its unit, so that a unit that is left over is one that was not understood.
            if matches!(rest.first(), Some(&"characters")) { 4 } else { 3 }
        }
        _ => 0,
    }
}
