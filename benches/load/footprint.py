"""What a gateway takes that does nothing, and how soon it is there; benches/load/run starts this.

    footprint.py --gateway BINARY

It tells the size of the binary; the time from the start of the process to its first answer, and of a
first start that has to make its state; and memory and processor time of an idle gateway, with few
functions and with many. The functions are declared in the file: upstreams, and classic processes.
"""

import argparse
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cold import LOOPBACK, mib, ms, report, resident

PATIENCE = 60  # seconds for whatever we wait for
GAP = 0.0005  # seconds between two looks at what is timed
KINDS = {"upstream": 'upstream: "http://127.0.0.1:9"', "classic": "process: cat"}


def main():
    arguments = parse(sys.argv[1:])
    report("binary", mib(os.stat(arguments.gateway).st_size))
    for kind, place in KINDS.items():
        for functions in arguments.functions:
            with tempfile.TemporaryDirectory() as folder:
                measure(arguments, Path(folder), f"{functions} {kind}", place, functions)


def parse(words):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gateway", required=True, help="the binary")
    parser.add_argument("--functions", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--trials", type=int, default=10, help="starts of each kind")
    parser.add_argument("--secs", type=int, default=20, help="of idleness, after as long to settle")
    return parser.parse_args(words)


def measure(arguments, folder, label, place, functions):
    config = folder / "gateway.yaml"
    config.write_text(
        f'server: {{ listen: "{LOOPBACK}:0", metrics: "{LOOPBACK}:0" }}\n'
        f"provider: {{ state_dir: {folder}/state }}\n"
        "functions:\n" + "".join(f"  f{n}: {{ {place} }}\n" for n in range(functions))
    )
    first, *again = [timed_start(arguments.gateway, config) for _ in range(arguments.trials + 1)]
    report(label, f"first answer after {ms(statistics.median(again))} (max {ms(max(again))}),")
    report("", f"{ms(first)} at the very first start")
    with Running(arguments.gateway, config) as gateway:
        gateway.first_answer()
        time.sleep(arguments.secs)
        before = gateway.spent()
        time.sleep(arguments.secs)
        share = (gateway.spent() - before) / arguments.secs
        report("", f"idle: {mib(resident(gateway.process.pid))} resident, {share:.2%} of one processor")


def timed_start(binary, config):
    start = time.monotonic()
    with Running(binary, config) as gateway:
        gateway.first_answer()
        return time.monotonic() - start


class Running:
    """A gateway in a process of its own, which ends with the block."""

    def __init__(self, binary, config):
        self.log = config.with_name("log")
        with self.log.open("w") as log:
            command = [binary, "--config", config]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def first_answer(self):
        """Waits until it answers at the address that it says it listens on."""
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"benches/load/footprint.py: it does not start:\n{self.log.read_text()}")
            time.sleep(GAP)

    def answers(self):
        said = re.search(rf"API +http://({LOOPBACK}):(\d+)", self.log.read_text())
        if not said:
            return False
        connection = http.client.HTTPConnection(said[1], int(said[2]), timeout=PATIENCE)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except ConnectionError:
            return False
        finally:
            connection.close()

    def spent(self):
        """Seconds of processor time; proc(5), fields 14 and 15 of stat."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
