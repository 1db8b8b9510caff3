# Takes one sample: starts what a case needs, lets one peer work, and reports what it came to.
# A sample is a dictionary of figures, counts of errors, and why there is no figure.
import functools
import signal
import socket
import subprocess
import time

import forwarder
import harness
import load
import machine
import strace
from cases import HELD, IDLE

ENDING = 0.1  # seconds: what a forwarder still does after the last answer is its work too
CALLS_SECONDS = (0.3, 1.2)
STARTS = 7


def sample(case, peer, user, seconds, server):
    """`server` is the PostgreSQL that pgbench's cases want."""
    kinds = {"pgbench": functools.partial(pgbench, server=server), "start": start,
             "memory": memory, "calls": calls, "held": held}
    before = machine.Usage(server)
    try:
        values, errors = kinds.get(case.group, forward)(case, peer, user, seconds)
        failure = None
    except (RuntimeError, AssertionError, OSError, ValueError, KeyError) as error:
        values, errors, failure = {}, {}, str(error)[-300:] or type(error).__name__
    return {"values": values, "errors": errors, "failure": failure,
            "machine": before.until_now()}


def wanted(report):
    if report.get("failure"):
        raise RuntimeError(report["failure"])
    return report


def values_of(report, cpu):
    """Rates are of the time measured; CPU time is of the whole run, and divided by all of it."""
    moved, latency = report["total"], report["latency_us"]
    is_bulk = report["case"].startswith("bulk")
    values = {"megabytes" if is_bulk else "rate": report["per_second"]}
    if report["case"] == "mixed":
        values["megabytes"] = report["bytes"] / report["seconds"] / 1e6
    if latency:
        values.update(p50=latency["p50"], p99=latency["p99"])
    if is_bulk:
        return {**values, **cost("cpu_gigabyte", cpu, moved["bytes"] / 1e9)}
    return {**values, **cost("cpu_thousand", cpu, moved["operations"] / 1e3)}


def cost(name, cpu, amount):
    """In milliseconds; nothing where there is no forwarder, or nothing was moved."""
    return {name: cpu * 1e3 / amount} if cpu is not None and amount else {}


class Work:
    """What a forwarder does from now on."""

    def __init__(self, way):
        self.way, self.before = way, way.cpu_seconds()

    def cpu_seconds(self):
        if self.before is None:
            return None
        time.sleep(ENDING)
        return self.way.cpu_seconds() - self.before


def forward(case, peer, user, seconds):
    with load.Server() as target, forwarder.between(peer, user, target.port) as way:
        work = Work(way)
        report = _run(case, way, seconds, target)
        if way.has_ended():
            raise RuntimeError(f"{peer.name} ended by itself: {way.log()}")
        cpu = work.cpu_seconds()
        wanted(report)
        return values_of(report, cpu), report["errors"]


def _run(case, way, seconds, target):
    return load.run(case.load, way.port, seconds, target=target.port, **dict(case.options))


def held(case, peer, user, seconds):
    """As `forward`, the workers held to a share of a CPU each: what they cost is not what is asked,
    but what a second one adds where the ends leave it room."""
    with load.Server() as target, forwarder.between(peer, user, target.port) as way:
        way.hold("sidecar-worker", HELD)
        report = wanted(_run(case, way, seconds, target))
        return {"megabytes": report["per_second"]}, report["errors"]


def pgbench(case, peer, user, seconds, *, server):
    with forwarder.between(peer, user, server.port) as way:
        work = Work(way)
        report = wanted(server.pgbench(way.port, seconds, case.key.endswith("connect")))
        values = {"transactions": report["per_second"],
                  **cost("cpu_thousand", work.cpu_seconds(), report["transactions"] / 1e3)}
        return values, {"wrong": report["failed"]}


def start(_, peer, user, __):
    """From just before the program's execution to the first connect that succeeds, and to the
    first byte that comes back. Both ends are here: nothing else has to be started."""
    listening, first_byte = [], []
    with socket.create_server(("127.0.0.1", 0)) as target:
        for _ in range(STARTS):
            way = forwarder.Forwarder(peer, user, target.getsockname()[1])
            try:
                times = _start_once(way, target)
            finally:
                way.end()
            listening.append(times[0])
            first_byte.append(times[1])
    middle = STARTS // 2
    values = {"first_byte": sorted(first_byte)[middle]}
    # A socket that is there before the program says nothing of the program.
    if not peer.is_given_socket:
        values["listening"] = sorted(listening)[middle]
    return values, {}


def _start_once(way, target):
    began = time.perf_counter_ns()
    way.start()
    while True:
        client = socket.socket()
        if client.connect_ex(("127.0.0.1", way.port)) == 0:
            break
        client.close()
        if time.perf_counter_ns() - began > 10e9:
            raise RuntimeError(f"does not start: {way.log()}")
    listening = time.perf_counter_ns()
    with client:
        client.settimeout(10)
        target.settimeout(10)
        client.send(b"?")
        upstream = target.accept()[0]
        with upstream:
            upstream.recv(1)
            upstream.send(b"!")
            client.recv(1)
    return (listening - began) / 1e6, (time.perf_counter_ns() - began) / 1e6


def memory(_, peer, user, __):
    """At rest; then with one connection that works, alone and beside the idle ones."""
    sizes = {}
    with load.Server() as target, forwarder.between(peer, user, target.port) as way:
        time.sleep(0.3)
        values = {"at_rest": way.memory() / 1e3}
        for idle in (0, IDLE):
            report, sizes[idle], uneven = _with_idle(way, idle)
        values["per_idle"] = (sizes[IDLE] - sizes[0]) / IDLE
        if uneven is not None:
            values["uneven"] = uneven
        return values, report["errors"]


def _with_idle(way, idle):
    # Thousands of processes are looked at one by one while it runs.
    child = harness.start(
        *load.arguments("idle-active", way.port, 6 if idle else 1, connections=1, idle=idle),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        held = idle + 1
        # What the target has accepted, the forwarder has connected through.
        harness.wait_until(
            lambda: forwarder.connections(way.target, forwarder.ESTABLISHED) >= held
            or harness.has_ended(child), 30, f"{held} connections", 0.05)
        time.sleep(0.5)
        size = way.memory()
        uneven = _unevenness(way, idle) if idle and way.peer.key == "sidecar-2" else None
        out, errors = child.communicate(timeout=60)
        return wanted(load.report(child.returncode, out, errors)), size, uneven
    finally:
        harness.end(child, signal.SIGKILL)


def _unevenness(way, idle):
    """How many connections more one worker has than another; two sockets are one. Pollers that
    hold next to none belong to no worker."""
    counts = [x / 2 for x in forwarder.sockets_per_poller(way.process.pid) if x > idle / 99]
    return max(counts) - min(counts)


def calls(case, peer, user, _):
    """By two runs of different lengths: what starting, connecting and ending take is in both."""
    for attempts_left in reversed(range(3)):
        counted = [strace.count(case, peer, user, seconds) for seconds in CALLS_SECONDS]
        try:
            each = strace.difference(*counted)
            break
        except ValueError:  # on a machine that others keep busy, it may happen
            if attempts_left == 0:
                raise
    return {"calls": sum(each.values()), "by_name": each}, {}
