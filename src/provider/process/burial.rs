//! The burial of functions' orphans, where the gateway is the first process of a container: the kernel then makes it
//! the parent of whoever loses theirs, and who has ended stays in the table of processes until the parent
//! asks how. Without this, a container would need an init in front of the gateway, which then would not be
//! alone in its control group and could not divide it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::ledger;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Whether it falls to us.
pub(super) fn is_ours() -> bool {
    std::process::id() == 1
}

/// Buries orphans for as long as it runs. Children of our own are left to those who wait for them: the
/// ledger of the runtime directory names them, and who is not in there yet is not seen dead twice.
pub(super) async fn bury(runtime_dir: &Path) {
    let ledger: Arc<Path> = ledger::path(runtime_dir).into();
    let mut before = BTreeSet::new();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let ledger = Arc::clone(&ledger);
        let look = spawn_blocking(move || dead_strangers(&ledger));
        let dead = look.await.unwrap_or_default();
        for pid in dead.intersection(&before) {
            if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
                let _ = rustix::process::waitid(
                    WaitId::Pid(pid),
                    WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
                );
            }
        }
        before = dead;
    }
}

/// Children that are to be buried unless somebody asks for them. A ledger that cannot be read, or is not
/// there, might name any of them.
fn dead_strangers(ledger: &Path) -> BTreeSet<u32> {
    let dead = dead_children();
    if dead.is_empty() {
        return BTreeSet::new();
    }
    let ledger = fs::read(ledger);
    ledger.map_or_else(|_| BTreeSet::new(), |ledger| strangers(dead, &ledger))
}

/// Those that the ledger does not name.
fn strangers(dead: Vec<u32>, ledger: &[u8]) -> BTreeSet<u32> {
    let own: BTreeSet<u32> = ledger::read(ledger).iter().map(|own| own.group).collect();
    dead.into_iter().filter(|pid| !own.contains(pid)).collect()
}

/// Children that have ended and were not asked for. Mostly there is none, which one call tells.
fn dead_children() -> Vec<u32> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(rustix::process::waitid(WaitId::All, look), Ok(Some(_))) {
        return Vec::new();
    }
    let own = std::process::id();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let dead = processes.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        is_dead_child(&stat, own).then_some(pid)
    });
    dead.collect()
}

/// State and parent of a process: fields 3 and 4 of `/proc/PID/stat` (proc(5)).
fn is_dead_child(stat: &str, of: u32) -> bool {
    // The second field is the program's name in parentheses, and may hold any character.
    let fields = stat
        .rsplit_once(')')
        .map(|(_, after)| after.split_whitespace());
    let mut fields = fields.into_iter().flatten();
    fields.next() == Some("Z") && fields.next().and_then(|parent| parent.parse().ok()) == Some(of)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_dead_children_count() {
        assert!(is_dead_child("7 (sleep) Z 1 7 7 0", 1));
        assert!(is_dead_child("7 (a) Z 2 (b) Z 1 7 7 0", 1));
        assert!(!is_dead_child("7 (sleep) S 1 7 7 0", 1));
        assert!(!is_dead_child("7 (sleep) Z 12 7 7 0", 1));
        assert!(!is_dead_child("", 1));
    }

    #[test]
    fn without_a_ledger_nobody_is_a_stranger() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = child.id();
        let dead = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(Pid::from_child(&child)), dead).unwrap();
        let ledger = dir.path().join("groups");
        assert!(dead_strangers(&ledger).is_empty());
        fs::write(&ledger, "").unwrap();
        assert!(dead_strangers(&ledger).contains(&id));
        child.wait().unwrap();
    }

    #[test]
    fn who_stands_in_the_ledger_is_no_stranger() {
        let mut ledger = [0; 48];
        ledger[16..20].copy_from_slice(&7_u32.to_ne_bytes());
        assert_eq!(strangers(vec![6, 7, 8], &ledger), BTreeSet::from([6, 8]));
    }
}
