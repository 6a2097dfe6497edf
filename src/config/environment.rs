//! The environment variables of the program: one that it does not know is refused, because the option that it was meant
//! for would silently keep its default.

use std::env;

use clap::{Command, CommandFactory};

use super::Cli;
use super::options::{configurable, nearest};

/// The beginning of the names of the program's variables.
const PREFIX: &str = "CART_PROMOTIONS_";
/// The beginning of the names that the tests of the program use.
const OF_TESTS: &str = "CART_PROMOTIONS_TEST_";
/// The transport protocols of a Kubernetes Service.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Refuses variables of this process that begin like those of the program and are not among them.
///
/// # Errors
/// Returns the name of each, with the known one that is nearest to it. No message shows a value.
pub(super) fn refuse_unknown() -> Result<(), String> {
    let command = Cli::command();
    let variables =
        env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    match unknown(&command, variables).as_slice() {
        [] => Ok(()),
        unknown => Err(unknown.join("; ")),
    }
}

/// Returns a message for each of the variables that is not known, ordered by name.
fn unknown(command: &Command, variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let known: Vec<_> = configurable(command).into_iter().filter_map(|arg| arg.get_env()?.to_str()).collect();
    let is_unknown = |(name, value): &(String, String)| {
        name.starts_with(PREFIX)
            && !name.starts_with(OF_TESTS)
            && !known.contains(&name.as_str())
            && !is_of_kubernetes(name, value)
    };
    let mut names: Vec<_> = variables.filter(is_unknown).map(|(name, _)| name).collect();
    names.sort_unstable();
    // Compared without what all of them begin with, which would make all of them alike.
    let known = || known.iter().filter_map(|name| name.strip_prefix(PREFIX));
    let message = |name: &String| {
        let nearest = nearest(name.trim_start_matches(PREFIX), known());
        let nearest = nearest.replace(" is ", &format!(" is {PREFIX}"));
        format!("the environment variable {name} is not known{nearest}")
    };
    names.iter().map(message).collect()
}

/// Returns true for the variables that Kubernetes gives to the containers of a namespace with a Service whose name begins
/// with `cart-promotions`: `…_SERVICE_HOST`, `…_SERVICE_PORT`, `…_SERVICE_PORT_NAME`, `…_PORT`, `…_PORT_8080_TCP`, and
/// `…_PORT_8080_TCP_ADDR` (`_PORT`, `_PROTO`).
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    if name.ends_with("_PORT") && value.contains("://") {
        // Kubernetes sets a URL. A number comes from an operator who wants to set the port, and would not.
        return true;
    }
    name.match_indices("_PORT_").any(|(at, between)| {
        let mut parts = name[at + between.len()..].split('_');
        let number = parts.next().is_some_and(|number| number.parse::<u16>().is_ok());
        let protocol = parts.next().is_some_and(|protocol| PROTOCOLS.contains(&protocol));
        let rest: Vec<_> = parts.collect();
        number && protocol && matches!(rest[..], [] | ["ADDR" | "PORT" | "PROTO"])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(variables: &[(&str, &str)]) -> Vec<String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        unknown(&Cli::command(), variables)
    }

    #[test]
    fn an_unknown_variable_is_told_with_the_nearest_known_one_and_without_its_value() {
        assert_eq!(
            told(&[
                ("CART_PROMOTIONS_LISTN", "hunter2"),
                ("CART_PROMOTIONS_DATABASEURL", "hunter2"),
                ("CART_PROMOTIONS_MAX_CONNECTION", "hunter2"),
                ("CART_PROMOTION_LISTEN", "of another program"),
                ("CART_PROMOTIONS_LISTEN", "127.0.0.1:0"),
            ]),
            [
                "the environment variable CART_PROMOTIONS_DATABASEURL is not known; the nearest known name is \
                 CART_PROMOTIONS_DATABASE_URL",
                "the environment variable CART_PROMOTIONS_LISTN is not known; the nearest known name is \
                 CART_PROMOTIONS_LISTEN",
                "the environment variable CART_PROMOTIONS_MAX_CONNECTION is not known; the nearest known name is \
                 CART_PROMOTIONS_MAX_CONNECTIONS",
            ]
        );
    }

    #[test]
    fn the_variables_of_a_kubernetes_service_and_of_tests_are_passed_over() {
        for (name, value) in [
            ("CART_PROMOTIONS_PORT", "tcp://10.0.0.1:8080"),
            ("CART_PROMOTIONS_SERVICE_HOST", "10.0.0.1"),
            ("CART_PROMOTIONS_SERVICE_PORT", "8080"),
            ("CART_PROMOTIONS_SERVICE_PORT_HTTP", "8080"),
            ("CART_PROMOTIONS_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("CART_PROMOTIONS_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("CART_PROMOTIONS_PORT_8080_TCP_PORT", "8080"),
            ("CART_PROMOTIONS_PORT_8080_TCP_PROTO", "tcp"),
            ("CART_PROMOTIONS_POSTGRESQL_SERVICE_HOST", "10.0.0.2"),
            ("CART_PROMOTIONS_POSTGRESQL_PORT", "tcp://10.0.0.2:5432"),
            ("CART_PROMOTIONS_POSTGRESQL_PORT_5432_TCP_ADDR", "10.0.0.2"),
            ("CART_PROMOTIONS_TEST_POSTGRES", "required"),
        ] {
            assert_eq!(told(&[(name, value)]), [""; 0], "{name}");
        }
    }

    #[test]
    fn a_name_that_only_resembles_one_of_kubernetes_is_refused() {
        for (name, value) in [
            ("CART_PROMOTIONS_PORT", "8080"),
            ("CART_PROMOTIONS_PORT_8080", "8080"),
            ("CART_PROMOTIONS_PORT_HTTP_TCP", "8080"),
            ("CART_PROMOTIONS_PORT_8080_TCP_NAME", "8080"),
            ("CART_PROMOTIONS_PORT_8080_HTTP", "8080"),
            ("CART_PROMOTIONS_PORT_99999_TCP", "8080"),
            ("CART_PROMOTIONS_LISTEN_HOST", "10.0.0.1"),
        ] {
            assert_eq!(told(&[(name, value)]).len(), 1, "{name}");
        }
    }
}
