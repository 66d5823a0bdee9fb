//! What a gateway writes, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, eventually};

/// How a gateway ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Everything it wrote to standard output.
    pub stdout: String,
    /// Everything it wrote to standard error.
    pub stderr: String,
}

/// Lines of an output, collected by a thread that ends with the output.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    text: Arc<Mutex<String>>,
    ended: Arc<Mutex<bool>>,
}

impl Captured {
    /// Collects an output from now on.
    pub fn of(output: impl Read + Send + 'static) -> Self {
        let captured = Self::default();
        let owned = captured.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                owned
                    .text
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
            *owned.ended.lock().unwrap() = true;
        });
        captured
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn has_ended(&self) -> bool {
        *self.ended.lock().unwrap()
    }
}

/// Waits until a gateway has ended by itself, or kills it and fails the test.
#[track_caller]
pub fn wait(child: &mut Child, stdout: &Captured, stderr: &Captured) -> Exit {
    let deadline = Instant::now() + PATIENCE * 2;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the gateway does not end:\n{}", stderr.text());
        }
        thread::sleep(Duration::from_millis(5));
    };
    eventually("the gateway's outputs end with it", || {
        stdout.has_ended() && stderr.has_ended()
    });
    Exit {
        code: status.code(),
        stdout: stdout.text(),
        stderr: stderr.text(),
    }
}
