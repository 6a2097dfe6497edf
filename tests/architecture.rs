//! Checks what each room of `src/` uses: reads the sources and fails with file, line and remedy. Checks too that the tests
//! exist which keep the promises of `docs/security.md`.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A room, the names that its files may not use, and the place where such a line belongs instead.
struct Room {
    name: String,
    /// The rooms that it may use.
    uses: Vec<String>,
    /// Names that stand in none of its files.
    forbidden: Vec<String>,
}

/// Reads the table of rooms.
fn rooms() -> Vec<Room> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| room |")).skip(2);
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let room = |row: &str| {
        let cells: Vec<_> = row.split('|').collect();
        assert_eq!(cells.len(), 6, "{row}");
        Room { name: names(cells[1]).remove(0), uses: names(cells[3]), forbidden: names(cells[4]) }
    };
    rows.take_while(|line| line.starts_with('|')).map(room).collect()
}

/// Returns the files of a room.
fn files(src: &Path, room: &str) -> Vec<PathBuf> {
    let folder = src.join(room);
    let mut files = if folder.is_dir() { sources(&folder) } else { Vec::new() };
    files.extend(Some(src.join(format!("{room}.rs"))).filter(|file| file.exists()));
    files.retain(|file| !file.to_string_lossy().ends_with("tests.rs"));
    files
}

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

/// Returns the lines of code of a file with their numbers, without comments and without a test module in the file.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().take_while(|line| *line != "mod tests {").enumerate();
    lines.map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

#[test]
fn a_room_uses_what_its_row_says_and_nothing_else() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms = rooms();
    let mut breaches = Vec::new();
    for room in &rooms {
        let files = files(&src, &room.name);
        assert!(!files.is_empty(), "no room {}", room.name);
        let mut used = BTreeSet::new();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for (line, code) in code(&text) {
                let at = format!("{}:{line}", file.display());
                // Written out one by one, imports can be read, by this test too.
                assert!(!code.contains("crate::{"), "{at}: one import from crate a line");
                for name in code.split("crate::").skip(1) {
                    let name = name.split(|character: char| !character.is_alphanumeric() && character != '_').next();
                    let name = name.unwrap_or_default();
                    if rooms.iter().any(|other| other.name == name) && name != room.name {
                        used.insert(name.to_owned());
                        if !room.uses.iter().any(|used| used == name) {
                            breaches.push(format!("{at}: {} does not use {name}", room.name));
                        }
                    }
                }
                for name in room.forbidden.iter().filter(|name| contains_path(code, name)) {
                    breaches.push(format!("{at}: {} never names {name}", room.name));
                }
            }
        }
        let idle = room.uses.iter().filter(|name| !used.contains(*name));
        breaches
            .extend(idle.map(|name| format!("{} does not use {name} any more: take it out of the table", room.name)));
    }
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn every_file_stands_in_a_room_and_rooms_use_those_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms = rooms();
    for entry in std::fs::read_dir(&src).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_roof = ["main", "lib"].contains(&name) || path.extension().is_some_and(|extension| extension == "json");
        assert!(is_roof || rooms.iter().any(|room| room.name == name), "{name} is in no row of the table");
    }
    for (place, room) in rooms.iter().enumerate() {
        for used in &room.uses {
            let below = rooms[place + 1..].iter().any(|other| other.name == *used);
            assert!(below, "{} uses {used}, which does not stand below it", room.name);
        }
    }
}

/// Returns true if `name` stands in `code` as a path of its own, not as the end of another name.
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
    let storage = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage");
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

/// Returns the tests of a file that run always.
fn tests_of(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (mut names, mut is_test) = (Vec::new(), false);
    for line in text.lines().map(str::trim_start) {
        assert!(!line.starts_with("#[ignore"), "{}: a test that does not run keeps no promise", file.display());
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let Some(function) = line.trim_start_matches("async ").strip_prefix("fn ") {
            names.extend(is_test.then(|| function.split('(').next().unwrap_or_default().to_owned()));
            is_test = false;
        }
    }
    names
}

#[test]
fn every_promise_of_security_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| promise |")).skip(2);
    let rows: Vec<_> = rows.take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 30, "{} rows", rows.len());
    for row in rows {
        let (promise, tests) = row.trim_matches('|').rsplit_once(" | ").unwrap();
        assert!(tests.contains('`'), "{promise}: no test");
        for of_file in tests.split(';') {
            let mut names = of_file.split('`').skip(1).step_by(2);
            let file = names.next().unwrap_or_default();
            let path = [root.join("tests/service").join(file), root.join(file)].into_iter().find(|path| path.is_file());
            let path = path.unwrap_or_else(|| panic!("{promise}: there is no {file}"));
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let (names, known) = (names.collect::<Vec<_>>(), tests_of(&path));
            assert!(!names.is_empty(), "{promise}: no test of {file} is named");
            for name in names {
                assert!(known.iter().any(|test| test == name), "{promise}: {file} has no test {name}");
            }
        }
    }
}
