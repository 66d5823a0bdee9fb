//! Control groups (cgroups(7), version 2), where the gateway has been given a part of the tree: by
//! systemd's `Delegate=yes`, or as the only program of a container whose tree can be written to.
//!
//! Each copy of a function with limits gets a group of its own, so the limits count for all of its
//! processes together. The gateway itself moves to a leaf, as a group with children cannot hold
//! processes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Limits;

/// Where the gateway itself is.
const LEAF: &str = "gateway";
/// What the names of functions' groups begin with.
const PREFIX: &str = "fn-";
/// Period of limits of processor time, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;

/// The part of the tree that is the gateway's.
#[derive(Debug)]
pub(super) struct Cgroups {
    base: PathBuf,
    memory: bool,
    cpu: bool,
}

/// The group of one copy of a function. Dropping it ends whatever is left in it.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroups {
    /// Takes over the group that the gateway was started in. The error says why that cannot be.
    pub fn take_over() -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| error.to_string());
        let (own, mounts) = (read("/proc/self/cgroup")?, read("/proc/self/mountinfo")?);
        let base = base(&own, &mounts).ok_or("there is no tree of version 2")?;
        let told = |what: &str, error: io::Error| format!("{what}: {error}");
        let inside = fs::read_to_string(base.join("cgroup.procs"));
        let inside = inside.map_err(|error| told("who is in the group", error))?;
        let own = std::process::id().to_string();
        if inside.lines().any(|process| process != own) {
            return Err("other programs are in the same group; it is not delegated".to_owned());
        }
        if !is_delegated(&base) {
            return Err("systemd keeps the group for itself; set Delegate=yes".to_owned());
        }
        let offered = fs::read_to_string(base.join("cgroup.controllers"));
        let offered = offered.map_err(|error| told("controllers", error))?;
        let is_offered = |name: &str| offered.split_whitespace().any(|offer| offer == name);
        if !is_offered("memory") && !is_offered("cpu") {
            return Err("it offers neither memory nor cpu".to_owned());
        }
        let leaf = base.join(LEAF);
        fs::create_dir_all(&leaf)
            .and_then(|()| fs::write(leaf.join("cgroup.procs"), &own))
            .map_err(|error| told("moving to a leaf", error))?;
        remove_left_over(&base);
        let enable = |name: &str| {
            let control = base.join("cgroup.subtree_control");
            is_offered(name) && fs::write(control, format!("+{name}")).is_ok()
        };
        Ok(Self {
            memory: enable("memory"),
            cpu: enable("cpu"),
            base,
        })
    }

    /// Whether limits of memory hold.
    pub fn limits_memory(&self) -> bool {
        self.memory
    }

    /// Whether limits of processor time hold.
    pub fn limits_cpu(&self) -> bool {
        self.cpu
    }

    /// A group with these limits; `None`: there are none that a group could hold.
    pub fn create(&self, name: &str, limits: Limits) -> io::Result<Option<Cgroup>> {
        let memory = limits.memory.filter(|_| self.memory);
        let cpu = limits.cpu.filter(|_| self.cpu);
        if memory.is_none() && cpu.is_none() {
            return Ok(None);
        }
        let cgroup = Cgroup {
            path: self.base.join(format!("{PREFIX}{name}")),
        };
        fs::create_dir_all(&cgroup.path)?;
        if let Some(bytes) = memory {
            cgroup.set("memory.max", &bytes.to_string())?;
            // What is swapped out would not count. There may be no swap to account for.
            let _ = cgroup.set("memory.swap.max", "0");
        }
        if let Some(millis) = cpu {
            // The kernel takes no less than a millisecond.
            let quota = (millis * PERIOD / 1000).max(1000);
            cgroup.set("cpu.max", &format!("{quota} {PERIOD}"))?;
        }
        Ok(Some(cgroup))
    }
}

impl Cgroup {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.path.join(file), value)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Older kernels cannot; whoever left its process group then stays.
        let _ = self.set("cgroup.kill", "1");
        // The killed need a moment. What stays is removed at the next start.
        for _ in 0..10 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Moves the calling process to a group.
#[cfg(target_os = "linux")]
pub(super) fn enter(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
}

/// Groups of a gateway that was killed.
fn remove_left_over(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            drop(Cgroup { path: entry.path() });
        }
    }
}

/// Whether a group may be divided. Only root could do it without being asked to; then systemd says so
/// in an attribute of its units' groups (systemd.resource-control(5), `Delegate=`).
fn is_delegated(base: &Path) -> bool {
    let name = base.file_name().unwrap_or_default().to_string_lossy();
    let is_unit = [".service", ".scope", ".slice"]
        .iter()
        .any(|kind| name.ends_with(kind));
    let says_so = |attribute: &str| {
        let mut value = [0; 8];
        rustix::fs::getxattr(base, attribute, &mut value)
            .is_ok_and(|length| value[..length] == *b"1")
    };
    !is_unit
        || !rustix::process::geteuid().is_root()
        || says_so("user.delegate")
        || says_so("trusted.delegate")
}

/// The folder of this process's group: its path in the tree, below where the tree is mounted.
fn base(own: &str, mounts: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (fields, source) = line.split_once(" - ")?;
        if !source.starts_with("cgroup2 ") {
            return None;
        }
        let mut fields = fields.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(place).join(below))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_where_the_tree_is_mounted() {
        let mounts = "25 1 0:23 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let own = "0::/system.slice/gateway.service\n";
        let found = base(own, mounts).unwrap();
        assert_eq!(
            found,
            Path::new("/sys/fs/cgroup/system.slice/gateway.service")
        );
        let part = "25 1 0:23 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw";
        assert_eq!(
            base("0::/docker/abc\n", part).unwrap(),
            Path::new("/sys/fs/cgroup/")
        );
        assert_eq!(base("0::/elsewhere\n", part), None);
        let both = "30 1 0:9 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                    25 1 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            base("1:cpu:/\n0::/\n", both).unwrap(),
            Path::new("/sys/fs/cgroup/unified/")
        );
        assert_eq!(base("1:cpu:/\n", both), None);
    }

    #[test]
    fn a_test_program_shares_its_group_and_takes_nothing_over() {
        // Cargo runs beside it, so whatever the machine has is not this program's alone.
        Cgroups::take_over().unwrap_err();
    }
}
