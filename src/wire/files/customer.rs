//! The file that `customers import` reads: one customer on each line, any number of lines, with one line in memory at a
//! time.
//!
//! In CSV, the customer is in the column that the first line names `customerId` or `customer_id`, or else in the first
//! column. In NDJSON, each line is a `Customer` of the catalog file, which may omit its organization, and other fields
//! are ignored. Empty lines are ignored.

use std::io::BufRead;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::json::{InvalidJson, UnknownFields, from_slice};
use super::super::text::cut;
pub use super::csv::CsvForm;
use super::csv::{Column, FirstLine};
pub use super::lines::LineViolation;
use super::lines::Lines;
use crate::earning::{CustomerId, OrgId};
use crate::proto;

/// Format of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Values separated by commas, semicolons, tabs or bars, in rows.
    Csv,
    /// One JSON object on each line.
    NdJson,
}

/// Content of a file that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineContent {
    /// Nothing but empty lines.
    Nothing,
    /// The names of columns, and no row.
    Header,
    /// At least one row.
    Rows,
}

/// The form of a file of customers, and the part of it that is read.
#[derive(Debug, Clone)]
pub struct CustomerFile {
    /// Format of the lines.
    pub format: Format,
    /// Form of a CSV file.
    pub csv: CsvForm,
    /// Organization of the customers.
    pub org_id: OrgId,
    /// Number of the first line that is imported, counted from 1.
    pub from_line: u64,
}

/// Beginning of a line that says why the next one was rejected. Such lines are passed over.
pub const REMARK: &str = "# line ";

/// Reader of the customers of a file.
pub struct CustomerLines {
    lines: Lines,
    file: CustomerFile,
    /// The line that names the columns of a CSV file, as it is in the file.
    header: Option<Vec<u8>>,
    /// The customer column of a CSV file, once its first line was read.
    column: Option<Column>,
    content: LineContent,
}

impl CustomerLines {
    /// Returns a reader of `input`.
    pub fn new(input: Box<dyn BufRead + Send>, file: CustomerFile) -> Self {
        Self { lines: Lines::new(input), file, header: None, column: None, content: LineContent::Nothing }
    }

    /// Returns the line that was read last, without its line ending.
    pub fn text(&self) -> &[u8] {
        self.lines.text()
    }

    /// Returns the line that names the columns of a CSV file, once it was read.
    pub fn header(&self) -> Option<&[u8]> {
        self.header.as_deref()
    }

    /// Returns the number of the line that was read last, or 0 before the first.
    pub fn line(&self) -> u64 {
        self.lines.number()
    }

    /// Returns the number of bytes read.
    pub fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// Returns the content seen so far.
    pub fn content(&self) -> LineContent {
        self.content
    }

    /// Returns the customer of the current line, or `None` if the line is empty, a remark or a header.
    fn customer(&mut self) -> Result<Option<CustomerId>, LineViolation> {
        let text = self.lines.text();
        if text.trim_ascii().is_empty() || text.starts_with(REMARK.as_bytes()) {
            return Ok(None);
        }
        let skipped = self.lines.number() < self.file.from_line;
        if self.file.format == Format::NdJson {
            self.content = LineContent::Rows;
            return if skipped {
                Ok(None)
            } else {
                from_json(text, &self.file).map(Some).map_err(LineViolation::Wrong)
            };
        }
        let line = String::from_utf8_lossy(text);
        let column = match self.column {
            Some(column) => column,
            None => match FirstLine::read(&line, skipped, &self.file.csv).map_err(LineViolation::File)? {
                FirstLine::Header(column) => {
                    self.column = Some(column);
                    self.content = LineContent::Header;
                    self.header = Some(text.to_owned());
                    return Ok(None);
                }
                FirstLine::Row(column) => *self.column.insert(column),
            },
        };
        self.content = LineContent::Rows;
        if skipped {
            return Ok(None);
        }
        column.customer(&line).map(|id| Some(CustomerId(id))).map_err(LineViolation::Wrong)
    }
}

impl Iterator for CustomerLines {
    type Item = Result<CustomerId, LineViolation>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.lines.read() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(problem) => return Some(Err(problem)),
            }
            match self.customer() {
                Ok(Some(customer_id)) => return Some(Ok(customer_id)),
                Ok(None) => {}
                Err(problem) => return Some(Err(problem)),
            }
        }
    }
}

/// The customer of a JSON object, as it was written.
#[derive(Deserialize)]
struct WrittenLine<'a> {
    #[serde(borrow, default, rename = "customerId", alias = "customer_id")]
    customer_id: Option<&'a RawValue>,
}

fn from_json(line: &[u8], file: &CustomerFile) -> Result<CustomerId, String> {
    let org_id = file.org_id;
    let read = from_slice::<proto::Customer>(line, UnknownFields::Ignore);
    let (customer, violations) = read.map_err(|problem| {
        let column = if let InvalidJson::Syntax(problem) = &problem { problem.column() } else { 1 };
        let line = String::from_utf8_lossy(line);
        format!("is no JSON object, as {{\"customerId\": 7}}, from column {column} on: {}", cut(&line))
    })?;
    if let Some(given) = customer.org_id.filter(|given| *given != org_id.0) {
        return Err(format!("orgId: must be {}, or absent, not {given}", org_id.0));
    }
    if let Some(first) = violations.as_slice().iter().find(|violation| !violation.field.starts_with("customerId")) {
        return Err(first.to_string());
    }
    match customer.customer_id {
        Some(id) if id > 0 && violations.is_empty() => Ok(CustomerId(id)),
        _ => Err(match serde_json::from_slice::<WrittenLine<'_>>(line).ok().and_then(|written| written.customer_id) {
            Some(written) => format!("customerId: must be a positive integer, not {}", cut(written.get())),
            None => "customerId: is missing".to_owned(),
        }),
    }
}

impl std::fmt::Debug for CustomerLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomerLines").field("line", &self.line()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the customers before the first violation, and that violation with its line.
    fn read(format: Format, text: &str, from_line: u64) -> (Vec<i64>, Option<String>) {
        let input = Box::new(std::io::Cursor::new(text.to_owned().into_bytes()));
        let file = CustomerFile { format, csv: CsvForm::default(), org_id: OrgId(1), from_line };
        let mut lines = CustomerLines::new(input, file);
        let mut customers = Vec::new();
        loop {
            match lines.next() {
                None => return (customers, None),
                Some(Ok(customer_id)) => customers.push(customer_id.0),
                Some(Err(problem)) => return (customers, Some(format!("{}: {problem}", lines.line()))),
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
            // Spaces may stand around quotes.
            ("name, customerId\n\"Doe, Jane\", \"7\"\n\"Doe, Jane\" ,\"8\" \n", &[7, 8]),
            // Every line ending is accepted.
            ("customerId\r7\r8", &[7, 8]),
            ("\u{feff}customerId\r\n7\r\r\n8\n", &[7, 8]),
            // Every separator is accepted.
            ("customerId;name\n7;\"Doe; Jane\"\n8;a,b\n", &[7, 8]),
            ("name\tcustomerId\n\t7\nDoe, Jane\t8\n", &[7, 8]),
            ("\n\nname;customer_id\n;7\n", &[7]),
            ("7;Doe, Jane\n8;\n", &[7, 8]),
            ("\"7\"\tx\n8\ty\n", &[7, 8]),
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
        for (format, text, customers, problem) in [
            (Format::Csv, "7\n\nx\n8\n", &[7][..], "3: column 1: customerId: must be a positive integer, not \"x\""),
            (
                Format::Csv,
                "id\n7\n",
                &[],
                "1: column 1: customerId: must be a positive integer, not \"id\"; no column is named customerId or \
                 customer_id: there is one column",
            ),
            (
                Format::Csv,
                "id;name\n7;a\n",
                &[],
                "1: column 1: customerId: must be a positive integer, not \"id\"; no column is named customerId or \
                 customer_id: there are 2 columns with a semicolon between them",
            ),
            (
                Format::Csv,
                "customerId,a,customer_id\n1,2,3\n",
                &[],
                "1: names the column customerId twice: columns 1 and 3",
            ),
            (
                Format::Csv,
                "customerId;a\n1;2\n3,4\n",
                &[1],
                "3: column 1: customerId: must be a positive integer, not \"3,4\"",
            ),
            (
                Format::Csv,
                "7\ncustomerId\n",
                &[7],
                "2: column 1: customerId: must be a positive integer, not \"customerId\"",
            ),
            (Format::Csv, "0\n", &[], "1: column 1: customerId: must be a positive integer, not \"0\""),
            (Format::Csv, "7.0\n", &[], "1: column 1: customerId: must be a positive integer, not \"7.0\""),
            (Format::Csv, "9223372036854775808\n", &[], "1: column 1: customerId: must be a positive integer"),
            (
                Format::Csv,
                "a,customerId\n1\n",
                &[],
                "2: customerId: is missing: the row has 1 columns with a comma between them, and customerId is number 2",
            ),
            (Format::Csv, "7,\"a\nb\"\n", &[], "1: column 2: has a double quote that does not end"),
            (Format::Csv, "7,\"open\n", &[], "1: column 2: has a double quote that does not end"),
            (Format::Csv, "7\r\"8\"\rx\r", &[7, 8], "3: column 1: customerId: must be a positive integer, not \"x\""),
            (Format::Csv, &long, &[], "1: is longer than 65536 bytes"),
            (Format::NdJson, "{\"customerId\":7}\n7\n", &[7], "2: must be an object, not a number"),
            (Format::NdJson, "{\"customerId\":7} {}\n", &[], "1: is no JSON object"),
            (Format::NdJson, "{}\n", &[], "1: customerId: is missing"),
            (Format::NdJson, "{\"id\":7,\"customerId\":null}\n", &[], "1: customerId: is missing"),
            (Format::NdJson, "{\"customerId\":0}\n", &[], "1: customerId: must be a positive integer, not 0"),
            (Format::NdJson, "{\"customerId\":1.50}\n", &[], "1: customerId: must be a positive integer, not 1.50"),
            (Format::NdJson, "{\"customer_id\":\"x\"}\n", &[], "1: customerId: must be a positive integer, not \"x\""),
            (Format::NdJson, "{\"customerId\":7,\"orgId\":2}\n", &[], "1: orgId: must be 1, or absent, not 2"),
        ] {
            let (read, found) = read(format, text, 1);
            assert_eq!(read, customers, "{text:.40}");
            let found = found.unwrap_or_else(|| panic!("no violation in {text:.40}"));
            assert!(found.starts_with(problem), "{found}");
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
