//! What this program is: its release, the commit it was built from, and how it was built.

use schemars::JsonSchema;
use serde::Serialize;

use crate::function::Version;

/// This version, as `Cargo.toml` has it.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, with `-dirty` behind it where files had changed since, or `unknown`.
pub const COMMIT: &str = env!("GATEWAY_COMMIT");
/// The day of the commit, or nothing.
pub const DATE: &str = env!("GATEWAY_DATE");
/// The architecture it was built for.
pub const ARCH: &str = std::env::consts::ARCH;

/// What this program is: `gateway version --json`, and a part of `GET /system/info`.
#[derive(Serialize, JsonSchema)]
pub struct Program {
    /// The gateway's version.
    version: Version,
    /// The architecture it was built for.
    arch: &'static str,
    /// How it was built.
    build: Build,
}

/// How the program was built: what differs between two builds of one commit.
#[derive(Serialize, JsonSchema)]
struct Build {
    /// The target triple.
    target: &'static str,
    /// Whether the C library is part of the program. One that is static needs no files of the machine,
    /// and knows none of its name services (nsswitch.conf).
    #[serde(rename = "static")]
    is_static: bool,
    /// The compiler.
    rustc: &'static str,
    /// `release` or `debug`.
    profile: &'static str,
    /// What hands out memory.
    allocator: &'static str,
    /// The cargo features that are on.
    features: Vec<&'static str>,
    /// The values of `provider.isolation` that there are in this build. What the machine grants of them
    /// is told by the provider.
    isolation: &'static [&'static str],
}

impl Program {
    /// This one.
    pub fn this() -> Self {
        Self {
            version: version(),
            arch: ARCH,
            build: Build {
                target: env!("GATEWAY_TARGET"),
                is_static: cfg!(target_feature = "crt-static"),
                rustc: env!("GATEWAY_RUSTC"),
                profile: env!("GATEWAY_PROFILE"),
                // It is set in main.rs, for every build.
                allocator: "mimalloc",
                features: words(env!("GATEWAY_FEATURES")),
                isolation: isolation(),
            },
        }
    }
}

/// For people: one fact a line.
impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, build, .. } = self;
        let linked = if build.is_static { "static" } else { "dynamic" };
        writeln!(f, "gateway {}", version.release)?;
        writeln!(f, "commit     {}", version.sha)?;
        writeln!(f, "target     {}, {linked}", build.target)?;
        writeln!(f, "rustc      {}", build.rustc)?;
        writeln!(f, "profile    {}", build.profile)?;
        writeln!(f, "allocator  {}", build.allocator)?;
        if !build.features.is_empty() {
            writeln!(f, "features   {}", build.features.join(", "))?;
        }
        write!(f, "isolation  {}", build.isolation.join(", "))
    }
}

/// This gateway's version.
pub fn version() -> Version {
    Version {
        release: RELEASE.to_owned(),
        sha: COMMIT.to_owned(),
        commit_message: None,
    }
}

/// The sandbox is made of namespaces, which only Linux has.
fn isolation() -> &'static [&'static str] {
    if cfg!(target_os = "linux") {
        &["none", "basic", "sandbox"]
    } else {
        &["none", "basic"]
    }
}

fn words(list: &'static str) -> Vec<&'static str> {
    list.split(',').filter(|word| !word.is_empty()).collect()
}
