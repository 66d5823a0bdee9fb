//! The gateway under test: the built executable in a folder and an environment of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::client::{Connection, Response, basic, request, try_request};
use super::metrics::Metrics;
use super::output::{Captured, Exit, wait};
use super::process::{descendants, kill, signal};
use super::{PATIENCE, Signal, eventually};

/// A gateway that is about to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    dir: Arc<TempDir>,
    file: Option<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    without_namespaces: bool,
    unprivileged: bool,
    first_process: bool,
    disk: Option<usize>,
    open_files: Option<String>,
}

/// A running gateway; its value's end is its own, by SIGKILL.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    setup: Setup,
    stdout: Captured,
    stderr: Captured,
    api: SocketAddr,
    metrics: SocketAddr,
}

impl Setup {
    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Runs it where the kernel refuses new namespaces to it.
    pub fn without_namespaces(mut self) -> Self {
        self.without_namespaces = true;
        self
    }

    /// Runs it as somebody who is not root, whoever runs the test.
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = rustix::process::geteuid().is_root();
        self
    }

    /// Runs it as the first process of its own process namespace, as a container does. Signals reach
    /// the program around it, which only passes on its own end.
    pub fn first_process(mut self) -> Self {
        self.first_process = true;
        self
    }

    /// Gives it a disk of so many megabytes for its state, in a mount namespace of its own.
    pub fn disk(mut self, megabytes: usize) -> Self {
        self.disk = Some(megabytes);
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Writes a file beside the configuration; `@DIR@` in the configuration is that folder.
    pub fn file(self, name: &str, content: &str) -> Self {
        fs::write(self.dir.path().join(name), content).unwrap();
        self
    }

    /// The folder that `@DIR@` stands for.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts it and waits until it serves.
    #[track_caller]
    pub fn start(self) -> Gateway {
        let mut child = self.spawn();
        let stdout = Captured::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Captured::of(child.stderr.take().expect("stderr is piped"));
        let mut gateway = Gateway {
            child,
            setup: self,
            stdout,
            stderr,
            api: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        gateway.wait_until_ready();
        gateway
    }

    /// Runs it to its end, which must come by itself.
    #[track_caller]
    pub fn run(self) -> Exit {
        let mut child = self.spawn();
        let stdout = Captured::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Captured::of(child.stderr.take().expect("stderr is piped"));
        wait(&mut child, &stdout, &stderr)
    }

    /// Starts it with a limit of open files, in the words of `ulimit`.
    pub fn open_files(mut self, limit: &str) -> Self {
        self.open_files = Some(limit.to_owned());
        self
    }

    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_gateway");
        if let Some(limit) = &self.open_files {
            let mut command = Command::new("sh");
            command
                .args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")])
                .arg(program);
            return command;
        }
        if self.unprivileged {
            // The program may lie where nobody else may go.
            let nobody = rustix::fs::Uid::from_raw(65534);
            let copy = self.dir.path().join("gateway");
            fs::copy(program, &copy).unwrap();
            rustix::fs::chown(self.dir.path(), Some(nobody), None).unwrap();
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(copy);
            return command;
        }
        if self.first_process {
            let mut command = Command::new("unshare");
            command
                .args([
                    "--user",
                    "--map-root-user",
                    "--pid",
                    "--fork",
                    "--kill-child",
                ])
                .args(["--mount-proc", program]);
            return command;
        }
        if let Some(megabytes) = self.disk {
            let state = state(self.dir.path());
            fs::create_dir(&state).unwrap();
            let mut command = Command::new("unshare");
            command
                .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
                .arg("mount -t tmpfs -o \"size=$0m\" none \"$1\" && shift && exec \"$@\"")
                .arg(megabytes.to_string())
                .arg(state)
                .arg(program);
            return command;
        }
        if !self.without_namespaces {
            return Command::new(program);
        }
        // In a user namespace of its own, in which no other can be made, and without the rights that
        // its first user has there.
        let script = "echo 0 > /proc/sys/user/max_user_namespaces && \
            exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            script,
            "sh",
            program,
        ]);
        command
    }

    fn spawn(&self) -> Child {
        let mut command = self.command();
        command.args(&self.arguments);
        if let Some(yaml) = &self.file {
            let path = config_path(self.dir.path());
            fs::write(&path, render(yaml, self.dir.path())).unwrap();
            command.arg("--config").arg(&path);
        }
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting the gateway")
    }
}

impl Gateway {
    /// A gateway with this configuration. What every test wants is added where the text does not
    /// say otherwise: free ports on the loopback interface, and the state in the test's folder.
    pub fn with(yaml: &str) -> Setup {
        Setup {
            file: Some(yaml.to_owned()),
            ..Self::bare()
        }
    }

    /// A gateway without a configuration file.
    pub fn bare() -> Setup {
        Setup {
            dir: Arc::new(tempfile::tempdir().unwrap()),
            file: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            without_namespaces: false,
            unprivileged: false,
            first_process: false,
            disk: None,
            open_files: None,
        }
    }

    /// Starts a gateway with this configuration.
    #[track_caller]
    pub fn start(yaml: &str) -> Self {
        Self::with(yaml).start()
    }

    /// Where functions and API are.
    pub fn address(&self) -> SocketAddr {
        self.api
    }

    /// Where its metrics are.
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    /// A connection to functions and API.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(self.api)
    }

    /// Calls with these headers and this body.
    #[track_caller]
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Response {
        request(self.api, method, path, headers, body.as_ref())
    }

    /// Gets a path.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], "")
    }

    /// Posts to a path.
    #[track_caller]
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.request("POST", path, &[], body)
    }

    /// Calls with the generated credentials.
    #[track_caller]
    pub fn admin(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> Response {
        let (user, password) = self.credentials();
        self.request(
            method,
            path,
            &[("Authorization", &basic(&user, &password))],
            body,
        )
    }

    /// The generated user name and password.
    #[track_caller]
    pub fn credentials(&self) -> (String, String) {
        let read = |name: &str| {
            let path = self.state().join("auth").join(name);
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            text.trim().to_owned()
        };
        (read("basic-auth-user"), read("basic-auth-password"))
    }

    /// Calls the metrics server.
    #[track_caller]
    pub fn observe(&self, method: &str, path: &str) -> Response {
        request(self.metrics, method, path, &[], b"")
    }

    /// Calls the metrics server, which may be gone.
    pub fn try_observe(&self, path: &str) -> std::io::Result<Response> {
        try_request(self.metrics, "GET", path, &[], b"")
    }

    /// Everything it measures now.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.observe("GET", "/metrics").assert_status(200).text())
    }

    /// The sum of the series of this name that carry these labels; `None` without any.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.metrics().sum(name, labels)
    }

    /// The folder of the test.
    pub fn dir(&self) -> &Path {
        self.setup.dir()
    }

    /// Where its state is.
    pub fn state(&self) -> PathBuf {
        let state = state(self.dir());
        match self.setup.disk {
            None => state,
            // As it sees it itself.
            Some(_) => {
                let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
                root.join(state.strip_prefix("/").unwrap())
            }
        }
    }

    /// Rewrites the configuration file in place.
    pub fn edit(&self, yaml: &str) {
        fs::write(config_path(self.dir()), render(yaml, self.dir())).unwrap();
    }

    /// Rewrites the configuration file and waits until it is in force.
    #[track_caller]
    pub fn edit_and_wait(&self, yaml: &str) {
        let before = self.generation();
        self.edit(yaml);
        eventually("the edited configuration is in force", || {
            self.generation() > before
        });
    }

    /// How many configurations were in force so far.
    #[track_caller]
    pub fn generation(&self) -> f64 {
        self.metric("gateway_config_generation", &[])
            .expect("gateway_config_generation is exported")
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// The lines of its JSON access log so far.
    #[track_caller]
    pub fn access_log(&self) -> Vec<Value> {
        let text = self.stdout();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, which: Signal) {
        signal(self.pid(), which);
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait_exit(&mut self) -> Exit {
        wait(&mut self.child, &self.stdout, &self.stderr)
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again in its folder, with the configuration as it is now; ports are others.
    #[track_caller]
    pub fn restart(&mut self) {
        let mut setup = self.setup.clone();
        if setup.file.take().is_some() {
            let config = config_path(self.dir()).display().to_string();
            setup = setup.arg("--config").arg(config);
        }
        *self = setup.start();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE * 2;
        loop {
            let ended = self.has_ended();
            // A worker serves none.
            let is_worker = self.setup.arguments.iter().any(|word| word == "worker");
            let none = is_worker.then_some(self.api);
            let api = self.printed("API").or(none);
            if let (Some(api), Some(metrics)) = (api, self.printed("metrics")) {
                (self.api, self.metrics) = (api, metrics);
                let health = try_request(metrics, "GET", "/healthz", &[], b"");
                // The last of the lines that say where everything is: tests read those before it.
                let announced = self
                    .stderr()
                    .lines()
                    .any(|line| line.starts_with("  config "));
                if announced && health.is_ok_and(|response| response.status == 200) {
                    return;
                }
            }
            assert!(!ended, "the gateway ended at once:\n{}", self.stderr());
            assert!(
                Instant::now() < deadline,
                "the gateway is not ready:\n{}",
                self.stderr()
            );
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// The address printed after a label at the start.
    fn printed(&self, label: &str) -> Option<SocketAddr> {
        let text = self.stderr();
        let mut words = text
            .lines()
            .map(str::split_whitespace)
            .find_map(|mut words| (words.next() == Some(label)).then_some(words))?;
        let address = words.next()?.strip_prefix("http://")?;
        address.split('/').next()?.parse().ok()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let family = descendants(self.pid());
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The gateway's own reaper should have done it; a failing test must not leave any either.
        family.into_iter().for_each(kill);
        if thread::panicking() {
            eprintln!("--- stderr of the gateway ---\n{}", self.stderr());
        }
    }
}

fn state(dir: &Path) -> PathBuf {
    dir.join("state")
}

fn config_path(dir: &Path) -> PathBuf {
    dir.join("gateway.yaml")
}

fn render(yaml: &str, dir: &Path) -> String {
    let state = state(dir);
    let mut text = String::new();
    let mut add_unless_there = |key: &str, line: String| {
        if !yaml.lines().any(|line| line.starts_with(key)) {
            text.push_str(&line);
        }
    };
    add_unless_there("version:", "version: 1\n".to_owned());
    add_unless_there(
        "server:",
        "server: { listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\" }\n".to_owned(),
    );
    add_unless_there(
        "provider:",
        format!("provider: {{ state_dir: {} }}\n", state.display()),
    );
    text + &yaml.replace("@DIR@", &dir.display().to_string())
}
