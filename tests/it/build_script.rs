//! `build.rs`: which commit a build names, and what it looks at again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{shipped, tool};

/// The script, compiled, and a repository with sources to run it in.
struct Build {
    dir: TempDir,
    script: PathBuf,
}

impl Build {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-o"]).arg(&script);
        let compiled = rustc.arg(shipped("build.rs")).status().unwrap();
        assert!(compiled.success());
        let build = Self { dir, script };
        fs::create_dir_all(build.tree().join("src")).unwrap();
        for file in ["build.rs", "src/main.rs", "README.md"] {
            fs::write(build.tree().join(file), "one").unwrap();
        }
        build
    }

    /// With everything in a commit.
    fn committed() -> Self {
        let build = Self::new();
        build.git(&["init", "--quiet"]);
        build.commit();
        build
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        let mut git = tool(&["git"]);
        let who = ["-c", "user.name=it", "-c", "user.email=it@localhost"];
        // Whoever runs the tests may sign commits, or have hooks and templates.
        git.env("GIT_CONFIG_GLOBAL", "/dev/null");
        git.env("GIT_CONFIG_NOSYSTEM", "1");
        let git = in_folder(&mut git, &self.tree()).args(who).args(arguments);
        let output = git.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits everything and gives the commit.
    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "all"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// What the script tells cargo when it runs in a folder.
    fn told_in(&self, tree: &Path, variables: &[(&str, &str)]) -> Vec<String> {
        let mut script = Command::new(&self.script);
        in_folder(&mut script, tree).env_remove("GATEWAY_COMMIT");
        script.env("RUSTC", "rustc").env("PROFILE", "release");
        script.env("GIT_CEILING_DIRECTORIES", self.dir.path());
        let output = script.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn told(&self) -> Vec<String> {
        self.told_in(&self.tree(), &[])
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.tree().join(file), text).unwrap();
    }
}

/// Runs a command in a folder and its repository; a hook of git names another one to whoever it starts.
fn in_folder<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    for name in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"] {
        command.env_remove(name);
    }
    command.current_dir(folder)
}

#[track_caller]
fn value(told: &[String], name: &str) -> String {
    let start = format!("cargo::rustc-env=GATEWAY_{name}=");
    let mut values = told.iter().filter_map(|line| line.strip_prefix(&start));
    values
        .next()
        .unwrap_or_else(|| panic!("{name} in {told:?}"))
        .to_owned()
}

/// What has to be built anew when it changes, as paths that exist.
#[track_caller]
fn watched(told: &[String], tree: &Path) -> Vec<PathBuf> {
    let paths = told
        .iter()
        .filter_map(|line| line.strip_prefix("cargo::rerun-if-changed="));
    let paths: Vec<_> = paths.map(|path| tree.join(path)).collect();
    assert!(paths.iter().all(|path| path.exists()), "{paths:?}");
    paths
}

#[test]
fn a_build_names_its_commit_and_says_when_it_is_more_than_that() {
    let build = Build::committed();
    let commit = build.git(&["rev-parse", "HEAD"]);
    assert_eq!(value(&build.told(), "COMMIT"), commit);
    build.write("README.md", "two");
    assert_eq!(
        value(&build.told(), "COMMIT"),
        commit,
        "that is in no build"
    );
    let dirty = format!("{commit}-dirty");
    build.write("src/main.rs", "two");
    assert_eq!(value(&build.told(), "COMMIT"), dirty);
    let commit = build.commit();
    assert_eq!(value(&build.told(), "COMMIT"), commit);
    build.write("src/new.rs", "one");
    assert_eq!(value(&build.told(), "COMMIT"), format!("{commit}-dirty"));
}

#[test]
fn a_build_outside_of_a_repository_names_no_commit() {
    let build = Build::new();
    assert_eq!(value(&build.told(), "COMMIT"), "unknown");
    let given = build.told_in(&build.tree(), &[("GATEWAY_COMMIT", "v1")]);
    assert_eq!(value(&given, "COMMIT"), "v1");
    let empty = build.told_in(&build.tree(), &[("GATEWAY_COMMIT", "")]);
    assert_eq!(value(&empty, "COMMIT"), "unknown");
    // In somebody else's repository, which ignores it.
    build.write(".gitignore", "archive\n");
    build.git(&["init", "--quiet"]);
    build.commit();
    let archive = build.tree().join("archive");
    fs::create_dir(&archive).unwrap();
    fs::write(archive.join("build.rs"), "one").unwrap();
    assert_eq!(value(&build.told_in(&archive, &[]), "COMMIT"), "unknown");
}

#[test]
fn a_build_of_an_archive_names_the_commit_it_was_made_of() {
    let build = Build::new();
    let note =
        |git: &str| format!("{{\n  \"git\": {{\n    {git}\n  }},\n  \"path_in_vcs\": \"\"\n}}");
    build.write(".cargo_vcs_info.json", &note("\"sha1\": \"0a1b\""));
    assert_eq!(value(&build.told(), "COMMIT"), "0a1b");
    let dirty = note("\"sha1\": \"0a1b\",\n    \"dirty\": true");
    build.write(".cargo_vcs_info.json", &dirty);
    assert_eq!(value(&build.told(), "COMMIT"), "0a1b-dirty");
}

#[test]
fn sources_and_commits_are_watched() {
    let build = Build::committed();
    let tree = build.tree();
    let paths = watched(&build.told(), &tree);
    for path in ["src", "build.rs", ".git/logs/HEAD"] {
        assert!(paths.contains(&tree.join(path)), "{path} in {paths:?}");
    }
    build.git(&["worktree", "add", "--quiet", "../other"]);
    let other = build.dir.path().join("other");
    let paths = watched(&build.told_in(&other, &[]), &other);
    let log = tree.join(".git/worktrees/other/logs/HEAD");
    assert!(paths.contains(&log.canonicalize().unwrap()), "{paths:?}");
}

#[test]
fn the_portal_is_part_of_a_release_only() {
    let build = Build::committed();
    let tree = build.tree();
    fs::create_dir(tree.join("ui")).unwrap();
    build.write("ui/app.js", "one");
    let debug = build.told_in(&tree, &[("PROFILE", "debug")]);
    assert!(!watched(&debug, &tree).contains(&tree.join("ui")));
    assert!(!value(&debug, "COMMIT").ends_with("-dirty"), "{debug:?}");
    assert!(watched(&build.told(), &tree).contains(&tree.join("ui")));
    assert!(value(&build.told(), "COMMIT").ends_with("-dirty"));
}

#[test]
fn features_are_told_by_their_names() {
    let build = Build::new();
    let features = [
        ("CARGO_FEATURE_DEFAULT", "1"),
        ("CARGO_FEATURE_NEW_WAY", "1"),
    ];
    let told = build.told_in(&build.tree(), &features);
    assert_eq!(value(&told, "FEATURES"), "new-way");
}
