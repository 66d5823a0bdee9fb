//! The machine and the shell of a reader: a fresh folder like the project's, a gateway that `make run`
//! would start, and nobody else on any port.
//!
//! All of it is in namespaces of its own (network, processes), so a document is run word for word, with
//! the ports that it names, and whatever it starts ends with it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::document::{File, Snippet};
use super::expected::is_expected;
use super::{commands, document::Step};
use crate::harness::{folders, shipped};

/// Longest time of one command.
const COMMAND: Duration = Duration::from_secs(60);

/// For so long a reader would try a command again that does not show yet what the document says: what
/// was saved or deployed a moment ago takes its time.
const AGAIN: Duration = Duration::from_secs(10);

/// Parts of the project that documents start from.
const COPIED: [&str; 4] = [".ci", "Makefile", "conf", "examples"];

/// Starts what `make run` starts and waits until it is ready, for as long as a command may take.
const START: &str = "\
    gateway --config conf/gateway.yaml >../gateway.log 2>&1 & GATEWAY=$!
    until curl -sf localhost:8082/healthz; do sleep 0.1; done";

/// A reader at a terminal.
pub struct Session {
    dir: TempDir,
    shell: Child,
    stdin: ChildStdin,
    /// An exit code for each command.
    codes: Receiver<String>,
}

impl Session {
    /// Lays out the folder, opens the shell and starts the gateway.
    #[track_caller]
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        lay_out(dir.path());
        let mut shell = shell(dir.path());
        let stdin = shell.stdin.take().unwrap();
        let stdout = BufReader::new(shell.stdout.take().unwrap());
        let (sender, codes) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut session = Self {
            dir,
            shell,
            stdin,
            codes,
        };
        let started = session.execute(START, "");
        if !matches!(started, Ok((0, _))) {
            panic!("no gateway: {started:?}\n{}", session.log());
        }
        session
    }

    /// Does a step. The error says what came of it instead of what the document says.
    pub fn perform(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Run(command) => self.run(command),
            Step::Save(file) => self.save(file),
            Step::Configure(snippet) => {
                let path = self.write(snippet);
                self.check(&path.display().to_string())
            }
            Step::Stack(snippet) => {
                let path = self.write(snippet);
                let login = "admin:$(cat data/auth/basic-auth-password)";
                self.succeed(&format!(
                    "curl -u \"{login}\" --data-binary @{} \
                     localhost:8080/system/stack",
                    path.display()
                ))
            }
        }
    }

    /// What the gateway wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("gateway.log")).unwrap_or_default()
    }

    fn run(&mut self, command: &commands::Command) -> Result<(), String> {
        if command.output.is_empty() {
            return self.succeed(&command.text);
        }
        let deadline = Instant::now() + AGAIN;
        loop {
            let (_, shown) = self.execute(&command.text, "")?;
            if is_expected(&command.output, &shown) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let expected = command.output.join("\n");
                return Err(format!("it shows\n{shown}\nand not\n{expected}"));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn save(&mut self, file: &File) -> Result<(), String> {
        let path = self.project().join(&file.path);
        let before = match file.append {
            true => fs::read_to_string(&path).map_err(|error| error.to_string())?,
            false => String::new(),
        };
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, before + &file.text).unwrap();
        match file.configures {
            true => self.check(&file.path),
            false => Ok(()),
        }
    }

    fn check(&mut self, path: &str) -> Result<(), String> {
        self.succeed(&format!("gateway check --config {path}"))
    }

    fn succeed(&mut self, command: &str) -> Result<(), String> {
        match self.execute(command, "CURL_HOME=~/strict")? {
            (0, _) => Ok(()),
            (code, shown) => Err(format!("it ends with {code} and shows\n{shown}")),
        }
    }

    /// Runs a command in the shell, with these variables, and returns its exit code and what it shows.
    fn execute(&mut self, command: &str, variables: &str) -> Result<(i32, String), String> {
        let (input, output) = (
            self.dir.path().join("input"),
            self.dir.path().join("output"),
        );
        fs::write(&input, command).unwrap();
        let (source, shown) = (input.display(), output.display());
        let line = format!("{variables} . '{source}' >'{shown}' 2>&1 </dev/null; echo $?\n");
        let sent = self.stdin.write_all(line.as_bytes());
        sent.map_err(|_| "the shell has ended".to_owned())?;
        let code = self.codes.recv_timeout(COMMAND);
        let shown = String::from_utf8_lossy(&fs::read(&output).unwrap_or_default()).into_owned();
        match code.ok().and_then(|code| code.parse().ok()) {
            Some(code) => Ok((code, shown)),
            None => Err(format!(
                "it does not end within {COMMAND:?}; so far it shows\n{shown}"
            )),
        }
    }

    fn write(&self, snippet: &Snippet) -> PathBuf {
        let path = self.dir.path().join("snippet.yaml");
        fs::write(&path, &snippet.text).unwrap();
        path
    }

    fn project(&self) -> PathBuf {
        project(self.dir.path())
    }
}

impl Drop for Session {
    /// The first process of the namespace ends with its parent, and all others with it.
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn shell(dir: &Path) -> Child {
    let home = dir.join("home");
    let mut command = Command::new("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "--pid",
            "--mount-proc",
        ])
        .args(["--fork", "--kill-child", "sh", "-c"])
        .arg("ip link set lo up && exec bash --noprofile --norc")
        .current_dir(project(dir))
        .env_clear()
        .env("PATH", path(&project(dir).join("target/release")))
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", &home)
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command.spawn().expect("opening a shell")
}

fn lay_out(dir: &Path) {
    let project = project(dir);
    fs::create_dir(&project).unwrap();
    for part in COPIED {
        copy(&shipped(part), &project.join(part));
    }
    let built = Path::new(env!("CARGO_BIN_EXE_gateway"));
    let examples = project.join("target/release/examples");
    fs::create_dir_all(&examples).unwrap();
    fs::copy(built, project.join("target/release/gateway")).unwrap();
    let hello = built.with_file_name("examples").join("hello");
    fs::copy(hello, examples.join("hello")).expect("`make test-docs` builds the example");
    let home = dir.join("home");
    fs::create_dir(&home).unwrap();
    // It would show its progress, as its output is no terminal.
    fs::write(home.join(".curlrc"), "silent\nshow-error\n").unwrap();
    // And an error that a document says nothing about should not stay unseen.
    let strict = home.join("strict");
    fs::create_dir(&strict).unwrap();
    fs::write(
        strict.join(".curlrc"),
        "silent\nshow-error\nfail-with-body\n",
    )
    .unwrap();
}

/// A file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        copy(&from.join(&name), &to.join(&name));
    }
}

fn project(dir: &Path) -> PathBuf {
    dir.join("gateway")
}

/// The project's own programs first, as its documents say.
fn path(own: &Path) -> std::ffi::OsString {
    std::env::join_paths(std::iter::once(own.to_owned()).chain(folders())).unwrap()
}
