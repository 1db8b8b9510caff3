# Abuse: what hostile or broken clients do, beside well-behaved ones. What others feel of it is
# measured against the same abuse of another daemon on the same machine, so that only what happens
# within one daemon counts.
import socket
import subprocess
import sys
import time
import urllib.request

import harness
import load
from daemon import Daemon
from register import case
from streams import BOTH, Target, call, coded

SECONDS = 0.8
ABUSER = harness.path("Tests", "Torture", "abuser.py")


class Victim:
    """A daemon with two forwards, to the load generator's server and to one that never reads."""

    def __init__(self):
        self.server, self.holder = load.Server(), Target()
        self.port, self.hold_port, self.metrics_port = (harness.free_port() for _ in range(3))
        self.daemon = Daemon(
            FORWARDS=f"{self.port}=127.0.0.1:{self.server.port},"
                     f"{self.hold_port}=127.0.0.1:{self.holder.port}",
            METRICS_PORT=self.metrics_port)
        # What asks for the daemon's health goes by its first port.
        self.daemon.port = self.port

    def __enter__(self):
        self.daemon.__enter__()
        return self

    def __exit__(self, *_):
        self.daemon.end()
        self.holder.__exit__()
        harness.end(self.server.process)
        self.server.process.stdout.close()

    def open(self):
        return self.daemon.status()["connections_open"]


class Abuser:
    def __init__(self, kind, victim):
        port = victim.metrics_port if kind == "loris" else victim.port
        self.process = harness.start(
            sys.executable, "-B", ABUSER, kind, str(port), str(victim.hold_port),
            stdout=subprocess.PIPE, text=True)
        self.done = 0

    def __enter__(self):
        self.process.stdout.readline()  # it has begun
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.began
        has_failed = harness.has_ended(self.process)
        harness.end(self.process)
        said = self.process.stdout.read().split()
        self.process.stdout.close()
        self.done = int(said[-1]) if said else 0
        if has_failed:
            raise AssertionError("the abuser was stopped by an error")


def trips(port):
    report = load.run("round-trips", port, SECONDS, connections=4)
    errors = sum(report["errors"].values()) if "errors" in report else 1
    return report.get("latency_us", {}).get("p99", 0) / 1e3, errors, report.get("failure")


class Course:
    """What was measured of one kind of abuse."""

    def __init__(self, kind, victim, other):
        self.kind, self.victim, self.other = kind, victim, other
        self.p99 = {"beside": [], "elsewhere": []}
        self.errors, self.rates, self.peak, self.rest = 0, [], 0, []

    def measure(self, name, abused):
        with Abuser(self.kind, abused) as abuser:
            p99, errors, failure = trips(self.victim.port)
            if failure:
                raise AssertionError(failure)
            if abused is self.victim:
                self.peak = max(self.peak, self.victim.daemon.memory())
                if self.kind == "loris":
                    self.scrape()
        self.p99[name].append(p99)
        self.errors += errors
        if abused is self.victim:
            self.rates.append(abuser.done / abuser.seconds)
            self.come_to_rest()

    def scrape(self):
        url = f"http://127.0.0.1:{self.victim.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            if b"sidecar_connections" not in answer.read():
                raise AssertionError("no metrics")

    def come_to_rest(self):
        for one in self.victim.holder.held:
            one.close()
        self.victim.holder.held.clear()
        harness.wait_until(lambda: self.victim.open() == 0, 20, "the end of all connections")
        harness.wait_until(self.victim.daemon.is_at_rest, 15, "rest")
        self.rest.append(self.victim.daemon.memory())


@case("abuse: urgent bytes in their place", alone=False)
def urgent_in_place(verdicts):
    """Each fifth piece ends in an urgent byte; whoever reads the stream must find it there."""
    size = 6 << 20
    with Target() as target, Daemon(target.port, WORKERS=1) as daemon:
        sent, marks = 0, 0
        with call(daemon.port, BOTH, 1, size, 0) as one:
            while sent < size:
                is_urgent = sent // 9000 % 5 == 0
                sent += one.send(coded(1, "up", sent, min(9000, size - sent)),
                                 socket.MSG_OOB if is_urgent else 0)
                marks += is_urgent
            one.shutdown(socket.SHUT_WR)
            end = target.end_of(1)
        verdicts.note("urgent bytes", marks)
        verdicts.check("the target read", end, "whole, then a FIN", end.is_whole())
        daemon.judge_rest(verdicts)


# What a connection may take of the daemon's own memory: its place in the table; a stash, if what it
# has sent, or should read, is held for long.
PLACE, STASH = 1, 33
KINDS = [
    # kind, connections it holds, KiB for each, the least of its deeds a second, in the slice
    ("resets", 50, PLACE, 1000, True),
    ("probes", 50, PLACE, 1000, False),
    ("silent", 1000, PLACE, 500, False),
    ("unread", 50, STASH, 0, False),
    ("stuffed", 50, STASH, 0, True),
    ("urgent", 50, STASH, 0, False),
    ("slow", 300, PLACE, 100, False),
    ("loris", 64, PLACE, 10, False),
]


def abuse_case(kind, held, each, least, in_slice):
    def body(verdicts):
        with Victim() as victim, Victim() as other:
            before = victim.daemon.memory()
            course = Course(kind, victim, other)
            # In this order neither way is always the later one.
            for name in ("beside", "elsewhere", "elsewhere", "beside", "beside", "elsewhere"):
                course.measure(name, victim if name == "beside" else other)
            elsewhere, beside = (min(course.p99[x]) for x in ("elsewhere", "beside"))
            verdicts.note("p99, another daemon abused", f"{elsewhere:.2f} ms")
            verdicts.at_most("p99, this one abused", beside, elsewhere * 3 + 5, "ms")
            verdicts.equal("errors of others", course.errors, 0)
            if least:
                verdicts.at_least("deeds", max(course.rates), least, "a second")
            verdicts.at_most("memory at its height", course.peak - before,
                             512 + each * held, "KiB more")
            verdicts.at_most("memory at rest, third time against second",
                             course.rest[2] - course.rest[1], 96, "KiB")
            victim.daemon.judge_rest(verdicts)
    case(f"abuse: {kind}", "", in_slice)(body)


for one in KINDS:
    abuse_case(*one)
