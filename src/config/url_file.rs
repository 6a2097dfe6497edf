//! The file that holds the URL of the database. No message repeats its content, which may be a password.

use std::path::{Path, PathBuf};

use super::database_url::{DatabaseUrl, UrlViolation};
use crate::encoding::{Utf16, without_mark};
use crate::files::read_option_file;

/// The URL of the database, with the file that it was read from.
#[derive(Debug, Clone)]
pub(super) struct UrlFile {
    /// Path of the file.
    pub path: PathBuf,
    /// The URL.
    pub url: DatabaseUrl,
}

/// Reason why a file gives no URL.
#[derive(Debug, thiserror::Error)]
pub(super) enum UrlFileError {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    Unreadable(#[from] std::io::Error),
    /// The file is UTF-16.
    #[error("the file {0}")]
    Utf16(#[from] Utf16),
    /// The file is not text.
    #[error("the file is not UTF-8")]
    NotText,
    /// The file has no URL.
    #[error("the file is empty")]
    Empty,
    /// The file has something after the URL.
    #[error("the file has more than one line")]
    Lines,
    /// The query of the URL has a parameter that the driver would ignore. Its name may be a part of a password that was
    /// not escaped.
    #[error("the URL in the file has a parameter that is not known")]
    Parameter,
    /// The URL is malformed otherwise.
    #[error("the URL in the file: {0}")]
    Url(UrlViolation),
}

impl UrlFile {
    /// Reads the file.
    ///
    /// # Errors
    /// Returns why it gives no URL.
    pub fn read(path: PathBuf) -> Result<Self, UrlFileError> {
        let url = read(&path)?;
        Ok(Self { path, url })
    }
}

fn read(path: &Path) -> Result<DatabaseUrl, UrlFileError> {
    let content = read_option_file(path)?;
    let text = std::str::from_utf8(without_mark(&content)?).map_err(|_| UrlFileError::NotText)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return Err(UrlFileError::Empty);
    }
    if text.contains(['\r', '\n']) {
        return Err(UrlFileError::Lines);
    }
    text.parse().map_err(|violation| match violation {
        UrlViolation::Parameter(_) => UrlFileError::Parameter,
        other => UrlFileError::Url(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_content(content: &[u8]) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let read = UrlFile::read(file.path().to_owned());
        read.map(|file| file.url.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_url_is_the_only_line_of_the_file() {
        let url = "postgres://u:p@h/d";
        for (before, after) in [("", ""), ("", "\n"), ("", "\r\n"), ("", "\n\n"), ("\u{feff}", "\n")] {
            assert_eq!(read_content(format!("{before}{url}{after}").as_bytes()), Ok(url.to_owned()));
        }
    }

    #[test]
    fn a_file_without_a_url_is_refused_without_its_content() {
        for (content, expected) in [
            (&b""[..], "the file is empty"),
            (b" \n", "the file is empty"),
            (b"postgres://u:hunter2@h/d\n# hunter2", "the file has more than one line"),
            (b"hunter2", "the URL in the file: neither sqlite://FILE nor postgres://USER:PASSWORD@HOST/NAME"),
            (
                b"postgres://u:hunter2@h:port/d",
                "the URL in the file: not a PostgreSQL URL: use postgres://USER:PASSWORD@HOST/NAME",
            ),
            (
                b"postgres://u:my?hunter2@h/d",
                "the URL in the file: not a PostgreSQL URL: use postgres://USER:PASSWORD@HOST/NAME",
            ),
            (b"postgres://u@h/d?hunter2=1", "the URL in the file has a parameter that is not known"),
            (b"sqlite://", "the URL in the file: no file is named: use sqlite://FILE"),
            (b"\xff\xfep\0", "the file is UTF-16 (little-endian); save it as UTF-8"),
            (b"postgres://u:\xe9@h/d", "the file is not UTF-8"),
        ] {
            assert_eq!(read_content(content), Err(expected.to_owned()));
        }
        let missing = UrlFile::read("/no/such/file".into()).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read the file: No such file"), "{missing}");
    }
}
