//! What keeps a function apart: what is asked for, what the kernel grants, and how a process gets it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use schemars::JsonSchema;
use serde::Serialize;

use super::cgroup::{Cgroup, Cgroups};
use super::launcher::{self, Plan, SECRETS, Sandbox};
use crate::config::{Isolation, Limits};

/// Longest wait for one probe: it takes some milliseconds.
const PROBE: Duration = Duration::from_secs(5);

/// What functions of this gateway get.
#[derive(Debug)]
pub(super) struct Confinement {
    asked: Isolation,
    /// Whether a mount namespace can be had, or why not.
    mounts: Result<(), String>,
    /// The same for all that a sandbox is made of.
    sandbox: Result<(), String>,
    /// Control groups for those with limits, or why there are none.
    cgroups: Result<Cgroups, String>,
    bench: PathBuf,
    hidden: Vec<PathBuf>,
}

/// What functions are kept apart by, as `GET /system/info` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IsolationReport {
    /// What the configuration asks for.
    pub asked: &'static str,
    /// What is in force.
    pub active: Vec<&'static str>,
    /// What was asked for and cannot be had here.
    pub missing: Vec<Missing>,
    /// Where functions find their secrets: the usual path, or what the variable `secret_mount_path`
    /// says.
    pub secrets: &'static str,
    /// How limits of memory are enforced.
    pub memory_limit: &'static str,
    /// How limits of processor time are enforced.
    pub cpu_limit: &'static str,
    /// Why there are no control groups, where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_cgroups: Option<String>,
}

/// Something that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Missing {
    /// What.
    pub name: &'static str,
    /// Why.
    pub why: String,
}

impl Confinement {
    /// Finds out what the kernel grants. `runtime_dir` is the gateway's own; it and `hidden` are not
    /// to be seen in a sandbox. Without a launcher nothing is granted.
    pub fn probe(
        asked: Isolation,
        launcher: bool,
        runtime_dir: &Path,
        mut hidden: Vec<PathBuf>,
    ) -> io::Result<Self> {
        let bench = runtime_dir.join("bench");
        fs::create_dir(&bench)?;
        hidden.push(runtime_dir.to_owned());
        let hidden = hidden
            .iter()
            .map(std::path::absolute)
            .collect::<io::Result<_>>()?;
        let mut confinement = Self {
            asked,
            mounts: Err("it is not asked for".to_owned()),
            sandbox: Err("it is not asked for".to_owned()),
            cgroups: Err("there is no launcher".to_owned()),
            bench,
            hidden,
        };
        if !launcher {
            let why = Err("there is no launcher".to_owned());
            (confinement.mounts, confinement.sandbox) = (why.clone(), why);
            return Ok(confinement);
        }
        confinement.cgroups = Cgroups::take_over();
        if asked != Isolation::None {
            let secrets = runtime_dir.join("probe");
            fs::create_dir(&secrets)?;
            confinement.mounts = attempt(&confinement.plan(&secrets, false));
            if asked == Isolation::Sandbox {
                confinement.sandbox = attempt(&confinement.plan(&secrets, true));
            }
            fs::remove_dir(&secrets)?;
        }
        Ok(confinement)
    }

    /// Whether functions can be started at all: a sandbox that cannot be had is not replaced by
    /// something weaker. The error is in words.
    pub fn permits(&self) -> Result<(), String> {
        match (self.asked, &self.sandbox) {
            (Isolation::Sandbox, Err(why)) => Err(format!(
                "provider.isolation is `sandbox`, which this machine does not grant: {why}; `basic` \
                 needs less"
            )),
            _ => Ok(()),
        }
    }

    /// A control group for one copy of a function; `None`: it has no limits that a group could hold.
    pub fn cgroup(&self, name: &str, limits: Limits) -> io::Result<Option<Cgroup>> {
        match &self.cgroups {
            Ok(cgroups) => cgroups.create(name, limits),
            Err(_) => Ok(None),
        }
    }

    /// Whether a limit of memory is for each process to keep.
    pub fn limits_each_process(&self) -> bool {
        !self.cgroups.as_ref().is_ok_and(Cgroups::limits_memory)
    }

    /// How a process with these belongings is launched; `None`: there is nothing to prepare.
    pub fn launch(
        &self,
        secrets: Option<&Path>,
        cgroup: Option<&Path>,
        dir: Option<&Path>,
    ) -> Option<Plan> {
        let sandbox = self.asked == Isolation::Sandbox;
        let secrets = secrets.filter(|_| self.shows_secrets());
        if !sandbox && secrets.is_none() && cgroup.is_none() {
            return None;
        }
        Some(Plan {
            cgroup: cgroup.map(Path::to_owned),
            secrets: secrets.map(Path::to_owned),
            bench: self.bench.clone(),
            sandbox: sandbox.then(|| Sandbox {
                writable: dir.and_then(|dir| fs::canonicalize(dir).ok()),
                hidden: self.hidden.clone(),
            }),
            ..Plan::default()
        })
    }

    /// Whether secrets are seen at [`SECRETS`]; else at the path of the folder itself.
    pub fn shows_secrets(&self) -> bool {
        match self.asked {
            Isolation::None => false,
            Isolation::Basic => self.mounts.is_ok(),
            Isolation::Sandbox => self.sandbox.is_ok(),
        }
    }

    /// What is in force.
    pub fn report(&self) -> IsolationReport {
        let mut active = vec![
            "process_group",
            "clean_environment",
            "no_new_privileges",
            "no_core_files",
        ];
        let mut missing = Vec::new();
        let mut note = |names: &[&'static str], granted: &Result<(), String>| match granted {
            Ok(()) => active.extend(names),
            Err(why) => missing.extend(names.iter().map(|name| Missing {
                name,
                why: why.clone(),
            })),
        };
        match self.asked {
            Isolation::None => {}
            Isolation::Basic => note(&["private_secrets_mount"], &self.mounts),
            Isolation::Sandbox => {
                let parts = [
                    "private_secrets_mount",
                    "user_namespace",
                    "process_namespace",
                    "ipc_namespace",
                    "read_only_files",
                    "private_tmp",
                    "hidden_state",
                ];
                note(&parts, &self.sandbox);
            }
        }
        IsolationReport {
            asked: self.asked.as_str(),
            active,
            missing,
            secrets: if self.shows_secrets() {
                SECRETS
            } else {
                "secret_mount_path"
            },
            memory_limit: match &self.cgroups {
                Ok(cgroups) if cgroups.limits_memory() => "cgroup",
                _ if cfg!(target_os = "linux") => "rlimit_data",
                _ => "none",
            },
            cpu_limit: match &self.cgroups {
                Ok(cgroups) if cgroups.limits_cpu() => "cgroup",
                _ => "none",
            },
            no_cgroups: self.cgroups.as_ref().err().cloned(),
        }
    }

    fn plan(&self, secrets: &Path, sandbox: bool) -> Plan {
        Plan {
            secrets: Some(secrets.to_owned()),
            bench: self.bench.clone(),
            sandbox: sandbox.then(|| Sandbox {
                writable: None,
                hidden: self.hidden.clone(),
            }),
            program: "/proc/self/exe".into(),
            ..Plan::default()
        }
    }
}

/// Launches this very program, to see whether it can be.
fn attempt(plan: &Plan) -> Result<(), String> {
    let launch = || -> io::Result<Result<(), String>> {
        let mut command: Command = launcher::command(plan)?;
        command
            .args(["gateway", "version"])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut probe = command.stderr(Stdio::piped()).spawn()?;
        let deadline = Instant::now() + PROBE;
        let status = loop {
            if let Some(status) = probe.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                probe.kill()?;
                break probe.wait()?;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if status.success() {
            return Ok(Ok(()));
        }
        let mut words = String::new();
        if let Some(mut stderr) = probe.stderr.take() {
            stderr.read_to_string(&mut words)?;
        }
        let words = words
            .trim()
            .trim_start_matches("gateway: cannot launch the function: ");
        Ok(Err(if words.is_empty() {
            status.to_string()
        } else {
            words.to_owned()
        }))
    };
    launch().unwrap_or_else(|error| Err(error.to_string()))
}
