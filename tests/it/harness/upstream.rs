//! A function played by the test: it records what reaches it and answers as its script says.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::valve::Valve;
use super::wire::{Framing, Head, Headers, Wire};

/// A request as it reached the upstream.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Request method.
    pub method: String,
    /// Request target, byte for byte.
    pub target: String,
    /// Header lines.
    pub headers: Headers,
    /// How the body was delimited.
    pub framing: Framing,
    /// The whole body; empty for a script that reads it itself.
    pub body: Vec<u8>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Recorded {
    /// The first value of a header; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_default()
    }
}

/// One request and the means to answer it.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// What was asked.
    pub request: Recorded,
    /// The connection, for everything the methods do not cover.
    pub wire: &'a mut Wire,
    close: bool,
}

impl Exchange<'_> {
    /// Answers with a Content-Length.
    pub fn reply(&mut self, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut bytes = response_head(status, headers);
        if !matches!(status, 204 | 304) {
            bytes.truncate(bytes.len() - 2);
            bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
        }
        if self.request.method != "HEAD" {
            bytes.extend_from_slice(body);
        }
        self.send(bytes);
    }

    /// Begins a chunked answer.
    pub fn begin(&mut self, status: u16, headers: &[(&str, &str)]) {
        let mut all = vec![("Transfer-Encoding", "chunked")];
        all.extend_from_slice(headers);
        self.send(response_head(status, &all));
    }

    /// Sends a chunk of it.
    pub fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        self.close |= self.wire.send_chunk(bytes).is_err();
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.close |= self.wire.send_last_chunk().is_err();
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.close |= self.wire.send(bytes).is_err();
    }

    /// Closes the connection without notice once the script returns.
    pub fn close(&mut self) {
        self.close = true;
    }

    /// Does nothing more until the gateway gives up and closes.
    pub fn hang(&mut self) {
        // Whether it ends in time shows at the other end.
        let _ = self.wire.read_to_end();
        self.close = true;
    }
}

/// A listening upstream; it ends with its value.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<Recorded>>,
    streams: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    stop: AtomicBool,
}

impl Upstream {
    /// Reads every request whole, then runs the script.
    pub fn start(script: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        Self::listen(free_listener(), true, script)
    }

    /// Runs the script as soon as a head is there; the script reads the body.
    pub fn streaming(script: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        Self::listen(free_listener(), false, script)
    }

    /// Answers 200 with the request's body.
    pub fn echo() -> Self {
        Self::start(|exchange| {
            let body = exchange.request.body.clone();
            exchange.reply(200, &[("Content-Type", "text/plain")], body);
        })
    }

    /// Answers 200 once its valve lets it.
    pub fn held() -> (Self, Valve) {
        let valve = Valve::default();
        let wait = valve.clone();
        let upstream = Self::start(move |exchange| {
            wait.wait();
            exchange.reply(200, &[], "");
        });
        (upstream, valve)
    }

    /// Answers 200 with these words.
    pub fn saying(words: &'static str) -> Self {
        Self::start(move |exchange| exchange.reply(200, &[("Content-Type", "text/plain")], words))
    }

    /// Like [`Upstream::start`], on a listener that the test made.
    pub fn on(
        listener: TcpListener,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        Self::listen(listener, true, script)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base address, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The `functions:` section that declares it under `name`.
    pub fn declared(&self, name: &str) -> String {
        format!(
            "functions:\n  {name}: {{ upstream: [\"{}\"] }}\n",
            self.url()
        )
    }

    /// Everything asked so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The newest request.
    #[track_caller]
    pub fn last(&self) -> Recorded {
        self.requests()
            .pop()
            .expect("a request reached the upstream")
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    fn listen(
        listener: TcpListener,
        whole: bool,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let script = Arc::new(script);
        let owned = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if owned.stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = owned.connections.fetch_add(1, Ordering::SeqCst);
                owned.open.fetch_add(1, Ordering::SeqCst);
                let (shared, script) = (Arc::clone(&owned), Arc::clone(&script));
                thread::spawn(move || {
                    // An error only means that the gateway went away.
                    let _ = converse(stream, number, whole, &shared, &*script);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

/// A port on which nobody listens, and which nobody else is given while the tests run: it is refused
/// until the test, or what it starts, listens there.
pub fn unused_port() -> u16 {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    // Who names the port may listen there all the same; who asks for any port gets another one.
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    // Kept to the end of the process; dropped, it would be any gateway's that the tests start.
    std::mem::forget(socket);
    port
}

/// A listener whose queue of connections is full, so that connecting to it takes forever. Keep the
/// sockets: they are the queue.
pub fn full_backlog() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        socket.listen(1).unwrap().into_std().unwrap()
    });
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
    }
    (address, queue, listener)
}

fn converse(
    stream: TcpStream,
    connection: usize,
    whole: bool,
    shared: &Shared,
    script: &dyn Fn(&mut Exchange),
) -> io::Result<()> {
    let mut wire = Wire::new(stream)?;
    shared.streams.lock().unwrap().push(wire.stream()?);
    let closer = wire.stream()?;
    while let Some(head) = wire.read_head()? {
        let framing = head.framing();
        let body = if whole {
            wire.read_body(framing)?
        } else {
            Vec::new()
        };
        let request = record(&head, framing, body, connection);
        shared.requests.lock().unwrap().push(request.clone());
        let mut exchange = Exchange {
            request,
            wire: &mut wire,
            close: false,
        };
        script(&mut exchange);
        if exchange.close {
            break;
        }
    }
    closer.shutdown(Shutdown::Both)
}

fn record(head: &Head, framing: Framing, body: Vec<u8>, connection: usize) -> Recorded {
    Recorded {
        method: head.word(0).to_owned(),
        target: head.word(1).to_owned(),
        headers: head.headers.clone(),
        framing,
        body,
        connection,
    }
}

fn response_head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn free_listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on the loopback interface")
}
