//! The launcher on systems without namespaces: there is none, and nobody asks for it.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Where functions find their secrets, on every platform of OpenFaaS.
pub(super) const SECRETS: &str = "/var/openfaas/secrets";

/// See the launcher of Linux.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(dead_code, reason = "it is only ever filled in")]
pub(super) struct Plan {
    pub program: PathBuf,
    pub dies_with_parent: bool,
    pub memory: Option<u64>,
    pub open_files: Option<u64>,
    pub cgroup: Option<PathBuf>,
    pub secrets: Option<PathBuf>,
    pub bench: PathBuf,
    pub sandbox: Option<Sandbox>,
}

/// See the launcher of Linux.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(dead_code, reason = "it is only ever filled in")]
pub(super) struct Sandbox {
    pub writable: Option<PathBuf>,
    pub hidden: Vec<PathBuf>,
}

/// No variable needs to be carried.
pub(super) fn carried(name: &str) -> Cow<'_, str> {
    name.into()
}

/// Always an error.
pub(super) fn command(_: &Plan) -> io::Result<Command> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Never asked to launch.
pub fn run(_: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    None
}
