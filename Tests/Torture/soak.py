# Mixed work for SOAK_SECONDS, an hour unless given: a line a minute, and at the end whether memory,
# descriptors and delays are what they were. Ctrl-C ends it early, with a verdict.
import contextlib
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

import harness
import load
from daemon import Daemon
from spaces import with_files
from streams import Chat, Target, transfer
from verdicts import NotHere, Verdicts, growth, percentile, table

NAME_SERVER = "127.0.0.77"
NAME_LASTS = 7  # seconds, then it leads to the other address
ABUSER = harness.path("Tests", "Torture", "abuser.py")


class NameServer(threading.Thread):
    """Answers with one of two addresses of this machine, each for some seconds."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind((NAME_SERVER, 53))
        except OSError as error:
            raise NotHere(f"a name server on {NAME_SERVER}:53: {error}") from error
        self.start()

    def run(self):
        while True:
            question, asker = self.socket.recvfrom(512)
            end = question.index(b"\0", 12) + 5
            kind = question[end - 4:end - 2]
            address = 1 + int(time.monotonic() / NAME_LASTS) % 2
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + bytes((127, 0, 0, address))
            has_answer = kind == b"\0\1"
            header = question[:2] + struct.pack(">5H", 0x8180, 1, has_answer, 0, 0)
            self.socket.sendto(
                header + question[12:end] + (answer if has_answer else b""), asker)


class Soak:
    def __init__(self, daemon, ports, target, verdicts):
        self.daemon, self.ports, self.target, self.verdicts = daemon, ports, target, verdicts
        self.over = threading.Event()
        self.errors, self.connections = [], 0
        self.p99, self.memory, self.address_changes = [], [], 0
        self.lock = threading.Lock()

    def repeat(self, body, pause):
        """Does it again and again; what goes wrong is kept."""
        def run():
            while not self.over.is_set():
                try:
                    body()
                except (AssertionError, OSError) as error:
                    self.errors.append(f"{body.__name__}: {error}")
                self.over.wait(pause)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def load(self, case, seconds, **options):
        report = load.run(case, self.ports["load"], seconds, **options)
        if self.over.is_set():
            return report
        if report.get("failure") or any(report["errors"].values()):
            raise AssertionError(f"{case}: {report.get('failure') or report['errors']}")
        with self.lock:
            self.connections += report["total"]["connections"]
        return report

    # What goes on at the same time.

    def chatter(self):
        report = self.load("round-trips", 3.0, connections=8)
        self.p99.append(report["latency_us"]["p99"] / 1e3)

    def bulk(self):
        for direction in ("bulk-up", "bulk-down"):
            self.load(direction, 1.0, connections=2)

    def short(self):
        for who in ("connects", "client-closes"):
            self.load(who, 1.5)

    def idle(self):
        self.load("idle-active", 10.0, idle=500, connections=4)

    def coded(self):
        pair = transfer(self.target, self.ports["moving"], next(numbers), 300_000, 300_000)
        wrong = [str(x) for x in pair if not x.is_whole()]
        if wrong:
            raise AssertionError(wrong[0])

    def moving(self):
        chat = Chat(self.ports["moving"])
        chat.wait_for(50)
        failure = chat.stop()
        if failure:
            raise AssertionError(failure)

    def abuse(self):
        for kind in ("resets", "probes"):
            abuser = harness.start(
                sys.executable, "-B", ABUSER, kind, str(self.ports["load"]),
                stdout=subprocess.DEVNULL)
            self.over.wait(2)
            harness.end(abuser)

    def operators(self):
        os.kill(self.daemon.pid, signal.SIGUSR1)
        health = self.daemon.health()
        if health.code != 0:
            raise AssertionError(f"health: {health}")
        self.daemon.status()
        with urllib.request.urlopen(
                f"http://127.0.0.1:{self.ports['metrics']}/metrics", timeout=5) as answer:
            answer.read()

    # The course of it.

    def run(self, seconds):
        began = time.monotonic()
        jobs = [self.repeat(body, pause) for body, pause in (
            (self.chatter, 0), (self.bulk, 6), (self.short, 5), (self.idle, 5), (self.coded, 0.5),
            (self.moving, 0.5), (self.abuse, 10), (self.operators, 5))]
        interval = min(60.0, max(5.0, seconds / 10))
        said = 0
        with contextlib.suppress(KeyboardInterrupt):
            for turn in itertools.count(1):
                while (left := began + turn * interval - time.monotonic()) > 0:
                    time.sleep(min(1, left))
                    self.memory.append(self.daemon.memory())
                self.say(time.monotonic() - began, self.p99[said:])
                said = len(self.p99)
                if self.daemon.has_ended() or time.monotonic() - began >= seconds:
                    break
        self.over.set()
        for job in jobs:
            job.join(60)

    def say(self, elapsed, p99):
        worst = f"{max(p99):.2f}" if p99 else "-"
        print(f"{elapsed:6.0f} s  memory {self.memory[-1]} KiB  "
              f"descriptors {self.daemon.descriptors()}  "
              f"open {self.daemon.status()['connections_open']}  "
              f"connections {self.connections}  errors {len(self.errors)}  p99 {worst} ms",
              flush=True)

    def judge(self):
        verdicts = self.verdicts
        verdicts.check("errors", self.errors[0][:200] if self.errors else 0, "= 0",
                       not self.errors)
        verdicts.at_least("connections", self.connections, 1)
        verdicts.at_most("memory, last third against the one before", growth(self.memory), 256,
                         "KiB")
        third = len(self.p99) // 3
        if third:
            before = percentile(self.p99[third:-third], 0.5)
            verdicts.at_most("p99, last third", percentile(self.p99[-third:], 0.5),
                             before * 2 + 2, "ms")
        self.daemon.judge_rest(verdicts)
        if self.is_moving():
            verdicts.at_least("address changes", len(self.daemon.lines("addresses changed")), 1)
        verdicts.at_least("status logged", len(self.daemon.lines("LISTEN ")), 1)
        verdicts.equal("exit code", self.daemon.stop(), 0)

    def is_moving(self):
        return "moving.test" in self.daemon.environment["FORWARDS"]


numbers = itertools.count()


def main():
    seconds = float(os.environ.get("SOAK_SECONDS") or 3600)
    verdicts = Verdicts()
    verdicts.case = "soak"
    wrapper, host = (), "moving.test"
    try:
        NameServer()
        if harness.run("unshare", "--mount", "true", wanted=None).code != 0:
            raise NotHere("no mount namespaces, for a resolv.conf of its own")
        wrapper = with_files(None, resolv_conf=f"nameserver {NAME_SERVER}\n")
    except NotHere as reason:
        verdicts.not_run(f"name changes: {reason}")
        host = "127.0.0.1"
    ports = {x: harness.free_port() for x in ("load", "moving", "metrics")}
    with load.Server() as server, Target("0.0.0.0") as target, Daemon(
            wrapper=wrapper, METRICS_PORT=ports["metrics"],
            FORWARDS=f"{ports['load']}=127.0.0.1:{server.port},"
                     f"{ports['moving']}={host}:{target.port}") as daemon:
        soak = Soak(daemon, ports, target, verdicts)
        soak.run(seconds)
        soak.judge()
    harness.end_all()
    print(f"\n{table(verdicts.rows)}\n")
    failed = verdicts.failed()
    print(f"soak: {'FAILED' if failed else 'passed'}, {seconds:.0f} s asked for")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
