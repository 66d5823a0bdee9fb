//! Commands in a block: what is typed, and what the document says comes of it.

use super::document::Mistake;

/// Something to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its line in the document.
    pub line: usize,
    /// What is typed, all lines of it.
    pub text: String,
    /// What the terminal shows then; empty: nothing is said about it.
    pub output: Vec<String>,
}

/// Commands of a `console` block: they stand behind `$ `, and what follows is their output.
pub fn in_console(text: &str, first_line: usize) -> Result<Vec<Command>, Mistake> {
    let mut commands: Vec<Command> = Vec::new();
    let mut lines = numbered(text, first_line);
    while let Some((line, text)) = lines.next() {
        match (text.strip_prefix("$ "), commands.last_mut()) {
            (Some(begin), _) => commands.push(whole(line, begin, &mut lines)?),
            (None, Some(command)) => command.output.push(text.to_owned()),
            (None, None) if text.is_empty() => {}
            (None, None) => return Err(mistake(line, "output, but of what? Write `$ COMMAND`")),
        }
    }
    for command in &mut commands {
        while command
            .output
            .last()
            .is_some_and(|line| line.trim().is_empty())
        {
            command.output.pop();
        }
    }
    Ok(commands)
}

/// Commands of an `sh` block: every line is one.
pub fn in_script(text: &str, first_line: usize) -> Result<Vec<Command>, Mistake> {
    let mut commands = Vec::new();
    let mut lines = numbered(text, first_line);
    while let Some((line, text)) = lines.next() {
        if text.starts_with("$ ") {
            return Err(mistake(line, "a prompt in a script, mark it `console`"));
        }
        if !text.trim().is_empty() && !text.trim_start().starts_with('#') {
            commands.push(whole(line, text, &mut lines)?);
        }
    }
    Ok(commands)
}

/// A command that began, up to its end.
fn whole<'a>(
    line: usize,
    begin: &str,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<Command, Mistake> {
    let mut text = begin.to_owned();
    while !is_complete(&text) {
        let Some((_, next)) = lines.next() else {
            return Err(mistake(line, "the command does not end"));
        };
        text = format!("{text}\n{next}");
    }
    Ok(Command {
        line,
        text,
        output: Vec::new(),
    })
}

/// Whether a shell would run this and not wait for more: a here-document has its last line, or else
/// quotes are closed and no line break is escaped.
fn is_complete(text: &str) -> bool {
    if let Some(last) = here_document(text) {
        return text.lines().skip(1).any(|line| line == last);
    }
    let mut quote = None;
    let mut escaped = false;
    for letter in text.chars() {
        escaped = match (letter, quote) {
            _ if escaped => false,
            ('\\', None | Some('"')) => true,
            ('\'' | '"', None) => {
                quote = Some(letter);
                false
            }
            (letter, Some(open)) if letter == open => {
                quote = None;
                false
            }
            _ => false,
        };
    }
    quote.is_none() && !escaped
}

/// The word that ends a here-document.
fn here_document(text: &str) -> Option<&str> {
    let (_, rest) = text.lines().next()?.split_once("<<")?;
    let word = rest.split_whitespace().next()?;
    (!word.starts_with('<')).then(|| word.trim_matches(['\'', '"']))
}

fn numbered(text: &str, first: usize) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(move |(index, line)| (first + index, line))
}

fn mistake(line: usize, message: &str) -> Mistake {
    let message = message.to_owned();
    Mistake { line, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(commands: Result<Vec<Command>, Mistake>) -> Vec<String> {
        commands
            .unwrap()
            .into_iter()
            .map(|command| command.text)
            .collect()
    }

    #[test]
    fn a_console_has_commands_with_their_output() {
        let commands = in_console("$ one\nfirst\n\nsecond\n\n$ two \\\n  more\n", 7).unwrap();
        let command = |line, text: &str, output: &[&str]| Command {
            line,
            text: text.to_owned(),
            output: output.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(
            commands,
            [
                command(7, "one", &["first", "", "second"]),
                command(12, "two \\\n  more", &[]),
            ]
        );
    }

    #[test]
    fn a_script_is_a_command_for_each_line() {
        let script = "# a remark\none\n\ntwo | three\n";
        assert_eq!(texts(in_script(script, 1)), ["one", "two | three"]);
    }

    #[test]
    fn quotes_escapes_and_here_documents_go_over_lines() {
        for command in [
            "curl -d '{\n  \"a\": \"it\\\n}' host",
            "echo \"a \\\" b\nc\"",
            "cat > file <<'END'\nit's\nEND",
            "cat <<END | wc\nEND is not here\nEND",
            "wc <<< word",
            "echo it\\'s",
        ] {
            let script = format!("{command}\nnext\n");
            assert_eq!(texts(in_script(&script, 1)), [command, "next"]);
            let console = format!("$ {command}\n$ next\n");
            assert_eq!(texts(in_console(&console, 1)), [command, "next"]);
        }
    }

    #[test]
    fn what_cannot_be_run_is_a_mistake() {
        assert_eq!(in_console("hi\n$ one\n", 3).unwrap_err().line, 3);
        assert_eq!(in_script("one\n$ two\n", 3).unwrap_err().line, 4);
        assert_eq!(in_script("one\necho 'two\n", 3).unwrap_err().line, 4);
    }
}
