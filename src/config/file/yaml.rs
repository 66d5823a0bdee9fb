//! The only place that knows YAML: text to [`File`], and a refusal to one clear line.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Location, Options, Spanned};

use super::stack::{self, Section};
use super::{Entries, File, OneOrMany, Origin, Scalar};
use crate::config::problem::Problem;
use crate::config::suggest;

/// Mappings and lists within each other. No key is half as deep, and every level takes its piece of
/// the stack.
const MAX_DEPTH: usize = 16;
/// Longest sum of all texts in a file, in bytes, those that aliases repeat included.
const MAX_TEXT: usize = 16 << 20;

/// Reads the text of a file. YAML ends at its first mistake, so there is one problem at most.
pub fn parse(text: &str) -> Result<File, Problem> {
    read(text)
}

/// Reads the text of a stack file, in the same way.
pub fn parse_stack(text: &str) -> Result<Section<stack::File>, Problem> {
    read(text)
}

fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, Problem> {
    serde_saphyr::from_str_with_options::<Option<T>>(text, options())
        .map(Option::unwrap_or_default)
        .map_err(|error| explain(&error, text))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_total_scalar_bytes: MAX_TEXT,
        },
        with_snippet: false,
        strict_booleans: true,
    }
}

fn explain(error: &Error, text: &str) -> Problem {
    let error = error.without_snippet();
    let place = error.location().unwrap_or(Location::UNKNOWN);
    let within = || within(text, place);
    let message = match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => {
            let hint = suggest::hint(field, expected);
            format!("unknown key `{field}`{}, {hint}", within())
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or_default();
            format!("`{key}` stands{} twice", within())
        }
        Error::Unexpected { expected, .. } => {
            format!("expected {}{}", expected_words(expected), within())
        }
        Error::NullIntoString { .. } => format!("a value is missing{}", within()),
        Error::SerdeInvalidType { expected, .. } => format!("expected {expected}{}", within()),
        Error::MultipleDocuments { .. } => "a second document begins, there can be one".to_owned(),
        other => other_message(other, text, place),
    };
    Problem::at(origin(place), message)
}

/// What is wrong in plain words where the parser's are not, without its place, which stands in
/// front.
fn other_message(error: &Error, text: &str, place: Location) -> String {
    let rendered = error.render();
    let known = PLAIN_WORDS.iter().find(|(own, _)| rendered.contains(own));
    let suffix = format!(" at line {}, column {}", place.line(), place.column());
    let message = match known {
        Some((_, plain)) => (*plain).to_owned(),
        None => rendered
            .strip_suffix(&suffix)
            .unwrap_or(&rendered)
            .replace('\n', " "),
    };
    let line = line_of(place).and_then(|number| text.lines().nth(number - 1));
    if message.starts_with("expected `,`") && line.is_some_and(|line| line.contains("${")) {
        return format!("{message}; inside `{{ }}` and `[ ]` write `\"${{NAME}}\"` in quotes");
    }
    message
}

/// The parser's words for frequent mistakes, and what they mean to whoever made them.
const PLAIN_WORDS: &[(&str, &str)] = &[
    (
        "while parsing a block mapping, did not find expected key",
        "this line does not fit those above, check its indentation",
    ),
    (
        "while parsing a block collection, did not find expected '-' indicator",
        "this line does not go on with the list above, check its indentation",
    ),
    (
        "mapping values are not allowed",
        "a `key: value` cannot stand here, check the indentation, or put a value with `: ` in quotes",
    ),
    ("did not find expected ',' or '}'", "expected `,` or `}`"),
    ("expected ',' or ']'", "expected `,` or `]`"),
    ("tabs disallowed", "a tab cannot indent, use spaces"),
    ("tab cannot be used", "a tab cannot indent, use spaces"),
    ("found a tab", "a tab cannot indent, use spaces"),
    (
        "unclosed quote",
        "the quote that begins here is never closed",
    ),
    (
        "unclosed bracket '{'",
        "the `{` that begins here is never closed",
    ),
    (
        "unclosed bracket '['",
        "the `[` that begins here is never closed",
    ),
    (
        "while scanning an anchor or alias",
        "a value that begins with `*` or `&` needs quotes",
    ),
    (
        "budget breached: Depth",
        "mappings and lists are nested deeper than any key is",
    ),
    ("budget breached", "this is too large or too intricate"),
    (
        "unknown anchor",
        "no `&` gives this a name; a value that begins with `*` needs quotes",
    ),
];

fn line_of(place: Location) -> Option<usize> {
    usize::try_from(place.line()).ok().filter(|line| *line > 0)
}

fn expected_words(expected: &str) -> &str {
    match expected {
        "mapping start" => "`key: value` pairs",
        "sequence start" => "a list, `[a, b]` or lines that begin with `- `,",
        "string scalar" => "a single value",
        other => other,
    }
}

fn origin(place: Location) -> Origin {
    Origin::File(place.line(), place.column())
}

/// ` in `functions.echo``, the mapping a place is in; empty at the top of the file.
fn within(text: &str, place: Location) -> String {
    let mut options = options();
    options.duplicate_keys = DuplicateKeyPolicy::LastWins;
    let outline = serde_saphyr::from_str_with_options::<Outline>(text, options);
    match outline.ok().and_then(|outline| outline.path_to(place)) {
        Some(path) if !path.is_empty() => format!(" in `{}`", path.join(".")),
        _ => String::new(),
    }
}

/// The keys of a file and where they stand, to name the place of a mistake.
enum Outline {
    Mapping(Vec<(Spanned<String>, Spanned<Outline>)>),
    List(Vec<Spanned<Outline>>),
    Leaf,
}

impl Outline {
    /// The keys that lead to the mapping with a key at `place`, or to the value at `place`.
    fn path_to(&self, place: Location) -> Option<Vec<String>> {
        match self {
            Self::Leaf => None,
            Self::Mapping(entries) => entries.iter().find_map(|(key, value)| {
                if key.referenced == place {
                    return Some(Vec::new());
                }
                extend(&key.value, value, place)
            }),
            Self::List(items) => items
                .iter()
                .enumerate()
                .find_map(|(index, item)| extend(&index.to_string(), item, place)),
        }
    }
}

fn extend(key: &str, value: &Spanned<Outline>, place: Location) -> Option<Vec<String>> {
    let below = value.value.path_to(place);
    let mut path = below.or_else(|| (value.referenced == place).then(Vec::new))?;
    path.insert(0, key.to_owned());
    Some(path)
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OutlineVisitor)
    }
}

struct OutlineVisitor;

impl<'de> Visitor<'de> for OutlineVisitor {
    type Value = Outline;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outline, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Outline::Mapping(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Outline, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Outline::List(items))
    }

    fn visit_str<E>(self, _: &str) -> Result<Outline, E> {
        Ok(Outline::Leaf)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Outline, E> {
        Ok(Outline::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Outline, E> {
        Ok(Outline::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Outline, E> {
        Ok(Outline::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Outline, E> {
        Ok(Outline::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Outline, E> {
        Ok(Outline::Leaf)
    }
}

impl<'de, T> Deserialize<'de> for Scalar<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self::new(spanned.value, origin(spanned.referenced)))
    }
}

impl<'de, V: Deserialize<'de> + Default> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de> + Default> Visitor<'de> for EntriesVisitor<V> {
    type Value = Entries<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`key: value` pairs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<V>, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<_, Option<V>>()? {
            entries.push((key, value.unwrap_or_default()));
        }
        Ok(Entries(entries))
    }
}

impl<'de, T> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Shape<T>>::deserialize(deserializer)?;
        let origin = origin(spanned.referenced);
        Ok(match spanned.value {
            Shape::One(text) => Self::One(Scalar::new(text, origin)),
            Shape::Many(items) => Self::Many(origin, items),
        })
    }
}

/// A [`OneOrMany`] before it knows its place.
enum Shape<T> {
    One(String),
    Many(Vec<Scalar<T>>),
}

impl<'de, T> Deserialize<'de> for Shape<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor(PhantomData))
    }
}

struct ShapeVisitor<T>(PhantomData<T>);

impl<'de, T> Visitor<'de> for ShapeVisitor<T> {
    type Value = Shape<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value or a list")
    }

    fn visit_str<E>(self, text: &str) -> Result<Shape<T>, E> {
        Ok(Shape::One(text.to_owned()))
    }

    /// `true` is a program, too.
    fn visit_bool<E>(self, value: bool) -> Result<Shape<T>, E> {
        Ok(Shape::One(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shape<T>, E> {
        Ok(Shape::One(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shape<T>, E> {
        Ok(Shape::One(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shape<T>, E> {
        Ok(Shape::One(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Shape::Many(items))
    }
}
