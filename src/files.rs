//! Files that are for the service's own user alone: databases and private keys.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Permissions of anybody but the owner.
const OF_OTHERS: u32 = 0o077;

/// Warns of a file that others than its owner may read or change.
pub fn warn_if_readable(file: &Path) {
    let Ok(metadata) = std::fs::metadata(file) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OF_OTHERS != 0 {
        let (file, mode) = (file.display(), format!("{mode:04o}"));
        tracing::warn!(%file, mode, "others may read this file, which is for the service's own user: chmod 600 it");
    }
}
