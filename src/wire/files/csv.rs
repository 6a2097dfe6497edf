//! Rows of a CSV file: values separated by commas, semicolons, tabs or bars, one of which is the customer. A row is one line.
//!
//! The `csv` crate would do less: it reads a quote after a space (`"Doe", "7"`) as a character, takes a quote that does
//! not end for one that ends with the file, counts no lines that end with CR, and holds rows of any length in memory.

use super::super::text::cut;

/// Names of the customer column in the first line, in any case.
const COLUMN_NAMES: [&str; 2] = ["customerid", "customer_id"];

/// All separators that are tried, the most common one first.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];
/// Maximum number of columns that a message lists.
const MAX_LISTED: usize = 20;

/// The form of a CSV file, as far as it is known before the file is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CsvForm {
    /// Separator of the values; `None` finds it.
    pub separator: Option<char>,
    /// Column of the customers, by its name or by its number, counted from 1; `None` finds it by name.
    pub column: Option<String>,
}

/// The column that holds customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    separator: char,
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

/// A first line, split by one separator.
struct Split {
    separator: char,
    values: Vec<String>,
}

impl FirstLine {
    /// Finds the customer column: the one that `form` or the line names, or else its first. Tries each separator unless
    /// `form` has one. If `skipped` is true, the line is not imported, and need not hold a customer.
    ///
    /// # Errors
    /// Returns the problem if the line names the column twice, or neither names it nor begins with a customer.
    pub fn read(line: &str, skipped: bool, form: &CsvForm) -> Result<Self, String> {
        let separators = form.separator.map_or(SEPARATORS.to_vec(), |separator| vec![separator]);
        let split = |separator| values(line, separator).map(|values| Split { separator, values });
        let mut splits = separators.iter().copied().map(split).collect::<Result<Vec<_>, _>>()?;
        // The first in the list above wins among those with the most columns.
        splits.sort_by_key(|split| std::cmp::Reverse(split.values.len()));
        let widest = &splits[0];
        if let Some(index) = form.column.as_ref().and_then(|column| column.parse::<usize>().ok()) {
            return numbered(widest, index);
        }
        for split in &splits {
            if let Some(column) = named(split, form)? {
                return Ok(Self::Header(column));
            }
        }
        if let Some(name) = &form.column {
            return Err(format!("no column is named {:?}: {}", cut(name), listed(widest)));
        }
        // If the line begins with a customer for several separators, the one with the most columns is used.
        match splits.iter().find(|split| customer(&split.values[0]).is_some()) {
            Some(split) => Ok(Self::Row(Column { separator: split.separator, index: 0 })),
            None if skipped => Ok(Self::Row(Column { separator: widest.separator, index: 0 })),
            None => Err(format!(
                "{}; no column is named customerId or customer_id: {}; name it with --column",
                no_customer(&widest.values[0], 0),
                listed(widest)
            )),
        }
    }
}

/// Returns the first line of a file whose customer column has a number, counted from 1.
fn numbered(widest: &Split, number: usize) -> Result<FirstLine, String> {
    let value = number.checked_sub(1).and_then(|index| widest.values.get(index));
    let Some(value) = value else { return Err(format!("there is no column {number}: {}", listed(widest))) };
    let column = Column { separator: widest.separator, index: number - 1 };
    Ok(if customer(value).is_some() { FirstLine::Row(column) } else { FirstLine::Header(column) })
}

/// Returns the customer column if the line names it.
fn named(split: &Split, form: &CsvForm) -> Result<Option<Column>, String> {
    let is_named = |value: &String| {
        let value = value.trim().to_lowercase();
        match &form.column {
            Some(name) => value == name.trim().to_lowercase(),
            None => COLUMN_NAMES.contains(&value.as_str()),
        }
    };
    let named: Vec<usize> = (0..split.values.len()).filter(|index| is_named(&split.values[*index])).collect();
    match named[..] {
        [] => Ok(None),
        [index] => Ok(Some(Column { separator: split.separator, index })),
        [first, second, ..] => {
            let name = form.column.as_deref().unwrap_or("customerId");
            let (first, second) = (first + 1, second + 1);
            Err(format!("names the column {} twice: columns {first} and {second}", cut(name)))
        }
    }
}

/// Returns the columns of a first line, for messages.
fn listed(split: &Split) -> String {
    let names: Vec<_> = split.values.iter().take(MAX_LISTED).map(|name| format!("{:?}", cut(name.trim()))).collect();
    let more = if split.values.len() > MAX_LISTED { ", …" } else { "" };
    let names = format!("{}{more}", names.join(", "));
    match split.values.len() {
        1 => format!("there is one column, {names}"),
        columns => format!("there are {columns} columns with {} between them, {names}", name_of(split.separator)),
    }
}

/// Returns the name of a separator in messages.
fn name_of(separator: char) -> String {
    match separator {
        ',' => "a comma".to_owned(),
        ';' => "a semicolon".to_owned(),
        '\t' => "a tab".to_owned(),
        other => format!("{other:?}"),
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
            let (columns, name) = (values.len(), name_of(self.separator));
            return Err(format!(
                "customerId: is missing: the row has {columns} columns with {name} between them, and customerId is number {}",
                self.index + 1
            ));
        };
        if value.trim().is_empty() {
            return Err(format!("column {}: customerId: is missing", self.index + 1));
        }
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
fn values(line: &str, separator: char) -> Result<Vec<String>, String> {
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
            other if other == separator && !quoted => values.push(std::mem::take(&mut value)),
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
