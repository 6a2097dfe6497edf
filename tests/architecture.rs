//! Holds the rooms of `src/` to what each may know: reads the sources and fails with file, line and remedy.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// A room, the names that its files may not use, and where such a line belongs instead.
struct Room {
    path: &'static str,
    forbidden: &'static [&'static str],
    remedy: &'static str,
}

const ROOMS: [Room; 6] = [
    Room {
        path: "earning",
        forbidden: &[
            "tokio",
            "tonic",
            "prost::",
            "prost_types",
            "serde",
            "sea_orm",
            "sqlx",
            "tracing",
            "axum",
            "rand::",
            "std::time",
            "std::fs",
            "Utc::now",
            "crate::app",
            "crate::storage",
            "crate::wire",
            "crate::transport",
            "crate::proto",
            "crate::config",
            "crate::server",
        ],
        remedy: "the rules are pure: let `app` load it, and pass it in",
    },
    Room {
        path: "storage",
        forbidden: &[
            "tonic",
            "prost::",
            "axum",
            "http::",
            "crate::app",
            "crate::wire",
            "crate::transport",
            "crate::proto",
            "crate::config",
            "crate::server",
        ],
        remedy: "storage answers `app` in types of the rules; codes and messages are made further out",
    },
    Room {
        path: "app",
        forbidden: &[
            "tonic",
            "prost::",
            "axum",
            "http::",
            "sea_orm",
            "sqlx",
            "crate::wire",
            "crate::transport",
            "crate::proto",
            "crate::config",
            "crate::server",
        ],
        remedy: "use cases take commands and give outcomes; `wire` and `transport` say them, `storage` saves them",
    },
    Room {
        path: "wire",
        forbidden: &[
            "tonic",
            "axum",
            "http::",
            "sea_orm",
            "sqlx",
            "tokio",
            "crate::storage",
            "crate::transport",
            "crate::config",
            "crate::server",
        ],
        remedy: "wire turns messages into commands and outcomes into messages, and nothing else",
    },
    Room {
        path: "transport",
        forbidden: &[
            "sea_orm",
            "sqlx",
            "crate::storage",
            "earning::decide",
            "earning::expiry",
            "earning::Facts",
            "earning::Scene",
            "crate::config",
            "crate::server",
            "std::env",
        ],
        remedy: "doors call `app` through `wire`; rules are in `earning`, options come from `server`",
    },
    Room {
        path: "commands",
        forbidden: &[
            "tonic",
            "prost::",
            "axum",
            "http::",
            "sea_orm",
            "sqlx",
            "crate::transport",
            "storage::catalog",
            "storage::clients",
            "storage::facts",
            "storage::import",
            "storage::listing",
            "storage::wallet",
            "Transaction",
            "earning::decide",
            "std::env",
        ],
        remedy: "a command opens the database and calls `app` through `wire`, as the doors do; it reads and writes no row",
    },
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The lines of code of a file with their numbers, without comments and without tests that stand in the file itself.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().take_while(|line| *line != "mod tests {").enumerate();
    lines.map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

#[test]
fn no_room_knows_what_it_must_not() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for room in ROOMS {
        let files = sources(&src.join(room.path));
        assert!(!files.is_empty(), "no room {}", room.path);
        for file in
            files.iter().filter(|file| !file.ends_with("tests.rs") && !file.to_string_lossy().ends_with("_tests.rs"))
        {
            let text = std::fs::read_to_string(file).unwrap();
            for (line, code) in code(&text) {
                // Written out one by one, imports can be read, by this test too.
                assert!(!code.contains("crate::{"), "{}:{line}: one import from crate a line", file.display());
                for name in room.forbidden.iter().filter(|name| contains_path(code, name)) {
                    faults.push(format!("{}:{line}: {name}: {}", file.display(), room.remedy));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Whether `name` stands in `code` as a path of its own, not as the end of another name.
fn contains_path(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
    })
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["src", "tests", "benches", "build"]
        .iter()
        .flat_map(|folder| sources(&root.join(folder)))
        .chain([root.join("build.rs")]);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} does not", file.display());
    }
}

#[test]
fn a_forbidden_name_would_be_found() {
    assert!(contains_path("use crate::storage::Store;", "crate::storage"));
    assert!(contains_path("    tonic::Status", "tonic"));
    assert!(!contains_path("use not_tonic::Status;", "tonic"));
    assert_eq!(code("a // tonic\nmod tests {\nuse tonic;").collect::<Vec<_>>(), [(1, "a ")]);
}

/// What gets at rows without saying whose: SeaORM's own ways to an entity, statements as texts, and its builder.
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

/// Files of storage that may reach rows of all organizations, what they do so by (nothing: by anything), and why.
const OF_ALL_ORGS: [(&str, &[&str], &str); 12] = [
    ("org_owned.rs", &[], "puts the organization into every statement"),
    ("entity/", &[], "declares the tables, and puts the organization before every search"),
    ("migration/", &[], "makes the tables"),
    ("citus.rs", &[], "distributes the tables"),
    ("schema_tests.rs", &[], "reads the schema"),
    ("verify/", &[], "recounts the whole database"),
    ("connection.rs", &["sqlx::query", "_raw(", "execute_unprepared"], "runs statements, begins and ends transactions"),
    ("statement.rs", &["sqlx::query", "_raw(", "of_any_org"], "runs what was put together"),
    ("engine/", &["Statement::", "sqlx::query", "_raw(", "execute_unprepared"], "puts texts of its engine together"),
    ("clients.rs", &["EntityTrait", "of_any_org"], "finds who calls by a name that is unique among all"),
    ("mod.rs", &["Statement::", "_raw("], "asks whether the database answers"),
    ("import.rs", &["org::ids"], "a file may be of any organization"),
];

/// The texts in quotes of a source, without comments.
fn literals(source: &str) -> Vec<(usize, String)> {
    let (mut found, mut open) = (Vec::new(), None::<(usize, String)>);
    for (index, line) in source.lines().take_while(|line| *line != "mod tests {").enumerate() {
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

/// The tables that entities declare.
fn tables(storage: &Path) -> Vec<String> {
    let declared = sources(&storage.join("entity")).into_iter().filter_map(|file| {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = text.split_once("table_name = \"")?.1.split('"').next().unwrap().to_owned();
        // What belongs to nobody would need no organization.
        assert!(name == "orgs" || text.contains("pub org_id: i64"), "{} is of no organization", file.display());
        Some(name)
    });
    declared.collect()
}

/// What in `source` reaches rows without their organization, as line and fault.
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
    let storage = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage");
    let tables = tables(&storage);
    assert_eq!(tables.len(), 9, "{tables:?}");
    let mut faults = Vec::new();
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
        for (line, fault) in ways_around(&text, &tables, allowed) {
            faults.push(format!("{}:{line}: {fault}: ask `org_owned`, or `Entity::of`", file.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
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
