//! Notices that the configuration file has changed, however it was changed: written in place,
//! renamed over as editors do, or switched by the symbolic link of a Kubernetes ConfigMap.
//!
//! What counts is the text. Events of the file system only say when to look; where there are none
//! (network file systems, too few inotify watches) a slow look now and then finds the change.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::load::read_file;

/// Events closer together than this are one change: an editor's save is several.
const QUIET: Duration = Duration::from_millis(150);

/// A folder that never falls quiet is looked at all the same.
const LONGEST_NOISE: Duration = Duration::from_millis(600);

/// Time between two looks without an event.
const POLL: Duration = Duration::from_secs(10);

/// Follows one file until it is dropped.
pub struct Changes {
    file: PathBuf,
    /// The text that was last told of; `None` while it cannot be read.
    text: Option<String>,
    events: mpsc::Receiver<()>,
    /// `None` where the system has no events for us.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

/// Begins to follow `file`, whose present text is `text`.
///
/// The text is that of the configuration in use, so that a change made between reading it and
/// following it is not lost.
pub fn watch(file: PathBuf, text: Option<String>) -> Changes {
    // One pending event says all there is to say: look again.
    let (sender, events) = mpsc::channel(1);
    let on_event = move |event: notify::Result<Event>| {
        if event.map_or(true, |event| may_change(event.kind)) {
            let _ = sender.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(on_event)
        .inspect_err(|error| tracing::warn!(%error, "no events of configuration changes, polling"))
        .ok();
    let mut changes = Changes {
        file,
        text,
        events,
        watcher,
        folders: BTreeSet::new(),
    };
    changes.watch_folders();
    changes
}

impl Changes {
    /// Returns once the file's text is another one, or cannot be read any more.
    pub async fn changed(&mut self) {
        loop {
            let text = self.read().await;
            self.watch_folders();
            if text != self.text {
                self.text = text;
                return;
            }
            self.wait().await;
        }
    }

    /// Returns when it is worth to look: after the last of some events, or after a while.
    async fn wait(&mut self) {
        let Ok(Some(())) = timeout(POLL, self.events.recv()).await else {
            // Without a watcher the channel is closed, and there is only the time to wait for.
            if self.events.is_closed() {
                tokio::time::sleep(POLL).await;
            }
            return;
        };
        let end = Instant::now() + LONGEST_NOISE;
        let quiet = |now: Instant| end.min(now + QUIET);
        while let Ok(Some(())) = timeout_at(quiet(Instant::now()), self.events.recv()).await {
            if Instant::now() >= end {
                return;
            }
        }
    }

    async fn read(&self) -> Option<String> {
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || read_file(&file).ok());
        read.await.ok().flatten()
    }

    /// Watches the folder that names the file and the one that holds it: a link and its target.
    fn watch_folders(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let folders = folders(&self.file);
        for gone in self.folders.difference(&folders) {
            // A folder that was removed took its watch along.
            let _ = watcher.unwatch(gone);
        }
        let watched = folders.into_iter().filter(|folder| {
            self.folders.contains(folder)
                || watcher.watch(folder, RecursiveMode::NonRecursive).is_ok()
        });
        self.folders = watched.collect();
    }
}

fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let parent = |file: &Path| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let target = fs::canonicalize(file);
    let paths = [Some(file), target.as_deref().ok()];
    paths.into_iter().flatten().map(parent).collect()
}

/// Our own reading of the file is an event, too, and must not wake us.
fn may_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Far longer than a change takes, so that a slow machine does not fail the tests, and shorter
    /// than [`POLL`], so that it is the events that are tested.
    const SOON: Duration = Duration::from_secs(8);

    /// Whether an event tells of a change, which would else be found by looking.
    async fn is_noticed(changes: &mut Changes) -> bool {
        timeout(SOON, changes.wait()).await.is_ok() && is_found(changes).await
    }

    async fn is_found(changes: &mut Changes) -> bool {
        timeout(SOON, changes.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_file_written_in_place_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        fs::write(&file, "version: 1").unwrap();
        let mut changes = watch(file.clone(), Some("version: 1".to_owned()));
        fs::write(&file, "version: 1 # again").unwrap();
        assert!(is_noticed(&mut changes).await);
    }

    #[tokio::test]
    async fn a_file_renamed_over_is_noticed_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        fs::write(&file, "a").unwrap();
        let mut changes = watch(file.clone(), Some("a".to_owned()));
        for text in ["b", "c"] {
            let draft = folder.path().join(".gateway.yaml.swp");
            fs::write(&draft, text).unwrap();
            fs::rename(&draft, &file).unwrap();
            assert!(is_noticed(&mut changes).await, "{text}");
        }
    }

    #[tokio::test]
    async fn the_link_of_a_config_map_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let publish = |version: &str, text: &str| {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("gateway.yaml"), text).unwrap();
            symlink(version, at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
        };
        publish("..1", "a");
        symlink("..data/gateway.yaml", at("gateway.yaml")).unwrap();
        let mut changes = watch(at("gateway.yaml"), Some("a".to_owned()));
        for (version, text, old) in [("..2", "b", "..1"), ("..3", "c", "..2")] {
            publish(version, text);
            fs::remove_dir_all(at(old)).unwrap();
            assert!(is_noticed(&mut changes).await, "{text}");
        }
    }

    #[tokio::test]
    async fn a_file_behind_a_link_is_noticed_where_it_is_written() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = elsewhere.path().join("real.yaml");
        fs::write(&target, "a").unwrap();
        let file = folder.path().join("gateway.yaml");
        symlink(&target, &file).unwrap();
        let mut changes = watch(file, Some("a".to_owned()));
        fs::write(&target, "b").unwrap();
        assert!(is_noticed(&mut changes).await);
    }

    #[tokio::test]
    async fn a_file_that_goes_and_comes_back_is_noticed_both_times() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        fs::write(&file, "a").unwrap();
        let mut changes = watch(file.clone(), Some("a".to_owned()));
        fs::remove_file(&file).unwrap();
        assert!(is_noticed(&mut changes).await);
        fs::write(&file, "a").unwrap();
        assert!(is_noticed(&mut changes).await);
    }

    #[tokio::test]
    async fn a_change_before_the_first_look_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        fs::write(&file, "b").unwrap();
        let mut changes = watch(file, Some("a".to_owned()));
        assert!(is_found(&mut changes).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_text_again_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        fs::write(&file, "a").unwrap();
        let mut changes = watch(file.clone(), Some("a".to_owned()));
        fs::write(&file, "a").unwrap();
        assert!(timeout(3 * POLL, changes.changed()).await.is_err());
    }
}
