//! Checks that no files import one another in a circle, in `src/`, in the build, in the tests and in the bench.
//!
//! A file that declares others, such as `mod.rs`, counts as importing those whose items it uses, not those that it merely
//! declares or passes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use crate::sources::{code, root, sources};

/// The names of a module, from the root of its crate.
type ModulePath = Vec<String>;

/// The modules of a crate, with the tokens of each.
type Modules = BTreeMap<ModulePath, Vec<String>>;

/// The items that a module passes on to others (`pub use`), with the place of each.
type PassedOn = BTreeMap<ModulePath, ModulePath>;

/// An import of a module.
struct ImportedPath {
    path: ModulePath,
    is_passed_on: bool,
}

/// Returns the modules below a folder.
fn modules(folder: &Path) -> Modules {
    let mut modules = Modules::new();
    for file in sources(folder) {
        let path = file.strip_prefix(folder).unwrap().with_extension("");
        let mut names: ModulePath = path.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        let name = names.last().unwrap().clone();
        if name == "mod" {
            names.pop();
        }
        if !["main", "lib"].contains(&&*name) && !name.ends_with("tests") {
            modules.insert(names, tokens(&std::fs::read_to_string(file).unwrap()));
        }
    }
    modules
}

/// Returns the names of a source, and the signs between them; two colons are one sign.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = vec![String::new()];
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    for character in code(source).flat_map(|(_, line)| line.chars().chain(['\n'])) {
        let last = tokens.last_mut().unwrap();
        if is_name(character) && last.chars().all(is_name) || character == ':' && last == ":" {
            last.push(character);
        } else if character.is_whitespace() {
            tokens.push(String::new());
        } else {
            tokens.push(character.to_string());
        }
    }
    tokens.retain(|token| !token.is_empty());
    tokens
}

/// Reads a path, or a group of paths in braces, and returns the tokens behind it.
fn read<'a>(mut tokens: &'a [String], mut path: ModulePath, found: &mut Vec<ModulePath>) -> &'a [String] {
    loop {
        match tokens {
            [brace, rest @ ..] if brace == "{" => {
                tokens = rest;
                while !tokens.is_empty() && tokens[0] != "}" {
                    tokens = read(tokens, path.clone(), found);
                    tokens = &tokens[tokens.iter().position(|token| token == "," || token == "}").unwrap_or(0)..];
                    tokens = &tokens[usize::from(tokens.first().is_some_and(|token| token == ","))..];
                }
                return tokens.get(1..).unwrap_or_default();
            }
            [name, colons, rest @ ..] if colons == "::" => {
                path.push(name.clone());
                tokens = rest;
            }
            [name, rest @ ..] => {
                path.extend((name != "self").then(|| name.clone()));
                found.push(path);
                return rest;
            }
            [] => return tokens,
        }
    }
}

/// Returns the imports of a module: its paths that begin with `crate`, `super`, `self` or a module that it declares.
fn imports(module: &ModulePath, modules: &Modules) -> Vec<ImportedPath> {
    let (tokens, mut imports, mut behind) = (&modules[module], Vec::new(), 0);
    for (at, token) in tokens.iter().enumerate().filter(|(at, _)| *at + 1 < tokens.len()) {
        let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].as_str());
        let child = [module.as_slice(), std::slice::from_ref(token)].concat();
        let begins = ["crate", "super", "self"].contains(&&**token) || modules.contains_key(&child);
        if at < behind
            || !begins
            || tokens[at + 1] != "::"
            || ["::", "in"].contains(&before(1))
            || before(1) == "(" && before(2) == "pub"
        {
            continue;
        }
        let mut found = Vec::new();
        behind = tokens.len() - read(&tokens[at..], Vec::new(), &mut found).len();
        let is_passed_on = before(1) == "use" && ["pub", ")"].contains(&before(2));
        for named in found {
            let mut path = if named[0] == "crate" { Vec::new() } else { module.clone() };
            for (at, name) in named.into_iter().enumerate() {
                match name.as_str() {
                    "super" => drop(path.pop()),
                    "crate" | "self" if at == 0 => {}
                    _ => path.push(name),
                }
            }
            imports.push(ImportedPath { path, is_passed_on });
        }
    }
    imports
}

/// Returns the module that declares what a path names, if it is of this crate.
fn declares(path: &ModulePath, modules: &Modules, passed_on: &PassedOn) -> Option<ModulePath> {
    let length = (1..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    match passed_on.get(path.get(..=length).unwrap_or_default()) {
        Some(place) if place != path => declares(place, modules, passed_on),
        _ => Some(path[..length].to_vec()),
    }
}

/// Returns true if a module names `item` outside its imports and declarations of modules.
fn uses(tokens: &[String], item: &str) -> bool {
    let mut is_declared = false;
    tokens.iter().any(|token| {
        is_declared = token != ";" && (is_declared || token == "use" || token == "mod");
        !is_declared && token == item
    })
}

/// Returns the modules that each module imports from, with one name that it takes.
fn edges(modules: &Modules) -> BTreeMap<&ModulePath, BTreeMap<ModulePath, String>> {
    let all: BTreeMap<_, _> = modules.keys().map(|module| (module, imports(module, modules))).collect();
    let mut passed_on = PassedOn::new();
    for (module, imports) in &all {
        for ImportedPath { path, .. } in imports.iter().filter(|import| import.is_passed_on) {
            let name = path.last().cloned().unwrap_or_default();
            passed_on.insert([module.as_slice(), &[name]].concat(), path.clone());
        }
    }
    let mut edges: BTreeMap<&ModulePath, BTreeMap<ModulePath, String>> = BTreeMap::new();
    for (module, imports) in all {
        for ImportedPath { path, is_passed_on } in imports {
            let name = path.last().cloned().unwrap_or_default();
            let place = declares(&path, modules, &passed_on).filter(|place| place != module);
            if let Some(place) = place.filter(|_| !is_passed_on || uses(&modules[module], &name)) {
                edges.entry(module).or_default().insert(place, name);
            }
        }
    }
    edges
}

/// Returns the shortest circle through each module that is in one.
fn circles(modules: &Modules) -> BTreeSet<String> {
    let edges = edges(modules);
    let none = BTreeMap::new();
    let mut circles = BTreeSet::new();
    for start in modules.keys() {
        let (mut reached, mut next) = (BTreeSet::new(), VecDeque::from([(start, start.join("::"))]));
        while let Some((module, way)) = next.pop_front() {
            for (place, name) in edges.get(module).unwrap_or(&none) {
                let way = format!("{way} -> {} ({name})", place.join("::"));
                if place == start {
                    circles.insert(way);
                    next.clear();
                    break;
                }
                if reached.insert(place) {
                    next.push_back((place, way));
                }
            }
        }
    }
    circles
}

#[test]
fn no_files_import_one_another_in_a_circle() {
    for folder in ["src", "build", "benches/side_by_side", "tests/service", "tests/service_on_postgres"] {
        let modules = modules(&root().join(folder));
        assert!(modules.len() > 10, "{folder}: {} modules", modules.len());
        assert!(edges(&modules).len() > modules.len() / 4, "{folder}: few imports are found");
        let circles = circles(&modules);
        assert!(
            circles.is_empty(),
            "{folder}: move what two files share into a file below both\n{}",
            circles.into_iter().collect::<Vec<_>>().join("\n")
        );
    }
}

#[test]
fn each_kind_of_circle_would_be_found() {
    let circle = |sources: &[(&str, &str)]| {
        let module = |(path, source): &(&str, &str)| (path.split('/').map(str::to_owned).collect(), tokens(source));
        !circles(&sources.iter().map(module).collect()).is_empty()
    };
    assert!(circle(&[("a/b", "use super::c::C;"), ("a/c", "use crate::a::b::{self, B};")]), "two files");
    assert!(circle(&[("a/b", "use super::{c::{C, D}, e};"), ("a/c", "crate::a::b::f()")]), "a path within code");
    assert!(circle(&[("a", "use b::B;\nstruct A;"), ("a/b", "use super::A;")]), "a file and the one that declares it");
    assert!(
        circle(&[("a", "pub use b::B;\npub use c::C;"), ("a/b", "use super::C;"), ("a/c", "use crate::a::B;")]),
        "two files by way of names that are passed on"
    );
    assert!(circle(&[("a", "pub use b::B;\nfn f(b: B) {}"), ("a/b", "use super::f;")]), "a name passed on and used");
    assert!(circle(&[("a", "use crate::b::B;"), ("b", "use crate::c::C;"), ("c", "use crate::a::A;")]), "three rooms");
    assert!(!circle(&[("a", "mod b;\npub use b::B;\nstruct A;"), ("a/b", "use super::A;")]), "a name only passed on");
    assert!(!circle(&[("a/b", "use super::c::C;"), ("a/c", "pub(super) struct C; // super::b::B")]), "one way");
    assert!(!circle(&[("a/b", "use super::c::C;"), ("a/c", "fn f() {}\nmod tests {\nuse super::b::B;")]), "a test");
}
