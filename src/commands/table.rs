//! Tables for people: aligned columns and a header in capitals.

use std::fmt;
use std::io::IsTerminal;

use unicode_width::UnicodeWidthStr;

use crate::printable::is_printable;

/// Number of spaces between two columns.
const GAP: usize = 2;
/// Text for an empty value.
pub const NOTHING: &str = "-";

/// A header and rows.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// True when the header is bold.
    bold: bool,
}

impl Table {
    /// Returns a table with this header, which is bold on a terminal.
    pub fn new(header: &[&str]) -> Self {
        let header = header.iter().map(ToString::to_string).collect();
        Self { rows: vec![header], bold: std::io::stdout().is_terminal() }
    }

    /// Adds a row with as many columns as the header.
    pub fn row<const N: usize>(&mut self, columns: [String; N]) {
        self.rows.push(columns.into_iter().map(visible).collect());
    }
}

/// Replaces every character that a terminal interprets, or that changes the order in which a line reads, so that the
/// text stays on one line.
fn visible(text: String) -> String {
    match text.as_str() {
        "" => NOTHING.to_owned(),
        _ if !text.chars().all(is_printable) => {
            text.chars().map(|character| if is_printable(character) { character } else { '\u{fffd}' }).collect()
        }
        _ => text,
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|text| text.width()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let bold = self.bold && index == 0;
            if bold {
                f.write_str("\x1b[1m")?;
            }
            for (column, text) in row.iter().enumerate() {
                f.write_str(text)?;
                if column + 1 < columns {
                    let pad = widths[column].saturating_sub(text.width()) + GAP;
                    write!(f, "{:pad$}", "")?;
                }
            }
            f.write_str(if bold { "\x1b[0m\n" } else { "\n" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_in_them_breaks_out() {
        let mut table = Table { rows: Table::new(&["ID", "NAME", "CAP"]).rows, bold: false };
        table.row(["1".to_owned(), "Ten\noff\u{202e}[2J".to_owned(), String::new()]);
        table.row(["1234".to_owned(), "割引".to_owned(), "3".to_owned()]);
        let expected = "ID    NAME         CAP\n1     Ten\u{fffd}off\u{fffd}[2J  -\n1234  割引         3\n";
        assert_eq!(table.to_string(), expected);
        table.bold = true;
        assert!(table.to_string().starts_with("\u{1b}[1mID    NAME         CAP\u{1b}[0m\n1 "));
    }
}
