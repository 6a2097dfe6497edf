//! The options that have an environment variable, and so may stand in the file of `--config`, too.

use clap::{Arg, ArgAction, Command};

/// The option whose value may have a password.
pub(super) const SECRET_OPTION: &str = "database-url";

/// Returns the options of this command and of all commands below it that have an environment variable. An option of
/// several commands comes several times.
pub(super) fn configurable(command: &Command) -> Vec<&Arg> {
    let own = command.get_arguments().filter(|arg| arg.get_env().is_some() && arg.get_long().is_some());
    own.chain(command.get_subcommands().flat_map(configurable)).collect()
}

/// Returns true when the option takes no value.
pub(super) fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Similarity below which a name is no misspelling of another: the parser of the command line suggests names from it on.
const MISSPELLED: f64 = 0.7;

/// Returns the known name that is nearest to an unknown one, as a text to add to a message; empty when none is near.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> String {
    let rated = known.map(|name| (strsim::jaro_winkler(unknown, name), name)).filter(|(rate, _)| *rate > MISSPELLED);
    let nearest = rated.max_by(|one, other| one.0.total_cmp(&other.0));
    nearest.map_or(String::new(), |(_, name)| format!("; the nearest known name is {name}"))
}
