"""Asynchronous calls, measured from outside; benches/load/run starts this.

    calls.py accept KIND   calls accepted per second, each of them durable, from 64 posters
    calls.py work KIND     calls made per second by the workers
    calls.py kills KIND    the gateway is killed again and again while calls are posted
    calls.py nats          the NATS server is killed again and again while calls are posted
    calls.py restart       time until a gateway answers that was killed with many calls queued

KIND is embedded or jetstream; --help tells the rest. Times are printed and never judged. A call that
was accepted and not made ends the program with a sentence and exit code 1.
"""

import argparse
import asyncio
import collections
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

LOOPBACK = "127.0.0.1"
PATIENCE = 120  # seconds for whatever we wait for
POSTERS = 64
BODY = 512  # bytes


def main():
    arguments = parse(sys.argv[1:])
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        bench = Bench(arguments, Path(folder))
        try:
            MODES[arguments.mode](bench)
        finally:
            bench.end()


def parse(words):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("kind", nargs="?", choices=("embedded", "jetstream"), default="embedded")
    parser.add_argument("--gateway", required=True, help="the binary")
    parser.add_argument("--hello", required=True, help="the sample function")
    parser.add_argument("--dir", default=".", help="on the disk that is to be measured")
    parser.add_argument("--secs", type=int, default=8, help="of one run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--queued", type=int, default=1_000_000)
    return parser.parse_args(words)


# --- modes


def accept(bench):
    bench.start("workers: 1, per_function: 1")
    print(f"calls accepted, {bench.kind}: {POSTERS} posters, {BODY} bytes each, durable before the 202")
    for _ in range(bench.rounds):
        report("", bench.post("later"))


def work(bench):
    bench.start("workers: 1")
    print(f"calls made, {bench.kind}: queued first, then 64 workers and an HTTP function")
    for _ in range(bench.rounds):
        bench.configure("workers: 1")
        bench.post("hello")
        left, before, begun = bench.pending("hello"), bench.processed("hello"), time.monotonic()
        bench.configure("workers: 64, per_function: 64")
        bench.settled("hello")
        seconds = time.monotonic() - begun
        made = bench.processed("hello") - before
        report("", f"{made / seconds:.0f} per second, of {left:.0f} that were queued")


def kills(bench):
    async def kill():
        await asyncio.sleep(0.4)
        bench.gateway.kill()
        bench.gateway.wait()
        await asyncio.to_thread(bench.start_again)

    asyncio.run(under_load(bench, kill, f"times kill -9, {bench.kind}"))


def nats(bench):
    async def kill():
        await asyncio.sleep(1)
        bench.nats.kill()
        bench.nats.wait()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(bench.start_nats)

    bench.kind = "jetstream"
    asyncio.run(under_load(bench, kill, "restarts of NATS"))


async def under_load(bench, kill, what):
    """Kills something again and again while calls are posted, and tells what became of them."""
    counter = await Counter.start()
    bench.start("workers: 8", counter.port)
    tally = Tally()
    posters = [asyncio.create_task(poster(bench, tally, n)) for n in range(16)]
    for _ in range(bench.kills):
        await kill()
    await asyncio.sleep(2)
    await finish(bench, tally, posters, counter, f"{bench.kills} {what}")


async def finish(bench, tally, posters, counter, what):
    tally.done = True
    await asyncio.gather(*posters)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        missing = tally.accepted - counter.made.keys()
        if not missing and await asyncio.to_thread(bench.pending, "count") == 0:
            break
        await asyncio.sleep(0.2)
    made = counter.made
    twice = sum(count - 1 for count in made.values())
    unheard = len(made.keys() - tally.accepted)
    print(what)
    report("accepted", len(tally.accepted))
    report("answers", ", ".join(f"{n} times {status}" for status, n in tally.statuses.items()))
    report("made", f"{len(made)} calls, {unheard} of them never heard of a 202")
    report("lost", len(missing))
    report("made twice", twice)
    require(not missing, f"{len(missing)} accepted calls were lost")


def restart(bench):
    bench.start("workers: 1, per_function: 1, max_calls: 100000000")
    while bench.pending("later") < bench.queued:
        bench.post("later", seconds=4)
    queued = bench.pending("later")
    size = sum(file.stat().st_size for file in bench.folder.glob("state/queue/*"))
    print(f"{queued:.0f} calls queued, a file of {size / 2**20:.0f} MiB")
    for name, end in [("kill -9", signal.SIGKILL), ("SIGTERM", signal.SIGTERM)] * bench.rounds:
        bench.gateway.send_signal(end)
        bench.gateway.wait()
        begun = time.monotonic()
        bench.launch()
        first = bench.answers("/function/hello", begun)
        async_first = bench.answers("/async-function/later", begun)
        while bench.pending("later") < queued:
            time.sleep(0.01)
        report(f"after {name}", f"first answer {first:.0f} ms, first 202 {async_first:.0f} ms")
    report("memory", f"{bench.memory():.0f} MiB")


MODES = {"accept": accept, "work": work, "kills": kills, "nats": nats, "restart": restart}


# --- gateway, NATS, posters


class Bench:
    def __init__(self, arguments, folder):
        self.kind = arguments.kind
        self.folder = folder
        self.secs, self.rounds = arguments.secs, arguments.rounds
        self.kills, self.queued = arguments.kills, arguments.queued
        self.programs = arguments
        self.listen, self.metrics, self.nats_port = free_port(), free_port(), free_port()
        self.gateway = self.nats = None

    def start(self, queue, counter=9):
        """Starts everything; `counter` is the port of what counts calls."""
        self.counter = counter
        if self.kind == "jetstream":
            self.start_nats()
        self.configure(queue)
        self.start_again()

    def configure(self, queue):
        """Writes the configuration; a gateway that runs follows it."""
        jetstream = f"{{ url: nats://{LOOPBACK}:{self.nats_port} }}"
        new = self.folder / "new.yaml"
        new.write_text(
            f"""version: 1
server: {{ listen: "{LOOPBACK}:{self.listen}", metrics: "{LOOPBACK}:{self.metrics}" }}
admin: {{ basic_auth: {{ enabled: false }} }}
provider: {{ state_dir: "{self.folder}/state" }}
queue: {{ kind: {self.kind}, jetstream: {jetstream}, {queue}, retry: {{ min_wait: 100ms, max_wait: 1s, attempts: 1000 }} }}
access_log: {{ format: "off" }}
functions:
  later: {{ process: "sleep 3600" }}
  hello: {{ process: "{Path(self.programs.hello).resolve()}", mode: http }}
  count: {{ upstream: "http://{LOOPBACK}:{self.counter}" }}
"""
        )
        new.rename(self.folder / "gateway.yaml")

    def start_again(self):
        self.launch()
        self.answers("/function/hello", time.monotonic())
        self.answers("/async-function/hello", time.monotonic())

    def launch(self):
        config = self.folder / "gateway.yaml"
        with open(self.folder / "log", "ab") as log:
            self.gateway = subprocess.Popen(
                [self.programs.gateway, "--config", config], stdout=log, stderr=log
            )

    def start_nats(self):
        program = shutil.which("nats-server")
        require(program, "no nats-server: run make test-tools first")
        port, store = str(self.nats_port), self.folder / "nats"
        with open(self.folder / "nats.log", "ab") as log:
            self.nats = subprocess.Popen(
                [program, "-js", "-a", LOOPBACK, "-p", port, "-sd", store], stdout=log, stderr=log
            )

    def end(self):
        for process in (self.gateway, self.nats):
            if process and process.poll() is None:
                process.kill()
                process.wait()

    def answers(self, path, begun):
        """Waits for a good answer; milliseconds since `begun`."""
        while True:
            require(time.monotonic() < begun + PATIENCE, f"{path} does not answer")
            require(self.gateway.poll() is None, (self.folder / "log").read_text()[-2000:])
            try:
                url = f"http://{LOOPBACK}:{self.listen}{path}"
                with urllib.request.urlopen(url, data=b"hi", timeout=10):
                    return (time.monotonic() - begun) * 1000
            except OSError:
                time.sleep(0.005)

    def post(self, function, seconds=None):
        """Posts with wrk; what it says."""
        script = self.folder / "post.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.body = string.rep("x", {BODY})\n')
        url = f"http://{LOOPBACK}:{self.listen}/async-function/{function}"
        command = ["wrk", "-t1", f"-c{POSTERS}", f"-d{seconds or self.secs}s", "--latency"]
        out = subprocess.run(
            [*command, "-s", script, url], capture_output=True, text=True, check=True
        ).stdout
        found = []
        for pattern in (r"Requests/sec: *(\S+)", r"50% +(\S+)", r"99% +(\S+)", r"Non-2xx.*: (\S+)"):
            match = re.search(pattern, out)
            found.append(match[1] if match else "0")
        rate, half, most, refused = found
        return f"{float(rate):.0f} per second, p50 {half}, p99 {most}, {refused} refused"

    def metric(self, name, function):
        try:
            url = f"http://{LOOPBACK}:{self.metrics}/metrics"
            text = urllib.request.urlopen(url, timeout=10).read().decode()
        except OSError:
            return 0.0
        line = re.search(rf'^{name}{{function_name="{function}[."].*}} (\S+)$', text, re.M)
        return float(line[1]) if line else 0.0

    def pending(self, function):
        return sum(
            self.metric(f"queue_worker_{name}", function)
            for name in ("pending_messages", "function_invocation_inflight")
        )

    def processed(self, function):
        return self.metric("queue_worker_messages_processed_total", function)

    def settled(self, function):
        deadline = time.monotonic() + PATIENCE
        while self.pending(function) > 0:
            require(time.monotonic() < deadline, "the queue does not become empty")
            time.sleep(0.05)

    def memory(self):
        status = Path(f"/proc/{self.gateway.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


class Tally:
    def __init__(self):
        self.accepted = set()
        self.statuses = collections.Counter()
        self.done = False


async def poster(bench, tally, number):
    """Posts one call after the other, each of them once, and notes which were accepted."""
    reader = writer = None
    serial = 0
    while not tally.done:
        serial += 1
        name = f"{number}-{serial}"
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(LOOPBACK, bench.listen)
            writer.write(
                f"POST /async-function/count HTTP/1.1\r\nHost: h\r\nContent-Length: {len(name)}\r\n"
                f"\r\n{name}".encode()
            )
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)
            status = head[9:12].decode()
            length = int(re.search(rb"content-length: *(\d+)", head, re.I)[1])
            await reader.readexactly(length)
            if b"connection: close" in head.lower():
                writer.close()
                writer = None
        except (OSError, EOFError, asyncio.TimeoutError):
            status, writer = "broken", None
            await asyncio.sleep(0.02)
        tally.statuses[status] += 1
        if status == "202":
            tally.accepted.add(name)
        elif status != "broken":
            await asyncio.sleep(0.02)


class Counter(asyncio.Protocol):
    """A function that counts what it is called with."""

    @staticmethod
    async def start():
        made = collections.Counter()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Counter(made), LOOPBACK, 0)
        counter = Counter(made)
        counter.server, counter.port = server, server.sockets[0].getsockname()[1]
        return counter

    def __init__(self, made):
        self.made = made
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"content-length: *(\d+)", self.buffer[:end], re.I)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < whole:
                return
            self.made[self.buffer[end + 4 : whole].decode()] += 1
            self.buffer = self.buffer[whole:]
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def free_port():
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return one.getsockname()[1]


def require(condition, otherwise):
    if not condition:
        sys.exit(f"benches/load/calls.py: {otherwise}")


def report(label, text):
    print(f"  {label:<16}{text}", flush=True)


if __name__ == "__main__":
    main()
