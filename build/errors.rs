//! The table of refusals in `docs/errors.md`, which a test compares with the code.

use std::fs;

/// Where the table is.
pub const TABLE: &str = "docs/errors.md";

/// Why a call over JSON is refused.
pub struct Row {
    /// Documented number.
    pub code: i64,
    /// HTTP status.
    pub http: u16,
    /// Name of the reason.
    pub reason: String,
    /// In Markdown.
    pub when: String,
}

/// Its rows, but for those that no operation of the JSON door answers with.
pub fn rows() -> Vec<Row> {
    let text = fs::read_to_string(TABLE).unwrap_or_else(|error| panic!("{TABLE}: {error}"));
    let rows = text.lines().skip_while(|line| !line.starts_with("| code | HTTP |")).skip(2);
    let rows: Vec<_> = rows.take_while(|line| line.starts_with('|')).map(row).collect();
    assert!(!rows.is_empty(), "{TABLE}: there is no table of refusals");
    let elsewhere = ["UNKNOWN_PATH", "METHOD_NOT_ALLOWED", "NOT_GRPC"];
    rows.into_iter().filter(|row| !elsewhere.contains(&row.reason.as_str())).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [code, http, _, reason, when] = cells[..] else { panic!("{TABLE}: {line}") };
    let when = when.replace(" (JSON only)", "").replace("over JSON ", "");
    match (code.parse(), http.parse()) {
        (Ok(code), Ok(http)) => Row { code, http, reason: reason.trim_matches('`').to_owned(), when },
        _ => panic!("{TABLE}: {line}"),
    }
}
