//! Damages valid input, for the tests of decoders: `tests/decoders.rs`, and tests beside the code.

use proptest::prelude::*;
use serde_json::{Value, json};

/// Number of levels, deeper than any stack with a frame for each level.
const DEEP: usize = 100_000;
/// Bytes that decoders often fail on, inserted unchanged.
const SNIPPETS: [&[u8]; 36] = [
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\"\"",
    b"-0",
    b"-1",
    b"0.1",
    b"1e400",
    b"1e-400",
    b"1E999999999999",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"2147483648",
    b"123456789012345678901234567890123456789012345678901234567890",
    b"\"9223372036854775808\"",
    b"\"1e3\"",
    b"NaN",
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\\u0000",
    b"\0",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    "\u{e9}\u{1f600}\u{202e}".as_bytes(),
    b"\"",
    b"\\",
    b",",
    b"\r\n",
    b"9999-12-31T23:59:60.999999999999+24:00",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
];

/// One piece of damage: its kind, two places, and the byte to insert.
type Damage = (u8, prop::sample::Index, prop::sample::Index, u8);

/// Returns one of `examples`, damaged in one to six places.
pub fn damaged(examples: Vec<Vec<u8>>) -> BoxedStrategy<Vec<u8>> {
    let damage = prop::collection::vec(any::<Damage>(), 1..=6);
    (any::<prop::sample::Index>(), damage)
        .prop_map(move |(index, damages)| {
            let mut bytes = index.get(&examples).clone();
            for damage in &damages {
                damage_once(&mut bytes, *damage, &examples);
            }
            bytes
        })
        .boxed()
}

fn damage_once(bytes: &mut Vec<u8>, damage: Damage, examples: &[Vec<u8>]) {
    let (kind, from, to, byte) = damage;
    let (one, other) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
    let (start, end) = (one.min(other), one.max(other));
    let snippet = SNIPPETS[usize::from(byte) % SNIPPETS.len()];
    match kind % 16 {
        0 | 1 if start < bytes.len() => bytes[start] ^= 1 << (byte % 8),
        2 if start < bytes.len() => bytes[start] = byte,
        3 => bytes.truncate(end),
        4 => drop(bytes.drain(start..end)),
        5 => {
            let twice = bytes[start..end].to_vec();
            insert(bytes, end, &twice);
        }
        6 => {
            let source = to.get(examples);
            let piece = source[from.index(source.len() + 1)..].to_vec();
            insert(bytes, start, &piece);
        }
        7 | 8 => insert(bytes, start, snippet),
        // This kind is rare, because it is slow.
        9 if byte < 16 => nest(bytes, start, byte),
        _ => {
            let value = value_at(bytes, start);
            bytes.splice(value, snippet.iter().copied());
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// Inserts a deeply nested value, closed or not, as an object or a list.
fn nest(bytes: &mut Vec<u8>, at: usize, byte: u8) {
    let (open, close) = if byte & 1 == 0 { ("[", "]") } else { ("{\"id\":", "}") };
    let closed = if byte & 2 == 0 { close.repeat(DEEP) } else { String::new() };
    let nested = format!("{}1{closed}", open.repeat(DEEP));
    let value = value_at(bytes, at);
    bytes.splice(value, nested.bytes());
}

/// Returns the range of the JSON scalar after the next colon, comma or bracket: with a replacement there, the text is
/// likely still JSON.
fn value_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let Some(start) = bytes[at..].iter().position(|byte| b":,[".contains(byte)).map(|found| at + found + 1) else {
        return at..at;
    };
    let end = bytes[start..].iter().position(|byte| b",]}".contains(byte)).map_or(bytes.len(), |found| start + found);
    start..end
}

/// Returns the document with values exchanged or left out in one to four places. The result is still JSON, and gets
/// further in a decoder than most damaged bytes.
pub fn altered(example: &str) -> BoxedStrategy<Vec<u8>> {
    let example: Value = serde_json::from_str(example).unwrap();
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..=4)
        .prop_map(move |changes| {
            let mut document = example.clone();
            for (place, byte) in changes {
                alter(&mut document, place, byte);
            }
            document.to_string().into_bytes()
        })
        .boxed()
}

fn alter(document: &mut Value, place: prop::sample::Index, byte: u8) {
    let mut places = Vec::new();
    pointers(document, "", &mut places);
    if places.is_empty() {
        return;
    }
    let pointer = place.get(&places);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let values = [
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!(""),
        json!("x"),
        json!("-1"),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(-1e300),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
    ];
    match document.pointer_mut(parent) {
        Some(Value::Object(fields)) if byte < 64 => drop(fields.remove(name)),
        _ => *document.pointer_mut(pointer).unwrap() = values[usize::from(byte) % values.len()].clone(),
    }
}

/// Collects the JSON pointers of the members and elements of `value`.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (format!("{at}/{name}"), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, value)| (format!("{at}/{index}"), value)).collect(),
        _ => Vec::new(),
    };
    for (pointer, value) in inner {
        pointers(value, &pointer, found);
        found.push(pointer);
    }
}
