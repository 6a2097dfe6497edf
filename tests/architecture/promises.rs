//! Checks that the tests exist which keep the promises of `docs/security.md`.

use std::path::Path;

use crate::sources::root;

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
    let root = root();
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
