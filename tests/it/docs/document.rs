//! A Markdown document as what its reader does: steps in their order, and links.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::commands::{Command, in_console, in_script};

/// What a document has its readers do, and where it leads them.
#[derive(Debug, Default)]
pub struct Document {
    /// What they do, in its order.
    pub steps: Vec<Step>,
    /// Commands that do not run on one plain machine, as the document says.
    pub not_run: Vec<Command>,
    /// Blocks that only show something.
    pub shown: usize,
    /// Other places it names.
    pub links: Vec<Link>,
    /// Names of its headings in addresses.
    pub anchors: Vec<String>,
    /// What the document itself has wrong.
    pub mistakes: Vec<Mistake>,
}

/// Something a reader does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Types a command.
    Run(Command),
    /// Puts a text into a file.
    Save(File),
    /// Believes that this is a configuration of the gateway.
    Configure(Snippet),
    /// Believes that this is a `stack.yml`.
    Stack(Snippet),
}

/// A text that goes to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The line of its block.
    pub line: usize,
    /// Where it is, from the project's folder.
    pub path: String,
    /// The text.
    pub text: String,
    /// Whether it goes to the end of what is there.
    pub append: bool,
    /// Whether it is the gateway's configuration then.
    pub configures: bool,
}

/// A text to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// The line of its block.
    pub line: usize,
    /// The text.
    pub text: String,
}

/// A place that a document names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The line.
    pub line: usize,
    /// The address as it is written.
    pub target: String,
}

/// A mistake and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// A fenced block.
struct Block {
    line: usize,
    info: String,
    text: String,
}

impl Document {
    /// Reads the text of a document.
    pub fn read(text: &str) -> Self {
        let mut document = Self::default();
        let mut heading: Option<String> = None;
        let mut block: Option<Block> = None;
        let line = |range: &Range<usize>| 1 + text[..range.start].matches('\n').count();
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = line(&range);
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    let info = match kind {
                        CodeBlockKind::Fenced(info) => info.to_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    let text = String::new();
                    block = Some(Block { line, info, text });
                }
                Event::End(TagEnd::CodeBlock) => {
                    if let Some(block) = block.take() {
                        document.take(&block);
                    }
                }
                Event::Start(Tag::HtmlBlock) => {
                    let (info, text) = (String::new(), String::new());
                    block = Some(Block { line, info, text });
                }
                Event::End(TagEnd::HtmlBlock) => {
                    if let Some(block) = block.take() {
                        document.take_html(&block);
                    }
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let name = anchor(&heading.take().unwrap_or_default());
                    document.add_anchor(name);
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.link(line, &dest_url);
                }
                Event::InlineHtml(html) => document.html_links(line, &html),
                Event::Text(part) | Event::Code(part) | Event::Html(part) => {
                    if let Some(block) = &mut block {
                        block.text.push_str(&part);
                    }
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                }
                _ => {}
            }
        }
        document
    }

    fn take(&mut self, block: &Block) {
        let mut words = block.info.split_whitespace();
        let language = words.next().unwrap_or_default();
        let mut marks: Vec<&str> = words.collect();
        let save = marks.iter().position(|mark| mark.contains('='));
        let save = save.map(|at| marks.remove(at));
        let no_run = remove(&mut marks, "no-run");
        let line = block.line;
        let snippet = || Snippet {
            line,
            text: block.text.clone(),
        };
        match (language, &marks[..], save) {
            ("console" | "sh", [], None) => self.take_commands(language, no_run, block),
            ("" | "text" | "yaml" | "json", ..) if no_run => {
                self.mistake(line, "only commands are not run".to_owned());
            }
            ("" | "text", [], None) => {
                self.shown += 1;
                self.refuse_commands(block);
            }
            ("yaml", ["functions"], None) => {
                let text = within_functions(&block.text);
                self.steps.push(Step::Configure(Snippet { line, text }));
            }
            ("yaml", ["stack"], None) => self.steps.push(Step::Stack(snippet())),
            ("yaml", ["other"], None) => {
                self.shown += 1;
                let read = serde_saphyr::from_multiple::<serde_json::Value>(&block.text);
                self.mistaken(line, read.err());
            }
            ("yaml", [], None) => self.steps.push(Step::Configure(snippet())),
            ("json", [], None) => {
                self.shown += 1;
                let read = serde_json::from_str::<serde_json::Value>(&block.text);
                self.mistaken(line, read.err());
            }
            (language, marks @ ([] | ["other"]), Some(save)) => match file(save) {
                Some((append, path)) => self.steps.push(Step::Save(File {
                    line,
                    path,
                    text: block.text.clone(),
                    append,
                    configures: language == "yaml" && marks.is_empty(),
                })),
                None => self.mistake(line, format!("`{save}` is neither file= nor append=")),
            },
            (_, [], None) if no_run => self.shown += 1,
            (_, [], None) => self.mistake(
                line,
                format!("what is done with `{language}`? Save it (file=PATH) or mark it no-run"),
            ),
            (_, marks, _) => self.mistake(
                line,
                format!("`{}` does not mean anything here", marks.join(" ")),
            ),
        }
    }

    fn take_commands(&mut self, language: &str, no_run: bool, block: &Block) {
        let read = match language {
            "console" => in_console(&block.text, block.line + 1),
            _ => in_script(&block.text, block.line + 1),
        };
        match read {
            Ok(commands) if commands.is_empty() => {
                self.mistake(block.line, "there is no command in it".to_owned());
            }
            Ok(commands) if no_run => self.not_run.extend(commands),
            Ok(commands) => self.steps.extend(commands.into_iter().map(Step::Run)),
            Err(mistake) => self.mistakes.push(mistake),
        }
    }

    /// A comment that begins with `sh` holds commands for what readers do in another way.
    fn take_html(&mut self, block: &Block) {
        let hidden = block.text.trim().strip_prefix("<!-- sh\n");
        match hidden.and_then(|text| text.strip_suffix("-->")) {
            Some(commands) => {
                let text = commands.to_owned();
                let (line, info) = (block.line, String::new());
                self.take_commands("sh", false, &Block { line, info, text });
            }
            None => self.html_links(block.line, &block.text),
        }
    }

    fn html_links(&mut self, line: usize, html: &str) {
        for attribute in ["src=\"", "srcset=\"", "href=\""] {
            for part in html.split(attribute).skip(1) {
                if let Some((target, _)) = part.split_once('"') {
                    self.link(line, target);
                }
            }
        }
    }

    fn link(&mut self, line: usize, target: &str) {
        let target = target.to_owned();
        self.links.push(Link { line, target });
    }

    /// A heading that stands twice gets a number the second time.
    fn add_anchor(&mut self, name: String) {
        let mut anchor = name.clone();
        let mut number = 0;
        while self.anchors.contains(&anchor) {
            number += 1;
            anchor = format!("{name}-{number}");
        }
        self.anchors.push(anchor);
    }

    fn refuse_commands(&mut self, block: &Block) {
        let mut lines = block.text.lines();
        if let Some(index) = lines.position(|line| line.starts_with("$ ")) {
            let message = "a command in a block that nobody runs, mark it `console`".to_owned();
            self.mistake(block.line + 1 + index, message);
        }
    }

    fn mistaken(&mut self, line: usize, error: Option<impl std::fmt::Display>) {
        if let Some(error) = error {
            self.mistake(line, error.to_string());
        }
    }

    fn mistake(&mut self, line: usize, message: String) {
        self.mistakes.push(Mistake { line, message });
    }
}

fn remove(marks: &mut Vec<&str>, mark: &str) -> bool {
    let before = marks.len();
    marks.retain(|other| *other != mark);
    marks.len() < before
}

fn file(save: &str) -> Option<(bool, String)> {
    match save.split_once('=')? {
        ("file", path) => Some((false, path.to_owned())),
        ("append", path) => Some((true, path.to_owned())),
        _ => None,
    }
}

/// Functions without their key, indented or not.
fn within_functions(text: &str) -> String {
    let indent = |line: &str| format!("  {line}\n");
    "functions:\n".to_owned() + &text.lines().map(indent).collect::<String>()
}

/// A heading's name in addresses, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter);
    let lower = heading.trim().to_lowercase();
    lower
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}
