//! The command line: what can be asked of the program, and the answers that need no running gateway.

mod manual;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use tokio::runtime::Builder;

use crate::config::env::Environment;
use crate::config::{self, Flags, Sources};
use crate::health::{self, Question};
use crate::release::{Program, RELEASE};

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
    Schema {
        /// Print the reference of all keys, variables and flags instead, for people.
        #[arg(long)]
        markdown: bool,
    },
    /// Print release, commit and how the program was built.
    Version {
        /// The same as JSON, in the words of GET /system/info.
        #[arg(long)]
        json: bool,
    },
    /// Print a script with which a shell completes commands and flags.
    ///
    /// For the shell that runs: `source <(gateway completions bash)`. For good, into a file where it looks:
    ///
    ///   bash  ~/.local/share/bash-completion/completions/gateway
    ///   fish  ~/.config/fish/completions/gateway.fish
    ///   zsh   _gateway, in a folder of $fpath
    #[command(verbatim_doc_comment)]
    Completions {
        /// The shell that will read it.
        shell: Shell,
    },
    /// Print the manual page; `gateway man | man -l -` shows it.
    ///
    /// For good, put it into a folder of manual pages: /usr/local/share/man/man1/gateway.1.
    Man,
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
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
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
    #[arg(long, global = true, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    state_dir: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  gateway --config conf/gateway.yaml
  gateway check --config conf/gateway.yaml
  functions_provider_url=http://faasd:8081/ gateway    (in front of a faas-provider)
  RUST_LOG=debug gateway                               (more of what it does, on stderr)
  source <(gateway completions bash)                   (complete commands and flags)
  gateway man | man -l -                               (the manual page)";

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
pub fn schema(markdown: bool) -> ExitCode {
    match markdown {
        true => print(reference().as_bytes()),
        false => print(config::schema::schema().as_bytes()),
    }
}

/// All that can be configured, as a document.
fn reference() -> String {
    let settings = Settings::augment_args(clap::Command::new("gateway"));
    let flags: Vec<(String, String)> = settings
        .get_arguments()
        .filter_map(|flag| {
            let value = flag.get_value_names()?.first()?;
            let about = flag.get_help()?;
            Some((format!("--{} {value}", flag.get_long()?), about.to_string()))
        })
        .collect();
    config::reference::markdown(&flags)
}

/// `gateway version`.
pub fn version(json: bool) -> ExitCode {
    let program = Program::this();
    let text = if json {
        format!("{:#}\n", serde_json::json!(program))
    } else {
        format!("{program}\n")
    };
    print(text.as_bytes())
}

/// `gateway completions`.
pub fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut documented(), "gateway", &mut script);
    print(&script)
}

/// `gateway man`.
pub fn manual() -> ExitCode {
    match manual::page(documented()) {
        Ok(page) => print(&page),
        Err(error) => failed(&error),
    }
}

/// The definition without what the gateway only says to itself.
fn documented() -> clap::Command {
    let all = Cli::command();
    let shown = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let shown: Vec<_> = shown.cloned().collect();
    clap::Command::new("gateway")
        .version(RELEASE)
        .about(all.get_about().cloned().unwrap_or_default())
        .long_about(all.get_long_about().cloned().unwrap_or_default())
        .args(all.get_arguments())
        .subcommands(shown)
}

/// A reader that has had enough (`| head`) is no failure.
fn print(text: &[u8]) -> ExitCode {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => failed(&error),
        _ => ExitCode::SUCCESS,
    }
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("gateway: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_committed_reference_is_the_one_of_the_code() {
        let committed = include_str!("../../docs/configuration.md");
        assert!(
            committed == reference(),
            "docs/configuration.md is out of date, refresh it with \
             `gateway schema --markdown > docs/configuration.md`"
        );
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
