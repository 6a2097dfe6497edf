//! The file that `customers import` reads: one customer a line, of any number of lines, in memory one at a time.
//!
//! CSV: the customer is in the column that the first line names `customerId` or `customer_id`, else in the first. A row is
//! a line. NDJSON: each line is a `Customer` of the catalogue file, whose organization may be left out, and whatever else
//! is in it is passed over. Empty lines are.

use std::io::{BufRead, Read};

use super::json::{UnknownFields, from_slice};
use super::text::check_id;
use crate::earning::{CustomerId, OrgId};
use crate::proto;

/// Longest line: bytes.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// How much of what is no customer id a message repeats: characters.
const MAX_ECHOED_CHARACTERS: usize = 40;
/// What the first line of a CSV file may name the column, in any case.
const COLUMN_NAMES: [&str; 2] = ["customerid", "customer_id"];
/// What some programs begin a file with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Values with commas in between.
    Csv,
    /// One JSON object a line.
    NdJson,
}

/// Why there is no customer on a line.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// It is wrong.
    #[error("{0}")]
    Wrong(String),
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

/// Reads the customers of a file.
pub struct CustomerLines {
    input: Box<dyn BufRead + Send>,
    format: Format,
    org_id: OrgId,
    /// The first line that is more than looked at, counted from 1.
    from_line: u64,
    line: u64,
    bytes: u64,
    column: usize,
    buffer: Vec<u8>,
}

impl CustomerLines {
    /// Of `input`, all of this organization, from this line on (counted from 1).
    pub fn new(input: Box<dyn BufRead + Send>, format: Format, org_id: OrgId, from_line: u64) -> Self {
        Self { input, format, org_id, from_line, line: 0, bytes: 0, column: 0, buffer: Vec::new() }
    }

    /// The number of the line that was read last; 0 before the first.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads a line. Whether there was one.
    fn read_line(&mut self) -> Result<bool, LineFault> {
        self.buffer.clear();
        let read = (&mut self.input).take(MAX_LINE_BYTES).read_until(b'\n', &mut self.buffer);
        let read = read.inspect_err(|_| self.line += 1)? as u64;
        if read == 0 {
            return Ok(false);
        }
        self.line += 1;
        self.bytes += read;
        if read == MAX_LINE_BYTES && self.buffer.last() != Some(&b'\n') {
            return Err(LineFault::Wrong(format!("is longer than {MAX_LINE_BYTES} bytes")));
        }
        Ok(true)
    }

    /// The customer on the line that was read; `None` when it holds none.
    fn customer(&mut self) -> Result<Option<CustomerId>, String> {
        let text = self.buffer.as_slice();
        let text = if self.line == 1 { text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text) } else { text };
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        match self.format {
            Format::NdJson if self.line < self.from_line => Ok(None),
            Format::NdJson => from_json(text, self.org_id).map(Some),
            Format::Csv => {
                if self.line == 1
                    && let Some(column) = named_column(text)?
                {
                    self.column = column;
                    return Ok(None);
                }
                if self.line < self.from_line { Ok(None) } else { from_csv(text, self.column).map(Some) }
            }
        }
    }
}

impl Iterator for CustomerLines {
    type Item = Result<CustomerId, LineFault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_line() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(fault) => return Some(Err(fault)),
            }
            match self.customer() {
                Ok(Some(customer_id)) => return Some(Ok(customer_id)),
                Ok(None) => {}
                Err(problem) => return Some(Err(LineFault::Wrong(problem))),
            }
        }
    }
}

fn from_json(text: &[u8], org_id: OrgId) -> Result<CustomerId, String> {
    let (customer, mut violations) = from_slice::<proto::Customer>(text, UnknownFields::Ignore)
        .map_err(|_| "is no JSON object, as {\"customerId\": 7}".to_owned())?;
    if ![0, org_id.0].contains(&customer.org_id) {
        violations.add("orgId", format!("must be {}, or absent", org_id.0));
    }
    check_id(&mut violations, "customerId", customer.customer_id);
    match violations.as_slice() {
        [] => Ok(CustomerId(customer.customer_id)),
        [first, ..] => Err(first.to_string()),
    }
}

fn from_csv(text: &[u8], column: usize) -> Result<CustomerId, String> {
    let fields = fields(text)?;
    let Some(field) = fields.get(column) else {
        return Err(format!("has {} columns, and customerId is number {}", fields.len(), column + 1));
    };
    match field.trim().parse() {
        Ok(id) if id > 0 => Ok(CustomerId(id)),
        _ => {
            let echoed: String = field.chars().take(MAX_ECHOED_CHARACTERS).collect();
            Err(format!("customerId: must be a positive integer, not {echoed:?}"))
        }
    }
}

/// Which column the first line names the customer's.
fn named_column(text: &[u8]) -> Result<Option<usize>, String> {
    let names = fields(text)?;
    Ok(names.iter().position(|name| COLUMN_NAMES.contains(&name.trim().to_lowercase().as_str())))
}

/// The values of a row. One in double quotes may hold commas, and two double quotes for one.
fn fields(text: &[u8]) -> Result<Vec<String>, String> {
    let text = String::from_utf8_lossy(text);
    let (mut fields, mut field) = (Vec::new(), String::new());
    let (mut quoted, mut characters) = (false, text.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.trim().is_empty() => {
                field.clear();
                quoted = true;
            }
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    if quoted {
        return Err("has a double quote that does not end: a row must be a line".to_owned());
    }
    fields.push(field);
    Ok(fields)
}

impl std::fmt::Debug for CustomerLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomerLines").field("line", &self.line).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The customers up to the first fault, and that with its line.
    fn read(format: Format, text: &str, from_line: u64) -> (Vec<i64>, Option<String>) {
        let input = Box::new(std::io::Cursor::new(text.to_owned().into_bytes()));
        let mut lines = CustomerLines::new(input, format, OrgId(1), from_line);
        let mut customers = Vec::new();
        loop {
            match lines.next() {
                None => return (customers, None),
                Some(Ok(customer_id)) => customers.push(customer_id.0),
                Some(Err(fault)) => return (customers, Some(format!("{}: {fault}", lines.line()))),
            }
        }
    }

    #[test]
    fn csv_takes_the_named_column_or_the_first() {
        for (text, customers) in [
            ("", &[][..]),
            ("7\n8\n", &[7, 8]),
            ("7\r\n\r\n8", &[7, 8]),
            ("customerId\n7\n", &[7]),
            ("\u{feff}CUSTOMER_ID\n7\n", &[7]),
            ("\u{feff}7,Anna\n", &[7]),
            ("name,customer_id,city\n\"Doe, \"\"Jane\"\"\",\"7\",Pune\nx, 8 ,y\n", &[7, 8]),
        ] {
            assert_eq!(read(Format::Csv, text, 1), (customers.to_vec(), None), "{text:?}");
        }
    }

    #[test]
    fn ndjson_takes_numbers_and_texts_and_passes_over_the_rest() {
        let text = "{\"customerId\":7}\n\n{\"customer_id\":\"9007199254740993\",\"orgId\":1,\"name\":\"Jane\"}\r\n";
        assert_eq!(read(Format::NdJson, text, 1), (vec![7, 9_007_199_254_740_993], None));
    }

    #[test]
    fn a_fault_has_the_number_of_its_line_and_ends_the_reading() {
        let long = "7".repeat(70_000);
        for (format, text, customers, fault) in [
            (Format::Csv, "7\n\nx\n8\n", &[7][..], "3: customerId: must be a positive integer, not \"x\""),
            (Format::Csv, "id\n7\n", &[], "1: customerId: must be a positive integer, not \"id\""),
            (Format::Csv, "7\ncustomerId\n", &[7], "2: customerId: must be a positive integer, not \"customerId\""),
            (Format::Csv, "0\n", &[], "1: customerId: must be a positive integer, not \"0\""),
            (Format::Csv, "7.0\n", &[], "1: customerId: must be a positive integer, not \"7.0\""),
            (Format::Csv, "9223372036854775808\n", &[], "1: customerId: must be a positive integer"),
            (Format::Csv, "a,customerId\n1\n", &[], "2: has 1 columns, and customerId is number 2"),
            (Format::Csv, "7,\"a\nb\"\n", &[], "1: has a double quote that does not end"),
            (Format::Csv, &long, &[], "1: is longer than 65536 bytes"),
            (Format::NdJson, "{\"customerId\":7}\n7\n", &[7], "2: must be an object, not a number"),
            (Format::NdJson, "{\"customerId\":7} {}\n", &[], "1: is no JSON object"),
            (Format::NdJson, "{}\n", &[], "1: customerId: must be a positive integer, not 0"),
            (Format::NdJson, "{\"customerId\":1.5}\n", &[], "1: customerId: "),
            (Format::NdJson, "{\"customerId\":7,\"orgId\":2}\n", &[], "1: orgId: must be 1, or absent"),
        ] {
            let (read, found) = read(format, text, 1);
            assert_eq!(read, customers, "{text:.40}");
            let found = found.unwrap_or_else(|| panic!("no fault in {text:.40}"));
            assert!(found.starts_with(fault), "{found}");
        }
    }

    #[test]
    fn reading_from_a_line_on_still_knows_the_column() {
        let text = "name,customerId\nx,1\nx,wrong\nx,3\nx,4\n";
        assert_eq!(read(Format::Csv, text, 4), (vec![3, 4], None));
        assert_eq!(read(Format::Csv, text, 9), (vec![], None));
        assert_eq!(read(Format::NdJson, "wrong\n{\"customerId\":2}\n", 2), (vec![2], None));
        assert_eq!(read(Format::Csv, "1\n2\n", 2), (vec![2], None));
    }
}
