//! Checks files that only the service's own user should access: databases, private keys, and
//! files with the URL of the database.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The widest permissions of a database file.
pub const DATABASE_MODE: u32 = 0o600;
/// The widest permissions of a file with a secret: those that Kubernetes mounts for a group are readable by the group.
pub const SECRET_MODE: u32 = 0o640;

/// Logs a warning when the permissions of a file are wider than `mode`.
pub fn warn_if_wider(mode: u32, file: &Path) {
    let Ok(metadata) = std::fs::metadata(file) else { return };
    let is = metadata.permissions().mode() & 0o777;
    if is & !(mode | 0o700) != 0 {
        let file = file.display();
        tracing::warn!(%file, mode = format!("{is:04o}"), "other users have access to this file: chmod {mode:o} it");
    }
}
