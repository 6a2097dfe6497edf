//! What is wrong with an input: every fault, each under the path of its field.

use std::fmt::Display;

/// One fault of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field (`earnedPromotions[1].earnCount`); empty for the input as a whole.
    pub field: String,
    /// What is wrong with it, in words that follow its name.
    pub description: String,
}

impl Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.description)
    }
}

/// The faults of one input, in the order they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// More faults than this in one input are not listed: the answer stays readable, and bounded.
    pub const MAX_LISTED: usize = 1_000;

    /// One fault alone.
    pub fn of(field: &str, description: impl Into<String>) -> Self {
        let mut violations = Self::default();
        violations.add(field, description);
        violations
    }

    /// Adds a fault of `field`, unless this field, or one that it is a part of, has one already: what could not be
    /// read need not also be reported as missing.
    pub fn add(&mut self, field: impl Display, description: impl Into<String>) {
        if self.0.len() >= Self::MAX_LISTED {
            return;
        }
        let field = field.to_string();
        let covered = |violation: &Violation| {
            // A fault of the input as a whole covers everything in it.
            let rest = field.strip_prefix(violation.field.as_str());
            rest.is_some_and(|rest| violation.field.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if !self.0.iter().any(covered) {
            self.0.push(Violation { field, description: description.into() });
        }
    }

    /// Adds those of `more`, each by the rule of [`Self::add`].
    pub fn extend(&mut self, more: Self) {
        for violation in more.0 {
            self.add(violation.field, violation.description);
        }
    }

    /// Whether `field` itself has one.
    pub fn has(&self, field: &str) -> bool {
        self.0.iter().any(|violation| violation.field == field)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// `Ok(value)` when there is no fault.
    ///
    /// # Errors
    /// Itself, otherwise.
    pub fn or_ok<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}
