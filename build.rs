//! Tells the program which commit it was built from, and when the portal has changed.

use std::path::Path;
use std::process::Command;

fn main() {
    // It grows with every commit; a path that is not there would build the crate each time.
    let log = ".git/logs/HEAD";
    let watched = if Path::new(log).exists() {
        log
    } else {
        "build.rs"
    };
    println!("cargo::rerun-if-changed={watched}");
    println!("cargo::rerun-if-env-changed=GATEWAY_COMMIT");
    // The portal becomes part of a release, new files too; a debug build reads it from the disk.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=ui");
    }
    let commit = std::env::var("GATEWAY_COMMIT").ok().or_else(|| {
        let output = Command::new("git")
            .args(["rev-parse", "HEAD"])
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    });
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=GATEWAY_COMMIT={commit}");
}
