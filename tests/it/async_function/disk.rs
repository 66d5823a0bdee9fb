//! A disk that is full: calls are refused with the reason, everything else goes on, and so do they
//! once there is room.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::harness::{Gateway, PATIENCE, Upstream, Valve, eventually, eventually_some, within};

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

/// A gateway whose disk is as full as the queue lets it be.
struct Full {
    gateway: Gateway,
    upstream: Upstream,
    /// What its calls wait at.
    valve: Valve,
    /// What else fills the disk.
    ballast: PathBuf,
    accepted: Vec<String>,
}

impl Full {
    const BODY: [u8; 100_000] = [b'x'; 100_000];

    #[track_caller]
    fn fill() -> Self {
        let valve = Valve::default();
        let wait = valve.clone();
        let upstream = Upstream::start(move |exchange| {
            if exchange.request.body == Self::BODY {
                wait.wait();
            }
            exchange.reply(200, &[], "done");
        });
        let gateway = Gateway::with(&upstream.declared("fig")).disk(24).start();
        let ballast = gateway.state().join("ballast");
        fs::write(&ballast, vec![0; 12 << 20]).unwrap();
        let mut full = Self {
            gateway,
            upstream,
            valve,
            ballast,
            accepted: Vec::new(),
        };
        while let Some(location) = full.submit() {
            full.accepted.push(location);
            assert!(
                full.accepted.len() < 1000,
                "a disk of 24 MB is full some day"
            );
        }
        assert!(full.accepted.len() >= 10, "{}", full.accepted.len());
        full
    }

    /// Posts a call, which is accepted or refused for want of room.
    #[track_caller]
    fn submit(&self) -> Option<String> {
        let answer = self.gateway.try_submit("fig", &[], Self::BODY);
        if answer.status == 202 {
            return Some(answer.header("Location").to_owned());
        }
        answer.assert_error(507, "storage_full");
        assert!(
            answer
                .header("Retry-After")
                .parse::<u32>()
                .is_ok_and(|seconds| seconds >= 1)
        );
        None
    }

    /// Lets the calls run, and waits until each of them has run once.
    #[track_caller]
    fn run(&self) {
        self.valve.open_for(1000);
        within(PATIENCE * 2, "what was accepted is done", || {
            succeeded(&self.gateway, &self.accepted)
        });
        let requests = self.upstream.requests();
        let called = requests.iter().filter(|request| request.body == Self::BODY);
        assert_eq!(called.count(), self.accepted.len());
    }
}

#[test]
fn a_full_disk_refuses_calls_until_there_is_room() {
    let mut full = Full::fill();
    full.gateway.post("/function/fig", "now").assert_status(200);
    fs::remove_file(&full.ballast).unwrap();
    let next = eventually_some("calls are taken again", || full.submit());
    full.accepted.push(next);
    full.run();
    eventually("it works again", || {
        full.gateway.metric("gateway_queue_up", &[]) == Some(1.0)
    });
}

#[test]
fn calls_on_a_full_disk_run_and_make_room_for_others() {
    let mut full = Full::fill();
    full.run();
    let next = eventually_some("calls are taken again", || full.submit());
    full.accepted.push(next);
    full.run();
}

#[test]
fn room_inside_the_file_is_used_where_later_calls_keep_it_long() {
    let mut full = Full::fill();
    // Others take what is left but for a part of the reserve, a sixteenth of this disk.
    let free = || {
        let disk = rustix::fs::statvfs(&full.ballast).unwrap();
        (disk.f_bavail * disk.f_frsize) as usize
    };
    let more = free().checked_sub((24 << 20) / 16 * 3 / 4).unwrap();
    let mut ballast = fs::OpenOptions::new()
        .append(true)
        .open(&full.ballast)
        .unwrap();
    ballast.write_all(&vec![0; more]).unwrap();
    // The first to come lie before those that still wait.
    full.valve.open_for(8);
    for _ in 0..4 {
        let next = eventually_some("calls are taken again", || full.submit());
        full.accepted.push(next);
    }
    full.run();
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
