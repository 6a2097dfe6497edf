//! Files that operators name: reads them up to a limit, and checks the permissions of those that only the service's own user
//! should access (databases, private keys, and files with the URL of the database).

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Maximum size in bytes of a file of options, keys or issuers: hundreds of times that of a usual one.
pub const MAX_OPTION_FILE_BYTES: u64 = 1 << 20;

/// The widest permissions of a database file.
pub const DATABASE_MODE: u32 = 0o600;
/// The widest permissions of a file with a secret: those that Kubernetes mounts for a group are readable by the group.
pub const SECRET_MODE: u32 = 0o640;

/// Reads a file that an option names.
///
/// # Errors
/// Returns the error of the system, or [`ErrorKind::FileTooLarge`] for more than [`MAX_OPTION_FILE_BYTES`].
pub fn read_option_file(file: &Path) -> Result<Vec<u8>, Error> {
    read_up_to(File::open(file)?, MAX_OPTION_FILE_BYTES)
}

/// Reads to the end of a file, a pipe or a device.
///
/// # Errors
/// Returns the error of the system, or [`ErrorKind::FileTooLarge`] when there are more than `max` bytes.
pub fn read_up_to(source: impl Read, max: u64) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    source.take(max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {max} bytes")));
    }
    Ok(content)
}

/// Logs a warning when the permissions of a file are wider than `mode`.
pub fn warn_if_wider(mode: u32, file: &Path) {
    let Ok(metadata) = std::fs::metadata(file) else { return };
    let is = metadata.permissions().mode() & 0o777;
    if is & !(mode | 0o700) != 0 {
        let file = file.display();
        tracing::warn!(%file, mode = format!("{is:04o}"), "other users have access to this file: chmod {mode:o} it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_has_a_limit() {
        for (size, is_read) in [(0, true), (7, true), (8, true), (9, false), (1 << 20, false)] {
            let read = read_up_to(std::io::repeat(b'x').take(size), 8);
            assert_eq!(
                read.map_err(|error| error.kind()).is_ok_and(|read| read.len() as u64 == size),
                is_read,
                "{size}"
            );
        }
        let endless = read_option_file(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.to_string(), "it has more than 1048576 bytes");
    }
}
