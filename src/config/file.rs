//! The file of `--config`: options by their names, in TOML. Its values become arguments of the command line where neither
//! the command line nor the environment has them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use toml::de::{DeTable, DeValue};

use super::options::{configurable, is_switch, nearest};
use crate::encoding::without_mark;
use crate::files::read_option_file;

/// A file of options.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    settings: Vec<Setting>,
}

/// One option of the file.
#[derive(Debug)]
struct Setting {
    name: String,
    line: usize,
    value: SettingValue,
}

/// The value of an option in the file.
#[derive(Debug)]
enum SettingValue {
    /// A switch that is on or off.
    Switch(bool),
    /// The values of an option that takes some.
    Texts(Vec<String>),
}

impl ConfigFile {
    /// Reads the file, and checks that every name in it is that of an option.
    ///
    /// # Errors
    /// Returns the first thing that is wrong, with its line.
    pub fn read(path: &Path, command: &Command) -> Result<Self, String> {
        let told = |problem: String| format!("--config: {}{problem}", path.display());
        let text = read_text(path).map_err(|problem| told(format!(" {problem}")))?;
        let at = |offset: usize| 1 + text.get(..offset).unwrap_or(&text).matches('\n').count();
        let table = DeTable::parse(&text).map_err(|error| {
            let line = at(error.span().map_or(0, |span| span.start));
            // The library repeats a part of the file nowhere in this text.
            told(format!(":{line}: {}", error.message().replace('\n', ", ")))
        })?;
        let options = configurable(command);
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let settings = entries.into_iter().map(|(name, value)| {
            let line = at(name.span().start);
            setting(name.get_ref(), value.get_ref(), &options)
                .map(|value| Setting { name: name.get_ref().to_string(), line, value })
                .map_err(|problem| told(format!(":{line}: {problem}")))
        });
        Ok(Self { settings: settings.collect::<Result<_, _>>()?, path: path.to_owned() })
    }

    /// Returns the arguments of `command` for the options of the file that it has. `is_given` tells which options have a
    /// value already; those, and options that exclude one of those, are left out.
    pub fn arguments(&self, command: &Command, is_given: impl Fn(&Arg) -> bool) -> Vec<OsString> {
        let given: Vec<_> = command.get_arguments().filter(|arg| is_given(arg)).collect();
        let excluded = |arg: &Arg| {
            let excludes = |one: &Arg, other: &Arg| {
                command.get_arg_conflicts_with(one).iter().any(|each| each.get_id() == other.get_id())
            };
            given.iter().any(|given| given.get_id() == arg.get_id() || excludes(given, arg) || excludes(arg, given))
        };
        let mut arguments = Vec::new();
        for setting in &self.settings {
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(&setting.name));
            if arg.is_none_or(excluded) {
                continue;
            }
            match &setting.value {
                SettingValue::Switch(true) => arguments.push(format!("--{}", setting.name).into()),
                SettingValue::Switch(false) => {}
                SettingValue::Texts(texts) => {
                    arguments.extend(texts.iter().map(|text| format!("--{}={text}", setting.name).into()));
                }
            }
        }
        arguments
    }

    /// Returns the file and the line of an option: "server.toml:3".
    pub fn place(&self, name: &str) -> Option<String> {
        let setting = self.settings.iter().find(|setting| setting.name == name)?;
        Some(format!("{}:{}", self.path.display(), setting.line))
    }

    /// Returns the values of an option in the file.
    pub fn values(&self, name: &str) -> &[String] {
        match self.settings.iter().find(|setting| setting.name == name).map(|setting| &setting.value) {
            Some(SettingValue::Texts(texts)) => texts,
            _ => &[],
        }
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let content = read_option_file(path).map_err(|error| format!("cannot be read: {error}"))?;
    let content = without_mark(&content).map_err(|utf_16| utf_16.to_string())?;
    String::from_utf8(content.to_owned()).map_err(|_| "is not UTF-8".to_owned())
}

/// Returns the value of an option, which must be one of `options`. No message repeats a value, which may be a secret.
fn setting(name: &str, value: &DeValue<'_>, options: &[&Arg]) -> Result<SettingValue, String> {
    let known = || options.iter().filter(|arg| arg.get_long() != Some("config"));
    let Some(arg) = known().find(|arg| arg.get_long() == Some(name)) else {
        let nearest = nearest(name, known().filter_map(|arg| arg.get_long()));
        return Err(format!("{name:?} is no option of a file{nearest}"));
    };
    match value {
        DeValue::Boolean(on) if is_switch(arg) => Ok(SettingValue::Switch(*on)),
        _ if is_switch(arg) => Err(format!("{name} must be true or false")),
        DeValue::Array(values) => {
            let texts = values.iter().map(|value| text(name, value.get_ref()));
            Ok(SettingValue::Texts(texts.collect::<Result<_, _>>()?))
        }
        one => Ok(SettingValue::Texts(vec![text(name, one)?])),
    }
}

fn text(name: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        _ => Err(format!("{name} must be a text or a number")),
    }
}
