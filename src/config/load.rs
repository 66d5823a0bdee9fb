//! File, environment and flags to one [`Config`]; the later wins.

use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::build::{Notes, build};
use super::env::{Environment, overlay};
use super::file::{self, File, Origin, Scalar};
use super::masked::plain;
use super::{Config, problem::Problem};

/// The file that is used if it is there and no other is named.
pub const DEFAULT_FILE: &str = "conf/gateway.yaml";

/// Longest configuration file, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Where a configuration comes from.
#[derive(Clone, Default)]
pub struct Sources {
    /// A file that must exist. `None`: `conf/gateway.yaml` if it is there.
    ///
    /// To reload, set this to [`Loaded::file`], so that a file which is gone for a moment is an
    /// error and not a return to the defaults.
    pub file: Option<PathBuf>,
    /// The environment variables.
    pub environment: Environment,
    /// The flags.
    pub flags: Flags,
}

/// Flags of the command line that stand over the file and the environment, as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--metrics`.
    pub metrics: Option<String>,
    /// `--threads`.
    pub threads: Option<String>,
    /// `--state-dir`.
    pub state_dir: Option<String>,
}

/// A valid configuration.
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// Hexadecimal digest of all effective values: the same values, the same digest.
    pub hash: String,
    /// The file it was read from; `None`: there was none.
    pub file: Option<PathBuf>,
    /// The file's text, as it was written.
    pub text: String,
    /// Lines worth logging.
    pub warnings: Vec<String>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("reading {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Everything that is wrong, one line each, with its place.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// Reads all sources and checks them as a whole.
pub fn load(sources: &Sources) -> Result<Loaded, Error> {
    let (path, text) = read(sources.file.as_deref())?;
    assemble(path, text, &sources.environment, &sources.flags)
}

/// The same from a text that was read already; `path` only names it.
pub(super) fn assemble(
    path: Option<PathBuf>,
    text: String,
    environment: &Environment,
    flags: &Flags,
) -> Result<Loaded, Error> {
    let invalid = |problems: &[Problem]| {
        let line = |problem: &Problem| problem.line(path.as_deref());
        Error::Invalid(problems.iter().map(line).collect())
    };
    let mut file = file::parse(&text).map_err(|problem| invalid(&[problem]))?;
    let mut notes = Notes::default();
    overlay(&mut file, environment, &mut notes);
    flags.overlay(&mut file);
    let config = build(file, environment, &mut notes);
    if !notes.problems.is_empty() {
        notes.problems.sort_by_key(Problem::order);
        return Err(invalid(&notes.problems));
    }
    notes.warnings.sort_by_key(Problem::order);
    let line = |warning: &Problem| warning.line(path.as_deref());
    Ok(Loaded {
        hash: digest(plain(&config).to_string().as_bytes()),
        warnings: notes.warnings.iter().map(line).collect(),
        config,
        file: path,
        text,
    })
}

/// Where a gateway with this configuration has its metrics and its probes. A flag alone decides, as it
/// does when the gateway starts: a file that has become bad since says nothing of one that runs.
pub fn metrics_address(sources: &Sources) -> Result<SocketAddr, Error> {
    let loaded = if sources.flags.metrics.is_some() {
        let flags = Flags {
            metrics: sources.flags.metrics.clone(),
            ..Flags::default()
        };
        assemble(None, String::new(), &Environment::default(), &flags)
    } else {
        load(sources)
    };
    Ok(loaded?.config.server.metrics)
}

impl Flags {
    fn overlay(&self, file: &mut File) {
        let server = file.server.get_or_insert_default();
        lay(&mut server.listen, &self.listen, "--listen");
        lay(&mut server.metrics, &self.metrics, "--metrics");
        lay(&mut server.threads, &self.threads, "--threads");
        let provider = file.provider.get_or_insert_default();
        lay(&mut provider.state_dir, &self.state_dir, "--state-dir");
    }
}

fn lay<T>(place: &mut Option<Scalar<T>>, flag: &Option<String>, name: &'static str) {
    if let Some(text) = flag {
        *place = Some(Scalar::new(text, Origin::Flag(name)));
    }
}

/// The file and its text; no file is an empty text.
fn read(named: Option<&Path>) -> Result<(Option<PathBuf>, String), Error> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match read_file(path) {
        Ok(text) => Ok((Some(path.to_owned()), text)),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Ok((None, String::new()))
        }
        Err(source) => Err(Error::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The text of a file that is not absurdly long.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("longer than {MAX_FILE} bytes")));
    }
    Ok(text)
}

/// FNV-1a with 64 bits (draft-eastlake-fnv, section 2): tells versions apart, protects nothing.
fn digest(bytes: &[u8]) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    format!("{:016x}", bytes.iter().fold(OFFSET, step))
}
