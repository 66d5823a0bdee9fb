//! A `stack.yml` of faas-cli as it was written: nothing is checked yet.
//!
//! It belongs to a newer or older tool than the one it was written for, so a key that nobody knows
//! is no mistake: it is noted, and the rest is read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Entries, OneOrMany, Scalar};

/// A mapping with known keys, and the others that stand in it.
#[derive(Debug, Default)]
pub struct Section<T> {
    /// What the known keys say.
    pub known: T,
    /// The other keys.
    pub unknown: Vec<Scalar<String>>,
}

/// Keys of a [`Section`].
pub trait Keys: Default {
    /// All that are known, also those whose values say nothing here.
    const KNOWN: &'static [&'static str];

    /// Reads the value of a known key, where it says something.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// The whole file.
#[derive(Debug, Default)]
pub struct File {
    /// Functions by name.
    pub functions: Option<Entries<Section<Function>>>,
}

/// One function.
#[derive(Debug, Default)]
pub struct Function {
    /// The image.
    pub image: Option<Scalar<String>>,
    /// The namespace.
    pub namespace: Option<Scalar<String>>,
    /// The command.
    pub fprocess: Option<Scalar<String>>,
    /// Its environment.
    pub environment: Option<Entries<Scalar<String>>>,
    /// Files with more of it.
    pub environment_file: Option<OneOrMany<String>>,
    /// Names of secrets.
    pub secrets: Option<Vec<Scalar<String>>>,
    /// Where it may run.
    pub constraints: Option<Vec<Scalar<String>>>,
    /// Labels.
    pub labels: Option<Entries<Scalar<String>>>,
    /// Annotations.
    pub annotations: Option<Entries<Scalar<String>>>,
    /// What it may use at most.
    pub limits: Option<Section<Resources>>,
    /// What it needs.
    pub requests: Option<Section<Resources>>,
    /// Whether it may write outside of `/tmp`.
    pub readonly_root_filesystem: Option<Scalar<bool>>,
}

/// Memory and processor time.
#[derive(Debug, Default)]
pub struct Resources {
    /// Bytes.
    pub memory: Option<Scalar<String>>,
    /// Processors.
    pub cpu: Option<Scalar<String>>,
}

impl Keys for File {
    const KNOWN: &'static [&'static str] = &["version", "provider", "functions", "configuration"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "functions" => self.functions = map.next_value()?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl Keys for Function {
    const KNOWN: &'static [&'static str] = &[
        "image",
        "namespace",
        "fprocess",
        "environment",
        "environment_file",
        "secrets",
        "constraints",
        "labels",
        "annotations",
        "limits",
        "requests",
        "readonly_root_filesystem",
        // What only building an image needs.
        "lang",
        "handler",
        "skip_build",
        "build_args",
        "build_options",
        "build_secrets",
        "platforms",
        "publish",
        "copy",
        "template",
    ];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "image" => self.image = map.next_value()?,
            "namespace" => self.namespace = map.next_value()?,
            "fprocess" => self.fprocess = map.next_value()?,
            "environment" => self.environment = map.next_value()?,
            "environment_file" => self.environment_file = map.next_value()?,
            "secrets" => self.secrets = map.next_value()?,
            "constraints" => self.constraints = map.next_value()?,
            "labels" => self.labels = map.next_value()?,
            "annotations" => self.annotations = map.next_value()?,
            "limits" => self.limits = map.next_value()?,
            "requests" => self.requests = map.next_value()?,
            "readonly_root_filesystem" => self.readonly_root_filesystem = map.next_value()?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl Keys for Resources {
    const KNOWN: &'static [&'static str] = &["memory", "cpu"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "memory" => self.memory = map.next_value()?,
            "cpu" => self.cpu = map.next_value()?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

impl<'de, T: Keys> Deserialize<'de> for Section<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SectionVisitor(PhantomData))
    }
}

struct SectionVisitor<T>(PhantomData<T>);

impl<'de, T: Keys> Visitor<'de> for SectionVisitor<T> {
    type Value = Section<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`key: value` pairs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Section<T>, A::Error> {
        let (mut known, mut unknown) = (T::default(), Vec::new());
        while let Some(key) = map.next_key::<Scalar<String>>()? {
            if T::KNOWN.contains(&key.text.as_str()) {
                known.take(&key.text, &mut map)?;
            } else {
                skip(&mut map)?;
                unknown.push(key);
            }
        }
        Ok(Section { known, unknown })
    }
}
