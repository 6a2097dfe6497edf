//! How many connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Left for everything else: the database, files, standard streams, and connections that are being closed.
const RESERVED: usize = 256;

/// Raises the limit of open files as far as the process may, and gives how many connections it allows; half of the limit
/// where that is low.
pub fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { current };
    let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    files - RESERVED.min(files / 2)
}
