//! The reference of all that can be configured, as a Markdown document made from the schema.
//! `docs/configuration.md` is its committed copy.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use super::env::{VARIABLES, WITHOUT_EFFECT};
use super::schema::{resolved, value};

/// What stands in front.
const INTRODUCTION: &str = include_str!("reference.md");

/// The file that examples are taken from.
const SAMPLE: &str = include_str!("../../conf/gateway.yaml");

/// The document, with these flags and what they are for.
pub fn markdown(flags: &[(String, String)]) -> String {
    let schema = value();
    let mut sections = Sections {
        schema: &schema,
        seen: BTreeSet::new(),
        text: String::new(),
    };
    let keys = schema["properties"].as_object().into_iter().flatten();
    let mut keys: Vec<(&String, &Value)> = keys.collect();
    keys.sort_by_key(|(key, _)| first_line(key));
    let mut contents = String::from("| Key | |\n|---|---|\n");
    for (key, property) in keys {
        row(
            &mut contents,
            &[&format!("[`{key}`](#{key})"), &first_sentence(property)],
        );
        sections.section(key, property);
    }
    let keys = sections.text;
    let (variables, flags) = (variables(), flags_table(flags));
    format!("{INTRODUCTION}{contents}{keys}{variables}{flags}")
}

/// One section for each key of the file.
struct Sections<'a> {
    schema: &'a Value,
    /// Types that were described: they are referred to where they come again.
    seen: BTreeSet<(String, String)>,
    text: String,
}

impl Sections<'_> {
    fn section(&mut self, key: &str, property: &Value) {
        let (about, _) = split_default(property);
        let _ = write!(self.text, "\n## {key}\n\n{about}\n\n");
        self.text += "| Key | Value | Default | |\n|---|---|---|---|\n";
        self.rows(key, property);
        if let Some(example) = example(key) {
            let _ = write!(self.text, "\n{example}");
        }
    }

    /// The rows of what lies below a key, or of the key itself.
    fn rows(&mut self, key: &str, property: &Value) {
        let part = resolved(self.schema, property);
        if let Some(properties) = part["properties"].as_object() {
            let mut properties: Vec<(&String, &Value)> = properties.iter().collect();
            properties.sort_by_key(|(name, _)| place(key, name));
            for (name, property) in properties {
                let key = format!("{key}.{name}");
                if !self.group(&key, property) {
                    self.rows(&key, property);
                }
            }
            return;
        }
        let (entries, items) = (&part["additionalProperties"], &part["items"]);
        if is_part(self.schema, entries) {
            self.rows(&format!("{key}.NAME"), entries);
        } else if is_part(self.schema, items) {
            self.rows(&format!("{key}[]"), items);
        } else {
            let (about, default) = split_default(property);
            let key = marked(key, property);
            row(&mut self.text, &[&key, &kind(part), &default, &about]);
        }
    }

    /// The row of a key with others below it. Whether they are told elsewhere already.
    fn group(&mut self, key: &str, property: &Value) -> bool {
        let part = resolved(self.schema, property);
        let below = [part, &part["additionalProperties"], &part["items"]];
        if !below.into_iter().any(|part| is_part(self.schema, part)) {
            return false;
        }
        let (mut about, default) = split_default(property);
        let known = self.seen_at(key, property);
        if let Some(elsewhere) = &known {
            let _ = write!(about, " Its keys are those of `{elsewhere}`.");
        }
        let key = marked(key, property);
        row(&mut self.text, &[&key, "", &default, &about]);
        known.is_some()
    }

    /// Where a type was described before; otherwise it is now.
    fn seen_at(&mut self, key: &str, property: &Value) -> Option<String> {
        let name = property["$ref"].as_str()?.to_owned();
        let known = self.seen.iter().find(|(seen, _)| *seen == name);
        let known = known.map(|(_, key)| key.clone());
        if known.is_none() {
            self.seen.insert((name, key.to_owned()));
        }
        known
    }
}

/// Whether there are keys below it.
fn is_part(schema: &Value, part: &Value) -> bool {
    resolved(schema, part)["properties"].is_object()
}

/// What a value can be, in words.
fn kind(part: &Value) -> String {
    if let Some(words) = part["enum"].as_array() {
        let words: Vec<String> = words.iter().map(code).collect();
        return words.join(", ");
    }
    if part["const"].is_string() {
        return code(&part["const"]);
    }
    if let Some(alternatives) = part["anyOf"].as_array() {
        // Any value may hold a variable: that is said once and for all.
        let real = alternatives.iter().filter(|one| one["pattern"] != r"\$\{");
        let kinds: Vec<String> = real.map(kind).collect();
        return kinds.join(" or ");
    }
    if part["examples"].is_array() {
        return format!("such as {}", code(&part["examples"][0]));
    }
    if part["items"].is_object() {
        return format!("list, each {}", kind(&part["items"]));
    }
    if part["additionalProperties"].is_object() {
        return "`NAME: text`".to_owned();
    }
    match part["type"].as_str() {
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("integer" | "number") => format!("number{}", bounds(part)),
        _ => "text".to_owned(),
    }
}

fn bounds(part: &Value) -> String {
    let bound = |word: &str, name: &str| match &part[name] {
        Value::Number(number) => format!(" {word} {number}"),
        _ => String::new(),
    };
    bound("from", "minimum") + &bound("above", "exclusiveMinimum") + &bound("up to", "maximum")
}

fn code(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// A description in one line.
fn prose(property: &Value) -> String {
    let text = property["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn first_sentence(property: &Value) -> String {
    let prose = prose(property);
    prose
        .split_inclusive(". ")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// A key, and whether it waits for a restart.
fn marked(key: &str, property: &Value) -> String {
    let mark = if property["x-restart"] == true {
        " ↻"
    } else {
        ""
    };
    format!("`{key}`{mark}")
}

/// A description without what the other columns tell, and the default. What follows `Default:` is the
/// default in words where no value stands for it, and otherwise what the schema says of the value.
fn split_default(property: &Value) -> (String, String) {
    let prose = prose(property).replace(" Restart to change.", "");
    match prose.split_once(" Default: ") {
        Some((about, default)) => (about.to_owned(), default.trim_end_matches('.').to_owned()),
        None => (prose, String::new()),
    }
}

fn row(text: &mut String, cells: &[&str]) {
    for cell in cells {
        let _ = write!(text, "| {} ", cell.replace('|', "\\|"));
    }
    text.push_str("|\n");
}

/// Where the sample's paragraph about a key begins; the key may be in a comment.
fn first_line(key: &str) -> Option<usize> {
    let (real, comment) = (format!("{key}:"), format!("# {key}:"));
    let mut lines = SAMPLE.lines();
    lines.position(|line| line.starts_with(&real) || line.starts_with(&comment))
}

/// Where the sample tells of a key below another one, in bytes: its order is the one to read them in.
fn place(above: &str, name: &str) -> Option<usize> {
    let section = above.split(['.', '[']).next()?;
    let lines: Vec<&str> = SAMPLE.lines().skip(first_line(section)?).collect();
    let text = lines.join("\n");
    let within_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut places = text.match_indices(name).map(|(at, _)| at);
    places.find(|at| {
        let (before, after) = (&text[..*at], &text[at + name.len()..]);
        after.starts_with(':') && !before.ends_with(within_word)
    })
}

/// The paragraph of the sample that is about a key, with the key made real.
fn example(key: &str) -> Option<String> {
    let lines = SAMPLE.lines().skip(first_line(key)?);
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let commented = lines.first()?.starts_with('#');
    // A route alone leads to a function that is not in the example.
    let fence = if key == "routes" {
        "yaml other"
    } else {
        "yaml"
    };
    let mut text = format!("```{fence}\n");
    for line in lines {
        text += match line.strip_prefix("# ") {
            Some(bare) if commented => bare,
            _ => line,
        };
        text += "\n";
    }
    Some(text + "```\n")
}

fn variables() -> String {
    let mut text =
        "\n## Environment\n\nThe variables of the OpenFaaS gateway. An empty one counts \
        as not set; a duration is read as in the file; what is on or off is on if it is exactly \
        `true`.\n\n| Variable | Key | |\n|---|---|---|\n"
            .to_owned();
    for (name, key, about) in VARIABLES {
        row(
            &mut text,
            &[&format!("`{name}`"), &format!("`{key}`"), about],
        );
    }
    let without: Vec<String> = WITHOUT_EFFECT
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    let _ = write!(
        text,
        "\nThese are known and change nothing here, which the log says: {} and \
         `write_request_uri`.\n\nTwo more say something to the program itself: `RUST_LOG` how much \
         it logs (`debug`, or `warn,gateway::scale=debug`), and `XDG_RUNTIME_DIR` where it makes the \
         folder for sockets of functions.\n",
        without.join(", ")
    );
    text
}

fn flags_table(flags: &[(String, String)]) -> String {
    let mut text =
        "\n## Flags\n\nThey stand in front of the command or behind it. `gateway --help` \
        lists the commands.\n\n| Flag | |\n|---|---|\n"
            .to_owned();
    for (flag, about) in flags {
        row(&mut text, &[&format!("`{flag}`"), about]);
    }
    text
}
