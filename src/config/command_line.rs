//! Reads the command line, the environment and the file of `--config`, in this order of precedence, and tells in one line
//! what is wrong with them.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, ValueEnum};

use super::changed::changed;
use super::file::ConfigFile;
use super::options::SECRET_OPTION;
use super::{Cli, CliCommand, DatabaseUrl, database_url, environment};
use crate::telemetry::LogFormat;

/// The option for the file of options, and its variable.
const FILE_OPTION: (&str, &str) = ("config", "CART_PROMOTIONS_CONFIG");

/// The reason why there is no command to run.
#[derive(Debug)]
pub enum CliError {
    /// The text of `--help` or `--version` was asked for.
    Help(clap::Error),
    /// No command is named: the text of `--help` says which there are.
    NoCommand(clap::Error),
    /// The command line, the environment or the file of options is wrong.
    Wrong {
        /// One line, without secrets.
        line: String,
        /// Format of the line, if it is of a service that does not start.
        format: Option<LogFormat>,
    },
}

impl Cli {
    /// Parses the command line, the environment and the file of options of this process.
    ///
    /// # Errors
    /// Returns what is wrong with them, or the text of `--help`.
    pub fn read() -> Result<Self, CliError> {
        let given = Arguments { arguments: env::args_os().collect() };
        let command = Self::command();
        let wrong = |line| CliError::Wrong { line, format: given.format_of_service() };
        let file = given.file().map(|path| ConfigFile::read(&path, &command)).transpose().map_err(wrong)?;
        let told = |error: clap::Error| given.tell(error.format(&mut Self::command()), file.as_ref());
        let matches = command.try_get_matches_from(given.with(file.as_ref())).map_err(told)?;
        let mut cli = Self::from_arg_matches(&matches).map_err(told)?;
        if let CliCommand::Serve(options) = &mut cli.command
            && let Some((name, matches)) = matches.subcommand()
            && let Some(command) = Self::command().find_subcommand(name)
        {
            options.changed = changed(command, matches);
        }
        if cli.command.common().is_some() {
            environment::refuse_unknown().map_err(wrong)?;
        }
        let shows_password = given.has(SECRET_OPTION) && shows_password(&matches);
        Ok(Self { shows_password, ..cli })
    }
}

/// Returns true when a database URL among the arguments has a password.
fn shows_password(matches: &ArgMatches) -> bool {
    if let Some((_, matches)) = matches.subcommand() {
        return shows_password(matches);
    }
    // Not every command has the option.
    let url = matches.try_get_one::<DatabaseUrl>("database_url").ok().flatten();
    url.is_some_and(DatabaseUrl::has_password) && matches.value_source("database_url") == Some(ValueSource::CommandLine)
}

/// The arguments of this process, which begin with the name of the program.
struct Arguments {
    arguments: Vec<OsString>,
}

impl Arguments {
    /// Returns the values of an option among the arguments: `--name VALUE` and `--name=VALUE`.
    fn values(&self, name: &str) -> Vec<&str> {
        let option = format!("--{name}");
        let texts: Vec<_> = self.arguments.iter().map(|text| text.to_str().unwrap_or_default()).collect();
        let value = |(at, text): (usize, &&'_ str)| match text.strip_prefix(option.as_str())? {
            "" => Some(at + 1),
            rest => rest.starts_with('=').then_some(at),
        };
        let places = texts.iter().enumerate().filter_map(value);
        let found = places.map(|at| {
            let text = texts.get(at).copied().unwrap_or_default();
            text.strip_prefix(option.as_str()).map_or(text, |rest| rest.strip_prefix('=').unwrap_or(rest))
        });
        found.collect()
    }

    fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// Returns the path of the file of options.
    fn file(&self) -> Option<PathBuf> {
        let (option, variable) = FILE_OPTION;
        let named = self.values(option).first().map(PathBuf::from);
        named.or_else(|| env::var_os(variable).map(PathBuf::from))
    }

    /// Returns the arguments with those of the file after the names of the command.
    fn with(&self, file: Option<&ConfigFile>) -> Vec<OsString> {
        let root = Cli::command();
        let (mut command, mut names) = (&root, 1);
        while let Some(found) = self.arguments.get(names).and_then(|name| command.find_subcommand(name)) {
            (command, names) = (found, names + 1);
        }
        let is_given = |arg: &Arg| {
            arg.get_long().is_some_and(|name| self.has(name))
                || arg.get_env().is_some_and(|name| env::var_os(name).is_some())
        };
        let (names, rest) = self.arguments.split_at(names.min(self.arguments.len()));
        let of_file = file.map_or(Vec::new(), |file| file.arguments(command, is_given));
        [names, &of_file, rest].concat()
    }

    /// Returns an error of the parser in one line, without secrets.
    fn tell(&self, error: clap::Error, file: Option<&ConfigFile>) -> CliError {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return CliError::Help(error),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                return CliError::NoCommand(error);
            }
            _ => {}
        }
        // The text repeats arguments. What follows the first empty line is the usage.
        let text = error.to_string();
        let problem = text.split("\n\n").next().unwrap_or_default();
        let problem = problem.strip_prefix("error: ").unwrap_or(problem);
        let lines = problem.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut line = lines.collect::<Vec<_>>().join(" ");
        for (secret, shown) in self.secrets(file) {
            line = line.replace(&secret, &shown);
        }
        let sources: Vec<_> = options_of(&error).iter().filter_map(|name| self.source(name, file)).collect();
        if !sources.is_empty() {
            line = format!("{line} (from {})", sources.join(", "));
        }
        CliError::Wrong { line, format: self.format_of_service() }
    }

    /// Returns the format of the log if the command is `serve`, as far as the arguments and the environment give it.
    fn format_of_service(&self) -> Option<LogFormat> {
        self.arguments.get(1).filter(|command| *command == "serve")?;
        let variable = env::var("CART_PROMOTIONS_LOG_FORMAT").ok();
        let named = self.values("log-format").last().map(ToString::to_string).or(variable);
        let named = named.and_then(|name| LogFormat::from_str(&name, true).ok());
        Some(named.unwrap_or_else(LogFormat::by_default))
    }

    /// Returns the source of an option that is not among the arguments: a variable, or a line of the file.
    fn source(&self, name: &str, file: Option<&ConfigFile>) -> Option<String> {
        if self.has(name) {
            return None;
        }
        let command = Cli::command();
        let options = super::options::configurable(&command);
        let variable = options.iter().find(|arg| arg.get_long() == Some(name))?.get_env()?;
        if env::var_os(variable).is_some() {
            return Some(variable.to_string_lossy().into_owned());
        }
        file?.place(name)
    }

    /// Returns each text that may hold a password, and the text that stands for it in messages.
    fn secrets(&self, file: Option<&ConfigFile>) -> Vec<(String, String)> {
        let variable = env::var("CART_PROMOTIONS_DATABASE_URL").ok();
        let urls = self.values(SECRET_OPTION).into_iter().chain(variable.as_deref());
        let urls = urls.chain(file.into_iter().flat_map(|file| file.values(SECRET_OPTION)).map(String::as_str));
        // A URL that was given without its option, or to another one.
        let astray = self.arguments.iter().filter_map(|text| text.to_str()).filter(|text| text.contains("://"));
        let astray = astray
            .map(|text| text.split_once('=').filter(|(name, _)| name.starts_with('-')).map_or(text, |(_, url)| url));
        let mut secrets: Vec<_> = urls
            .chain(astray)
            .filter(|url| !url.is_empty())
            .map(|url| (url.to_owned(), database_url::shown(url)))
            .collect();
        // A text that contains another one comes first.
        secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        secrets
    }
}

/// Returns the names of the options that an error of the parser is about.
fn options_of(error: &clap::Error) -> Vec<String> {
    let name = |shown: &String| Some(shown.strip_prefix("--")?.split([' ', '=']).next()?.to_owned());
    let named = [ContextKind::InvalidArg, ContextKind::PriorArg].map(|kind| match error.get(kind) {
        Some(ContextValue::String(shown)) => name(shown).into_iter().collect(),
        Some(ContextValue::Strings(shown)) => shown.iter().filter_map(name).collect(),
        _ => Vec::new(),
    });
    named.concat()
}
