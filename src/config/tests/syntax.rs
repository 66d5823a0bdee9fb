//! What the parser refuses: unknown keys, wrong shapes, broken YAML. One clear line each.

use super::{assert_refused, config};

#[test]
fn an_unknown_key_names_its_section_and_the_nearest_key() {
    assert_refused(&[
        (
            "severs: {}",
            "1:1: unknown key `severs`, did you mean `server`?",
        ),
        (
            "a: b: c",
            "1:1: unknown key `a`, known are version, server, timeouts, admin, ui, provider, \
             scale, queue, functions, routes, access_log",
        ),
        (
            "server: { lisen: \"127.0.0.1:1\" }",
            "1:11: unknown key `lisen` in `server`, did you mean `listen`?",
        ),
        (
            "server:\n  drain:\n    dely: 3s",
            "3:5: unknown key `dely` in `server.drain`, did you mean `delay`?",
        ),
        (
            "timeouts: { raed: 3s }",
            "1:13: unknown key `raed` in `timeouts`, did you mean `read`?",
        ),
        (
            "admin: { basic_auth: { userfile: x } }",
            "1:24: unknown key `userfile` in `admin.basic_auth`, did you mean `user_file`?",
        ),
        (
            "ui: { enabeld: true }",
            "1:7: unknown key `enabeld` in `ui`, did you mean `enabled`?",
        ),
        (
            "provider:\n  images:\n    \"x/y:*\": { comand: foo }",
            "3:16: unknown key `comand` in `provider.images.x/y:*`, did you mean `command`?",
        ),
        (
            "provider: { direct: { sufix: x } }",
            "1:23: unknown key `sufix` in `provider.direct`, did you mean `suffix`?",
        ),
        (
            "scale: { wait: { lines: 3 } }",
            "1:18: unknown key `lines` in `scale.wait`, did you mean `line`?",
        ),
        (
            "queue: { retry: { attemps: 3 } }",
            "1:19: unknown key `attemps` in `queue.retry`, did you mean `attempts`?",
        ),
        (
            "functions:\n  echo:\n    process: cat\n    timout: 3s",
            "4:5: unknown key `timout` in `functions.echo`, did you mean `timeouts`?",
        ),
        (
            "functions:\n  a: { process: cat }\n  echo.dev: { process: cat, mod: http }",
            "3:29: unknown key `mod` in `functions.echo.dev`, did you mean `mode`?",
        ),
        (
            "functions: { echo: { process: cat, timeouts: { upsteram: 3s } } }",
            "1:48: unknown key `upsteram` in `functions.echo.timeouts`, did you mean `upstream`?",
        ),
        (
            "functions: { echo: { process: cat, timeouts: { exce: 3s } } }",
            "1:48: unknown key `exce` in `functions.echo.timeouts`, did you mean `exec`?",
        ),
        (
            "routes:\n  - { function: a }\n  - { functon: b }",
            "3:7: unknown key `functon` in `routes.1`, did you mean `function`?",
        ),
        (
            "access_log: { path: /x }",
            "1:15: unknown key `path` in `access_log`, known are format, output",
        ),
    ]);
}

#[test]
fn a_key_stands_once() {
    assert_refused(&[
        ("ui: {}\nui: {}", "2:1: `ui` stands twice"),
        (
            "server: { listen: \"127.0.0.1:1\", listen: \"127.0.0.1:2\" }",
            "1:34: `listen` stands in `server` twice",
        ),
        (
            "functions:\n  echo: { process: cat }\n  echo: { process: tac }",
            "3:3: `echo` stands in `functions` twice",
        ),
        (
            "functions:\n  echo:\n    process: cat\n    environment: { A: 1, A: 2 }",
            "4:26: `A` stands in `functions.echo.environment` twice",
        ),
    ]);
}

#[test]
fn a_value_of_the_wrong_shape_says_which_shape_is_right() {
    let pairs = "expected `key: value` pairs";
    let list = "expected a list, `[a, b]` or lines that begin with `- `,";
    let line = |place: &str, what: &str, key: &str| format!("{place}: {what} in `{key}`");
    let table = [
        ("server: []", line("1:9", pairs, "server")),
        ("server: 5", line("1:9", pairs, "server")),
        ("functions: [echo]", line("1:12", pairs, "functions")),
        (
            "functions:\n  echo: cat",
            line("2:9", pairs, "functions.echo"),
        ),
        (
            "functions: { echo: { process: cat, environment: [A=1] } }",
            line("1:49", pairs, "functions.echo.environment"),
        ),
        ("routes: [a]", line("1:10", pairs, "routes.0")),
        (
            "server: { listen: [1, 2] }",
            line("1:19", "expected a single value", "server.listen"),
        ),
        (
            "server: { listen: { a: b } }",
            line("1:19", "expected a single value", "server.listen"),
        ),
        (
            "functions: { echo: { process: cat, environment: { A: [x] } } }",
            line(
                "1:54",
                "expected a single value",
                "functions.echo.environment.A",
            ),
        ),
        (
            "functions: { echo: { process: { a: b } } }",
            line(
                "1:31",
                "expected a single value or a list",
                "functions.echo.process",
            ),
        ),
        (
            "functions: { echo: { process: [sleep, ~] } }",
            line("1:39", "a value is missing", "functions.echo.process.1"),
        ),
        (
            "server: { trusted_proxies: 10.0.0.0/8 }",
            line("1:28", list, "server.trusted_proxies"),
        ),
        ("routes: { function: a }", line("1:9", list, "routes")),
        (
            "queue: { retry: { codes: 500 } }",
            line("1:26", list, "queue.retry.codes"),
        ),
        ("- a\n- b", "1:1: expected `key: value` pairs".to_owned()),
        ("just text", "1:1: expected `key: value` pairs".to_owned()),
    ];
    let table: Vec<(&str, &str)> = table.iter().map(|(text, line)| (*text, &**line)).collect();
    assert_refused(&table);
}

#[test]
fn broken_yaml_is_one_line_in_plain_words() {
    assert_refused(&[
        (
            "functions:\n  echo:\n\tprocess: cat",
            "3:2: a tab cannot indent, use spaces",
        ),
        (
            "server:\n  listen: a\n metrics: b",
            "3:2: this line does not fit those above, check its indentation",
        ),
        (
            "routes:\n  - { function: a }\n  function: b",
            "3:3: this line does not go on with the list above, check its indentation",
        ),
        (
            "server:\n  listen: a\n    metrics: b",
            "3:12: a `key: value` cannot stand here, check the indentation, or put a value with \
             `: ` in quotes",
        ),
        ("ui: { store: a: b }", "1:15: expected `,` or `}`"),
        (
            "ui: { store: \"a }",
            "1:14: the quote that begins here is never closed",
        ),
        (
            "ui: { store: a",
            "1:5: the `{` that begins here is never closed",
        ),
        (
            "server: { trusted_proxies: [a, b }",
            "1:28: mismatched bracket '[' closed by '}'",
        ),
        (
            "routes:\n  - { host: *.example.org, function: a }",
            "2:13: no `&` gives this a name; a value that begins with `*` needs quotes",
        ),
        (
            "routes:\n  - { host: *, function: a }",
            "2:13: a value that begins with `*` or `&` needs quotes",
        ),
        ("ui: { store: @x }", "1:14: unexpected character: `@'"),
    ]);
}

#[test]
fn there_is_one_document() {
    assert_refused(&[(
        "version: 1\n---\nversion: 1",
        "3:1: a second document begins, there can be one",
    )]);
    config("---\nversion: 1\n...\n");
}

#[test]
fn nothing_at_all_is_the_defaults() {
    let defaults = config("");
    for text in [
        "\n",
        "# nothing but a comment\n",
        "---\n",
        "{}",
        "version:\n",
        "server:\ntimeouts:\nadmin:\nui:\nprovider:\nscale:\nfunctions:\nroutes:\naccess_log:\n",
        "server:\n  listen:\n  trusted_proxies:\n  drain:\ntimeouts: { read: ~ }\n",
    ] {
        assert_eq!(config(text), defaults, "{text:?}");
    }
}

#[test]
fn what_looks_like_another_type_is_its_text() {
    let text = "functions:\n  1: { process: 5 }\n  true: { process: true }\n  \
                e: { process: [sleep, 1.50, yes, 0x10], environment: { A: , B: 007, C: no } }\n";
    let config = config(text);
    let commands: Vec<_> = config
        .functions
        .values()
        .map(|function| match &function.place {
            super::super::Place::Process(process) => process.command.join(" "),
            super::super::Place::Upstream(_) => String::new(),
        })
        .collect();
    assert_eq!(commands, ["5", "sleep 1.50 yes 0x10", "true"]);
    let function = config.functions.values().nth(1).unwrap();
    let super::super::Place::Process(process) = &function.place else {
        panic!("not a process");
    };
    let environment: Vec<_> = process.environment.iter().collect();
    assert_eq!(
        format!("{environment:?}"),
        r#"[("A", ""), ("B", "007"), ("C", "no")]"#
    );
}

#[test]
fn a_long_comment_is_no_obstacle() {
    let comment = "  # more about it\n".repeat(500);
    config(&format!(
        "functions:\n  a: {{ process: cat }}\n{comment}  b: {{ process: cat }}\n{comment}"
    ));
}
