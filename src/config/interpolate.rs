//! `${NAME}`, `${NAME:-default}` and `${file:/path}` inside one value.
//!
//! Values are filled in after the file was taken apart, so what is filled in can hold quotes, line
//! breaks or colons and never changes the structure around it.

use std::fs;
use std::io::Read;

use super::env::Environment;

/// Longest file that is read into a value, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A value with everything filled in.
#[derive(PartialEq, Eq)]
pub struct Filled {
    /// The whole text.
    pub text: String,
    /// Whether a part of it came from a `${file:}`, and so must not be shown.
    pub secret: bool,
}

/// Fills in every `${…}`; `$${` stands for a literal `${`. The error says what to do.
pub fn fill(text: &str, environment: &Environment) -> Result<Filled, String> {
    let mut filled = Filled {
        text: String::with_capacity(text.len()),
        secret: false,
    };
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        if let Some(literal) = before.strip_suffix('$') {
            filled.text.push_str(literal);
            filled.text.push_str("${");
            rest = after;
            continue;
        }
        filled.text.push_str(before);
        let end = after
            .find('}')
            .ok_or("`${` is never closed, add `}`, or write `$${` for the characters themselves")?;
        if let Some(path) = after[..end].strip_prefix("file:") {
            filled.text.push_str(&read_file(path)?);
            filled.secret = true;
        } else {
            filled.text.push_str(&variable(&after[..end], environment)?);
        }
        rest = &after[end + 1..];
    }
    filled.text.push_str(rest);
    Ok(filled)
}

/// `NAME` or `NAME:-default`; as in a shell an empty variable takes the default, too (POSIX.1-2017,
/// Shell Command Language, section 2.6.2).
fn variable(expression: &str, environment: &Environment) -> Result<String, String> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!(
            "`${{{expression}}}` is not a variable, write `${{NAME}}`, `${{NAME:-default}}` or \
             `${{file:/path}}`"
        ));
    }
    match (environment.raw(name), default) {
        (Some(value), None) => Ok(value.to_owned()),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value.to_owned()),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "the environment variable `{name}` is not set, set it or write `${{{name}:-default}}`"
        )),
    }
}

/// A file's text without its trailing line break.
fn read_file(path: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot read `{path}`: {error}");
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("`{path}` is not a regular file"));
    }
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("`{path}` is longer than {MAX_FILE} bytes"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        [
            ("PORT", "8080"),
            ("EMPTY", ""),
            ("ODD", "a: \"b\" # c\n- d"),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn variables_defaults_and_escapes_are_filled_in() {
        for (text, expected) in [
            ("plain $HOME $", "plain $HOME $"),
            ("${PORT}", "8080"),
            ("a${PORT}b${PORT}", "a8080b8080"),
            ("${NONE:-fallback}", "fallback"),
            ("${NONE:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${PORT:-9}", "8080"),
            ("$${PORT}", "${PORT}"),
            ("$${PORT} ${PORT}", "${PORT} 8080"),
            ("${ODD}", "a: \"b\" # c\n- d"),
        ] {
            let filled = fill(text, &environment()).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(filled.text, expected, "{text}");
            assert!(!filled.secret);
        }
    }

    #[test]
    fn what_cannot_be_filled_in_says_what_to_do() {
        for (text, expected) in [
            (
                "${NONE}",
                "the environment variable `NONE` is not set, set it or write `${NONE:-default}`",
            ),
            (
                "${PORT",
                "`${` is never closed, add `}`, or write `$${` for the characters themselves",
            ),
            (
                "${a b}",
                "`${a b}` is not a variable, write `${NAME}`, `${NAME:-default}` or `${file:/path}`",
            ),
            ("${file:/}", "`/` is not a regular file"),
        ] {
            assert_eq!(
                fill(text, &environment()).err().as_deref(),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_loses_one_line_break_and_is_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "s3cret: #x\n\n").unwrap();
        let filled = fill(
            &format!("Bearer ${{file:{}}}", path.display()),
            &environment(),
        );
        let filled = filled.ok().unwrap();
        assert_eq!(filled.text, "Bearer s3cret: #x\n");
        assert!(filled.secret);
    }

    #[test]
    fn what_was_filled_in_is_not_filled_in_again() {
        let environment: Environment = [("A", "${B}"), ("B", "x")].into_iter().collect();
        assert_eq!(fill("${A}", &environment).ok().unwrap().text, "${B}");
    }
}
