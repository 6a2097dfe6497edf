//! Checks what each room of `src/` uses against the table of `docs/architecture.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::sources::{code, root, sources};

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
    let path = root().join("docs/architecture.md");
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

#[test]
fn a_room_uses_what_its_row_says_and_nothing_else() {
    let src = root().join("src");
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
    let src = root().join("src");
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
fn a_forbidden_name_would_be_found() {
    assert!(contains_path("use crate::storage::Store;", "crate::storage"));
    assert!(contains_path("    tonic::Status", "tonic"));
    assert!(!contains_path("use not_tonic::Status;", "tonic"));
    assert_eq!(code("a // tonic\nmod tests {\nuse tonic;").collect::<Vec<_>>(), [(1, "a ")]);
}
