//! The number of connections that the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors kept for everything else: the database, files, standard streams, and connections that are closing.
const RESERVED: usize = 256;

/// Raises the limit of open files as far as the process may, and returns the number of connections that it allows: all
/// but `RESERVED`, or half of a low limit.
pub fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { current };
    let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    files - RESERVED.min(files / 2)
}
