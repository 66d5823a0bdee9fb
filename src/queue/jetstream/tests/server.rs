//! A NATS server of its own for each test, and gateways' queues on it.

use std::fs::{self, File};
use std::future::Future;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::super::super::{
    Accepted, Invocation, Lane, Outcome, Queue, Record, Room, State, Step, Submission, Then, Try,
    Work, now,
};
use super::super::Jetstream;
use crate::config;
use crate::function::Codes;

/// Longest wait for anything that should happen, be it that a message which got lost on its way is
/// handed out again.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server, which ends with this value.
pub struct Server {
    child: Child,
    dir: TempDir,
    port: u16,
}

/// A gateway's queue, which is run.
pub struct Peer {
    queue: Arc<Jetstream>,
    running: JoinHandle<()>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// One that stores no more than so many bytes.
    pub fn small(bytes: usize) -> Self {
        Self::start_with(&format!("jetstream {{ max_file_store: {bytes} }}"))
    }

    /// Three that keep three copies of everything; they need a while to know each other.
    pub fn cluster() -> Vec<Self> {
        let ports = [unused_port(), unused_port(), unused_port()];
        let routes = ports.map(|port| format!("\"nats://127.0.0.1:{port}\""));
        let config = |(name, port)| {
            let routes = routes.join(", ");
            format!(
                "server_name: s{name}\njetstream {{ }}\ncluster {{ name: c, \
                 listen: \"127.0.0.1:{port}\", routes: [{routes}] }}"
            )
        };
        let configs = ports.into_iter().enumerate().map(config);
        let servers = configs.map(|config| Self::start_with(&config));
        servers.collect()
    }

    fn start_with(config: &str) -> Self {
        // A port that was free may be taken a moment later; then there is another.
        for _ in 0..5 {
            let mut server = Self::prepare(config);
            if server.is_up() {
                return server;
            }
        }
        panic!("nats-server ends at once");
    }

    /// One that does not run yet.
    pub fn absent() -> Self {
        let mut server = Self::prepare("");
        server.kill();
        server
    }

    pub fn settings(&self) -> config::Jetstream {
        config::Jetstream {
            url: format!("nats://127.0.0.1:{}", self.port),
            credentials: None,
            stream: "calls".to_owned(),
            subject: "calls".to_owned(),
            replicas: 1,
        }
    }

    /// A gateway that is connected.
    pub async fn peer(&self) -> Peer {
        self.peer_with(&queue()).await
    }

    pub async fn peer_with(&self, queue: &config::Queue) -> Peer {
        let peer = Peer::new(&self.settings(), queue);
        peer.is_ready().await;
        peer
    }

    /// A gateway that only takes calls in.
    pub async fn front(&self) -> Peer {
        let config = config::Queue {
            workers: 0,
            ..queue()
        };
        self.peer_with(&config).await
    }

    /// A client of somebody else.
    pub async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.settings().url).await.unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it end in order, and keeps a copy of a stream's messages.
    pub fn stop(&mut self, stream: &str) -> TempDir {
        self.signal(Signal::TERM);
        self.child.wait().unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_files(&self.messages(stream), copy.path());
        copy
    }

    /// Starts it with the messages that a stream had before.
    pub fn restart_with(&mut self, stream: &str, copy: &TempDir) {
        let messages = self.messages(stream);
        fs::remove_dir_all(&messages).unwrap();
        fs::create_dir(&messages).unwrap();
        copy_files(copy.path(), &messages);
        self.restart();
    }

    fn messages(&self, stream: &str) -> PathBuf {
        let streams = self.dir.path().join("store/jetstream/$G/streams");
        streams.join(stream).join("msgs")
    }

    pub fn restart(&mut self) {
        self.child = spawn(self.dir.path(), self.port);
        assert!(self.is_up(), "{}", self.log());
    }

    /// Stops it for a while; nothing happens in it any more once this returns.
    pub async fn pause(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        let is_stopped = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat"));
            stat.is_ok_and(|stat| stat.contains(") T "))
        };
        eventually("it is stopped", async || {
            let mut tasks = fs::read_dir(&tasks).unwrap();
            tasks.all(|task| is_stopped(task.unwrap()))
        })
        .await;
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn prepare(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config"), config).unwrap();
        let port = unused_port();
        let child = spawn(dir.path(), port);
        Self { child, dir, port }
    }

    fn is_up(&mut self) -> bool {
        let end = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < end {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.log().contains("Server is ready") {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of nats-server ---\n{}", self.log());
        }
    }
}

impl Peer {
    pub fn new(settings: &config::Jetstream, queue: &config::Queue) -> Self {
        let queue = Jetstream::new(settings, queue, "");
        let run = Arc::clone(&queue);
        Self {
            queue,
            running: tokio::spawn(async move { run.run().await }),
        }
    }

    pub async fn is_ready(&self) {
        eventually("ready", async || self.problem().is_none()).await;
    }

    pub async fn post(&self, submission: Submission) -> Accepted {
        self.submit(submission).await.unwrap()
    }

    /// The next step of lanes with room.
    pub async fn next_of(&self, room: Room<'_>) -> Work {
        self.queue.next(room).await
    }

    /// The next step.
    pub async fn next(&self) -> Work {
        let taken = timeout(PATIENCE, self.next_of(&|_: &Lane| 16)).await;
        taken.expect("a step")
    }

    /// Whether there is no step for a while.
    pub async fn is_idle(&self) -> bool {
        let wait = Duration::from_millis(300);
        timeout(wait, self.next_of(&|_: &Lane| 16)).await.is_err()
    }

    /// Ends a call as its function would.
    pub async fn succeed(&self, work: Work) -> Record {
        self.finish(work, State::Succeeded, Some(outcome("done")))
            .await
    }

    pub async fn finish(&self, work: Work, state: State, outcome: Option<Outcome>) -> Record {
        let record = tried(&work.record, Then::End(state));
        self.settle(work.ticket, record.clone(), outcome)
            .await
            .unwrap();
        record
    }

    /// Takes and ends calls until there have been so many; returns their bodies.
    pub async fn work_off(&self, calls: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        while bodies.len() < calls {
            let work = self.next().await;
            bodies.push(body(&work));
            self.succeed(work).await;
        }
        bodies
    }
}

impl std::ops::Deref for Peer {
    type Target = Arc<Jetstream>;

    fn deref(&self) -> &Arc<Jetstream> {
        &self.queue
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Waits until a condition holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "not in time: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// How long something takes.
pub async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let value = future.await;
    (value, begun.elapsed())
}

pub fn queue() -> config::Queue {
    let second = Duration::from_secs(1);
    config::Queue {
        kind: config::QueueKind::Embedded,
        workers: 16,
        per_function: 12,
        timeout: 60 * second,
        max_calls: 100_000,
        max_body: 1 << 20,
        retry: config::Retry {
            attempts: 3,
            min_wait: second,
            max_wait: second,
            codes: Codes::of(&[503]).unwrap(),
        },
        results: config::Results {
            keep: 3600 * second,
            max_body: 1 << 20,
        },
        dead_letters: 7200 * second,
        callbacks: config::Callbacks {
            deny_private_networks: false,
            allow: Vec::new(),
            timeout: second,
            secret_file: None,
        },
    }
}

/// A call of a function with a body, under an id that the gateway made up.
pub fn call(function: &str, body: &str) -> Submission {
    Submission {
        invocation: Invocation {
            function: function.parse().unwrap(),
            path: "/path".to_owned(),
            query: "a=b".to_owned(),
            host: "example.org".to_owned(),
            headers: HeaderMap::from_iter([(
                http::header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain"),
            )]),
            callback: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        },
        call_id: uuid::Uuid::new_v4().to_string().into(),
        chosen: false,
        key: None,
    }
}

pub fn outcome(body: &str) -> Outcome {
    Outcome {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        truncated: false,
    }
}

/// A record after one more try.
pub fn tried(record: &Record, then: Then) -> Record {
    let mut record = record.clone();
    let tried = Try {
        at: now(),
        took: 1,
        status: Some(200),
        error: None,
    };
    record.tried(tried, now(), then);
    record
}

/// The body of the call that is to be made.
pub fn body(work: &Work) -> String {
    match &work.step {
        Step::Call(invocation) => String::from_utf8(invocation.body.to_vec()).unwrap(),
        Step::Callback(_) => panic!("a callback"),
    }
}

fn copy_files(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn unused_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

fn spawn(dir: &Path, port: u16) -> Child {
    let log = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .open(dir.join("log"))
        .unwrap();
    Command::new(program())
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string()])
        .arg("-sd")
        .arg(dir.join("store"))
        .arg("-c")
        .arg(dir.join("config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// On the path, or where `make test-tools` unpacks it.
fn program() -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/usr");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["bin", "sbin"].map(|dir| unpacked.join(dir)))
        .map(|dir| dir.join("nats-server"))
        .find(|program| program.is_file())
        .expect("nats-server; `make test-tools` fetches it")
}
