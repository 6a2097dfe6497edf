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
            "storage::catalogue",
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
