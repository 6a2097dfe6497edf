//! Rows of a CSV file: values separated by commas, semicolons or tabs, one of which is the customer. A row is one line.
//!
//! The `csv` crate would do less: it reads a quote after a space (`"Doe", "7"`) as a character, takes a quote that does
//! not end for one that ends with the file, counts no lines that end with CR, and holds rows of any length in memory.

use super::super::text::cut;

/// Names of the customer column in the first line, in any case.
const COLUMN_NAMES: [&str; 2] = ["customerid", "customer_id"];

/// A character that separates the values of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Separator {
    character: char,
    name: &'static str,
}

/// All separators, the most common one first.
const SEPARATORS: [Separator; 3] = [
    Separator { character: ',', name: "a comma" },
    Separator { character: ';', name: "a semicolon" },
    Separator { character: '\t', name: "a tab" },
];

/// The column that holds customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    separator: Separator,
    /// Index of the column, counted from 0.
    index: usize,
}

/// The first line of a file, with the customer column that it reveals.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FirstLine {
    /// The line names the columns.
    Header(Column),
    /// The line is a row of values.
    Row(Column),
}

impl FirstLine {
    /// Finds the customer column: the one that the line names, or else its first. Tries each separator. If `skipped` is
    /// true, the line is not imported, and need not hold a customer.
    ///
    /// # Errors
    /// Returns the problem if the line names the column twice, or neither names it nor begins with a customer.
    pub fn read(line: &str, skipped: bool) -> Result<Self, String> {
        let mut widest = (1, SEPARATORS[0]);
        let mut row = None;
        for separator in SEPARATORS {
            let Ok(values) = values(line, separator) else { continue };
            let named: Vec<usize> = (0..values.len())
                .filter(|index| COLUMN_NAMES.contains(&values[*index].trim().to_lowercase().as_str()))
                .collect();
            match named[..] {
                [] => {}
                [index] => return Ok(Self::Header(Column { separator, index })),
                [first, second, ..] => {
                    let (first, second) = (first + 1, second + 1);
                    return Err(format!("names the column customerId twice: columns {first} and {second}"));
                }
            }
            if values.len() > widest.0 {
                widest = (values.len(), separator);
            }
            // If the line begins with a customer for several separators, the one with the most columns is used.
            if customer(&values[0]).is_some() && row.is_none_or(|(columns, _)| values.len() > columns) {
                row = Some((values.len(), separator));
            }
        }
        let (columns, separator) = widest;
        match row {
            Some((_, separator)) => Ok(Self::Row(Column { separator, index: 0 })),
            None if skipped => Ok(Self::Row(Column { separator, index: 0 })),
            None => {
                let values = values(line, separator)?;
                let seen = match columns {
                    1 => "there is one column".to_owned(),
                    columns => format!("there are {columns} columns with {} between them", separator.name),
                };
                Err(format!("{}; no column is named customerId or customer_id: {seen}", no_customer(&values[0], 0)))
            }
        }
    }
}

impl Column {
    /// Returns the customer of a row.
    ///
    /// # Errors
    /// Returns the problem of a row without a customer.
    pub fn customer(self, line: &str) -> Result<i64, String> {
        let values = values(line, self.separator)?;
        let Some(value) = values.get(self.index) else {
            let (columns, name) = (values.len(), self.separator.name);
            return Err(format!(
                "has {columns} columns with {name} between them, and customerId is number {}",
                self.index + 1
            ));
        };
        customer(value).ok_or_else(|| no_customer(value, self.index))
    }
}

fn customer(value: &str) -> Option<i64> {
    value.trim().parse().ok().filter(|id| *id > 0)
}

fn no_customer(value: &str, index: usize) -> String {
    format!("column {}: customerId: must be a positive integer, not {:?}", index + 1, cut(value))
}

/// Splits a row into values. A value in double quotes may hold separators, and a double quote written twice.
fn values(line: &str, separator: Separator) -> Result<Vec<String>, String> {
    let (mut values, mut value) = (Vec::new(), String::new());
    let (mut quoted, mut characters) = (false, line.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                value.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if value.trim().is_empty() => {
                value.clear();
                quoted = true;
            }
            other if other == separator.character && !quoted => values.push(std::mem::take(&mut value)),
            other => value.push(other),
        }
    }
    if quoted {
        let column = values.len() + 1;
        return Err(format!("column {column}: has a double quote that does not end: a row must be a line"));
    }
    values.push(value);
    Ok(values)
}
