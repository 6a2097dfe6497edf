//! The rules that texts and identifiers of every message share.

use std::fmt::Display;

use super::Violations;

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

/// Checks a required identifier: 1 or more.
pub fn check_id(violations: &mut Violations, field: impl Display, id: i64) {
    if id <= 0 {
        violations.add(field, format!("must be a positive integer, not {id}"));
    }
}

/// Checks a count: 1 or more.
pub fn at_least_one(field: impl Display, value: i32, violations: &mut Violations) -> u32 {
    if value < 1 {
        violations.add(field, format!("must be 1 or more, not {value}"));
    }
    value.unsigned_abs()
}
