//! Rules for texts and identifiers that all messages share.

use std::fmt::Display;

use super::Violations;
use crate::earning::object_id::MAX_ECHOED_CHARACTERS;

/// Checks a required text: 1 to `max` characters (Unicode scalar values), none of them U+0000.
pub fn check_text(violations: &mut Violations, field: impl Display, text: &str, max: usize) {
    if text.is_empty() {
        violations.add(field, "is required");
    } else if text.contains('\0') {
        violations.add(field, "must not contain U+0000");
    } else if text.len() > max && text.chars().nth(max).is_some() {
        violations.add(field, format!("must be at most {max} characters, not {}", text.chars().count()));
    }
}

/// Checks a required name: a text that [`check_text`] accepts, without white space at either end.
pub fn check_name(violations: &mut Violations, field: impl Display, name: &str, max: usize) {
    let spaced = name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace);
    if spaced && !name.contains('\0') {
        violations.add(field, format!("must not begin or end with white space, as {:?} does", cut(name)));
    } else {
        check_text(violations, field, name, max);
    }
}

/// Returns the part of a value that a message repeats.
pub fn cut(value: &str) -> &str {
    let end = value.char_indices().nth(MAX_ECHOED_CHARACTERS).map_or(value.len(), |(at, _)| at);
    &value[..end]
}

/// Checks a required identifier of a file: 1 or more. Returns 0 if it is missing.
pub fn check_given_id(violations: &mut Violations, field: impl Display, id: Option<i64>) -> i64 {
    match id {
        Some(id) => check_id(violations, field, id),
        None => violations.add(field, "is required"),
    }
    id.unwrap_or_default()
}

/// Checks a required identifier: 1 or more.
pub fn check_id(violations: &mut Violations, field: impl Display, id: i64) {
    if id <= 0 {
        violations.add(field, format!("must be a positive integer, not {id}"));
    }
}

/// Returns the violation of an identifier that is not positive. In a message, 0 cannot be told from a missing value.
pub fn not_positive(id: i64) -> String {
    match id {
        0 => "must be a positive integer; it is missing, or 0".to_owned(),
        id => format!("must be a positive integer, not {id}"),
    }
}

/// Checks a required identifier of a message: 1 or more.
pub fn check_message_id(violations: &mut Violations, field: impl Display, id: i64) {
    if id <= 0 {
        violations.add(field, not_positive(id));
    }
}

/// Checks a count: 1 or more.
pub fn at_least_one(field: impl Display, value: i32, violations: &mut Violations) -> u32 {
    if value < 1 {
        violations.add(field, format!("must be 1 or more, not {value}"));
    }
    value.unsigned_abs()
}
