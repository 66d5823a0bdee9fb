//! The provider with real processes: `cat`, `sh`, `env`, `sleep`, and for HTTP mode this very test
//! program, which then plays the function of `examples/hello.rs`.

mod calls;
mod orphans;
mod residents;
mod revisions;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::config::{Isolation, Limits, Mode, Process, Secrets, Watchdog};
use crate::provider::{Address, FunctionView};

#[allow(dead_code)]
#[path = "../../../../examples/hello.rs"]
mod hello;

/// Far longer than anything here takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// A provider at work.
struct Running {
    provider: Arc<Runner>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    parent: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let provider = Runner::new(Options {
            runtime_parent: parent.path().to_owned(),
            reaper: None,
            drain: LONG,
            launcher: false,
            isolation: Isolation::None,
            state_dir: parent.path().to_owned(),
            hidden: Vec::new(),
        });
        let provider = provider.unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn({
            let provider = Arc::clone(&provider);
            async move { provider.run(async { _ = stopped.await }).await }
        });
        Self {
            provider,
            stop,
            task,
            parent,
        }
    }

    /// A provider with one function, `f`.
    fn with(process: Process) -> Self {
        let running = Self::start();
        running.declare(process);
        running
    }

    fn declare(&self, process: Process) {
        let desired = Desired {
            process,
            scaling: Default::default(),
            retry: Default::default(),
        };
        self.provider.declare([(name(), Arc::new(desired))].into());
    }

    /// Waits until the view of `f` is as wanted.
    async fn view(&self, wanted: impl Fn(&FunctionView) -> bool) -> FunctionView {
        let mut view = self.provider.view();
        let wanted = view.wait_for(|view| view.get(&name()).is_some_and(|view| wanted(view)));
        let view = tokio::time::timeout(LONG, wanted).await.unwrap().unwrap();
        FunctionView::clone(&view[&name()])
    }

    /// Waits until `f` can be called, and for its address.
    async fn address(&self) -> Address {
        let view = self.view(|view| !view.replicas.is_empty()).await;
        view.replicas[0].address().clone()
    }

    /// The socket of a classic or streaming function.
    async fn socket(&self) -> Arc<Path> {
        match self.address().await {
            Address::Unix(path) => path,
            Address::Tcp(address) => panic!("{address} is no socket"),
        }
    }

    fn status(&self) -> Arc<Status> {
        self.provider.status(&name()).unwrap()
    }

    async fn call(&self, request: Request<Full<Bytes>>) -> (StatusCode, Response<()>, Bytes) {
        call(&self.address().await, request).await
    }

    async fn post(&self, body: impl Into<Bytes>) -> (StatusCode, Response<()>, Bytes) {
        self.call(Request::post("/").body(Full::new(body.into())).unwrap())
            .await
    }

    fn log(&self) -> Vec<String> {
        let status = self.provider.status(&name()).unwrap();
        let entries = status.logs.entries(0);
        entries.iter().map(|entry| entry.text.to_string()).collect()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(LONG, self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

fn name() -> FunctionName {
    FunctionName::new("f", "test").unwrap()
}

/// A classic function.
fn classic(command: &[&str]) -> Process {
    Process {
        command: command.iter().map(|&word| word.to_owned()).collect(),
        mode: Mode::Classic,
        dir: None,
        environment: BTreeMap::new(),
        replicas: 1,
        secrets: Secrets::default(),
        limits: Limits::default(),
        watchdog: Watchdog {
            exec_timeout: Duration::ZERO,
            max_inflight: None,
            content_type: None,
            cgi_headers: true,
            combine_output: true,
            read_debug: false,
            write_debug: false,
            ready_path: None,
            start_timeout: LONG,
            stop_timeout: Duration::from_secs(5),
        },
    }
}

fn shell(script: &str) -> Process {
    classic(&["sh", "-c", script])
}

fn streaming(script: &str) -> Process {
    Process {
        mode: Mode::Streaming,
        ..shell(script)
    }
}

/// A function in HTTP mode that runs a script.
fn resident(script: &str) -> Process {
    Process {
        mode: Mode::Http,
        ..shell(script)
    }
}

/// A function in HTTP mode that serves.
fn server() -> Process {
    Process {
        mode: Mode::Http,
        ..this_program("serve_as_a_function")
    }
}

/// This test program, which plays a part in a process of its own.
fn this_program(part: &str) -> Process {
    let program = std::env::current_exe().unwrap();
    let part = format!("provider::process::tests::{part}");
    classic(&[
        program.to_str().unwrap(),
        "--exact",
        &part,
        "--ignored",
        "--nocapture",
    ])
}

#[test]
#[ignore = "a part that other tests start as a process"]
fn serve_as_a_function() {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    hello::serve(&listener, "Hello").unwrap();
}

async fn call(
    address: &Address,
    request: Request<Full<Bytes>>,
) -> (StatusCode, Response<()>, Bytes) {
    let response = match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.unwrap();
            send(TokioIo::new(stream), request).await
        }
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await.unwrap();
            send(TokioIo::new(stream), request).await
        }
    };
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, Response::from_parts(head, ()), body)
}

async fn send<I>(io: I, request: Request<Full<Bytes>>) -> Response<hyper::body::Incoming>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let response = tokio::time::timeout(LONG, sender.send_request(request));
    response.await.unwrap().unwrap()
}

/// Waits until a condition holds that nobody tells us of.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

/// Whether a process lives; a zombie that nobody has reaped does not.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The process ids that a script wrote to a file, once there are so many.
async fn pids(path: &Path, count: usize) -> Vec<u32> {
    let read = || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text
            .rsplit_once('\n')
            .map_or("", |(whole, _)| whole)
            .to_owned();
        whole
            .lines()
            .map(|line| line.parse().unwrap())
            .collect::<Vec<u32>>()
    };
    until(|| read().len() >= count).await;
    read()
}
