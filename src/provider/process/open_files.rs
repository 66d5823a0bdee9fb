//! How many files may be open (`RLIMIT_NOFILE`, getrlimit(2)). The gateway takes as many as it is allowed to:
//! each connection is one, and what a shell gives a program is 1,024. Functions get what they would have
//! had without it, as a program may use select(2), or close all files there could be.

use std::io;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// What the gateway was started with, once it has more: the limits of a process are the same for all of it.
static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Raises this process's limit to the highest that it may set itself, and returns that. Functions that are
/// started from then on get the old one.
pub fn raise() -> io::Result<u64> {
    let given = *GIVEN.get_or_init(|| getrlimit(Resource::Nofile));
    let most = Rlimit {
        current: given.maximum,
        maximum: given.maximum,
    };
    setrlimit(Resource::Nofile, most)?;
    // No limit at all is none that could be reached.
    Ok(given.maximum.unwrap_or(u64::MAX))
}

/// What a function is to have, where that is less than the gateway's own.
pub(super) fn of_functions() -> Option<u64> {
    let given = GIVEN.get()?;
    given.current.filter(|_| given.current != given.maximum)
}

/// Limits a function's process; one that no launcher starts has begun a moment before.
pub(super) fn limit(pid: Pid, files: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(files),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    match prlimit(Some(pid), Resource::Nofile, limit) {
        // Whoever has ended opens nothing.
        Ok(_) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
