//! The tables of `docs/errors.md`, which a test compares with the code.

use std::fs;

/// Where the table is.
pub const TABLE: &str = "docs/errors.md";

/// Stands in the table of refusals for what the table of entries says of the same number.
const AS_OF_AN_ENTRY: &str = "as of an entry, below";

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
    let entries: Vec<_> = table(&text, "| code | when |").map(cells).collect();
    let mut rows: Vec<_> = table(&text, "| code | HTTP |").map(row).collect();
    assert!(!rows.is_empty(), "{TABLE}: there is no table of refusals");
    for row in &mut rows {
        let code = row.code.to_string();
        if let Some(entry) = entries.iter().find(|entry| entry[0] == code) {
            row.when = row.when.replace(AS_OF_AN_ENTRY, entry[1]);
        }
        assert!(!row.when.contains("below"), "{TABLE}: {code}: what is below is not told of");
    }
    let elsewhere = ["UNKNOWN_PATH", "METHOD_NOT_ALLOWED", "NOT_GRPC"];
    rows.into_iter().filter(|row| !elsewhere.contains(&row.reason.as_str())).collect()
}

/// Returns the outcomes of entries in the table that begins with `head`: each number and its meaning, as a Markdown list.
pub fn entries(head: &str) -> String {
    let text = fs::read_to_string(TABLE).unwrap_or_else(|error| panic!("{TABLE}: {error}"));
    let rows = table(&text, head).map(cells).map(|cells| match cells[..] {
        [code, .., when] => format!("- `{code}`: {when}"),
        _ => panic!("{TABLE}: {cells:?}"),
    });
    let rows: Vec<_> = rows.collect();
    assert!(!rows.is_empty(), "{TABLE}: there is no table {head}");
    rows.join("\n")
}

/// The lines of the table that begins so, without its head.
fn table<'a>(text: &'a str, head: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().skip_while(move |line| !line.starts_with(head)).skip(2).take_while(|line| line.starts_with('|'))
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn row(line: &str) -> Row {
    let [code, http, _, reason, when] = cells(line)[..] else { panic!("{TABLE}: {line}") };
    let when = when.replace(" (JSON only)", "").replace("over JSON ", "");
    match (code.parse(), http.parse()) {
        (Ok(code), Ok(http)) => Row { code, http, reason: reason.trim_matches('`').to_owned(), when },
        _ => panic!("{TABLE}: {line}"),
    }
}
