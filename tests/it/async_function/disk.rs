//! A disk that is full: calls are refused with the reason, everything else goes on, and so do they
//! once there is room.

use std::fs;

use crate::harness::{Gateway, PATIENCE, Upstream, eventually, within};

/// Whether all of these have succeeded. While there is no room, it may not be known.
fn succeeded(gateway: &Gateway, locations: &[String]) -> bool {
    locations.iter().all(|location| {
        let answer = gateway.admin("GET", location, "");
        match answer.status {
            200 => answer.json()["state"] == "succeeded",
            // The file is opened again at that moment.
            503 => false,
            _ => answer.assert_status(507).text().is_empty(),
        }
    })
}

#[test]
fn a_full_disk_refuses_calls_loses_none_and_takes_them_again() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&upstream.declared("fig")).disk(24).start();
    let ballast = gateway.state().join("ballast");
    fs::write(&ballast, vec![0; 12 << 20]).unwrap();
    let body = vec![b'x'; 100_000];
    let mut accepted = Vec::new();
    let refused = loop {
        let answer = gateway.try_submit("fig", &[], &body);
        match answer.status {
            202 => accepted.push(answer.header("Location").to_owned()),
            _ => break answer,
        }
        assert!(accepted.len() < 1000, "a disk of 24 MB is full some day");
    };
    refused.assert_error(507, "storage_full");
    assert!(
        refused
            .header("Retry-After")
            .parse::<u32>()
            .is_ok_and(|seconds| seconds >= 1)
    );
    assert!(accepted.len() >= 10, "{}", accepted.len());

    gateway.post("/function/fig", "now").assert_status(200);
    within(PATIENCE * 2, "what was accepted is done", || {
        succeeded(&gateway, &accepted)
    });
    let called = upstream
        .requests()
        .iter()
        .filter(|request| request.body == body)
        .count();
    assert_eq!(called, accepted.len());

    gateway
        .try_submit("fig", &[], &body)
        .assert_error(507, "storage_full");
    fs::remove_file(&ballast).unwrap();
    eventually("calls are taken again", || {
        let answer = gateway.try_submit("fig", &[], &body);
        if answer.status == 202 {
            accepted.push(answer.header("Location").to_owned());
        }
        answer.status == 202
    });
    eventually("it works again", || {
        gateway.metric("gateway_queue_up", &[]) == Some(1.0)
    });
    eventually("the last one is done, too", || {
        succeeded(&gateway, &accepted)
    });
}

#[test]
fn a_disk_without_a_byte_left_loses_no_call() {
    let upstream = Upstream::start(|exchange| exchange.reply(200, &[], vec![b'r'; 50_000]));
    let gateway = Gateway::with(&upstream.declared("fig")).disk(24).start();
    gateway.call_in(&gateway.submit("fig", ""), "succeeded");
    let ballast = gateway.state().join("ballast");
    // Others fill the disk while calls come and go.
    let mut accepted = Vec::new();
    for megabytes in 1..40 {
        // Writing fails once the disk is full, and has filled it.
        let _ = fs::write(&ballast, vec![0; megabytes << 20]);
        for _ in 0..3 {
            let answer = gateway.try_submit("fig", &[], vec![b'x'; 50_000]);
            match answer.status {
                202 => accepted.push(answer.header("Location").to_owned()),
                _ => drop(answer.assert_error(507, "storage_full")),
            }
        }
    }
    gateway.post("/function/fig", "now").assert_status(200);
    assert!(!accepted.is_empty());
    fs::remove_file(&ballast).unwrap();
    within(PATIENCE * 2, "what was accepted is done", || {
        succeeded(&gateway, &accepted)
    });
    eventually("calls are taken again", || {
        gateway.try_submit("fig", &[], "").status == 202
    });
}
