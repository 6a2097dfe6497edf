//! Checks what each room of `src/` uses, and that nothing is imported in a circle: reads the sources and fails with file,
//! line and remedy. Checks too that no name stands for two types, and that the tests exist which keep the promises of
//! `docs/security.md`.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod circles;
mod names;
mod organizations;
mod promises;
mod rooms;
mod sources;

use sources::{root, sources};

#[test]
fn every_file_opens_with_what_it_is_for() {
    let files = ["src", "tests", "benches", "build"].iter().flat_map(|folder| sources(&root().join(folder)));
    for file in files.chain([root().join("build.rs")]) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} does not", file.display());
    }
}
