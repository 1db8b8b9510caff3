# Standard output as it should not be: a pipe that nobody reads, one that is read too slowly, one
# that is closed. Forwarding must not notice; lines that are lost are counted.
import contextlib
import fcntl
import functools
import os
import re
import socket
import threading
import time

import harness
import load
from daemon import Daemon
from register import case
from streams import Target, transfer
from syscalls import judge_whole

SECONDS = 0.6  # of thousands of lines each: a pipe takes twenty, the log's buffer hundreds
F_SETPIPE_SZ = 1031


class Reader(threading.Thread):
    """Reads a daemon's log: not at all until it is told its pace, in seconds between reads."""

    def __init__(self, pause):
        super().__init__(daemon=True)
        self.source, self.sink = os.pipe()
        fcntl.fcntl(self.sink, F_SETPIPE_SZ, 4096)
        self.pause = pause
        self.pieces = []
        self.may_read = threading.Event()
        if pause is not None:
            self.may_read.set()
        self.start()

    def run(self):
        self.may_read.wait()
        with contextlib.suppress(OSError):
            while piece := os.read(self.source, 4096):
                self.pieces.append(piece)
                time.sleep(self.pause or 0)

    def read_all(self):
        """At full speed from now on, to the end."""
        self.pause = 0
        self.may_read.set()
        self.join(30)
        return b"".join(self.pieces).decode(errors="replace")


def measure(daemon):
    """p99 of messages, and how many connections there were, as the load generator has it."""
    trips = [load.run("round-trips", daemon.port, SECONDS, connections=4) for _ in range(2)]
    connects = load.run("connects", daemon.port, SECONDS)
    for report in (*trips, connects):
        if report.get("failure") or any(report["errors"].values()):
            raise AssertionError(f"with errors: {report}")
    done = sum(x["total"]["connections"] for x in (*trips, connects))
    return min(x["latency_us"]["p99"] for x in trips) / 1e3, done


@functools.cache
def undisturbed():
    """p99 of messages where the log goes to a file."""
    with load.Server() as server, Daemon(server.port, LOG_LEVEL="debug") as daemon:
        return measure(daemon)[0]


def judge_lines(verdicts, text, connections):
    """Each connection has two lines at debug. Those that are not there are said to be lost."""
    seen = len(re.findall(r"connection (?:opened|ended) ", text))
    lost = sum(int(x) for x in re.findall(r"log lines lost lost=(\d+)", text))
    verdicts.note("lines read, lines said to be lost", f"{seen}, {lost}")
    verdicts.check("together", seen + lost, f"{2 * connections} to {2 * connections + 2}",
                   0 <= seen + lost - 2 * connections <= 2)
    return lost


def output_case(name, pause):
    @case(f"stdout: {name}")
    def body(verdicts):
        with load.Server() as server:
            control = undisturbed()
            reader = Reader(pause)
            with Daemon(server.port, out=reader.sink, LOG_LEVEL="debug") as daemon:
                os.close(reader.sink)
                before = daemon.memory()
                p99, connections = measure(daemon)
                memory = daemon.memory() - before
                verdicts.at_most("p99 of messages", p99, control * 2 + 2, "ms")
                verdicts.at_most("memory more than before", memory, 1024, "KiB")
                harness.wait_until(lambda: daemon.status()["connections_open"] == 0, 10, "rest")
                daemon.judge_rest(verdicts)
                reader.pause = 0
                reader.may_read.set()
                verdicts.equal("exit code", daemon.stop(), 0)
            text = reader.read_all()
            os.close(reader.source)
            lost = judge_lines(verdicts, text, connections)
            verdicts.at_least("lines lost", lost, 1)


output_case("is never read", None)
output_case("is read slowly", 0.1)


@case("stdout: is closed", alone=False)
def closed(verdicts):
    with Target() as target:
        reader = Reader(None)
        with Daemon(target.port, out=reader.sink, LOG_LEVEL="debug") as daemon:
            os.close(reader.sink)
            os.close(reader.source)
            judge_whole(verdicts, [
                transfer(target, daemon.port, x, 100_000, 100_000) for x in range(20)])
            daemon.judge_rest(verdicts)
            verdicts.equal("exit code", daemon.stop(), 0)


@case("stdout: a flood of failures", alone=False)
def failures(verdicts):
    """Each failure is counted in the log, though few are a line of their own."""
    count = 2000
    reader = Reader(0.05)
    with Daemon(harness.free_port(), out=reader.sink, LOG_LEVEL="debug") as daemon:
        os.close(reader.sink)
        before = daemon.memory()
        hows = set()
        for _ in range(count):
            # On a busy machine the reset may be there before connect(2) returns.
            try:
                with socket.create_connection(("127.0.0.1", daemon.port), 10) as one:
                    one.sendall(b"x")
                    hows.add("fin" if one.recv(1) == b"" else "bytes")
            except ConnectionError:
                hows.add("reset")
        verdicts.equal("clients read", hows, {"reset"})
        verdicts.at_most("memory more than before", daemon.memory() - before, 512, "KiB")
        daemon.judge_rest(verdicts)
        verdicts.equal("exit code", daemon.stop(), 0)
    text = reader.read_all()
    os.close(reader.source)
    told = 0
    for line in text.splitlines():
        if "cause=refused" in line:
            repeated = re.search(r"repeated=(\d+)", line)
            # A line of one connection has those that were folded before it.
            told += (int(repeated.group(1)) if repeated else 0) + ("connection=" in line)
    verdicts.equal("failures told of", told, count)
    verdicts.at_most("lines for that", len(text.splitlines()), 30)
