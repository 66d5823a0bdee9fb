//! Streaming mode: one process per call, both pipes live.

use std::fs;

use crate::harness::Gateway;

#[test]
fn output_comes_before_the_process_ends() {
    let gateway =
        Gateway::with("functions:\n  fig: { process: \"sh @DIR@/fig.sh\", mode: streaming }\n")
            .file(
                "fig.sh",
                "echo one; while [ ! -e ${0%/*}/go ]; do sleep 0.02; done; echo two",
            )
            .start();
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[]);
    assert_eq!(connection.head().word(1), "200");
    assert_eq!(connection.wire.read_chunks(4).unwrap(), b"one\n");
    fs::write(gateway.dir().join("go"), "").unwrap();
    assert_eq!(connection.wire.read_chunks(4).unwrap(), b"two\n");
    assert_eq!(connection.wire.read_chunk().unwrap(), None);
}

#[test]
fn input_reaches_the_process_as_it_comes() {
    let gateway = Gateway::start("functions:\n  fig: { process: \"cat\", mode: streaming }\n");
    let mut connection = gateway.connect();
    connection.send_head("POST", "/function/fig", &[("Transfer-Encoding", "chunked")]);
    connection.wire.send_chunk("one").unwrap();
    assert_eq!(connection.head().word(1), "200");
    assert_eq!(connection.wire.read_chunks(3).unwrap(), b"one");
    connection.wire.send_chunk("two").unwrap();
    assert_eq!(connection.wire.read_chunks(3).unwrap(), b"two");
    connection.wire.send_last_chunk().unwrap();
    assert_eq!(connection.wire.read_chunk().unwrap(), None);
}

#[test]
fn failing_before_any_output_is_a_500() {
    let gateway = Gateway::start("functions:\n  fig: { process: \"false\", mode: streaming }\n");
    gateway.get("/function/fig").assert_status(500);
}

#[test]
fn failing_after_some_output_breaks_the_response_off() {
    let gateway =
        Gateway::with("functions:\n  fig: { process: \"sh @DIR@/fig.sh\", mode: streaming }\n")
            .file(
                "fig.sh",
                "echo half; while [ ! -e ${0%/*}/go ]; do sleep 0.02; done; exit 1",
            )
            .start();
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[]);
    assert_eq!(connection.head().word(1), "200");
    assert_eq!(connection.wire.read_chunks(5).unwrap(), b"half\n");
    fs::write(gateway.dir().join("go"), "").unwrap();
    let rest = connection.wire.read_to_end().unwrap();
    assert!(
        !rest.ends_with(b"0\r\n\r\n"),
        "a broken response ended like a whole one"
    );
}
