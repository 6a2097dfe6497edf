//! Checks that no name stands for two types, in the whole project.

use std::collections::BTreeMap;

use crate::sources::{root, sources};

/// Names that the database library prescribes: each entity has a `Model` and a `Relation` of its own.
const PRESCRIBED: [&str; 2] = ["Model", "Relation"];

/// Returns the name of the type or trait that a line declares. An indented `type` is one of an implementation.
fn declared(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub(").and_then(|rest| rest.split_once(')')) {
        Some((_, rest)) => rest.trim_start(),
        None => code.strip_prefix("pub ").unwrap_or(code),
    };
    let kinds: &[&str] =
        if line.starts_with(' ') { &["struct ", "enum ", "trait "] } else { &["struct ", "enum ", "trait ", "type "] };
    let rest = kinds.iter().find_map(|kind| code.strip_prefix(kind))?;
    let name = rest.split(|character: char| !character.is_alphanumeric() && character != '_').next()?;
    (!name.is_empty()).then_some(name)
}

#[test]
fn no_name_stands_for_two_types() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let folders = ["src", "build", "benches", "tests"];
    for file in folders.iter().flat_map(|folder| sources(&root().join(folder))).chain([root().join("build.rs")]) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (index, line) in text.lines().enumerate() {
            let place = format!("{}:{}", file.strip_prefix(root()).unwrap().display(), index + 1);
            places.entry(declared(line).unwrap_or_default().to_owned()).or_default().push(place);
        }
    }
    places.remove("");
    assert!(places.len() > 500, "{} types are found", places.len());
    places.retain(|name, places| places.len() > 1 && !PRESCRIBED.contains(&name.as_str()));
    assert!(places.is_empty(), "rename all but one of each: say what it is there for\n{places:#?}");
}

#[test]
fn each_kind_of_declaration_would_be_found() {
    for line in [
        "struct Name;",
        "pub struct Name<'a> {",
        "    pub(super) enum Name {",
        "pub(in crate::a) trait Name: Send {",
        "    struct Name(u8);",
        "type Name = u8;",
    ] {
        assert_eq!(declared(line), Some("Name"), "{line}");
    }
    for line in ["    type Name = u8;", "// struct Name;", "let structure = 1;", "    pub name: Name,", "use a::Name;"]
    {
        assert_eq!(declared(line), None, "{line}");
    }
}
