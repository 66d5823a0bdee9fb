//! Tells the program what it was built from and how. What is asked of git is asked again when one of its
//! answers may have changed.

use std::path::Path;
use std::process::Command;

/// What becomes part of the program, beside its dependencies.
const SOURCES: [&str; 5] = [
    "Cargo.lock",
    "Cargo.toml",
    "build.rs",
    "conf/gateway.yaml",
    "src",
];

fn main() {
    let profile = variable("PROFILE").unwrap_or_default();
    let mut sources = SOURCES.to_vec();
    // The portal becomes part of a release, new files too; a debug build reads it from the disk.
    if profile == "release" {
        sources.push("ui");
    }
    watch(&sources);
    let given = variable("GATEWAY_COMMIT").filter(|commit| !commit.is_empty());
    let (commit, date) = match given.or_else(packaged) {
        Some(commit) => (commit, String::new()),
        None => commit(&sources).unwrap_or_else(|| ("unknown".to_owned(), String::new())),
    };
    tell("COMMIT", &commit);
    tell("DATE", &date);
    tell("TARGET", &variable("TARGET").unwrap_or_default());
    tell("RUSTC", &rustc().unwrap_or_else(|| "unknown".to_owned()));
    tell("PROFILE", &profile);
    tell("FEATURES", &features());
}

fn watch(sources: &[&str]) {
    println!("cargo::rerun-if-env-changed=GATEWAY_COMMIT");
    // It grows with every commit. In a worktree it is not below `.git`, as git knows.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    for path in sources.iter().copied().chain(log.as_deref()) {
        // A path that is not there would build the crate each time.
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// The commit that `cargo package` made an archive of.
fn packaged() -> Option<String> {
    let note = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = note.split_once("\"sha1\": \"")?;
    let (commit, rest) = rest.split_once('"')?;
    let dirty = rest.contains("\"dirty\": true");
    Some(format!("{commit}{}", mark(dirty)))
}

/// The commit and its day, with `-dirty` behind it where it is not all that the program is made of.
fn commit(sources: &[&str]) -> Option<(String, String)> {
    // An unpacked archive may lie in somebody else's repository, whose commit says nothing.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    // Whoever lets git check signatures would find its words in front.
    let show = ["-c", "log.showSignature=false", "show", "--no-patch"];
    let head = git(&[&show[..], &["--format=%H %cs", "HEAD"]].concat())?;
    let (commit, date) = head.split_once(' ')?;
    let status = ["--no-optional-locks", "status", "--porcelain", "--"];
    let changed = git(&[&status, sources].concat())?;
    let commit = format!("{commit}{}", mark(!changed.is_empty()));
    Some((commit, date.to_owned()))
}

fn mark(dirty: bool) -> &'static str {
    if dirty { "-dirty" } else { "" }
}

fn rustc() -> Option<String> {
    let answer = answer(Command::new(variable("RUSTC")?).arg("--version"))?;
    Some(answer.trim_start_matches("rustc ").to_owned())
}

/// The cargo features that are on, `default` aside, with commas between them.
fn features() -> String {
    let variables = std::env::vars().filter_map(|(name, _)| {
        let feature = name.strip_prefix("CARGO_FEATURE_")?;
        (feature != "DEFAULT").then(|| feature.to_lowercase().replace('_', "-"))
    });
    let mut features: Vec<_> = variables.collect();
    features.sort();
    features.join(",")
}

fn git(arguments: &[&str]) -> Option<String> {
    answer(Command::new("git").args(arguments))
}

fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn tell(name: &str, value: &str) {
    println!("cargo::rustc-env=GATEWAY_{name}={value}");
}
