//! `POST /system/alert` (wire.md section 5.2).

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, Response, eventually};

/// No hand but the alerts'.
const BY_HAND: &str = "scale: { autoscaler: { enabled: false } }\n";

fn post(gateway: &Gateway, body: impl AsRef<[u8]>) -> Response {
    gateway.admin("POST", "/system/alert", body)
}

fn alerts(alerts: &[(&str, &str)]) -> String {
    let alert = |(status, name): &(&str, &str)| {
        json!({
            "status": status, "startsAt": "2019-07-24T10:00:00Z",
            "labels": { "alertname": "APIHighInvocationRate", "function_name": name },
        })
    };
    let alerts: Vec<Value> = alerts.iter().map(alert).collect();
    json!({ "version": "4", "status": "firing", "receiver": "scale-up", "alerts": alerts })
        .to_string()
}

#[test]
fn what_is_no_message_is_refused_in_the_old_words() {
    let gateway = Gateway::start(BY_HAND);
    for body in [
        "",
        "nonsense",
        "[]",
        r#"{"alerts": 1}"#,
        r#"{"alerts":[{"status":1}]}"#,
    ] {
        let answer = post(&gateway, body).assert_status(400);
        assert_eq!(
            answer.text(),
            "Unable to parse alert, bad format.",
            "{body}"
        );
    }
    gateway
        .request("POST", "/system/alert", &[], "{}")
        .assert_status(401);
}

#[test]
fn what_asks_for_nothing_is_taken() {
    let gateway = Gateway::start(BY_HAND);
    for body in ["{}".to_owned(), alerts(&[]), alerts(&[("firing", "")])] {
        assert_eq!(post(&gateway, body).assert_status(200).text(), "");
    }
}

#[test]
fn the_worked_values_come_out_with_a_local_function() {
    let gateway = Gateway::start(BY_HAND);
    for (index, (status, current, max, min, factor, expected)) in [
        ("firing", 1, 20, 1, 20, 5),
        ("firing", 19, 20, 1, 20, 20),
        ("firing", 1, 5, 1, 30, 3),
        ("firing", 1, 4, 1, 1, 2),
        ("firing", 7, 20, 1, 0, 1),
        ("resolved", 8, 20, 1, 20, 1),
        ("whatever", 8, 20, 2, 20, 2),
        ("firing", 1, 10, 2, 30, 4),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("f{index}");
        let labels = json!({
            "com.openfaas.scale.min": min.to_string(),
            "com.openfaas.scale.max": max.to_string(),
            "com.openfaas.scale.factor": factor.to_string(),
        });
        gateway.deploy(&name, labels);
        gateway.scale(&name, current);
        assert_eq!(
            post(&gateway, alerts(&[(status, &name)]))
                .assert_status(200)
                .text(),
            ""
        );
        assert_eq!(
            gateway.replicas(&name),
            expected,
            "{status} {current} {max} {min} {factor}"
        );
    }
}

#[test]
fn with_a_remote_provider_the_same_comes_out() {
    let provider = Provider::with(&["fig", "steady"]);
    provider.change("fig", |fig| {
        fig.labels = json!({ "com.openfaas.scale.max": "10", "com.openfaas.scale.factor": "30" });
    });
    let gateway = provider.gateway(BY_HAND);
    post(&gateway, alerts(&[("firing", "fig.openfaas-fn")])).assert_status(200);
    post(&gateway, alerts(&[("firing", "fig")])).assert_status(200);
    assert_eq!(provider.function("fig").replicas, 7);
    post(
        &gateway,
        alerts(&[("resolved", "fig"), ("resolved", "steady")]),
    )
    .assert_status(200);
    assert_eq!(provider.function("fig").replicas, 1);
    // What has its number already is not asked for it.
    assert_eq!(provider.asked("/system/scale-function/steady").len(), 0);
    let asked = provider.asked("/system/scale-function/fig?namespace=openfaas-fn");
    assert_eq!(asked.len(), 3);
}

#[test]
fn what_fails_is_told_and_the_rest_is_done() {
    let gateway = Gateway::start(BY_HAND);
    gateway.deploy("fig", json!({}));
    let some = post(
        &gateway,
        alerts(&[("firing", "gone"), ("firing", "fig"), ("firing", "a.b.c")]),
    );
    let text = some.assert_status(200).text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("[0] ") && lines[0].contains("gone"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("[1] ") && lines[1].contains("a.b.c"),
        "{text}"
    );
    assert_eq!((lines.len(), gateway.replicas("fig")), (2, 5));
    // Sending it again would not help, so Alertmanager is not asked to.
    post(&gateway, alerts(&[("firing", "gone")])).assert_status(200);

    let provider = Provider::with(&["fig"]);
    provider.stumble(usize::MAX);
    let gateway = provider.gateway(BY_HAND);
    let text = post(&gateway, alerts(&[("firing", "fig")]))
        .assert_status(500)
        .text();
    assert!(text.starts_with("[0] ") && text.ends_with('\n'), "{text:?}");
}

#[test]
fn the_end_of_an_alert_does_not_wake_who_sleeps_for_want_of_calls() {
    let gateway = Gateway::start(BY_HAND);
    gateway.deploy("fig", json!({ "com.openfaas.scale.zero": "true" }));
    gateway.deploy("old", json!({}));
    for name in ["fig", "old"] {
        gateway.scale(name, 0);
    }
    post(
        &gateway,
        alerts(&[("resolved", "fig"), ("resolved", "old")]),
    )
    .assert_status(200);
    assert_eq!((gateway.replicas("fig"), gateway.replicas("old")), (0, 1));
}

#[test]
fn every_alert_that_scales_is_explained() {
    let gateway = Gateway::start(BY_HAND);
    gateway.deploy("fig", json!({}));
    post(&gateway, alerts(&[("firing", "fig")])).assert_status(200);
    eventually("it is in force", || gateway.replicas("fig") == 5);
    post(&gateway, alerts(&[("resolved", "fig")])).assert_status(200);
    assert_eq!(gateway.reasons("fig"), ["alert_resolved", "alert_firing"]);
}
