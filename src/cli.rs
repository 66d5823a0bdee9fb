//! The command line: what can be asked of the program, and the answers that need no running gateway.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Builder;

use crate::admin::{COMMIT, RELEASE};
use crate::config::env::Environment;
use crate::config::{self, Flags, Sources};
use crate::health::{self, Question};

/// Longest wait for the answer of `gateway health`.
const HEALTH_LIMIT: Duration = Duration::from_secs(3);

/// An open function gateway: a drop-in for OpenFaaS clients, one binary that also runs the
/// functions.
///
/// Without a command it runs. Settings come from the file, then from the environment variables of
/// the OpenFaaS gateway, then from these flags; the later wins.
#[derive(Debug, Parser)]
#[command(name = "gateway", version = RELEASE, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What to do; nothing said is `run`.
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

/// What the program can do.
#[derive(Debug, Default, Subcommand)]
pub enum Command {
    /// Serve functions, API and portal until SIGTERM; SIGHUP reads the configuration again.
    #[default]
    Run,
    /// Only make queued calls, until SIGTERM: functions, API and portal are not served. Several workers
    /// share a stream of NATS JetStream (`queue.kind: jetstream`).
    Worker,
    /// Say whether the configuration is good (exit code 0) or what is wrong with it (1).
    Check,
    /// Ask a running gateway whether it takes calls: exit code 0 or 1, for health checks. Name its address
    /// with --metrics where the file may change: what it says counts otherwise.
    Health {
        /// Only ask whether it runs: a gateway that drains does, but takes no calls.
        #[arg(long)]
        live: bool,
    },
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Print version and commit.
    Version,
    /// Outlive the gateway and end what it left behind; the gateway starts this itself.
    #[command(hide = true)]
    Reaper {
        /// The gateway's runtime directory.
        dir: PathBuf,
    },
}

#[derive(Args, Clone, Debug)]
struct Settings {
    /// Configuration file [default: conf/gateway.yaml if it is there].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of functions, API and portal, such as 127.0.0.1:8080 [default: 0.0.0.0:8080].
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of /metrics, such as 127.0.0.1:8082 [default: 0.0.0.0:8082].
    #[arg(long, global = true, value_name = "ADDRESS")]
    metrics: Option<String>,
    /// Threads of the proxy [default: auto, one per processor].
    #[arg(long, global = true, value_name = "NUMBER")]
    threads: Option<String>,
    /// Folder of everything durable [default: ./data].
    #[arg(long, global = true, value_name = "FOLDER")]
    state_dir: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  gateway --config conf/gateway.yaml
  gateway check --config conf/gateway.yaml
  functions_provider_url=http://faasd:8081/ gateway    (in front of a faas-provider)
  RUST_LOG=debug gateway                               (more of what it does, on stderr)";

impl Cli {
    /// Where the configuration comes from.
    pub fn sources(&self) -> Sources {
        let settings = self.settings.clone();
        Sources {
            file: settings.config,
            environment: Environment::of_this_process(),
            flags: Flags {
                listen: settings.listen,
                metrics: settings.metrics,
                threads: settings.threads,
                state_dir: settings.state_dir,
            },
        }
    }
}

/// `gateway check`: what `run` and a reload would say about this configuration.
pub fn check(sources: &Sources) -> ExitCode {
    match config::load(sources) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                eprintln!("warning: {warning}");
            }
            let file = match &loaded.file {
                Some(file) => file.display().to_string(),
                None => "no file, built-in defaults".to_owned(),
            };
            let functions = loaded.config.functions.len();
            let routes = loaded.config.routes.len();
            println!("{file}: good, {functions} functions, {routes} routes");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// `gateway health`.
pub fn health(sources: &Sources, live: bool) -> ExitCode {
    let (question, good) = match live {
        false => (Question::Ready, "ready"),
        true => (Question::Live, "alive"),
    };
    let answer = config::metrics_address(sources)
        .map_err(|error| format!("which gateway to ask: {error}"))
        .and_then(|address| {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let asked = runtime.block_on(health::ask(address, question, HEALTH_LIMIT));
            asked.map_err(|error| error.to_string())
        });
    match answer {
        Ok(address) => {
            println!("{good}: the gateway at http://{address}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("not {good}: {why}");
            ExitCode::FAILURE
        }
    }
}

/// `gateway schema`.
pub fn schema() -> ExitCode {
    print!("{}", config::schema::schema());
    ExitCode::SUCCESS
}

/// `gateway version`.
pub fn version() -> ExitCode {
    println!("gateway {RELEASE}");
    println!("commit  {COMMIT}");
    ExitCode::SUCCESS
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for line in [
            &["gateway", "--listen", "127.0.0.1:1", "--threads", "2"][..],
            &[
                "gateway",
                "run",
                "--listen",
                "127.0.0.1:1",
                "--threads",
                "2",
            ],
            &[
                "gateway",
                "--listen",
                "127.0.0.1:1",
                "run",
                "--threads",
                "2",
            ],
        ] {
            let sources = Cli::try_parse_from(line).unwrap().sources();
            let expected = Flags {
                listen: Some("127.0.0.1:1".to_owned()),
                threads: Some("2".to_owned()),
                ..Flags::default()
            };
            assert_eq!(sources.flags, expected, "{line:?}");
        }
    }
}
