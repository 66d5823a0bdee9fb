//! What is well formed and wrong all the same: each line names the key, the value and the remedy.

use super::assert_refused;

#[test]
fn a_wrong_word_gets_the_nearest_or_all_that_are_known() {
    assert_refused(&[
        (
            "access_log: { format: jsn }",
            "1:23: `access_log.format`: `jsn` is not known, did you mean `json`?",
        ),
        (
            "access_log: { output: stdot }",
            "1:23: `access_log.output`: `stdot` is not `stdout`, `stderr` or a path with a `/` in it",
        ),
        (
            "functions: { echo: { process: cat, mode: steaming } }",
            "1:42: `functions.echo.mode`: `steaming` is not known, did you mean `streaming`?",
        ),
        (
            "provider: { kind: local }",
            "1:19: `provider.kind`: `local` is not known, known are process, remote",
        ),
        (
            "queue: { kind: nats }",
            "1:16: `queue.kind`: `nats` is not known, known are embedded, jetstream",
        ),
        (
            "server: { h2c: yes }",
            "1:16: `server.h2c`: `yes` is not known, known are true, false",
        ),
        (
            "server: { h2c: True }",
            "1:16: `server.h2c`: `True` is not known, did you mean `true`?",
        ),
        (
            "version: 2",
            "1:10: `version`: this gateway knows version 1 only",
        ),
        (
            "version: one",
            "1:10: `version`: `one` is not a whole number",
        ),
    ]);
}

#[test]
fn secrets_and_limits_say_how_they_are_written() {
    assert_refused(&[
        (
            "functions: { f: { process: cat, secrets: [../key] } }",
            "1:43: `functions.f.secrets`: `../key` cannot be a secret's name: letters, digits, `-`, \
             `_` and `.` can be, at most 253, no dot in front",
        ),
        (
            "functions: { f: { process: cat, secrets: [key, key] } }",
            "1:48: `functions.f.secrets`: names `key` twice, keep one of them",
        ),
        (
            "functions: { f: { process: cat, limits: { memory: 5MiB } } }",
            "1:51: `functions.f.limits.memory`: `5MiB` is not an amount of memory such as 64Mi",
        ),
        (
            "functions: { f: { process: cat, limits: { cpu: half } } }",
            "1:48: `functions.f.limits.cpu`: `half` is not an amount of processors such as 500m or 2",
        ),
        (
            "provider: { isolation: jail }",
            "1:24: `provider.isolation`: `jail` is not known, known are none, basic, sandbox",
        ),
        (
            "functions: { f: { upstream: \"http://a\", secrets: [key], limits: { cpu: 1 } } }",
            "1:51: `functions.f.secrets`: only a `process` has it, this function has an `upstream`\n\
             1:72: `functions.f.limits.cpu`: only a `process` has it, this function has an \
             `upstream`",
        ),
    ]);
}

#[test]
fn a_wrong_number_shows_how_to_write_one() {
    let duration = "is not a duration, write it like `30s`, `1m30s` or `250ms`";
    let size = "is not a size, write it like `10MiB`, `10MB` or in bytes";
    let mut table = Vec::new();
    for text in ["8 s", "-8", "1.5", "1d", "eight", "\"\""] {
        table.push((
            format!("timeouts: {{ read: {text} }}"),
            format!(
                "1:19: `timeouts.read`: `{}` {duration}",
                text.trim_matches('"')
            ),
        ));
    }
    for text in ["10mb", "-1", "1.5MiB", "lots"] {
        table.push((
            format!("queue: {{ results: {{ max_body: {text} }} }}"),
            format!("1:31: `queue.results.max_body`: `{text}` {size}"),
        ));
    }
    for (text, expected) in [
        (
            "server: { threads: 0 }",
            "1:20: `server.threads`: `0` is not a number of threads, write `auto` or at least 1",
        ),
        (
            "server: { max_connections: 0 }",
            "1:28: `server.max_connections`: `0` is not a whole number of at least 1",
        ),
        (
            "server: { upstream_keepalive: -1 }",
            "1:31: `server.upstream_keepalive`: `-1` is not a whole number",
        ),
        (
            "scale: { autoscaler: { interval: 0 } }",
            "1:34: `scale.autoscaler.interval`: must be more than 0",
        ),
        (
            "queue: { retry: { attempts: 0 } }",
            "1:29: `queue.retry.attempts`: must be at least 1, the first try counts",
        ),
        (
            "queue: { retry: { min_wait: 5m } }",
            "1:29: `queue.retry.min_wait`: must not be longer than `queue.retry.max_wait`",
        ),
        (
            "queue: { retry: { codes: [500, x, 200] } }",
            "1:32: `queue.retry.codes.1`: `x` is not a status, write 400 to 599\n\
             1:35: `queue.retry.codes.2`: 200 is not an error status, write 400 to 599",
        ),
        (
            "queue: { jetstream: { replicas: 6, url: \"http://a\" } }",
            "1:33: `queue.jetstream.replicas`: JetStream keeps 5 copies at most\n\
             1:41: `queue.jetstream.url`: write it like `nats://host:4222`",
        ),
        (
            "functions: { a: { process: cat, concurrency: 0 } }",
            "1:46: `functions.a.concurrency`: `0` is not a whole number of at least 1",
        ),
    ] {
        table.push((text.to_owned(), expected.to_owned()));
    }
    let table: Vec<(&str, &str)> = table
        .iter()
        .map(|(text, line)| (&**text, &**line))
        .collect();
    assert_refused(&table);
}

#[test]
fn a_wrong_address_shows_how_to_write_one() {
    let socket = "is not an IP address with a port, write it like `127.0.0.1:8080`";
    let http = "write it like `http://host:port`";
    let port = "has a port that is not between 1 and 65535";
    let table = [
        ("server: { listen: localhost:8080 }", format!("1:19: `server.listen`: `localhost:8080` {socket}")),
        ("server: { listen: 8080 }", format!("1:19: `server.listen`: `8080` {socket}")),
        ("server: { listen: 1.2.3.4:99999 }", format!("1:19: `server.listen`: `1.2.3.4:99999` {socket}")),
        ("server: { metrics: :8080 }", "1:20: `server.metrics`: `:8080` has no address before its port, write `0.0.0.0:8080`".to_owned()),
        ("server: { trusted_proxies: [10.0.0.0/8, lan] }", "1:41: `server.trusted_proxies.1`: `lan` is not a network, write it like `10.0.0.0/8` or `10.0.0.1`".to_owned()),
        ("scale: { prometheus: { port: 0 } }", "1:30: `scale.prometheus.port`: `0` is not a port between 1 and 65535".to_owned()),
        ("provider: { url: faasd:8081 }", format!("1:18: `provider.url`: `faasd:8081` does not begin with `http://`, {http}")),
        ("provider: { url: \"http://\" }", format!("1:18: `provider.url`: `http://` is not an address, {http}")),
        ("provider: { url: \"https://faasd\" }", "1:18: `provider.url`: `https://faasd` needs TLS, which is not supported yet".to_owned()),
        ("functions: { a: { upstream: \"https://a:1\" } }", "1:29: `functions.a.upstream`: `https://a:1` needs TLS, which is not supported yet".to_owned()),
        ("functions: { a: { upstream: [\"http://a:1\", \"http://b:0\"] } }", format!("1:44: `functions.a.upstream.1`: `http://b:0` {port}")),
        ("functions: { a: { upstream: \"http://u:pw@b/\" } }", "1:29: `functions.a.upstream`: `http://****@b/` names a user, credentials are not sent to functions".to_owned()),
    ];
    let table: Vec<(&str, &str)> = table.iter().map(|(text, line)| (*text, &**line)).collect();
    assert_refused(&table);
}

#[test]
fn two_listeners_cannot_share_a_port() {
    assert_refused(&[
        (
            "server: { listen: \"127.0.0.1:8082\" }",
            "1:19: `server.listen`: port 8082 is that of `server.metrics`, too, give each its own",
        ),
        (
            "server: { metrics: \"127.0.0.1:8080\" }",
            "1:20: `server.metrics`: port 8080 is that of `server.listen`, too, give each its own",
        ),
        (
            "server: { listen: \"127.0.0.1:1\", metrics: \"127.0.0.1:1\" }",
            "1:43: `server.metrics`: port 1 is that of `server.listen`, too, give each its own",
        ),
        (
            "admin: { listen: \"127.0.0.1:8082\" }",
            "1:18: `admin.listen`: port 8082 is that of `server.metrics`, too, give each its own",
        ),
    ]);
    for good in [
        "server: { listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\" }",
        "server: { listen: \"127.0.0.1:1\", metrics: \"127.0.0.2:1\" }",
    ] {
        super::config(good);
    }
}

#[test]
fn a_function_lives_at_one_place() {
    let needs = "needs `process: COMMAND` or `upstream: http://host:port`";
    let only = "only a `process` has it, this function has an `upstream`";
    let table = [
        (
            "functions: { a: { process: cat, upstream: \"http://a\" } }",
            "1:28: `functions.a`: `process` and `upstream` exclude each other, keep one".to_owned(),
        ),
        (
            "functions: { a: {} }",
            format!("1:14: `functions.a`: {needs}"),
        ),
        ("functions:\n  a:\n", format!("2:3: `functions.a`: {needs}")),
        (
            "functions: { a: { process: } }",
            format!("1:14: `functions.a`: {needs}"),
        ),
        (
            "functions: { a: { process: \" \" } }",
            "1:28: `functions.a.process`: names no program".to_owned(),
        ),
        (
            "functions: { a: { process: [] } }",
            "1:28: `functions.a.process`: the list is empty, write at least one value".to_owned(),
        ),
        (
            "functions: { a: { process: [\"\", x] } }",
            "1:28: `functions.a.process`: names no program".to_owned(),
        ),
        (
            "functions: { a: { upstream: [] } }",
            "1:29: `functions.a.upstream`: the list is empty, write at least one value".to_owned(),
        ),
        (
            "functions: { a: { upstream: \"http://a\", mode: http, timeouts: { exec: 1s } } }",
            format!("1:47: `functions.a.mode`: {only}\n1:71: `functions.a.timeouts.exec`: {only}"),
        ),
        (
            "functions: { a: { process: cat, ready_path: ready } }",
            "1:45: `functions.a.ready_path`: must begin with `/`".to_owned(),
        ),
        (
            "functions: { a: { process: cat, environment: { \"A=B\": c } } }",
            "1:48: `functions.a.environment`: `A=B` cannot be a variable's name".to_owned(),
        ),
        (
            "functions: { a: { process: cat, environment: { A: \"\\0\" } } }",
            "1:51: `functions.a.environment`: a variable cannot hold a zero byte".to_owned(),
        ),
    ];
    let table: Vec<(&str, &str)> = table.iter().map(|(text, line)| (*text, &**line)).collect();
    assert_refused(&table);
}

#[test]
fn a_function_has_one_name_that_is_a_name() {
    assert_refused(&[
        (
            "functions:\n  echo: { process: cat }\n  echo.openfaas-fn: { process: tac }",
            "3:3: `functions.echo.openfaas-fn`: is `echo` once more, keep one of them",
        ),
        (
            "functions: { echo.other: { process: cat } }",
            "1:14: `functions.echo.other`: namespace `other` is not known, add it to \
             `provider.namespaces`",
        ),
        (
            "functions: { e/cho: { process: cat } }",
            "1:14: `functions`: `e/cho` may only contain letters, digits, `-` and `_`",
        ),
        (
            "functions: { \"\": { process: cat } }",
            "1:14: `functions`: a name cannot be empty",
        ),
    ]);
}

#[test]
fn a_provider_has_only_what_its_kind_has() {
    assert_refused(&[
        (
            "provider: { kind: remote }",
            "1:19: `provider.kind`: set `provider.url` to the provider's address, like \
             `http://host:8081`",
        ),
        (
            "provider: { kind: process, url: \"http://a\" }",
            "1:33: `provider.url`: `provider.kind` must be `remote` for it",
        ),
        (
            "provider: { url: \"http://a\", namespaces: [x] }",
            "1:43: `provider.namespaces`: `provider.kind` must be `process` for it",
        ),
        (
            "provider: { url: \"http://a\" }\nfunctions: { a: { process: cat } }",
            "2:28: `functions.a.process`: the remote provider cannot run it, `provider.kind` must \
             be `process`",
        ),
        (
            "provider: { namespaces: [\"a b\"] }",
            "1:26: `provider.namespaces`: `a b` may only contain letters, digits, `-` and `_`",
        ),
        (
            "provider: { url: \"http://a\", namespace: fn, direct: { enabled: true, suffix: x } }",
            "1:78: `provider.direct.suffix`: must begin with the namespace `fn` \
             (`provider.namespace`, in the environment `function_namespace`)",
        ),
        (
            "admin: { basic_auth: { user_file: /u } }",
            "1:35: `admin.basic_auth.user_file`: name `password_file` beside it, or neither",
        ),
    ]);
}

#[test]
fn a_route_has_a_host_a_path_and_a_function() {
    let host = "is not a host name, write it without scheme, port and `*`";
    let table = [
        (
            "routes:\n  - { host: a }",
            "2:13: `routes.0`: needs `function: NAME`".to_owned(),
        ),
        (
            "routes:\n  - { host: \"*.a.org\", function: f }",
            format!("2:13: `routes.0.host`: `*.a.org` {host}"),
        ),
        (
            "routes:\n  - { host: \"a:80\", function: f }",
            format!("2:13: `routes.0.host`: `a:80` {host}"),
        ),
        (
            "routes:\n  - { path: v1, function: f }",
            "2:13: `routes.0.path`: must begin with `/`".to_owned(),
        ),
        (
            "routes:\n  - { path: /*/x, function: f }",
            "2:13: `routes.0.path`: can hold `*` only as `/*` at its end".to_owned(),
        ),
        (
            "routes:\n  - { path: /x?y, function: f }",
            "2:13: `routes.0.path`: cannot hold a query or a fragment".to_owned(),
        ),
        (
            "routes:\n  - { function: a/b }",
            "2:17: `routes.0.function`: `a/b` may only contain letters, digits, `-` and `_`"
                .to_owned(),
        ),
        (
            "functions: { f: { process: cat } }\nroutes:\n  - { host: A, function: f }\n  - { host: a, function: f }",
            "4:26: `routes.1`: `routes.0` has the same host and path, so this is never used"
                .to_owned(),
        ),
    ];
    let table: Vec<(&str, &str)> = table.iter().map(|(text, line)| (*text, &**line)).collect();
    assert_refused(&table);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    let text = "\
access_log: { format: xml }
functions:
  a: { process: cat, ready_path: x, concurrency: 0 }
  b: { upstream: \"https://b\", mode: http }
  c: {}
server:
  listen: x
  threads: 0
timeouts: { read: x }
version: 3
";
    assert_refused(&[(
        text,
        "\
1:23: `access_log.format`: `xml` is not known, known are json, text, off
3:34: `functions.a.ready_path`: must begin with `/`
3:50: `functions.a.concurrency`: `0` is not a whole number of at least 1
4:18: `functions.b.upstream`: `https://b` needs TLS, which is not supported yet
4:37: `functions.b.mode`: only a `process` has it, this function has an `upstream`
5:3: `functions.c`: needs `process: COMMAND` or `upstream: http://host:port`
7:11: `server.listen`: `x` is not an IP address with a port, write it like `127.0.0.1:8080`
8:12: `server.threads`: `0` is not a number of threads, write `auto` or at least 1
9:19: `timeouts.read`: `x` is not a duration, write it like `30s`, `1m30s` or `250ms`
10:10: `version`: this gateway knows version 1 only",
    )]);
}

#[test]
fn a_wrong_value_is_shown_on_one_line_and_not_without_end() {
    let text = format!("timeouts: {{ read: \"a\\nb{}\" }}", "x".repeat(1000));
    let line = super::refusal(&text, &[], &super::Flags::default());
    assert!(
        line.starts_with("1:19: `timeouts.read`: `a\\nbxxx"),
        "{line}"
    );
    assert!(line.contains("x…` is not a duration"), "{line}");
    assert!(line.len() < 200, "{line}");
}
