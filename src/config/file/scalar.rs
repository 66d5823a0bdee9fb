//! The leaves and lists of the raw file: a text, where it came from, and what it should become.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::value::Value;

/// Where a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the file, at a line and column counted from one.
    File(u64, u64),
    /// In this environment variable.
    Variable(&'static str),
    /// After this flag.
    Flag(&'static str),
}

/// One value as it was written, to be read as a `T` once `${…}` is filled in.
pub struct Scalar<T> {
    /// The text, which may hold a secret.
    pub text: String,
    /// Where it was written.
    pub origin: Origin,
    /// What it should become.
    kind: PhantomData<fn() -> T>,
}

/// A mapping whose keys the user chooses, in the order of the file.
#[derive(Debug)]
pub struct Entries<V>(pub Vec<(Scalar<String>, V)>);

/// One value or a list of them.
#[derive(Debug)]
pub enum OneOrMany<T> {
    /// Written as one value.
    One(Scalar<T>),
    /// Written as a list, which began here.
    Many(Origin, Vec<Scalar<T>>),
}

impl<T> Scalar<T> {
    /// A value written somewhere.
    pub fn new(text: impl Into<String>, origin: Origin) -> Self {
        Self {
            text: text.into(),
            origin,
            kind: PhantomData,
        }
    }
}

impl<T> OneOrMany<T> {
    /// Where it was written.
    pub fn origin(&self) -> Origin {
        match self {
            Self::One(scalar) => scalar.origin,
            Self::Many(origin, _) => *origin,
        }
    }
}

impl<T> Clone for Scalar<T> {
    fn clone(&self) -> Self {
        Self::new(self.text.clone(), self.origin)
    }
}

/// Shows where it was written, never what: it may be a secret.
impl<T> fmt::Debug for Scalar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scalar({:?})", self.origin)
    }
}

/// An empty text, for a key without a value.
impl Default for Scalar<String> {
    fn default() -> Self {
        Self::new("", Origin::File(0, 0))
    }
}

impl<T: Value> JsonSchema for Scalar<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Value")
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Borrowed(std::any::type_name::<Self>())
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::schema()
    }
}

impl<V: JsonSchema> JsonSchema for Entries<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Entries")
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Borrowed(std::any::type_name::<Self>())
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

impl<T: Value> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("OneOrMany")
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Borrowed(std::any::type_name::<Self>())
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = T::schema();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}
