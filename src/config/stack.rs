//! A `stack.yml` of faas-cli, read as deployments (wire.md section 12).
//!
//! It comes from somebody else's machine: variables have the defaults that it gives them, and never
//! a value of this process' environment; files that it names are not read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::file::stack::{File, Function, Keys, Resources, Section};
use super::file::{self, Entries, Origin, Scalar};
use super::problem::Problem;
use super::suggest;
use super::value::Value;
use crate::function::{self, Deployment, check_name, check_secret_name};

/// What a stack file says, ready to be deployed.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct Stack {
    /// Its functions, in their order.
    pub functions: Vec<Planned>,
    /// What is odd about the file itself.
    pub warnings: Vec<String>,
}

/// One of its functions.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct Planned {
    /// What to post to `/system/functions`.
    pub deployment: Deployment,
    /// What is odd about it, or would be missing.
    pub warnings: Vec<String>,
}

/// Reads a stack file.
///
/// # Errors
///
/// The first thing that is wrong, with its line and column.
pub fn read(text: &str) -> Result<Stack, String> {
    let told = |problem: Problem| problem.told();
    let file: Section<File> = file::parse_stack(text).map_err(told)?;
    let mut reader = Reader::default();
    reader.unknown(&file);
    let functions = file.known.functions.unwrap_or(Entries(Vec::new()));
    if functions.0.is_empty() {
        return Err("it has no functions, they stand below `functions:`".to_owned());
    }
    let functions = functions.0.iter().map(|(name, raw)| {
        let mut reader = Reader::default();
        let deployment = reader.function(name, raw)?;
        Ok(Planned {
            deployment,
            warnings: reader.warnings,
        })
    });
    Ok(Stack {
        functions: functions.collect::<Result<_, _>>().map_err(told)?,
        warnings: reader.warnings,
    })
}

/// Reads values, and notes what is odd about them.
#[derive(Default)]
struct Reader {
    warnings: Vec<String>,
}

impl Reader {
    fn function(
        &mut self,
        name: &Scalar<String>,
        raw: &Section<Function>,
    ) -> Result<Deployment, Problem> {
        self.unknown(raw);
        let raw = &raw.known;
        let deployment = Deployment {
            service: checked(name.origin, self.fill(name), check_name)?,
            image: self.text(&raw.image),
            namespace: self.namespace(&raw.namespace)?,
            env_process: self.text(&raw.fprocess),
            env_vars: self.entries(&raw.environment).unwrap_or_default(),
            constraints: self.list(&raw.constraints),
            secrets: self.secrets(&raw.secrets)?,
            labels: self.entries(&raw.labels),
            annotations: self.entries(&raw.annotations),
            limits: self.resources(&raw.limits),
            requests: self.resources(&raw.requests),
            read_only_root_filesystem: self.switch(&raw.readonly_root_filesystem)?,
            other: Default::default(),
        };
        if let Some(files) = &raw.environment_file {
            let why = "environment_file cannot be read here: add what is in it to the environment";
            self.warn(files.origin(), why);
        }
        if deployment.image.trim().is_empty() {
            self.warn(name.origin, "it has no image, and every function needs one");
        }
        Ok(deployment)
    }

    fn namespace(&mut self, raw: &Option<Scalar<String>>) -> Result<String, Problem> {
        let text = self.text(raw);
        match raw {
            Some(scalar) if !text.is_empty() => checked(scalar.origin, text, check_name),
            _ => Ok(text),
        }
    }

    fn secrets(&mut self, raw: &Option<Vec<Scalar<String>>>) -> Result<Vec<String>, Problem> {
        let names = raw.iter().flatten();
        let read = |name: &Scalar<String>| {
            let filled = self.fill(name);
            checked(name.origin, filled, check_secret_name)
        };
        names.map(read).collect()
    }

    fn switch(&mut self, raw: &Option<Scalar<bool>>) -> Result<bool, Problem> {
        let Some(scalar) = raw else {
            return Ok(false);
        };
        let text = self.fill(scalar);
        let refused = |why| Problem::at(scalar.origin, format!("`{text}` {why}"));
        bool::read(&text).map_err(refused)
    }

    fn resources(&mut self, raw: &Option<Section<Resources>>) -> Option<function::Resources> {
        let raw = raw.as_ref()?;
        self.unknown(raw);
        Some(function::Resources {
            memory: self.text(&raw.known.memory),
            cpu: self.text(&raw.known.cpu),
            other: Default::default(),
        })
    }

    fn entries(
        &mut self,
        raw: &Option<Entries<Scalar<String>>>,
    ) -> Option<BTreeMap<String, String>> {
        let entries = raw.as_ref()?.0.iter();
        Some(
            entries
                .map(|(key, value)| (key.text.clone(), self.fill(value)))
                .collect(),
        )
    }

    fn list(&mut self, raw: &Option<Vec<Scalar<String>>>) -> Vec<String> {
        raw.iter().flatten().map(|item| self.fill(item)).collect()
    }

    fn text(&mut self, raw: &Option<Scalar<String>>) -> String {
        raw.as_ref()
            .map_or_else(String::new, |scalar| self.fill(scalar))
    }

    /// The text with the default of each `${NAME:-default}`; `$${` stands for a literal `${`. What
    /// has no default stays as it is written, so that it is seen.
    fn fill<T>(&mut self, scalar: &Scalar<T>) -> String {
        let mut filled = String::with_capacity(scalar.text.len());
        let mut rest = scalar.text.as_str();
        while let Some(start) = rest.find("${") {
            let (before, after) = (&rest[..start], &rest[start + 2..]);
            if let Some(literal) = before.strip_suffix('$') {
                filled.push_str(literal);
                filled.push_str("${");
                rest = after;
                continue;
            }
            filled.push_str(before);
            let Some(end) = after.find('}') else {
                rest = &rest[start..];
                break;
            };
            let expression = &after[..end];
            match expression.split_once(":-").or(expression.split_once(":=")) {
                Some((_, default)) => filled.push_str(default),
                None => {
                    filled.push_str(&rest[start..start + end + 3]);
                    self.unset(scalar.origin, expression);
                }
            }
            rest = &after[end + 1..];
        }
        filled.push_str(rest);
        filled
    }

    fn unset(&mut self, origin: Origin, name: &str) {
        let why = format!("the variable `{name}` is not known here and has no default");
        self.warn(origin, &why);
    }

    fn unknown<T: Keys>(&mut self, section: &Section<T>) {
        for key in &section.unknown {
            let nearest = suggest::nearest(&key.text, T::KNOWN.iter().copied());
            let hint = nearest.map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
            self.warn(key.origin, &format!("unknown key `{}`{hint}", key.text));
        }
    }

    fn warn(&mut self, origin: Origin, why: &str) {
        self.warnings.push(Problem::at(origin, why).told());
    }
}

/// A name that a deployment would take.
fn checked<E: ToString>(
    origin: Origin,
    name: String,
    check: impl Fn(&str) -> Result<(), E>,
) -> Result<String, Problem> {
    match check(&name) {
        Ok(()) => Ok(name),
        Err(error) => Err(Problem::at(origin, error.to_string())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn shown(text: &str) -> Json {
        serde_json::to_value(read(text).unwrap()).unwrap()
    }

    #[test]
    fn a_whole_stack_becomes_deployments() {
        let stack = shown(
            "version: 1.0
provider:
  name: openfaas
  gateway: http://127.0.0.1:8080
functions:
  first:
    lang: python3
    handler: ./first
    image: ${OWNER:-me}/first:1.10
    build_args: { A: b }
    skip_build: true
    environment:
      version: 1.10
      flag: yes
      empty:
    labels:
      com.openfaas.scale.zero: true
    annotations: { topic: \"a, b\" }
    secrets: [token, api-key]
    constraints: [\"node.platform.os == linux\"]
    limits: { memory: 64Mi, cpu: 500m }
    requests: { cpu: 1 }
    readonly_root_filesystem: true
    namespace: prod
  second:
    fprocess: sha512sum -b
    image: b
configuration:
  templates: [{ name: a, source: b }]
",
        );
        let expected = json!({ "warnings": [], "functions": [
            { "warnings": [], "deployment": {
                "service": "first", "image": "me/first:1.10", "namespace": "prod",
                "envVars": { "version": "1.10", "flag": "yes", "empty": "" },
                "labels": { "com.openfaas.scale.zero": "true" },
                "annotations": { "topic": "a, b" },
                "secrets": ["token", "api-key"],
                "constraints": ["node.platform.os == linux"],
                "limits": { "memory": "64Mi", "cpu": "500m" }, "requests": { "cpu": "1" },
                "readOnlyRootFilesystem": true,
            } },
            { "warnings": [], "deployment": {
                "service": "second", "image": "b", "envProcess": "sha512sum -b",
            } },
        ] });
        assert_eq!(stack, expected);
    }

    #[test]
    fn what_cannot_be_known_here_is_a_warning_with_its_line() {
        let stack = shown(
            "functions:
  a:
    image: me/a:${TAG}
    imag: x
    environment_file: [a.yml]
    environment: { HOME: \"${HOME}\", B: \"$${HOME} $HOME ${\", C: \"${X:=1}${Y:-}\" }
    limits: { memroy: 1 }
  b: { fprocess: cat }
verson: 1
extra: { a: [1, { b: c }] }
",
        );
        let a = &stack["functions"][0];
        assert_eq!(a["deployment"]["image"], "me/a:${TAG}");
        let environment = json!({ "HOME": "${HOME}", "B": "${HOME} $HOME ${", "C": "1" });
        assert_eq!(a["deployment"]["envVars"], environment);
        let warnings = json!([
            "line 4, column 5: unknown key `imag`, did you mean `image`?",
            "line 3, column 12: the variable `TAG` is not known here and has no default",
            "line 6, column 26: the variable `HOME` is not known here and has no default",
            "line 7, column 15: unknown key `memroy`, did you mean `memory`?",
            "line 5, column 23: environment_file cannot be read here: add what is in it to the \
             environment",
        ]);
        assert_eq!(a["warnings"], warnings);
        let b = json!(["line 8, column 3: it has no image, and every function needs one"]);
        assert_eq!(stack["functions"][1]["warnings"], b);
        let file = json!([
            "line 9, column 1: unknown key `verson`, did you mean `version`?",
            "line 10, column 1: unknown key `extra`",
        ]);
        assert_eq!(stack["warnings"], file);
    }

    #[test]
    fn anchors_and_merges_are_followed() {
        let stack = shown(
            "functions:
  a: &a
    image: i
    labels: &labels { x: y }
  b:
    <<: *a
    fprocess: cat
  c: { image: j, labels: *labels }
",
        );
        let deployment = |index: usize| &stack["functions"][index]["deployment"];
        assert_eq!(deployment(1)["image"], "i");
        assert_eq!(deployment(1)["envProcess"], "cat");
        assert_eq!(deployment(2)["labels"], json!({ "x": "y" }));
        assert_eq!(stack["functions"][1]["warnings"], json!([]));
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (text, why) in [
            ("", "it has no functions, they stand below `functions:`"),
            (
                "functions: {}",
                "it has no functions, they stand below `functions:`",
            ),
            ("[a]", "line 1, column 1: expected `key: value` pairs"),
            (
                "functions: [a]",
                "line 1, column 12: expected `key: value` pairs in `functions`",
            ),
            (
                "functions:\n  a b: { image: i }",
                "line 2, column 3: `a b` may only contain letters, digits, `-` and `_`",
            ),
            (
                "functions: { a: { image: i, namespace: b/c } }",
                "line 1, column 40: `b/c` may only contain letters, digits, `-` and `_`",
            ),
            (
                "functions:\n  a:\n    image: [i]",
                "line 3, column 12: expected a single value in `functions.a.image`",
            ),
            (
                "functions:\n  a:\n    image: i\n   b: c",
                "line 4, column 4: this line does not fit those above, check its indentation",
            ),
            (
                "functions: { a: { readonly_root_filesystem: maybe } }",
                "line 1, column 45: `maybe` is not known, known are true, false",
            ),
            (
                "functions: { a: { image: i, image: j } }",
                "line 1, column 29: `image` stands in `functions.a` twice",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), why, "{text}");
        }
        let error = read("functions: { a: { secrets: [.hidden] } }").unwrap_err();
        assert!(error.starts_with("line 1, column 29: `.hidden`"), "{error}");
    }

    #[test]
    fn what_would_grow_without_end_is_refused() {
        let mut bomb = "a: &a0 [x, x]\n".to_owned();
        for level in 1..40 {
            let before = level - 1;
            bomb += &format!("b{level}: &a{level} [*a{before}, *a{before}, *a{before}]\n");
        }
        bomb += "functions: { a: { image: i } }";
        read(&bomb).unwrap_err();
        read(&"[".repeat(100_000)).unwrap_err();
        let nested = format!("extra: {}1{}", "[".repeat(30), "]".repeat(30));
        read(&format!("{nested}\nfunctions: {{ a: {{ image: i }} }}")).unwrap_err();
    }
}
