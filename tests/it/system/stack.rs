//! `POST /system/stack`: what a stack.yml would deploy.

use serde_json::{Value, json};

use crate::harness::{Gateway, Response, basic};

fn post(gateway: &Gateway, text: impl AsRef<[u8]>) -> Response {
    gateway.admin("POST", "/system/stack", text)
}

#[test]
fn what_it_says_of_a_stack_can_be_deployed() {
    let gateway = Gateway::start("");
    let text = "functions:
  shout:
    lang: dockerfile
    handler: ./shout
    image: ${OWNER:-me}/shout:latest
    fprocess: tr a-z A-Z
    environment: { GREETING: hello }
    labels: { tier: 1 }
";
    let stack = post(&gateway, text).assert_status(200).json();
    assert_eq!(stack["warnings"], json!([]), "{stack}");
    let [function] = stack["functions"].as_array().unwrap().as_slice() else {
        panic!("{stack}");
    };
    assert_eq!(function["warnings"], json!([]), "{stack}");
    let listed = gateway.admin("GET", "/system/functions", "");
    assert_eq!(listed.json(), json!([]), "reading deploys nothing");
    let deployment = function["deployment"].to_string();
    gateway
        .admin("POST", "/system/functions", deployment)
        .assert_status(202);
    assert_eq!(gateway.post("/function/shout", "hi").text(), "HI");
    let shown = gateway.function("shout");
    assert_eq!(shown["image"], "me/shout:latest");
    assert_eq!(shown["labels"]["tier"], "1");
}

#[test]
fn a_function_that_would_not_run_here_is_warned_about() {
    let gateway = Gateway::with("").env("TAG", "of the gateway").start();
    let text = "functions:
  built: { image: \"me/built:${TAG}\", colour: red }
  unbuilt: { image: i, fprocess: no-such-program-here }
";
    let stack = post(&gateway, text).assert_status(200).json();
    let warned = |index: usize, words: &str| {
        let warnings = stack["functions"][index]["warnings"].as_array().unwrap();
        let has = |warning: &Value| warning.as_str().unwrap().contains(words);
        assert!(warnings.iter().any(has), "{words}: {warnings:?}");
    };
    warned(0, "line 2, column 38: unknown key `colour`");
    warned(0, "variable `TAG` is not known here");
    warned(
        0,
        "nothing says which command image `me/built:${TAG}` stands for",
    );
    warned(1, "`no-such-program-here`");
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let gateway = Gateway::start("");
    for (text, place) in [
        ("functions:\n  a:\n    image: [", "line 3, column 12: "),
        (
            "functions: { \"a b\": { image: i } }",
            "line 1, column 14: ",
        ),
        ("", "it has no functions"),
    ] {
        let error = post(&gateway, text).assert_error(400, "bad_request");
        let words = error["error"].as_str().unwrap();
        assert!(words.starts_with(place), "{words}");
    }
    post(&gateway, b"functions: { \xff: }").assert_error(400, "bad_request");
    // Who is refused for the length that he names need not have sent it all when the connection closes.
    let (user, password) = gateway.credentials();
    let mut connection = gateway.connect();
    let authorization = basic(&user, &password);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Length", "2097152"),
    ];
    connection.send_head("POST", "/system/stack", &headers);
    assert_eq!(connection.response("POST").status, 413);
    gateway
        .post("/system/stack", "functions: { a: { image: i } }")
        .assert_status(401);
}
