//! Files that are for the service's own user alone: databases and private keys.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The widest permissions of a database.
pub const DATABASE_MODE: u32 = 0o600;
/// The widest permissions of a private key: secrets that Kubernetes mounts for a group are readable to it.
pub const KEY_MODE: u32 = 0o640;

/// Warns of a file that others may read or change beyond these permissions.
pub fn warn_if_wider(mode: u32, file: &Path) {
    let Ok(metadata) = std::fs::metadata(file) else { return };
    let is = metadata.permissions().mode() & 0o777;
    if is & !(mode | 0o700) != 0 {
        let file = file.display();
        tracing::warn!(%file, mode = format!("{is:04o}"), "others may read or change this file: chmod {mode:o} it");
    }
}
