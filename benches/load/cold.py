"""Scaling from zero, measured from outside; benches/load/run starts this and the gateway.

    cold.py herd LISTEN METRICS ...       many calls at the same moment of a function at zero
    cold.py coldstart LISTEN METRICS ...  single calls of a function at zero, one after the other
    cold.py provider PORT READY_MS        a faas-provider whose function starts in a known time

LISTEN, METRICS and PORT are ports on the loopback address; --help tells the rest. Times are printed
and never judged. A count that has to hold ends the program with a sentence and exit code 1.
"""

import argparse
import asyncio
import collections
import http.client
import json
import os
import re
import select
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

LOOPBACK = "127.0.0.1"
COLD = "cold"  # the provider's one function, and the herd's
# What the provider counts. Calls that come before the function is ready are early.
ASKED = ("scale calls", "status requests", "lists", "early calls")
PATIENCE = 30  # seconds for whatever we wait for
GAP = 0.0002  # seconds between two looks at what is timed


def main():
    arguments = parse(sys.argv[1:])
    if arguments.mode == "provider":
        asyncio.run(provide(arguments.port, arguments.ready_ms / 1000))
        return
    gateway = Gateway(arguments.listen, arguments.metrics, arguments.log)
    if arguments.mode == "herd":
        herd(gateway, arguments)
    elif arguments.provider:
        remote_cold_starts(gateway, arguments)
    else:
        process_cold_starts(gateway, arguments)


def parse(words):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = parser.add_subparsers(dest="mode", required=True)
    provider = modes.add_parser("provider")
    provider.add_argument("port", type=int)
    provider.add_argument("ready_ms", type=int, help="from the scale call to the first answer")
    for name in ("herd", "coldstart"):
        mode = modes.add_parser(name)
        mode.add_argument("listen", type=int)
        mode.add_argument("metrics", type=int)
        mode.add_argument("--log", type=Path, required=True, help="where the gateway logs to")
        place = mode.add_mutually_exclusive_group(required=True)
        place.add_argument("--command", help="HTTP function for the process provider")
        place.add_argument("--provider", type=int, help="port of the faas-provider behind it")
        if name == "herd":
            mode.add_argument("--pid", type=int, required=True, help="of the gateway")
            mode.add_argument("--calls", type=int, required=True)
        else:
            mode.add_argument("--ready-ms", type=int, help="of the provider")
            mode.add_argument("--trials", type=int, required=True)
    return parser.parse_args(words)


# --- the herd


def herd(gateway, arguments):
    calls, pid = arguments.calls, arguments.pid
    if arguments.command:
        gateway.deploy(COLD, arguments.command, "http")
    gateway.scale_to_zero(COLD)
    asked = questions(gateway, arguments.provider)
    before, files = settled(pid), open_files(pid)

    start = time.monotonic()
    sockets = connect(arguments.listen, calls)
    connected = time.monotonic() - start
    until("the gateway has the connections", lambda: open_files(pid) >= files + calls)
    idle = settled(pid)

    crowd = Crowd(sockets)
    at_once, held = hold(crowd, calls, gateway, pid)
    while crowd.waiting:
        crowd.collect()
    asked = questions(gateway, arguments.provider) - asked

    report("connections", f"open after {ms(connected)}, calls sent within {ms(crowd.sent)}")
    report("answers", ", ".join(f"{n} times {status}" for status, n in crowd.statuses().items()))
    report("provider asked", ", ".join(f"{n} {what}" for what, n in asked.items()) or "nothing")
    report("calls", f"first answer after {ms(min(crowd.times()))}, {spread(crowd.times())}")
    report("held at once", at_once)
    require(at_once == calls, f"only {at_once} of {calls} calls were held at once")
    report("resident memory", f"{mib(before)}, with idle connections {mib(idle)}, held {mib(held)}")
    whole, beyond = kib((held - before) / calls), kib((held - idle) / calls)
    report("per held call", f"{whole}, {beyond} of it beyond an idle connection")
    require(crowd.statuses() == {"200": calls}, "not every call was answered 200")
    scaled = asked["scale calls"]
    require(scaled == 1, f"{scaled} scale calls for one wake-up")


def hold(crowd, calls, gateway, pid):
    """Watches until all calls are held, or the first is answered: how many were held at once, and
    the gateway's memory then."""
    at_once = 0
    while at_once < calls and not crowd.answers:
        at_once = max(at_once, gateway.held(COLD))
        crowd.collect()
    return at_once, settled(pid)


class Crowd:
    """Calls that were sent at the same moment, each on a connection of its own."""

    def __init__(self, sockets):
        request = f"GET /function/{COLD} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        request = request.encode()
        self.answers = []  # (status, seconds)
        self.waiting = {one.fileno(): (one, bytearray()) for one in sockets}
        self.poll = select.epoll()
        self.start = time.monotonic()
        for one in sockets:
            one.send(request)
        self.sent = time.monotonic() - self.start
        for file in self.waiting:
            self.poll.register(file, select.EPOLLIN)

    def statuses(self):
        return collections.Counter(status for status, _ in self.answers)

    def times(self):
        return [seconds for _, seconds in self.answers]

    def collect(self):
        """Takes what has arrived, or waits a moment for it."""
        late = time.monotonic() > self.start + 2 * PATIENCE
        require(not late, f"{len(self.waiting)} calls got no answer")
        for file, _ in self.poll.poll(0.02):
            one, answer = self.waiting[file]
            try:
                piece = one.recv(65536)
            except ConnectionError:
                piece = b""
            answer += piece
            if not piece:
                status = answer[9:12].decode() or "none"
                self.answers.append((status, time.monotonic() - self.start))
                del self.waiting[file]
                one.close()


def connect(port, number):
    """So many connections, all asked for at once."""
    poll = select.epoll()
    sockets = {}
    for _ in range(number):
        one = socket.socket()
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.connect_ex((LOOPBACK, port))
        sockets[one.fileno()] = one
        poll.register(one, select.EPOLLOUT)
    missing, deadline = set(sockets), time.monotonic() + PATIENCE
    while missing:
        require(time.monotonic() < deadline, f"{len(missing)} connections do not open")
        for file, _ in poll.poll(1):
            error = sockets[file].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            require(error == 0, f"cannot connect: {os.strerror(error)}")
            poll.unregister(file)
            missing.remove(file)
    return list(sockets.values())


def questions(gateway, provider):
    """What the provider has been asked so far; of one inside the gateway we only see it scale."""
    return counts(provider) if provider else collections.Counter({"scale calls": gateway.woken(COLD)})


def settled(pid):
    """Resident memory once it stays the same: connections are worked on after they are accepted."""
    size, deadline = None, time.monotonic() + 1.5
    while size != (now := resident(pid)) and time.monotonic() < deadline:
        size = now
        time.sleep(0.2)
    return now


def resident(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)[1]) * 1024


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


# --- cold starts


def process_cold_starts(gateway, arguments):
    gateway.deploy("cat", "cat", "classic")
    gateway.deploy("hello", arguments.command, "http")
    classic, calls, alone = [], [], []
    for _ in range(arguments.trials):
        classic.append(cold_call(gateway, "cat"))
        alone.append(started_by_hand(arguments.command))
        calls.append(cold_call(gateway, "hello"))
    report("classic", spread(classic))
    report("http", spread(calls))
    report("the function alone", spread(alone))
    report("the gateway adds", spread([call - own for call, own in zip(calls, alone)]))


def remote_cold_starts(gateway, arguments):
    calls, asked = [], collections.Counter()
    for _ in range(arguments.trials):
        gateway.scale_to_zero(COLD)
        before = counts(arguments.provider)
        calls.append(timed_call(gateway.listen, f"/function/{COLD}"))
        asked += counts(arguments.provider) - before
    report("http", spread(calls))
    report("the gateway adds", spread([call - arguments.ready_ms / 1000 for call in calls]))
    each = (f"{asked[what] / arguments.trials:.2f} {what}" for what in ASKED)
    report("per cold start", ", ".join(each))
    scaled = asked["scale calls"]
    require(scaled == arguments.trials, f"{scaled} scale calls for {arguments.trials} cold starts")


def cold_call(gateway, name):
    gateway.scale_to_zero(name)
    return timed_call(gateway.listen, f"/function/{name}")


def timed_call(port, path):
    start = time.monotonic()
    status, body = request(port, "POST", path, b"you")
    seconds = time.monotonic() - start
    require(status == 200, f"a cold call was answered {status}: {body.decode().strip()}")
    return seconds


def started_by_hand(command):
    """Seconds from the start of a program until it has answered."""
    port = free_port()
    start = time.monotonic()
    process = subprocess.Popen([command], env={"PORT": str(port)})
    try:
        until(f"{command} answers", lambda: answers(port))
        return time.monotonic() - start
    finally:
        process.terminate()
        process.wait()


def answers(port):
    try:
        return request(port, "POST", "/", b"you")[0] == 200
    except ConnectionRefusedError:
        return False


def free_port():
    with socket.create_server((LOOPBACK, 0)) as listener:
        return listener.getsockname()[1]


# --- the gateway, as its clients see it


class Gateway:
    def __init__(self, listen, metrics, log):
        self.listen, self.metrics, self.log = listen, metrics, log

    def deploy(self, name, command, mode):
        body = {"service": name, "image": name, "envProcess": command, "envVars": {"mode": mode}}
        self.api("POST", "/system/functions", body)
        until(f"{name} is ready", lambda: self.status(name)["availableReplicas"])

    def status(self, name):
        return self.api("GET", f"/system/function/{name}")

    def scale_to_zero(self, name):
        """Returns once the function has no replica and the gateway's table says so too: a view of
        a provider is not told at once."""
        self.api("POST", f"/system/scale-function/{name}", {"serviceName": name, "replicas": 0})
        until(f"{name} is at zero", lambda: self.at_zero(name), gap=0.01)

    def at_zero(self, name):
        status = self.status(name)
        counted = self.metric("gateway_service_count", name)
        return not (status["replicas"] or status["availableReplicas"] or counted)

    def held(self, name):
        return int(self.metric("gateway_held_requests", name) or 0)

    def woken(self, name):
        """How often a call has woken it: a metric where there is one, else lines of the log."""
        metric = self.metric(
            "gateway_scale_decisions_total", name, 'direction="up"', 'reason="woken"'
        )
        if metric is not None:
            return int(metric)
        return sum("woken" in line and name in line for line in self.log.open())

    def metric(self, series, name, *labels):
        """The value of a series for a function in any namespace, None where there is none."""
        _, text = request(self.metrics, "GET", "/metrics")
        own = re.compile(rf'function_name="{name}(\.[^"]*)?"')
        for line in text.decode().splitlines():
            if line.startswith(series + "{") and own.search(line):
                if all(label in line for label in labels):
                    return float(line.split()[-1])
        return None

    def api(self, method, path, body=None):
        body = json.dumps(body).encode() if body else None
        status, answer = request(self.listen, method, path, body)
        require(status < 300, f"{method} {path} was answered {status}: {answer.decode().strip()}")
        return json.loads(answer) if method == "GET" else None


def request(port, method, path, body=None):
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2 * PATIENCE)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def counts(provider):
    return collections.Counter(json.loads(request(provider, "GET", "/counts")[1]))


# --- a faas-provider


async def provide(port, ready_after):
    function = ColdFunction(ready_after)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(function), LOOPBACK, port, backlog=8192)
    await server.serve_forever()


class ColdFunction:
    """The provider's one function. It is ready a fixed time after it was scaled from zero."""

    def __init__(self, ready_after):
        self.ready_after = ready_after
        self.ready_at = 0
        self.replicas = 0
        self.counts = collections.Counter()

    def ready(self):
        return self.replicas > 0 and time.monotonic() >= self.ready_at

    def scale(self, replicas):
        if replicas:
            self.counts["scale calls"] += 1
        if not self.replicas:
            self.ready_at = time.monotonic() + self.ready_after
        self.replicas = replicas

    def status(self):
        return {
            "name": COLD,
            "image": "cold",
            "invocationCount": 0,
            "replicas": self.replicas,
            "availableReplicas": self.replicas if self.ready() else 0,
            "envProcess": "",
            "labels": {},
            "annotations": {},
        }

    def answer(self, method, path, body):
        """Status and body of an answer, a text or what is to become JSON."""
        match path.strip("/").split("/"):
            case ["system", "function", name] if method == "GET" and named(name):
                self.counts["status requests"] += 1
                return 200, self.status()
            case ["system", "functions"] if method == "GET":
                self.counts["lists"] += 1
                return 200, [self.status()]
            case ["system", "scale-function", name] if method == "POST" and named(name):
                self.scale(json.loads(body)["replicas"])
                return 202, ""
            case ["function", name, *_] if named(name):
                ready = self.ready()
                self.counts["early calls"] += not ready
                return (200, "Hello!\n") if ready else (503, "not ready\n")
            case ["system", "namespaces"]:
                return 200, []
            case ["system", "info"]:
                version = {"sha": "0", "release": "0"}
                return 200, {"provider": "cold", "orchestration": "none", "version": version}
            case ["healthz"]:
                return 200, ""
            case ["counts"]:  # for the bench; not part of the API
                return 200, self.counts
        return 404, "no such thing\n"


def named(name):
    return name.split(".")[0] == COLD


class Connection(asyncio.Protocol):
    """HTTP/1.1 as far as it is needed here: requests with a length, connections that are kept."""

    def __init__(self, function):
        self.function = function
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1")
            length = re.search(r"^content-length: *(\d+)", head, re.I | re.M)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < whole:
                return
            body, self.buffer = self.buffer[end + 4 : whole], self.buffer[whole:]
            self.respond(head, body)

    def respond(self, head, body):
        method, target, _ = head.split("\r\n")[0].split(" ")
        if re.search(r"^transfer-encoding:", head, re.I | re.M):
            status, answer = 411, "send a Content-Length\n"
        else:
            status, answer = self.function.answer(method, target.split("?")[0], body)
        kind = "text/plain"
        if not isinstance(answer, str):
            kind, answer = "application/json", json.dumps(answer)
        phrase = http.client.responses[status]
        self.transport.write(
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(answer)}\r\n\r\n{answer}".encode()
        )
        if status == 411:  # what follows is a body that we cannot tell from a request
            self.transport.close()


# --- waiting and printing


def until(what, condition, gap=GAP):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        require(time.monotonic() < deadline, f"waited {PATIENCE} s in vain until {what}")
        time.sleep(gap)


def require(condition, otherwise):
    if not condition:
        sys.exit(f"benches/load/cold.py: {otherwise}")


def report(label, text):
    print(f"  {label:<20}{text}", flush=True)


def spread(seconds):
    return f"p50 {ms(statistics.median(seconds))}, max {ms(max(seconds))}"


def ms(seconds):
    return f"{seconds * 1000:.1f} ms"


def mib(size):
    return f"{size / 2**20:.1f} MiB"


def kib(size):
    return f"{size / 2**10:.1f} KiB"


if __name__ == "__main__":
    main()
