//! The map of the sources stays true: imports go one way, and each library stays behind its wall
//! (design.md section 4).

use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the bottom to the top; each line may use itself and what stands before it.
const LAYERS: &[&[&str]] = &[
    &[
        "duration",
        "quantity",
        "durable",
        "hop_by_hop",
        "outbound",
        "health",
    ],
    &["function"],
    &["release"],
    &["error"],
    &["config"],
    &["metrics", "credentials", "signature"],
    &["counts"],
    &["provider", "queue"],
    &["functions"],
    &["scale"],
    &["history", "access_log"],
    &["gateway"],
    &["worker"],
    &["admin"],
    &["proxy"],
    &["server"],
    &["cli", "main"],
];

/// Libraries and where alone they may be named.
const WALLS: &[(&str, &[&str])] = &[
    ("pingora", &["proxy/", "server/"]),
    ("pingora_proxy", &["proxy/", "server/"]),
    ("pingora_core", &["proxy/", "server/"]),
    ("pingora_http", &["proxy/", "server/"]),
    // The server names it where it says what goes to the log.
    ("async_nats", &["queue/jetstream", "server/mod.rs"]),
    ("redb", &["queue/embedded"]),
    ("rustls", &["outbound.rs"]),
    (
        "hyper_rustls",
        &["outbound.rs", "worker/callback", "admin/store"],
    ),
    ("axum", &["admin/", "proxy/admin_bridge.rs"]),
    ("rust_embed", &["admin/ui.rs"]),
    ("flate2", &["admin/ui.rs"]),
    ("serde_saphyr", &["config/file"]),
    ("std::process::Command", &["provider/process/"]),
    ("tokio::process", &["provider/process/"]),
    ("env::var", &["config/env.rs"]),
    // The process provider asks for the system's own PATH and XDG_RUNTIME_DIR.
    ("env::var_os", &["config/env.rs", "provider/process/"]),
    ("env::vars", &["config/env.rs"]),
    (
        "env::vars_os",
        &["config/env.rs", "provider/process/launcher.rs"],
    ),
];

/// A line of code with the file it stands in, relative to `src/`.
struct Line {
    file: String,
    number: usize,
    code: String,
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for line in code() {
        let own = line.file.split(['/', '.']).next().unwrap_or_default();
        for used in imported(&line.code) {
            match (layer(own), layer(&used)) {
                (Some(here), Some(there)) if there > here => {
                    wrong.push(format!(
                        "{}:{}: {own} may not use {used}",
                        line.file, line.number
                    ));
                }
                (Some(here), Some(there)) if there == here && own != used => {
                    wrong.push(format!(
                        "{}:{}: {own} and {used} stand side by side",
                        line.file, line.number
                    ));
                }
                (Some(_), Some(_)) => {}
                (None, _) if own == "lib" => {}
                _ => wrong.push(format!(
                    "{}:{}: {own} or {used} has no layer",
                    line.file, line.number
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn libraries_stay_behind_their_walls() {
    let mut wrong = Vec::new();
    for line in code() {
        for (library, places) in WALLS {
            let allowed = places.iter().any(|place| line.file.starts_with(place));
            if names(&line.code, library) && !allowed {
                wrong.push(format!(
                    "{}:{}: {library} belongs in {places:?}",
                    line.file, line.number
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_says_what_it_is_for() {
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} does not begin with a `//!` line",
            file.display()
        );
    }
}

/// Every line outside comments and unit tests.
fn code() -> Vec<Line> {
    let root = source_folder();
    let mut lines = Vec::new();
    for path in sources() {
        let file = path.strip_prefix(&root).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        for (index, code) in text.lines().enumerate() {
            if code.starts_with("#[cfg(test)]") {
                break;
            }
            let comment = code.trim_start().starts_with("//");
            if !comment {
                let (file, code) = (file.clone(), code.to_owned());
                lines.push(Line {
                    file,
                    number: index + 1,
                    code,
                });
            }
        }
    }
    assert!(lines.len() > 100, "the sources were found");
    lines
}

/// The modules named after `crate::`, also in `use crate::{a, b::c};`.
fn imported(code: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|letter| letter.is_ascii_lowercase() || *letter == '_')
            .collect()
    };
    let mut modules = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => modules.extend(list.split(',').map(word)),
            None => modules.push(word(rest)),
        }
    }
    modules.retain(|module| !module.is_empty());
    modules
}

/// Whether code names a path as such, not as a part of a longer word.
fn names(code: &str, path: &str) -> bool {
    let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + path.len()..].chars().next();
        !before.is_some_and(in_word)
            && !after.is_some_and(in_word)
            && !code[..at].ends_with("crate::")
    })
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<PathBuf> {
    let is_unit_test = |path: &Path| path.ends_with("tests.rs") || path.ends_with("tests");
    let mut files = Vec::new();
    let mut folders = vec![source_folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if is_unit_test(&path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}
