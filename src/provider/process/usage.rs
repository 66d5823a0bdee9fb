//! What a function's processes use, read from `/proc` when somebody asks.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::function::Usage;

/// Time between the two looks that processor time is told from. The kernel counts it in hundredths
/// of a second.
const WINDOW: Duration = Duration::from_millis(200);
/// Clock ticks per second of `/proc/PID/stat` (proc(5)).
const TICKS: f64 = 100.0;

/// The process groups of one function that run now.
#[derive(Debug, Default)]
pub(super) struct Running {
    // A std mutex: held to note a number or to copy them, never over an await.
    groups: Mutex<BTreeSet<u32>>,
}

/// A group that runs; dropping it says that it has ended.
#[derive(Debug)]
pub(super) struct Runs {
    group: u32,
    running: Arc<Running>,
}

/// What was used until a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    ticks: u64,
    bytes: u64,
}

impl Running {
    /// Notes a group.
    pub fn note(self: &Arc<Self>, group: u32) -> Runs {
        self.groups().insert(group);
        Runs {
            group,
            running: Arc::clone(self),
        }
    }

    /// Looks twice, a moment apart.
    pub async fn usage(self: Arc<Self>) -> Usage {
        let begun = Instant::now();
        let first = Arc::clone(&self).sample().await;
        if self.groups().is_empty() {
            return Usage::default();
        }
        tokio::time::sleep(WINDOW).await;
        let elapsed = begun.elapsed().as_secs_f64();
        let last = self.sample().await;
        // Fewer where processes have ended in between.
        let ticks = last.ticks.saturating_sub(first.ticks) as f64;
        Usage {
            cpu: (ticks / TICKS / elapsed * 1000.0).round(),
            total_memory_bytes: last.bytes as f64,
        }
    }

    async fn sample(self: Arc<Self>) -> Sample {
        let groups = self.groups().clone();
        let look = tokio::task::spawn_blocking(move || sample(&groups));
        look.await.unwrap_or_default()
    }

    fn groups(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.running.groups().remove(&self.group);
    }
}

/// The sum over all processes of these groups.
fn sample(groups: &BTreeSet<u32>) -> Sample {
    let mut sum = Sample::default();
    if groups.is_empty() {
        return sum;
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_process = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        let stat = is_process.then(|| fs::read_to_string(entry.path().join("stat")));
        if let Some(Ok(stat)) = stat
            && let Some((group, used)) = read(&stat)
            && groups.contains(&group)
        {
            sum.ticks += used.ticks;
            sum.bytes += used.bytes;
        }
    }
    sum
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
        assert_eq!(*running.groups(), BTreeSet::from([5]));
        drop(runs);
        assert!(running.groups().is_empty());
    }
}
