//! The malformed lines of `customers import`: passed over, and written to a file that can be put right and imported.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::{CommandError, note};
use crate::config::customers::ImportCustomers;
use crate::wire::files::customer::{CustomerLines, REMARK};

/// Maximum number of malformed lines that a dry run without a file names.
const MAX_SHOWN: u64 = 20;

/// The malformed lines that are passed over.
pub(super) struct Rejects {
    /// The file, until it is complete, and its path.
    file: Option<(BufWriter<File>, PathBuf)>,
    /// True when malformed lines are named on standard error, as there is no file for them.
    is_shown: bool,
    count: u64,
}

impl Rejects {
    /// Creates the file that the options name. An existing file is left alone.
    ///
    /// # Errors
    /// Returns why the file cannot be created.
    pub fn create(options: &ImportCustomers) -> Result<Self, CommandError> {
        let create = |path: &PathBuf| match File::create_new(path) {
            Ok(file) => Ok((BufWriter::new(file), path.clone())),
            Err(source) => Err(CommandError::Unwritable { file: path.display().to_string(), source }),
        };
        let file = options.rejects.as_ref().map(create).transpose()?;
        let is_shown = options.dry_run && file.is_none();
        Ok(Self { file, is_shown, count: 0 })
    }

    /// Returns true when malformed lines do not end the reading.
    pub fn are_passed_over(&self) -> bool {
        self.file.is_some() || self.is_shown
    }

    /// Records the line that was read last. The first is written after the names of the columns.
    ///
    /// # Errors
    /// Returns the error of the file.
    pub fn add(&mut self, lines: &CustomerLines, problem: &str) -> std::io::Result<()> {
        self.count += 1;
        let problem = problem.replace(['\r', '\n'], " ");
        if self.is_shown && self.count <= MAX_SHOWN {
            note(&format!("line {}: {problem}", lines.line()));
        }
        let Some((file, _)) = &mut self.file else { return Ok(()) };
        if let Some(header) = lines.header().filter(|_| self.count == 1) {
            file.write_all(header)?;
            file.write_all(b"\n")?;
        }
        writeln!(file, "{REMARK}{}: {problem}", lines.line())?;
        file.write_all(lines.text())?;
        file.write_all(b"\n")
    }

    /// Writes what is still in memory, or removes a file without a line. Returns the number of malformed lines.
    ///
    /// # Errors
    /// Returns the error of the file.
    pub fn finish(&mut self) -> std::io::Result<u64> {
        if let Some((file, _)) = &mut self.file {
            file.flush()?;
        }
        self.remove_if_empty();
        if self.is_shown && self.count > MAX_SHOWN {
            note(&format!("and {} more", self.count - MAX_SHOWN));
        }
        Ok(self.count)
    }

    /// Removes a file without a line, so that the same command can be given again.
    fn remove_if_empty(&mut self) {
        if self.count == 0
            && let Some((_, path)) = self.file.take()
        {
            // A file that cannot be removed is reported by the next command that is to create it.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Rejects {
    fn drop(&mut self) {
        self.remove_if_empty();
    }
}
