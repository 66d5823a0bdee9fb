//! What outlives the gateway: everything it has answered for, whole, however it ended.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Gateway, Response, Signal, basic, try_request};

/// How often the gateway is killed; `KILLS=100` makes a longer run of it.
const KILLS: usize = 10;

fn yaml(state: &Path) -> String {
    format!("provider: {{ state_dir: \"{}\" }}\n", state.display())
}

/// A client of a gateway whose state is not in the test's own folder.
struct Client {
    address: SocketAddr,
    authorization: String,
}

impl Client {
    fn of(gateway: &Gateway, state: &Path) -> Self {
        let password = fs::read_to_string(state.join("auth/basic-auth-password")).unwrap();
        Self {
            address: gateway.address(),
            authorization: basic("admin", password.trim()),
        }
    }

    /// `None`: the gateway is gone, nobody knows what became of it.
    fn send(&self, method: &str, path: &str, body: &str) -> Option<Response> {
        let headers = [("Authorization", self.authorization.as_str())];
        match try_request(self.address, method, path, &headers, body.as_bytes()) {
            Ok(response) => Some(response),
            Err(error) => {
                let gone = [
                    ErrorKind::ConnectionRefused,
                    ErrorKind::ConnectionReset,
                    ErrorKind::BrokenPipe,
                    ErrorKind::UnexpectedEof,
                ];
                assert!(gone.contains(&error.kind()), "{error:?}");
                None
            }
        }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.send("GET", path, "")
            .expect("an answer")
            .assert_status(200)
            .json()
    }
}

#[test]
fn functions_secrets_and_namespaces_survive_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let mut first = Gateway::start(&yaml(state.path()));
    let client = Client::of(&first, state.path());
    let send = |method: &str, path: &str, body: Value| {
        let answer = client.send(method, path, &body.to_string()).unwrap();
        assert!(answer.status < 300, "{answer:?}");
    };
    send(
        "POST",
        "/system/namespace/",
        json!({ "name": "prod", "labels": { "a": "b" } }),
    );
    send(
        "POST",
        "/system/secrets",
        json!({ "name": "k", "namespace": "prod", "value": "hush" }),
    );
    let fig = json!({
        "service": "fig", "namespace": "prod", "image": "i", "secrets": ["k"],
        "envProcess": "cat /var/openfaas/secrets/k", "labels": { "x": "y" },
    });
    send("POST", "/system/functions", fig);
    send(
        "POST",
        "/system/scale-function/fig?namespace=prod",
        json!({ "replicas": 4 }),
    );
    let before = client.get("/system/functions?namespace=prod");
    first.signal(Signal::TERM);
    assert_eq!(first.wait_exit().code, Some(0));

    let second = Gateway::start(&yaml(state.path()));
    let client = Client::of(&second, state.path());
    assert_eq!(
        second.get("/function/fig.prod").assert_status(200).text(),
        "hush"
    );
    let mut after = client.get("/system/functions?namespace=prod");
    after[0]["availableReplicas"] = before[0]["availableReplicas"].clone();
    after[0]["invocationCount"] = before[0]["invocationCount"].clone();
    assert_eq!(after, before);
    assert_eq!(
        client.get("/system/namespace/prod")["labels"],
        json!({ "a": "b" })
    );
    assert_eq!(client.get("/system/secrets?namespace=prod")[0]["name"], "k");
}

#[test]
fn a_second_gateway_on_the_same_state_does_not_start() {
    let state = tempfile::tempdir().unwrap();
    let _first = Gateway::start(&yaml(state.path()));
    let exit = Gateway::with(&yaml(state.path())).run();
    assert_ne!(exit.code, Some(0));
    assert!(
        exit.stderr.contains("in use by another gateway"),
        "{}",
        exit.stderr
    );
}

#[test]
fn a_record_that_cannot_be_read_is_set_aside_and_the_others_run() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("functions/openfaas-fn");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("bad.json"), "{\"deployment\": ").unwrap();
    let good = json!({
        "deployment": { "service": "good", "image": "i", "envProcess": "cat" }, "replicas": 1,
        "createdAt": "2026-01-01T00:00:00Z",
    });
    fs::write(folder.join("good.json"), good.to_string()).unwrap();
    let gateway = Gateway::start(&yaml(state.path()));
    gateway.post("/function/good", "hi").assert_status(200);
    gateway
        .post("/function/bad", "hi")
        .assert_error(404, "not_found");
    assert!(
        gateway.stderr().contains("bad.json"),
        "{}",
        gateway.stderr()
    );
    assert!(folder.join("bad.unreadable").exists());
}

#[test]
fn a_later_format_is_refused_and_left_as_it_is() {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("version"), "99\n").unwrap();
    let exit = Gateway::with(&yaml(state.path())).run();
    assert_ne!(exit.code, Some(0));
    assert!(exit.stderr.contains("format `99`"), "{}", exit.stderr);
    assert_eq!(
        fs::read_to_string(state.path().join("version")).unwrap(),
        "99\n"
    );
}

/// What one writer has been answered for, and what it was waiting for when the gateway was killed.
#[derive(Debug, Default)]
struct Expected {
    /// The revision that is there; `None`: nothing is there.
    settled: Option<u64>,
    /// A change that nobody knows the outcome of.
    open: Option<Option<u64>>,
}

impl Expected {
    fn allows(&self, found: Option<u64>) -> bool {
        found == self.settled || self.open == Some(found)
    }
}

/// What is written again and again: a function or a secret of this name.
#[derive(Clone, Copy)]
enum Subject {
    Function,
    Secret,
}

impl Subject {
    fn path(self) -> &'static str {
        match self {
            Self::Function => "/system/functions",
            Self::Secret => "/system/secrets",
        }
    }

    /// The body of the change to a revision, or of the removal.
    fn body(self, name: &str, revision: Option<u64>) -> String {
        // Long enough to be caught half-written.
        let filler = "x".repeat(20_000);
        match (self, revision) {
            (Self::Function, Some(revision)) => json!({
                "service": name, "image": "i", "envProcess": "cat",
                "annotations": { "revision": revision.to_string(), "filler": filler },
            }),
            (Self::Function, None) => json!({ "functionName": name }),
            (Self::Secret, Some(revision)) => {
                json!({ "name": name, "value": format!("{revision} {filler}") })
            }
            (Self::Secret, None) => json!({ "name": name }),
        }
        .to_string()
    }

    fn found(self, client: &Client, state: &Path, name: &str) -> Option<u64> {
        let revision = match self {
            Self::Function => {
                let path = format!("/system/function/{name}");
                let status = client.send("GET", &path, "").expect("an answer");
                if status.status == 404 {
                    return None;
                }
                let annotations = status.assert_status(200).json()["annotations"].clone();
                assert_eq!(annotations["filler"].as_str().unwrap().len(), 20_000);
                annotations["revision"].as_str().unwrap().to_owned()
            }
            Self::Secret => {
                let value = fs::read_to_string(state.join("secrets/openfaas-fn").join(name));
                let value = value.ok()?;
                let (revision, filler) = value.split_once(' ').expect("a whole secret");
                assert_eq!(filler.len(), 20_000);
                revision.to_owned()
            }
        };
        Some(revision.parse().unwrap())
    }

    /// Changes it until the gateway is gone; returns how often it was answered.
    fn change(
        self,
        client: &Client,
        name: &str,
        expected: &mut Expected,
        over: &AtomicBool,
    ) -> usize {
        let mut answered = 0;
        let mut revision = expected.settled.unwrap_or_default();
        while !over.load(Ordering::Relaxed) {
            revision += 1;
            let (method, next) = match expected.settled {
                None => ("POST", Some(revision)),
                Some(_) if revision.is_multiple_of(5) => ("DELETE", None),
                Some(_) => ("PUT", Some(revision)),
            };
            expected.open = Some(next);
            let body = self.body(name, next);
            let Some(answer) = client.send(method, self.path(), &body) else {
                break;
            };
            assert!(
                answer.status < 300,
                "{method} {name} {revision}: {answer:?}"
            );
            expected.settled = next;
            expected.open = None;
            answered += 1;
        }
        answered
    }
}

#[test]
fn whatever_was_answered_for_is_there_after_a_kill_at_any_moment() {
    let kills = std::env::var("KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let state = tempfile::tempdir().unwrap();
    let subjects = [Subject::Function, Subject::Secret];
    let mut expected: BTreeMap<String, (Subject, Expected)> = (0..6)
        .map(|number| {
            (
                format!("s{number}"),
                (subjects[number % 2], Expected::default()),
            )
        })
        .collect();
    let (mut answered, mut open) = (0, 0);
    for round in 0..kills {
        let gateway = Gateway::start(&yaml(state.path()));
        let client = Client::of(&gateway, state.path());
        for (name, (subject, expected)) in &mut expected {
            let found = subject.found(&client, state.path(), name);
            assert!(
                expected.allows(found),
                "{name}: found {found:?} instead of {expected:?}"
            );
            open += usize::from(expected.open.is_some());
            *expected = Expected {
                settled: found,
                open: None,
            };
        }
        assert_no_half_file(state.path());
        let over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            let (client, over) = (&client, &over);
            let writers: Vec<_> = expected
                .iter_mut()
                .map(|(name, (subject, expected))| {
                    threads.spawn(move || subject.change(client, name, expected, over))
                })
                .collect();
            // Any moment will do, and each round another one.
            std::thread::sleep(Duration::from_millis(20 + (round as u64 * 37) % 150));
            crate::harness::kill(gateway.pid());
            over.store(true, Ordering::Relaxed);
            answered += writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .sum::<usize>();
        });
    }
    println!(
        "{kills} kills, {answered} changes answered for, {open} open ones, 0 lost, 0 half-written"
    );
    assert!(answered > kills, "{answered}");
}

/// What was being written when a gateway was killed is removed by the next one.
fn assert_no_half_file(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        assert!(
            !name.starts_with(".unfinished"),
            "{}",
            entry.path().display()
        );
        assert!(!name.ends_with(".unreadable"), "{}", entry.path().display());
        if entry.path().is_dir() {
            assert_no_half_file(&entry.path());
        }
    }
}
