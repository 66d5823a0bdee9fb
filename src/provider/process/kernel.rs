//! The one place without Rust's guarantees: what has to happen between fork and exec, and leaving
//! namespaces of the kernel.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;
use rustix::thread::UnshareFlags;

/// Has the process killed when the *thread* that forks it ends (prctl(2), `PR_SET_PDEATHSIG`).
#[allow(unsafe_code)]
pub(super) fn die_with_parent(command: &mut Command) {
    let gateway = rustix::process::getpid();
    let ask = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The gateway may have died before the kernel was asked; then nobody would tell us.
        match rustix::process::getppid() {
            Some(parent) if parent == gateway => Ok(()),
            _ => Err(io::Error::from(io::ErrorKind::NotConnected)),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed (signal-safety(7)).
    // The closure makes two plain system calls and allocates nothing, errors included.
    unsafe {
        command.pre_exec(ask);
    }
}

/// Leaves the namespaces of the parent for new ones (unshare(2)).
#[allow(unsafe_code)]
pub(super) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    debug_assert!(!namespaces.contains(UnshareFlags::FILES));
    // SAFETY: the danger are file descriptors that another thread no longer finds; the table of
    // descriptors is never unshared here, and the launcher has one thread only.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }?;
    Ok(())
}
