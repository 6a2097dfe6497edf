//! Checks that no statement leaves out the organization.

use std::path::Path;

use crate::sources::{code, root, sources};

/// Names that reach rows without their organization: SeaORM's own traits, statements as texts, and SeaORM's builder.
const WAYS_AROUND: [&str; 11] = [
    "EntityTrait",
    "ModelTrait",
    "ActiveModelTrait",
    "prelude::*",
    "Statement::",
    "sqlx::query",
    "_raw(",
    "execute_unprepared",
    "sea_query::Query",
    "of_any_org",
    "org::ids",
];

/// Files of storage that may reach rows of all organizations, the names that they use for it (none: any), and the
/// reason.
const OF_ALL_ORGS: [(&str, &[&str], &str); 17] = [
    ("org_owned.rs", &[], "puts the organization into every statement"),
    ("entity/", &[], "declares the tables, and puts the organization before every search"),
    ("migration/", &[], "makes the tables"),
    ("citus.rs", &[], "distributes the tables"),
    ("schema_tests.rs", &[], "reads the schema"),
    ("verify/", &[], "recounts the whole database"),
    ("connection.rs", &["sqlx::query", "_raw(", "execute_unprepared"], "runs statements"),
    (
        "transaction.rs",
        &["Statement::", "_raw(", "execute_unprepared"],
        "begins and ends transactions, and takes locks",
    ),
    ("rows.rs", &["sqlx::query", "of_any_org"], "lists rows"),
    ("statement.rs", &["_raw("], "runs what was put together"),
    ("engine/", &["Statement::", "sqlx::query", "_raw(", "execute_unprepared"], "puts texts of its engine together"),
    ("clients.rs", &["EntityTrait", "of_any_org"], "finds who calls by a name that is unique among all"),
    ("store.rs", &["Statement::", "_raw("], "asks whether the database answers"),
    ("token_keys.rs", &["EntityTrait"], "keeps keys that are of no organization"),
    ("import.rs", &["org::ids"], "a file may be of any organization"),
    ("snapshot.rs", &["org::ids"], "an export is of all organizations"),
    ("examination.rs", &["Statement::", "_raw("], "examines the server of the database"),
];

/// Returns the string literals of a source with their line numbers, without comments.
fn literals(source: &str) -> Vec<(usize, String)> {
    let (mut found, mut open) = (Vec::new(), None::<(usize, String)>);
    for (index, line) in source.lines().take_while(|line| !line.ends_with("mod tests {")).enumerate() {
        let mut rest = line.chars().peekable();
        while let Some(character) = rest.next() {
            match (&mut open, character) {
                (None, '/') if rest.peek() == Some(&'/') => break,
                (None, '\'') if rest.peek() == Some(&'"') => drop(rest.next()),
                (None, '"') => open = Some((index + 1, String::new())),
                (None, _) => {}
                (Some(_), '"') => found.extend(open.take()),
                (Some((_, text)), '\\') => text.extend(rest.next()),
                (Some((_, text)), character) => text.push(character),
            }
        }
        if let Some((_, text)) = &mut open {
            text.push(' ');
        }
    }
    found
}

/// Returns the tables that entities declare.
fn tables(storage: &Path) -> Vec<String> {
    let declared = sources(&storage.join("entity")).into_iter().filter_map(|file| {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = text.split_once("table_name = \"")?.1.split('"').next().unwrap().to_owned();
        // The migrations that were applied are those of the whole database.
        if name == "seaql_migrations" {
            return None;
        }
        // A table of no organization would need no organization in its statements.
        assert!(
            ["orgs", "token_keys"].contains(&&*name) || text.contains("pub org_id: i64"),
            "{} is of no organization",
            file.display()
        );
        Some(name)
    });
    declared.collect()
}

/// Returns each place in `source` that reaches rows without their organization, with its line.
fn ways_around(source: &str, tables: &[String], allowed: &[&str]) -> Vec<(usize, String)> {
    let word = |character: char| character.is_alphanumeric() || "_-".contains(character);
    let names = literals(source).into_iter().flat_map(|(line, text)| {
        let named = tables.iter().filter(|table| text.split(|each| !word(each)).any(|word| word == table.as_str()));
        named.map(|table| (line, format!("names the table {table}"))).collect::<Vec<_>>()
    });
    let ways = code(source).flat_map(|(line, code)| {
        let used = WAYS_AROUND.iter().filter(|way| !allowed.contains(way) && code.contains(**way));
        used.map(move |way| (line, format!("uses {way}"))).collect::<Vec<_>>()
    });
    names.chain(ways).collect()
}

#[test]
fn storage_reaches_what_belongs_to_an_organization_only_with_the_organization() {
    let storage = root().join("src/storage");
    let tables = tables(&storage);
    assert_eq!(tables.len(), 11, "{tables:?}");
    let mut breaches = Vec::new();
    for file in sources(&storage) {
        let name = file.strip_prefix(&storage).unwrap().to_str().unwrap();
        let exception =
            OF_ALL_ORGS.iter().find(|(path, ..)| name == *path || path.ends_with('/') && name.starts_with(path));
        if exception.is_some_and(|(_, ways, _)| ways.is_empty()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let allowed = exception.map_or(&[][..], |(_, ways, _)| ways);
        let of_a_folder = exception.is_some_and(|(path, ..)| path.ends_with('/'));
        for way in allowed.iter().filter(|_| !of_a_folder) {
            assert!(code(&text).any(|(_, code)| code.contains(way)), "{name} does not use {way} any more");
        }
        for (line, breach) in ways_around(&text, &tables, allowed) {
            breaches.push(format!("{}:{line}: {breach}: ask `org_owned`, or `Entity::of`", file.display()));
        }
    }
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn each_way_around_the_organization_would_be_found() {
    let tables = ["promotions".to_owned()];
    for source in [
        "const ALL: &str = \"SELECT * FROM promotions\";",
        "const ALL: &str = \"\n    SELECT *\n    FROM promotions AS p\";",
        "format!(\"SELECT * FROM {}\", \"promotions\")",
        "let quote = '\"'; \"DELETE FROM promotions\"",
        "use sea_orm::{ColumnTrait, EntityTrait};",
        "use sea_orm::entity::prelude::*;",
        "<promotion::Entity as sea_orm::EntityTrait>::find()",
        "promotion::Model::find_related(); use sea_orm::ModelTrait;",
        "row.delete(); use sea_orm::ActiveModelTrait;",
        "Statement::from_string(backend, text)",
        "database.query_all_raw(statement)",
        "database.execute_unprepared(text)",
        "sqlx::query(text)",
        "sea_query::Query::select()",
        "Lookup { of_any_org: true, ..CUSTOMERS }",
        "let ids = org::ids(database)",
    ] {
        assert!(!ways_around(source, &tables, &[]).is_empty(), "{source}");
    }
    for source in [
        "// FROM promotions",
        "let promotions = \"promotions_active_name\";",
        "promotion::Entity::of(org_id).find()",
        "mod tests {\nStatement::from_string",
    ] {
        assert_eq!(ways_around(source, &tables, &[]), [], "{source}");
    }
    assert_eq!(ways_around("EntityTrait", &tables, &["EntityTrait"]), []);
}
