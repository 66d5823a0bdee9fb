//! The gateway's executable: reads the command line and hands over.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use gateway::cli::{self, Cli, Command};
use gateway::config::Sources;
use gateway::provider::process::{launcher, reaper};
use gateway::server::{self, Role};
use tracing_subscriber::EnvFilter;

// Pingora's many small allocations cost less in it than in the system's (ARCHITECTURE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before all else: a function waits for it.
    if let Some(code) = launcher::run(std::env::args_os()) {
        return code;
    }
    let cli = Cli::parse();
    let sources = cli.sources();
    match cli.command.unwrap_or_default() {
        Command::Run => run(sources, Role::Gateway),
        Command::Worker => run(sources, Role::Worker),
        Command::Check => cli::check(&sources),
        Command::Health { live } => cli::health(&sources, live),
        Command::Schema { markdown } => cli::schema(markdown),
        Command::Version { json } => cli::version(json),
        Command::Completions { shell } => cli::completions(shell),
        Command::Man => cli::manual(),
        Command::Reaper { dir } => reaper::main(&dir),
    }
}

fn run(sources: Sources, role: Role) -> ExitCode {
    let filter = EnvFilter::new(sources.environment.raw("RUST_LOG").unwrap_or(server::LOG));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.with_writer(io::stderr).with_target(false).init();
    match server::harden().and_then(|()| server::run(sources, role)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}
