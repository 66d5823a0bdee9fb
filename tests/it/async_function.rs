//! `/async-function/*`: there is no queue yet, and the gateway says so.

use crate::harness::{Gateway, Upstream};

#[test]
fn without_a_queue_it_is_a_501_with_a_reason() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    for path in [
        "/async-function/fig",
        "/async-function/fig/",
        "/async-function/fig/a?x=1",
    ] {
        gateway.post(path, "later").assert_error(501, "no_queue");
    }
    assert!(upstream.requests().is_empty());
}
