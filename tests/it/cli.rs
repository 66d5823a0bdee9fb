//! What the program tells of itself: version, manual page and completions.

use std::collections::BTreeSet;
use std::io::pipe;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use gateway::cli::Cli;
use serde_json::Value;

use crate::harness::{Gateway, tool};

const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

/// What the program prints.
#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let gateway = Gateway::bare();
    let exit = arguments
        .iter()
        .fold(gateway, |gateway, word| gateway.arg(*word))
        .run();
    assert_eq!(
        (exit.code, exit.stderr.as_str()),
        (Some(0), ""),
        "{arguments:?}"
    );
    exit.stdout
}

/// The commands that people use, and what can be said without one, each with its flags.
fn flags() -> Vec<(String, Vec<String>)> {
    let cli = Cli::command();
    let commands = cli.get_subcommands().filter(|one| !one.is_hide_set());
    let flags = commands.chain([&cli]).map(|command| {
        let own = command.get_arguments().filter_map(clap::Arg::get_long);
        let own = own.map(|flag| format!("--{flag}")).collect();
        (command.get_name().to_owned(), own)
    });
    flags.collect()
}

/// All of these words.
fn words() -> Vec<String> {
    let words = flags()
        .into_iter()
        .flat_map(|(command, flags)| [vec![command], flags]);
    let words: Vec<_> = words.flatten().collect();
    for known in ["check", "man", "--config", "--json"] {
        assert!(
            words.iter().any(|word| word == known),
            "{known} in {words:?}"
        );
    }
    words
}

#[test]
fn version_tells_release_commit_and_build() {
    let program: Value = serde_json::from_str(&printed(&["version", "--json"])).unwrap();
    let text = printed(&["version"]);
    assert_eq!(
        text.lines().next(),
        Some(concat!("gateway ", env!("CARGO_PKG_VERSION")))
    );
    let (version, build) = (&program["version"], &program["build"]);
    for fact in [
        &version["sha"],
        &build["target"],
        &build["rustc"],
        &build["profile"],
    ] {
        let fact = fact.as_str().unwrap();
        assert!(
            !fact.is_empty() && text.contains(fact),
            "{fact:?} in {text}"
        );
    }
    let triple = build["target"].as_str().unwrap();
    assert!(
        triple.starts_with(program["arch"].as_str().unwrap()),
        "{program}"
    );
}

#[test]
fn version_and_the_api_say_the_same() {
    let program: Value = serde_json::from_str(&printed(&["version", "--json"])).unwrap();
    let gateway = Gateway::start("");
    let mut info = gateway
        .admin("GET", "/system/info", "")
        .assert_status(200)
        .json();
    info.as_object_mut().unwrap().remove("provider").unwrap();
    assert_eq!(program, info);
}

#[test]
fn the_manual_page_names_every_command_and_flag() {
    let page = printed(&["man"]).replace("\\-", "-");
    for word in words() {
        assert!(
            page.contains(&format!("\\fB{word}\\fR")),
            "{word} in {page}"
        );
    }
    assert!(!page.contains("reaper"), "that is for the gateway itself");
}

#[test]
fn the_manual_page_is_well_formed() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("gateway.1");
    std::fs::write(&page, printed(&["man"])).unwrap();
    let mut lint = tool(&["mandoc"]);
    let lint = lint
        .args(["-T", "lint", "-W", "warning"])
        .arg(page)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&lint.stdout);
    assert!(lint.status.success() && text.is_empty(), "{text}");
}

/// What bash offers for a line; the last word is the one that is being typed.
#[track_caller]
fn offered(line: &[&str]) -> Vec<String> {
    let script = r#"
        source <("$0" completions bash) && complete -p gateway >/dev/null || exit 1
        function=$(complete -p gateway | sed 's/.* -F \([^ ]*\) .*/\1/')
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        "$function" gateway "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, env!("CARGO_BIN_EXE_gateway")]);
    let output = bash.args(line).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let commands = offered(&["gateway", ""]);
    assert!(!commands.contains(&"reaper".to_owned()), "{commands:?}");
    for (command, flags) in flags() {
        let all = if command == "gateway" {
            commands.clone()
        } else {
            assert!(commands.contains(&command), "{command} in {commands:?}");
            offered(&["gateway", &command, "--"])
        };
        for flag in flags {
            assert!(all.contains(&flag), "{flag} of {command} in {all:?}");
        }
    }
    assert_eq!(offered(&["gateway", "ch"]), ["check"]);
    assert_eq!(offered(&["gateway", "--li"]), ["--listen"]);
    assert_eq!(offered(&["gateway", "version", "--js"]), ["--json"]);
    assert_eq!(offered(&["gateway", "completions", "z"]), ["zsh"]);
}

#[test]
fn every_shell_gets_a_script_with_every_word() {
    for shell in SHELLS {
        let script = printed(&["completions", shell]);
        // Some write flags without their dashes.
        let inside = |letter: char| letter.is_alphanumeric() || "-_".contains(letter);
        let there: Vec<&str> = script.split(|letter| !inside(letter)).collect();
        let there = there.iter().map(|word| word.trim_start_matches('-'));
        let there: BTreeSet<&str> = there.collect();
        for word in words() {
            assert!(
                there.contains(word.trim_start_matches('-')),
                "{word} for {shell}"
            );
        }
        assert!(!script.contains("reaper"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    for arguments in [
        &["man"][..],
        &["schema"],
        &["version"],
        &["completions", "zsh"],
    ] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut gateway = Command::new(env!("CARGO_BIN_EXE_gateway"));
        let output = gateway.args(arguments).stdout(writer).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}
