//! What functions' processes use, read from `/proc` when somebody asks: in one pass, however many
//! functions are asked about.
//!
//! A process is seen only while it runs. What it used between the last look and its end is not counted:
//! of a function that forks a short process for each call, most.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::function::Usage;
use crate::provider::Spent;

/// Time between the two looks that processor time is told from. The kernel counts it in hundredths
/// of a second.
const WINDOW: Duration = Duration::from_millis(200);
/// Clock ticks per second of `/proc/PID/stat` (proc(5)).
const TICKS: f64 = 100.0;

/// The process groups of one function that run now.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// Each with the clock ticks that it had used when it was last looked at. A std mutex: held to note
    /// a number or to copy them, never over an await.
    groups: Mutex<BTreeMap<u32, u64>>,
    /// Clock ticks that all looks together have seen being used. It only grows.
    ticks: AtomicU64,
}

/// A group that runs; dropping it says that it has ended.
#[derive(Debug)]
pub(super) struct Runs {
    group: u32,
    running: Arc<Running>,
}

/// What one process or group has used until a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    ticks: u64,
    bytes: u64,
}

/// One look at a time: what an older one saw must not be noted after a newer one.
static LOOKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Looks at all of these functions at once.
pub(super) async fn look(functions: Vec<Arc<Running>>) -> Vec<Spent> {
    let _alone = LOOKING.lock().await;
    let look = tokio::task::spawn_blocking(move || {
        let groups = functions.iter().map(|running| running.groups().clone());
        let groups: Vec<BTreeMap<u32, u64>> = groups.collect();
        let numbers = groups.iter().flat_map(BTreeMap::keys);
        let mut seen = numbers.map(|group| (*group, Sample::default())).collect();
        sample(&mut seen);
        let pairs = functions.iter().zip(&groups);
        pairs
            .map(|(running, groups)| running.seen(groups, &seen))
            .collect()
    });
    look.await.unwrap_or_default()
}

impl Running {
    /// Notes a group.
    pub fn note(self: &Arc<Self>, group: u32) -> Runs {
        self.groups().insert(group, 0);
        Runs {
            group,
            running: Arc::clone(self),
        }
    }

    /// Looks twice, a moment apart.
    pub async fn usage(self: Arc<Self>) -> Usage {
        let begun = Instant::now();
        let first = look(vec![Arc::clone(&self)]).await;
        if self.groups().is_empty() {
            return Usage::default();
        }
        tokio::time::sleep(WINDOW).await;
        let elapsed = begun.elapsed();
        let last = look(vec![self]).await;
        match (first.first(), last.first()) {
            (Some(first), Some(last)) => Usage {
                cpu: last.thousandths_since(first.processor, elapsed),
                total_memory_bytes: last.memory as f64,
            },
            _ => Usage::default(),
        }
    }

    /// Notes what its groups were seen to have used, and tells the sum.
    fn seen(&self, looked_at: &BTreeMap<u32, u64>, seen: &HashMap<u32, Sample>) -> Spent {
        let mut groups = self.groups();
        let mut sum = Sample::default();
        for group in looked_at.keys() {
            let Some(used) = seen.get(group) else {
                continue;
            };
            sum.bytes += used.bytes;
            // One that has ended since then is not there. Fewer than before are left where a process
            // of the group has ended.
            if let Some(before) = groups.get_mut(group) {
                sum.ticks += used.ticks.saturating_sub(*before);
                *before = used.ticks;
            }
        }
        let before = self.ticks.fetch_add(sum.ticks, Ordering::Relaxed);
        Spent {
            processor: Duration::from_secs_f64((before + sum.ticks) as f64 / TICKS),
            memory: sum.bytes,
        }
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.running.groups().remove(&self.group);
    }
}

/// Adds up the processes of each of these groups.
fn sample(groups: &mut HashMap<u32, Sample>) {
    if groups.is_empty() {
        return;
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_process = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        let stat = is_process.then(|| fs::read_to_string(entry.path().join("stat")));
        if let Some(Ok(stat)) = stat
            && let Some((group, used)) = read(&stat)
            && let Some(sum) = groups.get_mut(&group)
        {
            sum.ticks += used.ticks;
            sum.bytes += used.bytes;
        }
    }
}

/// Group, processor time and resident memory of a process: fields 5, 14, 15 and 24 (proc(5)).
fn read(stat: &str) -> Option<(u32, Sample)> {
    // The second field is the program's name in parentheses, and may hold any character.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let page = rustix::param::page_size() as u64;
    let sample = Sample {
        ticks: number(14)? + number(15)?,
        bytes: number(24)? * page,
    };
    Some((u32::try_from(number(5)?).ok()?, sample))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_right_fields_are_read_whatever_the_program_is_called() {
        let stat = "7 (a) b (c) S 1 5 5 0 -1 4 0 0 0 0 30 12 0 0 20 0 1 0 99 4096 3 18 0";
        let (group, used) = read(stat).unwrap();
        let page = rustix::param::page_size() as u64;
        assert_eq!((group, used.ticks, used.bytes), (5, 42, 3 * page));
    }

    #[test]
    fn a_group_counts_while_it_runs() {
        let running = Arc::new(Running::default());
        let runs = running.note(5);
        assert_eq!(*running.groups(), BTreeMap::from([(5, 0)]));
        drop(runs);
        assert!(running.groups().is_empty());
    }

    #[test]
    fn processor_time_only_grows_whatever_ends() {
        let running = Arc::new(Running::default());
        let _stays = running.note(5);
        let ends = running.note(6);
        let look = |ticks: [u64; 2]| {
            let groups = running.groups().clone();
            let seen = [(5, ticks[0]), (6, ticks[1])];
            let sample = |(group, ticks)| (group, Sample { ticks, bytes: 0 });
            let spent = running.seen(&groups, &seen.map(sample).into());
            spent.processor.as_millis()
        };
        assert_eq!(look([10, 100]), 1100);
        assert_eq!(look([30, 150]), 1800);
        drop(ends);
        assert_eq!(look([31, 0]), 1810);
        // A child of the group has ended.
        assert_eq!(look([1, 0]), 1810);
        assert_eq!(look([2, 0]), 1820);
    }
}
