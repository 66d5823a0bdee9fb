//! What a service manager hears (sd_notify(3)): a real socket in `NOTIFY_SOCKET` in systemd's place.

#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::harness::{Gateway, PATIENCE, Signal, Upstream, Valve, eventually, unused_port, within};

/// The manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    path: String,
    _dir: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let path = path.display().to_string();
        Self {
            socket,
            path,
            _dir: dir,
        }
    }

    /// One at an address that is no file.
    #[cfg(target_os = "linux")]
    fn without_a_file() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().display().to_string();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        Self {
            socket: UnixDatagram::bind_addr(&address).unwrap(),
            path: format!("@{name}"),
            _dir: dir,
        }
    }

    /// Starts a gateway that is to tell it.
    #[track_caller]
    fn start(&self, yaml: &str) -> Gateway {
        Gateway::with(yaml).env("NOTIFY_SOCKET", &self.path).start()
    }

    /// Fills its queue, so that nobody else can tell it anything until it listens.
    fn fill(&self) {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        within(PATIENCE, "its queue is full", || {
            sender.send_to(b"OTHER=1", &self.path).is_err()
        });
    }

    /// The next message, line by line; `None` after so long without one.
    fn next(&self, patience: Duration) -> Option<Vec<String>> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        Some(text.lines().map(str::to_owned).collect())
    }

    /// The next message with this line. Those before it are returned as well, for who wants to know what
    /// was not said.
    #[track_caller]
    fn expect(&self, line: &str) -> (Vec<Vec<String>>, Vec<String>) {
        self.expect_that(line, |said| said == line)
    }

    #[track_caller]
    fn expect_that(
        &self,
        what: &str,
        fits: impl Fn(&str) -> bool,
    ) -> (Vec<Vec<String>>, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        while let Some(message) = self.next(
            deadline
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1)),
        ) {
            if message.iter().any(|line| fits(line)) {
                return (before, message);
            }
            before.push(message);
        }
        panic!("nobody said {what}, but {before:?}");
    }
}

/// The part of a message after `name=`.
#[track_caller]
fn value<'a>(message: &'a [String], name: &str) -> &'a str {
    let found = message
        .iter()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("{name} in {message:?}"))
}

#[test]
fn it_is_ready_once_it_serves_and_says_where() {
    let manager = Manager::new();
    let upstream = Upstream::saying("fig");
    let gateway = manager.start(&upstream.declared("fig"));
    let (before, message) = manager.expect("READY=1");
    assert!(before.is_empty(), "the first word is READY: {before:?}");
    assert_eq!(gateway.get("/function/fig").text(), "fig");
    let status = value(&message, "STATUS");
    assert_eq!(
        status,
        format!("1 functions at http://{}", gateway.address())
    );
    // The status follows what is edited.
    gateway.edit(&format!(
        "{}  echo: {{ process: cat }}\n",
        upstream.declared("fig")
    ));
    let two = format!("STATUS=2 functions at http://{}", gateway.address());
    let (_, message) = manager.expect(&two);
    assert_eq!(message, [two], "an edit is no reload that was asked for");
}

#[test]
fn a_reload_by_signal_has_a_beginning_with_its_time_and_an_end() {
    let manager = Manager::new();
    let gateway = manager.start("");
    manager.expect("READY=1");
    let before = monotonic();
    gateway.signal(Signal::HUP);
    let (_, message) = manager.expect("RELOADING=1");
    let time: u128 = value(&message, "MONOTONIC_USEC").parse().unwrap();
    assert!((before..=monotonic()).contains(&time), "{time}");
    manager.expect("READY=1");
}

#[test]
fn a_bad_reload_ends_as_well_and_says_what_is_wrong() {
    let manager = Manager::new();
    let gateway = manager.start("");
    manager.expect("READY=1");
    gateway.edit("timeouts:\n  upstrem: 5s\n  raed: 5s\n");
    // By itself, as a changed file is noticed;
    let wrong = |line: &str| {
        line.starts_with("STATUS=configuration not changed: ") && line.contains("gateway.yaml:")
    };
    let (before, _) = manager.expect_that("what is wrong", wrong);
    assert!(before.iter().flatten().all(|line| line != "READY=1"));
    // and when asked for.
    gateway.signal(Signal::HUP);
    manager.expect("RELOADING=1");
    let (_, message) = manager.expect("READY=1");
    assert!(message.iter().any(|line| wrong(line)), "{message:?}");
    gateway.edit("");
    manager.expect_that("all is well", |line| line.starts_with("STATUS=0 functions"));
}

#[test]
fn the_drain_is_announced_before_it_is_over() {
    let manager = Manager::new();
    let valve = Valve::default();
    let wait = valve.clone();
    let upstream = Upstream::start(move |exchange| {
        wait.wait();
        exchange.reply(200, &[], "done");
    });
    let mut gateway = manager.start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[]);
    eventually("the call is in flight", || valve.waiting() == 1);
    gateway.signal(Signal::TERM);
    let (_, message) = manager.expect("STOPPING=1");
    assert_eq!(value(&message, "STATUS"), "ending, 1 calls in flight");
    assert!(!gateway.has_ended());
    valve.open_once();
    assert_eq!(connection.response("GET").text(), "done");
    assert_eq!(gateway.wait_exit().code, Some(0));
}

#[test]
fn a_watchdog_gets_signs_of_life_only_where_there_is_one_and_until_the_process_stands_still() {
    let (manager, without) = (Manager::new(), Manager::new());
    let gateway = Gateway::with("")
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "300000")
        .start();
    let other = without.start("");
    for _ in 0..3 {
        let (_, message) = manager.expect("WATCHDOG=1");
        assert_eq!(message, ["WATCHDOG=1"]);
    }
    gateway.signal(Signal::STOP);
    within(PATIENCE, "nothing more is said", || {
        manager.next(Duration::from_millis(300)).is_none()
    });
    gateway.signal(Signal::CONT);
    manager.expect("WATCHDOG=1");
    drop(other);
    while let Some(message) = without.next(Duration::from_millis(1)) {
        assert!(!message.contains(&"WATCHDOG=1".to_owned()), "{message:?}");
    }
}

#[test]
fn a_watchdog_for_somebody_else_is_none() {
    let manager = Manager::new();
    let mut gateway = Gateway::with("")
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", "1")
        .start();
    manager.expect("READY=1");
    gateway.signal(Signal::TERM);
    let (before, _) = manager.expect("STOPPING=1");
    assert!(before.iter().flatten().all(|line| line != "WATCHDOG=1"));
    gateway.wait_exit();
}

#[test]
fn functions_do_not_see_the_socket() {
    let manager = Manager::new();
    let gateway = Gateway::with("functions:\n  env: { process: env }\n")
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "5000000")
        .start();
    let text = gateway.get("/function/env").assert_status(200).text();
    assert!(text.contains("PATH="), "{text}");
    for name in ["NOTIFY_SOCKET", "WATCHDOG"] {
        assert!(!text.contains(name), "{text}");
    }
}

#[test]
fn a_worker_says_that_it_is_ready_too() {
    // Its NATS may be away: it tries until it is there.
    let manager = Manager::new();
    let nats = format!("nats://127.0.0.1:{}", unused_port());
    let _worker = Gateway::with(&format!(
        "queue: {{ kind: jetstream, jetstream: {{ url: \"{nats}\" }} }}\n"
    ))
    .arg("worker")
    .env("NOTIFY_SOCKET", &manager.path)
    .start();
    let (_, message) = manager.expect("READY=1");
    let status = value(&message, "STATUS");
    assert!(status.starts_with("making queued calls"), "{status}");
}

#[test]
fn a_socket_that_is_gone_ends_nothing() {
    let gateway = Gateway::with("functions:\n  echo: { process: cat }\n")
        .env("NOTIFY_SOCKET", "/nowhere/notify")
        .start();
    gateway.signal(Signal::HUP);
    eventually("it is told", || {
        gateway.stderr().contains("service manager")
    });
    gateway.post("/function/echo", "hi").assert_status(200);
}

#[cfg(target_os = "linux")]
#[test]
fn a_manager_is_heard_at_an_abstract_address_too() {
    let manager = Manager::without_a_file();
    let gateway = manager.start("");
    let (before, _) = manager.expect("READY=1");
    assert!(before.is_empty(), "{before:?}");
    gateway.signal(Signal::HUP);
    manager.expect("RELOADING=1");
    manager.expect("READY=1");
}

#[test]
fn an_empty_variable_of_a_manager_is_none() {
    let mut gateway = Gateway::with("")
        .env("NOTIFY_SOCKET", "")
        .env("CREDENTIALS_DIRECTORY", "")
        .start();
    gateway.signal(Signal::HUP);
    gateway.signal(Signal::TERM);
    let exit = gateway.wait_exit();
    assert_eq!(exit.code, Some(0));
    assert!(!exit.stderr.contains("service manager"), "{exit:?}");
}

#[test]
fn a_manager_that_takes_nothing_holds_nothing_up_and_hears_of_the_start_when_it_listens() {
    let manager = Manager::new();
    manager.fill();
    let mut gateway = Gateway::with("functions:\n  echo: { process: cat }\n")
        .env("NOTIFY_SOCKET", &manager.path)
        .start();
    let refused = || gateway.stderr().contains("takes no message");
    eventually("it gives up for now", refused);
    gateway.post("/function/echo", "hi").assert_status(200);
    let (before, _) = manager.expect("READY=1");
    let others = before.iter().flatten().all(|line| line == "OTHER=1");
    assert!(others, "nothing that was given up comes late: {before:?}");
    manager.fill();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit().code, Some(0));
    while let Some(message) = manager.next(Duration::from_millis(1)) {
        assert_eq!(message, ["OTHER=1"]);
    }
}

/// Microseconds of the clock that a manager compares with.
fn monotonic() -> u128 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
    .as_micros()
}
