//! What people are woken for: the alerts of `conf/prometheus`, their unit tests, their sections in
//! `docs/alerts.md`, and where Alertmanager sends them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::harness::{shipped, tool};

const FOR_PEOPLE: &str = "conf/prometheus/gateway.rules.yml";
const FOR_THE_GATEWAY: &str = "conf/prometheus/scaling.rules.yml";

/// An alert as it stands in its file.
struct Alert {
    name: String,
    text: String,
}

fn read(path: &str) -> String {
    fs::read_to_string(shipped(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn alerts(path: &str) -> Vec<Alert> {
    let text = read(path);
    let rules = text.split("\n      - ").skip(1);
    rules
        .filter_map(|rule| {
            let (name, _) = rule.strip_prefix("alert: ")?.split_once('\n')?;
            Some(Alert {
                name: name.to_owned(),
                text: rule.to_owned(),
            })
        })
        .collect()
}

/// What a program says, which has to end well.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = [output.stdout, output.stderr].map(|told| String::from_utf8(told).unwrap());
    assert!(output.status.success(), "{command:?}\n{}", told.concat());
    told[0].clone()
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    said(
        tool(&["promtool"])
            .args(["test", "rules"])
            .arg(shipped("conf/prometheus/gateway.rules.test.yml")),
    );
}

#[test]
fn every_alert_is_seen_to_fire_and_not_to_fire() {
    let tests = read("conf/prometheus/gateway.rules.test.yml");
    for Alert { name, .. } in alerts(FOR_PEOPLE) {
        let fires = format!("      - alertname: {name}\n");
        let quiet = format!("{{ alertname: {name}, ");
        assert!(tests.contains(&fires), "{name} is never seen to fire");
        assert!(tests.contains(&quiet), "{name} is never seen not to fire");
    }
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on() {
    let alerts = alerts(FOR_PEOPLE);
    assert!(alerts.len() > 20, "{} alerts were found", alerts.len());
    for Alert { name, text } in alerts {
        let severe = ["critical", "warning"].map(|how| format!("labels: {{ severity: {how} }}"));
        assert!(severe.iter().any(|how| text.contains(how)), "{name}");
        let runbook = format!("runbook: docs/alerts.md#{}", name.to_lowercase());
        for needed in ["summary: \"", "description: \"", &runbook] {
            assert!(text.contains(needed), "{name} lacks {needed}");
        }
    }
}

#[test]
fn every_alert_has_its_section_and_every_section_its_alert() {
    let named: BTreeSet<String> = [FOR_PEOPLE, FOR_THE_GATEWAY]
        .iter()
        .flat_map(|path| alerts(path))
        .map(|alert| alert.name)
        .collect();
    let page = read("docs/alerts.md");
    let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
    let described: BTreeSet<String> = headings.map(str::to_owned).collect();
    assert_eq!(named, described);
    // Who is woken at night finds the three in the same order everywhere.
    for section in page.split("\n### ").skip(1) {
        let name = section.lines().next().unwrap();
        let at = ["**Means:** ", "**Look at:** ", "**Do:** "].map(|part| section.find(part));
        assert!(at[0].is_some() && at.is_sorted(), "{name}: {at:?}");
    }
}

#[test]
fn busy_functions_are_the_gateways_matter_and_all_else_is_peoples() {
    let receiver = |labels: &[&str]| {
        let file = shipped("conf/alertmanager/alertmanager.yml");
        let mut command = tool(&["amtool"]);
        command
            .args(["config", "routes", "test"])
            .arg(format!("--config.file={}", file.display()))
            .args(labels);
        said(&mut command).trim().to_owned()
    };
    let busy = [
        "alertname=APIHighInvocationRate",
        "function_name=fig.openfaas-fn",
        "service=gateway",
        "severity=major",
    ];
    assert_eq!(receiver(&busy), "scale-up");
    for Alert { name, .. } in alerts(FOR_PEOPLE) {
        let alert = format!("alertname={name}");
        assert_eq!(receiver(&[&alert, "severity=critical"]), "people", "{name}");
    }
}
