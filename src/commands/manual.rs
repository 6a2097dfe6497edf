//! `completions` and `man`: texts made from the description of the command line.

use clap::CommandFactory;

use super::{CommandError, print};
use crate::config::Cli;
use crate::config::inspect::{Completions, Man};

/// Writes the completions of a shell to standard output.
///
/// # Errors
/// Returns an error when standard output is closed.
pub fn completions(options: &Completions) -> Result<(), CommandError> {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "cart-promotions", &mut text);
    print(&String::from_utf8_lossy(&text))
}

/// Writes the page of the program to standard output, or the pages of all commands to a folder.
///
/// # Errors
/// Returns an error when a page cannot be written.
pub fn man(options: &Man) -> Result<(), CommandError> {
    if let Some(folder) = &options.directory {
        let unwritable = |source| CommandError::Unwritable { file: folder.display().to_string(), source };
        return clap_mangen::generate_to(Cli::command(), folder).map_err(unwritable);
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text).map_err(CommandError::Output)?;
    print(&String::from_utf8_lossy(&text))
}
