//! The files of `deploy/` name options and metrics that the program has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cart_promotions::config::Cli;
use clap::{Command, CommandFactory};

/// Beginning of the variables of options.
const VARIABLE: &str = "CART_PROMOTIONS_";
/// Beginnings of the metrics of the program, without those of every process.
const FAMILIES: [&str; 4] = ["cart_promotions_", "rpc_server_", "http_server_", "db_client_"];

/// Returns the files of a folder of the repository and of those in it, without links.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let (folders, files): (Vec<_>, Vec<_>) = entries
        .filter(|entry| !entry.file_type().unwrap().is_symlink())
        .map(|entry| entry.path())
        .partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}

/// Returns the words of a text that begin like this, of letters, digits and underscores.
fn words<'a>(text: &'a str, beginning: &str) -> BTreeSet<&'a str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.len() > beginning.len() && word.starts_with(beginning)).collect()
}

/// Returns the variables of a command and of those below it.
fn variables(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|option| Some(option.get_env()?.to_str()?.to_owned()));
    own.chain(command.get_subcommands().flat_map(variables)).collect()
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn every_variable_in_deploy_is_one_of_the_program() {
    let known = variables(&Cli::command());
    let mut seen = 0;
    for file in files(&in_repository("deploy")).into_iter().chain([in_repository("docs/deploy.md")]) {
        let text = std::fs::read_to_string(&file).unwrap();
        for variable in words(&text, VARIABLE) {
            assert!(known.contains(variable), "{}: no option has the variable {variable}", file.display());
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn every_metric_in_the_rules_and_the_dashboard_is_described() {
    let described = include_str!("../../docs/metrics.md");
    let mut seen = BTreeSet::new();
    for file in ["deploy/prometheus/rules.yaml", "deploy/prometheus/rules.test.yaml", "deploy/grafana/dashboard.json"] {
        let text = std::fs::read_to_string(in_repository(file)).unwrap();
        for family in FAMILIES.iter().flat_map(|beginning| words(&text, beginning)) {
            let series = ["_bucket", "_count", "_sum"].iter().find_map(|ending| family.strip_suffix(ending));
            let name = format!("`{}`", series.unwrap_or(family));
            assert!(described.contains(&name), "{file}: docs/metrics.md does not describe {name}");
            seen.insert(name);
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
}
