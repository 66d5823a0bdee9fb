//! Classic and streaming mode (users.md section 5.3).

use std::num::NonZeroUsize;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn a_megabyte_goes_through_byte_for_byte() {
    let running = Running::with(classic(&["cat"]));
    let body: Bytes = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let (status, head, reply) = running.post(body.clone()).await;
    assert_eq!(status, 200);
    assert!(reply == body);
    assert_eq!(head.headers()["content-length"], body.len().to_string());
    running.end().await;
}

#[tokio::test]
async fn what_exceeds_the_limit_of_held_output_is_sent_on_live() {
    let running = Running::with(classic(&["cat"]));
    let body = Bytes::from(vec![b'x'; MAX_HELD + 12_345]);
    let (status, head, reply) = running.post(body.clone()).await;
    assert_eq!(status, 200);
    assert!(reply == body);
    assert!(!head.headers().contains_key("content-length"));
    running.end().await;
}

#[tokio::test]
async fn connections_are_used_again() {
    let running = Running::with(classic(&["cat"]));
    let stream = TokioIo::new(UnixStream::connect(running.socket().await).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for body in ["one", "two"] {
        sender.ready().await.unwrap();
        let request = Request::post("/")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let reply = sender.send_request(request).await.unwrap();
        assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), body);
    }
    running.end().await;
}

#[tokio::test]
async fn the_log_has_the_two_lines_of_the_classic_watchdog() {
    let running = Running::with(classic(&["cat"]));
    running.post("hello world").await;
    let log = running.log();
    assert_eq!(log[0], "Forking fprocess.");
    let duration = log[1].strip_prefix("Wrote 11 Bytes - Duration: ").unwrap();
    let seconds = duration.strip_suffix(" seconds").unwrap();
    assert_eq!(seconds.split_once('.').unwrap().1.len(), 6, "{seconds}");
    assert!(seconds.parse::<f64>().unwrap() > 0.0);
    running.end().await;
}

#[tokio::test]
async fn the_environment_is_path_the_declared_and_the_request() {
    let mut process = classic(&["env"]);
    process.environment = [("custom_env".into(), "custom value".into())].into();
    let running = Running::with(process);
    let request = Request::put("/a/b?testing=1").header("x-call-id", "abc");
    let request = request.body(Full::new(Bytes::from("12345"))).unwrap();
    let (_, _, reply) = running.call(request).await;
    let reply = String::from_utf8(reply.to_vec()).unwrap();
    let mut names: Vec<_> = reply
        .lines()
        .map(|line| line.split('=').next().unwrap())
        .collect();
    names.sort_unstable();
    let http = [
        "ContentLength",
        "Content_Length",
        "Method",
        "Path",
        "Query",
        "X_Call_Id",
    ];
    let http = http.map(|name| format!("Http_{name}"));
    let mut expected: Vec<_> = http.iter().map(String::as_str).collect();
    expected.extend(["GATEWAY_INSTANCE", "PATH", "custom_env"]);
    expected.sort_unstable();
    assert_eq!(names, expected);
    for line in [
        "Http_Method=PUT",
        "Http_Query=testing=1",
        "Http_Path=/a/b",
        "Http_X_Call_Id=abc",
    ] {
        assert!(
            reply.lines().any(|other| other == line),
            "{line} in {reply}"
        );
    }
    assert!(reply.contains("custom_env=custom value\n"));
    running.end().await;
}

#[tokio::test]
async fn without_cgi_headers_the_request_leaves_no_trace() {
    let mut process = classic(&["env"]);
    process.watchdog.cgi_headers = false;
    let running = Running::with(process);
    let (_, _, reply) = running.post("x").await;
    let reply = String::from_utf8(reply.to_vec()).unwrap();
    let mut names: Vec<_> = reply
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    names.sort_unstable();
    let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["GATEWAY_INSTANCE", "PATH"]);
    running.end().await;
}

#[tokio::test]
async fn it_runs_in_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("note"), "found").unwrap();
    let mut process = classic(&["cat", "note"]);
    process.dir = Some(dir.path().to_owned());
    let running = Running::with(process);
    assert_eq!(running.post("").await.2, "found");
    running.end().await;
}

#[tokio::test]
async fn the_content_type_is_declared_or_the_requests_or_plain_text() {
    async fn reply_type(running: &Running, request: http::request::Builder) -> String {
        let request = request.body(Full::default()).unwrap();
        let (_, head, _) = running.call(request).await;
        head.headers()["content-type"].to_str().unwrap().to_owned()
    }
    let json = || Request::post("/").header("content-type", "application/json");
    let running = Running::with(classic(&["cat"]));
    assert_eq!(reply_type(&running, json()).await, "application/json");
    assert_eq!(
        reply_type(&running, Request::post("/")).await,
        "text/plain; charset=utf-8"
    );
    running.end().await;

    let mut process = classic(&["cat"]);
    process.watchdog.content_type = Some("text/csv".to_owned());
    let running = Running::with(process);
    assert_eq!(reply_type(&running, json()).await, "text/csv");
    running.end().await;
}

#[tokio::test]
async fn a_failure_is_500_with_the_output() {
    let running = Running::with(shell("echo out; echo err >&2; exit 3"));
    let (status, head, reply) = running.post("").await;
    assert_eq!((status.as_u16(), &reply[..]), (500, &b"out\nerr\n"[..]));
    assert_eq!(head.headers()["x-gateway-error"], "exit_status");
    running.end().await;
}

#[tokio::test]
async fn a_failure_without_output_says_what_happened() {
    let running = Running::with(shell("exit 3"));
    let (status, _, reply) = running.post("").await;
    assert_eq!(
        (status.as_u16(), &reply[..]),
        (500, &b"the function exited with status 3\n"[..])
    );
    running.end().await;
    let running = Running::with(shell("kill -SEGV $$"));
    let (status, _, reply) = running.post("").await;
    let expected = &b"the function was killed by signal 11\n"[..];
    assert_eq!((status.as_u16(), &reply[..]), (500, expected));
    running.end().await;
}

#[tokio::test]
async fn stderr_that_is_not_combined_goes_to_the_log() {
    let mut process = shell("echo out; echo err >&2");
    process.watchdog.combine_output = false;
    let running = Running::with(process);
    assert_eq!(running.post("").await.2, "out\n");
    assert!(running.log().contains(&"err".to_owned()));
    running.end().await;
}

#[tokio::test]
async fn debug_switches_put_bodies_into_the_log() {
    let mut process = classic(&["tr", "a-z", "A-Z"]);
    process.watchdog.read_debug = true;
    process.watchdog.write_debug = true;
    let running = Running::with(process);
    running.post("quiet").await;
    let log = running.log();
    assert!(
        log.contains(&"quiet".to_owned()) && log.contains(&"QUIET".to_owned()),
        "{log:?}"
    );
    running.end().await;
}

#[tokio::test]
async fn a_function_may_ignore_its_input() {
    let running = Running::with(shell("echo done"));
    // The caller gets all of its body out, the reply, and the connection back for more.
    let request = "POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 4000000\r\n\r\n";
    let mut talk = Talk::begin(&running, request).await;
    talk.say(&"x".repeat(4_000_000)).await;
    talk.hear("\r\n\r\ndone\n").await;
    talk.say("GET / HTTP/1.1\r\nHost: f\r\n\r\n").await;
    talk.1.clear();
    talk.hear("\r\n\r\ndone\n").await;
    running.end().await;
}

#[tokio::test]
async fn exec_timeout_kills_the_group_with_the_grandchild() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let script = format!(
        "sleep 1000 & echo $! >> {0}; echo $$ >> {0}; wait",
        file.display()
    );
    let mut process = shell(&script);
    process.watchdog.exec_timeout = Duration::from_millis(300);
    let running = Running::with(process);
    let (status, head, reply) = running.post("").await;
    assert_eq!(
        (status.as_u16(), &reply[..]),
        (500, &b"exec_timeout of 300ms reached\n"[..])
    );
    assert_eq!(head.headers()["x-gateway-error"], "exec_timeout");
    for pid in pids(&file, 2).await {
        until(|| !lives(pid)).await;
    }
    running.end().await;
}

#[tokio::test]
async fn what_a_call_leaves_running_ends_with_it() {
    let running = Running::with(shell("sleep 1000 & echo $!"));
    let (_, _, reply) = running.post("").await;
    let pid = std::str::from_utf8(&reply).unwrap().trim().parse().unwrap();
    until(|| !lives(pid)).await;
    running.end().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_the_process_along() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let running = Running::with(shell(&format!("echo $$ >> {}; sleep 1000", file.display())));
    let request = "POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 1\r\n\r\nx";
    let talk = Talk::begin(&running, request).await;
    let pid = pids(&file, 1).await[0];
    assert!(lives(pid));
    drop(talk);
    until(|| !lives(pid)).await;
    running.end().await;
}

#[tokio::test]
async fn so_does_one_whose_body_the_process_does_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let running = Running::with(shell(&format!("echo $$ >> {}; sleep 1000", file.display())));
    let request = "POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 9999999\r\n\r\n";
    let mut talk = Talk::begin(&running, request).await;
    let pid = pids(&file, 1).await[0];
    // More than the pipe to the process and the server's buffers hold.
    let sending = talk.0.write_all(&[b'x'; 9_999_999]);
    let stuck = tokio::time::timeout(Duration::from_millis(200), sending).await;
    assert!(stuck.is_err() && lives(pid));
    drop(talk);
    until(|| !lives(pid)).await;
    running.end().await;
}

#[tokio::test]
async fn calls_beyond_max_inflight_are_refused() {
    let mut process = classic(&["cat"]);
    process.watchdog.max_inflight = NonZeroUsize::new(1);
    let running = Running::with(process);
    // A body that is never finished keeps the first call busy.
    let request = "POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 2\r\n\r\nx";
    let first = Talk::begin(&running, request).await;
    until(|| running.log().contains(&"Forking fprocess.".to_owned())).await;
    let (status, _, reply) = running.post("").await;
    assert_eq!(status, 429);
    assert!(reply.starts_with(b"max_inflight of 1 calls reached"));
    drop(first);
    running.end().await;
}

#[tokio::test]
async fn health_and_readiness_need_no_fork() {
    let running = Running::with(classic(&["false"]));
    for path in ["/_/health", "/_/ready"] {
        let request = Request::get(path).body(Full::default()).unwrap();
        assert_eq!(running.call(request).await.0, 200);
    }
    assert_eq!(running.log(), [""; 0]);
    running.end().await;
}

#[tokio::test]
async fn a_program_that_vanished_is_500_and_its_path_is_in_the_log_alone() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    std::fs::copy("/bin/cat", &program).unwrap();
    let running = Running::with(classic(&[program.to_str().unwrap()]));
    running.address().await;
    std::fs::remove_file(&program).unwrap();
    let (status, _, reply) = running.post("").await;
    assert_eq!(status, 500);
    assert_eq!(
        reply,
        b"the function cannot be started, its log says why\n"[..]
    );
    let log = running.log().join("\n");
    assert!(log.contains(program.to_str().unwrap()), "{log}");
    running.end().await;
}

/// A conversation over one connection, byte by byte.
struct Talk(UnixStream, Vec<u8>);

impl Talk {
    async fn begin(running: &Running, request: &str) -> Self {
        let mut talk = Self(
            UnixStream::connect(running.socket().await).await.unwrap(),
            vec![],
        );
        talk.say(request).await;
        talk
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until the reply so far ends with `text`.
    async fn hear(&mut self, text: &str) {
        let Self(stream, heard) = self;
        let hear = async {
            while !heard.ends_with(text.as_bytes()) {
                assert_ne!(stream.read_buf(heard).await.unwrap(), 0, "ended early");
            }
        };
        tokio::time::timeout(LONG, hear).await.unwrap();
    }

    /// Reads to the end of the connection.
    async fn hear_all(mut self) -> String {
        let all = self.0.read_to_end(&mut self.1);
        tokio::time::timeout(LONG, all).await.unwrap().unwrap();
        String::from_utf8(self.1).unwrap()
    }
}

#[tokio::test]
async fn a_stream_arrives_while_it_is_written() {
    let running = Running::with(streaming("head -c 4; head -c 4"));
    let request = "POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 8\r\n\r\nping";
    let mut talk = Talk::begin(&running, request).await;
    talk.hear("4\r\nping\r\n").await;
    talk.say("pong").await;
    talk.hear("4\r\npong\r\n0\r\n\r\n").await;
    running.end().await;
}

#[tokio::test]
async fn a_stream_that_fails_late_is_broken_off() {
    let running = Running::with(streaming("head -c 1; head -c 1 >/dev/null; exit 1"));
    let request = "POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 2\r\n\r\nx";
    let mut talk = Talk::begin(&running, request).await;
    talk.hear("1\r\nx\r\n").await;
    talk.say("y").await;
    let reply = talk.hear_all().await;
    assert!(
        reply.starts_with("HTTP/1.1 200") && reply.ends_with("1\r\nx\r\n"),
        "{reply}"
    );
    running.end().await;
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_byte_is_500() {
    let running = Running::with(streaming("echo why >&2; exit 1"));
    assert_eq!(running.post("").await.0, 500);
    assert!(running.log().contains(&"why".to_owned()));
    running.end().await;
}
