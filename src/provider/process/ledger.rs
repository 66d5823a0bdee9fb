//! Which process groups run: a file that outlives the gateway by a moment.
//!
//! The gateway notes every group here as it starts and strikes it out as it ends. When the gateway
//! dies, however it dies, the [reaper](super::reaper) reads the file and kills what is left. A
//! file instead of messages keeps a call cheap: one short write into the page cache to begin and
//! one to end, and the reaper sleeps through it all.
//!
//! A record is 16 bytes, native byte order, nobody else reads it: the group's id, then the time
//! after which no process of that id can be ours, in clock ticks since boot. All zero is a free
//! place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal};

const RECORD: usize = 16;
const FILE: &str = "groups";

/// Clock ticks per second of `/proc/PID/stat` (proc(5)); Linux presents 100 to every program on
/// the architectures we know.
const TICKS: u64 = 100;

/// Notes the groups that run.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    // A std mutex: held to take or return a number, never over an await.
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    free: Vec<u64>,
    used: u64,
}

/// A process group that ends with this value: dropping it kills whoever is left in it.
#[derive(Debug)]
pub(super) struct Group {
    id: Pid,
    place: u64,
    ended: bool,
    ledger: Arc<Ledger>,
}

/// A group as the ledger remembers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The group's id, which is its leader's process id.
    pub group: u32,
    /// The leader started no later than this, in ticks since boot.
    pub started: u64,
}

/// Where the ledger of a runtime directory lies.
pub(super) fn path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join(FILE)
}

impl Ledger {
    /// An empty ledger in `runtime_dir`.
    pub fn create(runtime_dir: &Path) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            file: File::create_new(path(runtime_dir))?,
            places: Mutex::default(),
        }))
    }

    /// Notes the group led by a child that has just started. If it cannot be noted, the group is
    /// killed: what could outlive the gateway must not run.
    pub fn enter(self: &Arc<Self>, leader: Pid) -> io::Result<Group> {
        let group = Group {
            id: leader,
            place: self.places().take(),
            ended: false,
            ledger: Arc::clone(self),
        };
        // One tick more, as the kernel rounds a start time down and we round ours down too.
        let record = Record {
            group: leader.as_raw_nonzero().get().unsigned_abs(),
            started: ticks_since_boot() + 1,
        };
        self.write(group.place, record)?;
        Ok(group)
    }

    fn write(&self, place: u64, record: Record) -> io::Result<()> {
        let mut bytes = [0; RECORD];
        bytes[..4].copy_from_slice(&record.group.to_ne_bytes());
        bytes[8..].copy_from_slice(&record.started.to_ne_bytes());
        self.file.write_all_at(&bytes, place * RECORD as u64)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn take(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.used - 1
        })
    }
}

impl Group {
    /// Sends a signal to every process in the group.
    pub fn signal(&self, signal: Signal) {
        if !self.ended {
            // The only failure is that nobody is left, which is what signals are sent for.
            let _ = rustix::process::kill_process_group(self.id, signal);
        }
    }

    /// Kills whoever is left, at once after the leader was reaped: later the kernel may have given
    /// the id to a stranger. Nothing is signalled from here on.
    pub fn end(&mut self) {
        if self.ended {
            return;
        }
        self.signal(Signal::KILL);
        self.ended = true;
        if let Err(error) = self.ledger.write(self.place, Record::default()) {
            tracing::warn!(%error, "striking a process group out of the ledger");
        }
        self.ledger.places().free.push(self.place);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// The groups a ledger's text names.
pub(super) fn read(bytes: &[u8]) -> Vec<Record> {
    let (records, _) = bytes.as_chunks::<RECORD>();
    records
        .iter()
        .map(|record| {
            let [a, b, c, d, _, _, _, _, started @ ..] = *record;
            Record {
                group: u32::from_ne_bytes([a, b, c, d]),
                started: u64::from_ne_bytes(started),
            }
        })
        .filter(|record| record.group != 0)
        .collect()
}

/// The time since boot, as `/proc` counts it.
pub(super) fn ticks_since_boot() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    let now = clock_gettime(ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * TICKS + now.tv_nsec.unsigned_abs() / (1_000_000_000 / TICKS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_noted_until_they_end_and_places_are_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(dir.path()).unwrap();
        let noted = || {
            let records = read(&std::fs::read(path(dir.path())).unwrap());
            records
                .iter()
                .map(|record| record.group)
                .collect::<Vec<_>>()
        };
        // Beyond every id the kernel gives out, so that the signal of the drop meets nobody.
        let pid = |number: i32| Pid::from_raw(i32::MAX - number).unwrap();
        let number = |pid: Pid| pid.as_raw_nonzero().get().unsigned_abs();

        let first = ledger.enter(pid(1)).unwrap();
        let second = ledger.enter(pid(2)).unwrap();
        assert_eq!(noted(), [number(pid(1)), number(pid(2))]);
        drop(first);
        assert_eq!(noted(), [number(pid(2))]);
        let third = ledger.enter(pid(3)).unwrap();
        assert_eq!(noted(), [number(pid(3)), number(pid(2))]);
        drop((second, third));
        assert_eq!(noted(), [0; 0]);
    }

    #[test]
    fn a_broken_record_at_the_end_is_left_out() {
        let mut bytes = vec![0; RECORD];
        bytes[..4].copy_from_slice(&7_u32.to_ne_bytes());
        bytes.extend([1; RECORD - 1]);
        let groups: Vec<_> = read(&bytes).iter().map(|record| record.group).collect();
        assert_eq!(groups, [7]);
    }
}
