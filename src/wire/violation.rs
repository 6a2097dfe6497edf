//! Violations of the form of an input, each with the path of its field.

use std::fmt::Display;

/// One violation of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field (`earnedPromotions[1].earnCount`); empty for the input as a whole.
    pub field: String,
    /// The violation, as words that follow the path.
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

/// The violations of one input, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Limits the violations listed for one input, so that the response stays readable and bounded.
    pub const MAX_LISTED: usize = 1_000;

    /// Returns a single violation.
    pub fn of(field: &str, description: impl Into<String>) -> Self {
        let mut violations = Self::default();
        violations.add(field, description);
        violations
    }

    /// Adds a violation of `field`, unless this field, or one that contains it, has one already: a field that could not
    /// be read is not also reported as missing.
    pub fn add(&mut self, field: impl Display, description: impl Into<String>) {
        if self.0.len() >= Self::MAX_LISTED {
            return;
        }
        let field = field.to_string();
        let covered = |violation: &Violation| {
            // A violation of the whole input covers all its fields.
            let rest = field.strip_prefix(violation.field.as_str());
            rest.is_some_and(|rest| violation.field.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if !self.0.iter().any(covered) {
            self.0.push(Violation { field, description: description.into() });
        }
    }

    /// Adds each violation of `more` by the rule of [`Self::add`].
    pub fn extend(&mut self, more: Self) {
        for violation in more.0 {
            self.add(violation.field, violation.description);
        }
    }

    /// Returns true if `field` itself has a violation.
    pub fn has(&self, field: &str) -> bool {
        self.0.iter().any(|violation| violation.field == field)
    }

    /// Returns true if there is no violation.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the violations.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// Returns `Ok(value)` if there is no violation.
    ///
    /// # Errors
    /// Returns the violations if there are any.
    pub fn or_ok<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}
