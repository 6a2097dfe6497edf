//! The parameters in the URL of a call: variables of the path, and the query. Each is taken exactly as it was sent, or
//! reported if it cannot be decoded.

use std::borrow::Cow;

use crate::wire::Violations;
use crate::wire::json::JsonMessage;

/// Problem of a value that cannot be decoded.
const UNDECODABLE: &str = "cannot be decoded: it must be percent-encoded UTF-8";

/// Parameters by name, in the order in which they were sent.
#[derive(Debug, Default)]
pub struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    /// Returns the variables of a path that matches `template`. Reports each one that cannot be decoded as a violation.
    pub fn of_path<M: JsonMessage>(template: &'a str, path: &'a str, violations: &mut Violations) -> Self {
        let segments = template.split('/').zip(path.split('/'));
        let mut parameters = Self::default();
        for (name, given) in segments.filter_map(|(segment, given)| Some((variable(segment)?, given))) {
            match decode(given) {
                Some(value) => parameters.0.push((name.into(), value)),
                None => violations.add(json_name::<M>(name), UNDECODABLE),
            }
        }
        parameters
    }

    /// Returns the parameters of a query. Reports each one that cannot be decoded as a violation.
    pub fn of_query<M: JsonMessage>(query: &'a str, violations: &mut Violations) -> Self {
        let mut parameters = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode_form(name), decode_form(value)) {
                (Some(name), Some(value)) => parameters.0.push((name, value)),
                (Some(name), None) => violations.add(json_name::<M>(&name), UNDECODABLE),
                (None, _) => violations.add("", "the query has a name that cannot be decoded"),
            }
        }
        parameters
    }

    /// Returns the names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// Returns the names of the variables of a template.
pub fn variables(template: &str) -> impl Iterator<Item = &str> {
    template.split('/').filter_map(variable)
}

/// Returns the name of the variable that a segment of a template holds.
fn variable(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// Returns the JSON name of the field that a parameter sets. The name of an ignored parameter is not repeated.
fn json_name<M: JsonMessage>(name: &str) -> &'static str {
    let field = name.split('.').next().and_then(M::field);
    field.map_or("a parameter of the query", |field| M::FIELDS[field])
}

/// Decodes percent-encoded text. Returns `None` for a percent sign without two hexadecimal digits, or bytes that are
/// not UTF-8.
fn decode(given: &str) -> Option<Cow<'_, str>> {
    if !given.contains('%') {
        return Some(given.into());
    }
    let mut parts = given.split('%');
    let mut bytes = Vec::with_capacity(given.len());
    bytes.extend(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Decodes the text of a query, in which a plus sign is a space.
fn decode_form(given: &str) -> Option<Cow<'_, str>> {
    if given.contains('+') {
        decode(&given.replace('+', " ")).map(|text| text.into_owned().into())
    } else {
        decode(given)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Encodes bytes as a path segment: percent-encoded with digits of either case, or as they are where a path allows
    /// it.
    fn encoded(bytes: &[u8], ways: &[u8]) -> String {
        let way = |index: usize| ways.get(index % ways.len().max(1)).copied().unwrap_or_default() % 3;
        let each = bytes.iter().enumerate().map(|(index, byte)| match way(index) {
            0 if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            1 => format!("%{byte:02x}"),
            _ => format!("%{byte:02X}"),
        });
        each.collect()
    }

    #[test]
    fn a_percent_sign_without_two_digits_is_no_value() {
        for (given, value) in [("%41b", Some("Ab")), ("%e2%82%AC", Some("€")), ("€", Some("€")), ("%2F%25", Some("/%"))]
        {
            assert_eq!(decode(given).as_deref(), value, "{given}");
        }
        for given in ["%", "%4", "%%41", "%zz", "%+1", "%4g", "a%", "%ff", "%c3", "%ed%a0%80", "%€"] {
            assert_eq!(decode(given), None, "{given}");
        }
        assert_eq!(decode_form("a+b%2B").as_deref(), Some("a b+"));
    }

    proptest! {
        #[test]
        fn every_byte_string_is_the_value_or_none(
            bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..20), ".{0,8}".prop_map(String::into_bytes)],
            ways in prop::collection::vec(any::<u8>(), 1..20),
        ) {
            let decoded = decode(&encoded(&bytes, &ways)).map(Cow::into_owned);
            prop_assert_eq!(decoded, String::from_utf8(bytes).ok());
        }
    }
}
