//! The options of a command that differ from their defaults, for the first line of the log.

use std::fmt::Write;

use clap::builder::OsStr;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::options::{SECRET_OPTION, is_switch};
use crate::printable::Printable;
use crate::telemetry::MAX_FIELD_BYTES;

/// Limits a value: bytes. Longer ones are lists and paths, which are recognized by their beginning.
const MAX_VALUE_BYTES: usize = 60;
/// Room for the number of options that do not fit: bytes.
const REST_BYTES: usize = 20;

/// Returns the options of `command` that have another value than their default: `max-connections=100 demo`. The URL of the
/// database is left out, because it may have a password. The text fits a field of the log; it ends with the number of options
/// that do not fit.
pub(super) fn changed(command: &Command, matches: &ArgMatches) -> String {
    let options: Vec<_> = command.get_arguments().filter_map(|arg| shown(arg, matches)).collect();
    let mut text = String::new();
    for (index, option) in options.iter().enumerate() {
        let between = if index == 0 { "" } else { " " };
        if text.len() + between.len() + option.len() > MAX_FIELD_BYTES - REST_BYTES {
            let _ = write!(text, "{between}and {} more", options.len() - index);
            break;
        }
        text.push_str(between);
        text.push_str(option);
    }
    text
}

/// Returns the option with its value, if it is not that of the default.
fn shown(arg: &Arg, matches: &ArgMatches) -> Option<String> {
    let (name, id) = (arg.get_long()?, arg.get_id().as_str());
    if name == SECRET_OPTION || matches.value_source(id).is_none_or(|source| source == ValueSource::DefaultValue) {
        return None;
    }
    if is_switch(arg) {
        return matches.get_flag(id).then(|| name.to_owned());
    }
    let values: Vec<_> = matches.get_raw(id)?.collect();
    if arg.get_default_values().iter().map(OsStr::as_os_str).eq(values.iter().copied()) {
        return None;
    }
    let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
    let mut text = format!("{name}=");
    let _ = write!(Printable::new(&mut text, MAX_VALUE_BYTES), "{}", values.join(","));
    Some(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::Cli;

    fn changed_by(arguments: &[&str]) -> String {
        let matches = Cli::command().try_get_matches_from([&["cart-promotions", "serve"], arguments].concat()).unwrap();
        let root = Cli::command();
        changed(root.find_subcommand("serve").unwrap(), matches.subcommand_matches("serve").unwrap())
    }

    #[test]
    fn only_options_with_another_value_than_their_default_are_listed() {
        assert_eq!(changed_by(&[]), "");
        assert_eq!(changed_by(&["--writers", "2", "--log=info", "--listen", "127.0.0.1:8080"]), "");
        // The list has room for it here.
        assert_eq!(changed_by(&["--database-url", "postgres://demo:5ecret@db/x", "--demo"]), "demo");
        assert_eq!(
            changed_by(&[
                "--writers",
                "3",
                "--demo",
                "--trusted-proxies",
                "10.0.0.0/8,::1",
                "--trusted-proxies",
                "::2"
            ]),
            "demo writers=3 trusted-proxies=10.0.0.0/8,::1,::2"
        );
    }

    #[test]
    fn the_list_is_one_short_line_without_the_url_of_the_database_whatever_is_given() {
        let url = "postgres://demo:database-5ecret@db/x?password=database-5ecret";
        let long = format!("a{}=\u{9b}\n{}", "k".repeat(30), "/x".repeat(300));
        let mut arguments = vec!["--database-url", url, "--token-key", &long, "--trusted-issuers", &long];
        arguments.extend(["--tls-certificate", &long, "--tls-key", &long, "--tls-client-ca", &long, "--config", &long]);
        arguments.extend(["--time-zone", "Asia/Kolkata", "--max-entries", "7", "--max-earn-count", "7", "--demo"]);
        let text = changed_by(&arguments);
        assert!(text.len() <= MAX_FIELD_BYTES, "{} bytes: {text}", text.len());
        assert!(text.ends_with(" more") && text.contains("max-entries=7"), "{text}");
        assert!(!text.contains("5ecret") && text.chars().all(crate::printable::is_printable), "{text}");
    }
}
