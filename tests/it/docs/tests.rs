//! The reader of documents is attentive: it finds what is there and sees what is wrong.

use std::fs;

use super::document::{Document, File, Snippet, Step};
use super::{follow, written_wrong};

fn steps(text: &str) -> Vec<Step> {
    let document = Document::read(text);
    assert_eq!(document.mistakes, []);
    document.steps
}

/// What is wrong in a document, which is read in a folder of its own.
fn mistakes(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.md");
    fs::write(&path, text).unwrap();
    let begin = format!("{}:", path.display());
    written_wrong(&path, &Document::read(text))
        .into_iter()
        .map(|mistake| mistake.replace(&begin, ""))
        .collect()
}

/// What comes of following a document.
fn followed(text: &str) -> super::Report {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.md");
    fs::write(&path, text).unwrap();
    follow(&path)
}

#[test]
fn blocks_are_steps_in_their_order() {
    let text = "\
# Some
1. First

   ```sh
   one
   ```
<!-- sh
two
-->
```console
$ three
out
```
```yaml functions
fig: { process: cat }
```
```python file=a.py
print()
```
";
    let steps = steps(text);
    let runs: Vec<(usize, &str)> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Run(command) => Some((command.line, command.text.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(runs, [(5, "one"), (8, "two"), (11, "three")]);
    let wrapped = "functions:\n  fig: { process: cat }\n".to_owned();
    assert_eq!(
        steps[3..],
        [
            Step::Configure(Snippet {
                line: 14,
                text: wrapped
            }),
            Step::Save(File {
                line: 17,
                path: "a.py".to_owned(),
                text: "print()\n".to_owned(),
                append: false,
                configures: false,
            }),
        ]
    );
}

#[test]
fn commands_that_are_not_run_are_known() {
    let document = Document::read("```sh no-run\ndocker ps\n```\n```ini no-run\na = b\n```\n");
    assert_eq!(document.not_run.len(), 1);
    assert_eq!((document.steps.len(), document.shown), (0, 1));
}

#[test]
fn nothing_escapes_for_want_of_a_mark() {
    assert!(mistakes("```\n$ ls\n```\n")[0].starts_with("2: "));
    assert!(mistakes("```python\nprint()\n```\n")[0].starts_with("1: "));
    assert!(mistakes("```sh quietly\nls\n```\n")[0].starts_with("1: "));
    assert!(mistakes("```yaml no-run\na: b\n```\n")[0].starts_with("1: "));
    assert!(mistakes("```yaml other\na: b: c\n```\n")[0].starts_with("1: "));
    assert!(mistakes("```json\n{ a }\n```\n")[0].starts_with("1: "));
    assert!(mistakes("```sh\n# nothing\n```\n")[0].starts_with("1: "));
    assert_eq!(mistakes("```\nls\n```\n"), [""; 0]);
}

#[test]
fn links_are_followed() {
    let headings = "# A `b`, c & d\n## Twice\n## Twice\n";
    let good = "[a](#a-b-c--d) [b](#twice-1) [c](some.md#twice) [d](https://example.org) [e](.)";
    assert_eq!(mistakes(&format!("{headings}{good}\n")), [""; 0]);
    for bad in [
        "[a](#thrice)",
        "[a](#twice-2)",
        "[a](some.md#thrice)",
        "[a](other.md)",
        "![a](other.png)",
        "<img src=\"other.png\">",
    ] {
        assert_eq!(mistakes(&format!("{headings}\n{bad}\n")).len(), 1, "{bad}");
    }
}

#[test]
#[ignore = "runs documents: make test-docs"]
fn what_is_not_so_is_noticed() {
    for (text, words) in [
        (
            "```sh\nfalse\n```\n",
            &["some.md:2: false: it ends with 1"][..],
        ),
        (
            "```console\n$ echo hi\nho\n```\n",
            &[":2: echo hi", "hi\n", "ho"],
        ),
        (
            "```yaml\nservr: {}\n```\n",
            &[":1: the configuration", "servr"],
        ),
        ("```yaml stack\nfunctions: 3\n```\n", &[":1: the stack"]),
        (
            "```yaml append=conf/gateway.yaml\n  a: {}\n```\n",
            &[":1: conf/gateway.yaml"],
        ),
        (
            "```sh\ncurl localhost:8080/function/nobody\n```\n",
            &["it ends with 22"],
        ),
        ("```sh\nexit 0\n```\n", &[":2: exit 0"]),
    ] {
        let report = followed(text);
        assert_eq!(report.mistakes.len(), 1, "{text}: {report:?}");
        for word in words {
            assert!(report.mistakes[0].contains(word), "{word} in {report:?}");
        }
    }
}

#[test]
#[ignore = "runs documents: make test-docs"]
fn what_is_so_is_counted() {
    let report = followed(
        "```console\n$ NAME=hi\n$ curl -d $NAME localhost:8080/function/echo\nhi\n```\n\
         ```yaml append=conf/gateway.yaml\n  shout: { process: tr a-z A-Z }\n```\n\
         ```console\n$ curl -d hi localhost:8080/function/shout\nHI\n```\n\
         ```yaml stack\nfunctions: { fig: { image: fig, fprocess: cat } }\n```\n\
         ```sh no-run\ndocker ps\n```\n",
    );
    assert_eq!(report.mistakes, [""; 0]);
    assert_eq!(
        (report.run, report.checked, report.left_out.len()),
        (3, 2, 1)
    );
}
