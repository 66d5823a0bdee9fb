//! What is wrong with a configuration, and where it was written.

use std::path::Path;

use super::file::Origin;

/// Longest message that is shown, in characters; the longest of our own are half of it.
const MAX_MESSAGE: usize = 600;

/// One mistake or one remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    origin: Origin,
    message: String,
}

impl Problem {
    /// What is wrong with what was written there.
    pub fn at(origin: Origin, message: impl Into<String>) -> Self {
        Self {
            origin,
            message: message.into(),
        }
    }

    /// One line: `FILE:LINE:COLUMN: message`, or the variable or flag instead of the place.
    pub fn line(&self, file: Option<&Path>) -> String {
        let message = self.message();
        match self.origin {
            Origin::File(0, _) => match file {
                Some(file) => format!("{}: {message}", file.display()),
                None => message,
            },
            Origin::File(line, column) => {
                let file = file.unwrap_or(Path::new("configuration"));
                format!("{}:{line}:{column}: {message}", file.display())
            }
            Origin::Variable(name) => format!("environment variable `{name}`: {message}"),
            Origin::Flag(name) => format!("flag `{name}`: {message}"),
        }
    }

    /// One line, `line LINE, column COLUMN: message`, for a text that has no name.
    pub fn told(&self) -> String {
        match self.origin {
            Origin::File(line, column) if line > 0 => {
                format!("line {line}, column {column}: {}", self.message())
            }
            _ => self.message(),
        }
    }

    /// The message on one line and not without end: keys and values in it are the user's.
    fn message(&self) -> String {
        let mut message = String::new();
        for (count, character) in self.message.chars().enumerate() {
            if count == MAX_MESSAGE {
                message.push('…');
                break;
            }
            if character.is_control() {
                message.extend(character.escape_default());
            } else {
                message.push(character);
            }
        }
        message
    }

    /// Where it stands in a list: places of the file first, from top to bottom.
    pub fn order(&self) -> (u8, u64, u64) {
        match self.origin {
            Origin::File(line, column) => (0, line, column),
            Origin::Variable(_) => (1, 0, 0),
            Origin::Flag(_) => (2, 0, 0),
        }
    }
}
