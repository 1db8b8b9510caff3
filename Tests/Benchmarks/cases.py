# What is measured: the cases, and what their figures are called, counted in and good for.
import dataclasses

from forwarder import ROOT_USER, UNPRIVILEGED

BOTH = (UNPRIVILEGED, ROOT_USER)
IDLE = 8000
HELD = 0.1  # of a CPU: so little that one worker is all that a stream waits for


@dataclasses.dataclass(frozen=True)
class Metric:
    # With its unit, as a table's column has it.
    short: str
    # A rate is good when it is high, a cost when it is low.
    is_cost: bool = True
    digits: int = 0


METRICS = {
    "rate": Metric("per second", is_cost=False),
    "megabytes": Metric("MB/s", is_cost=False),
    "transactions": Metric("per second", is_cost=False),
    "p99": Metric("p99 µs"),
    "cpu_gigabyte": Metric("CPU ms/GB"),
    "cpu_thousand": Metric("CPU ms/1000", digits=1),
    "at_rest": Metric("at rest kB"),
    "per_idle": Metric("bytes per idle"),
    "listening": Metric("listening ms", digits=2),
    "first_byte": Metric("first byte ms", digits=2),
    "calls": Metric("calls", digits=2),
}


@dataclasses.dataclass(frozen=True)
class Case:
    key: str
    title: str
    group: str
    # The first is what tables and charts are sorted by.
    metrics: tuple
    # Of the load generator: its case, and the options beside port and seconds.
    load: str = ""
    options: tuple = ()
    users: tuple = (UNPRIVILEGED,)
    # Every round, or once: what is counted exactly needs no repetition.
    is_counted: bool = False
    # Samples of each peer in a round: more where peers are as fast as each other.
    repeats: int = 1
    # Only these; empty: all.
    peers: tuple = ()
    # Only root may do what it takes.
    needs_root: bool = False


def bulk(direction, count):
    plural = "connection" if count == 1 else "connections"
    return Case(
        f"bulk-{direction}-{count}", f"bulk {direction}, {count} {plural}", "bulk",
        ("megabytes", "cpu_gigabyte"), f"bulk-{direction}", (("connections", count),),
        (UNPRIVILEGED,) if count == 1 else BOTH)


def held(direction):
    return Case(
        f"held-{direction}-16",
        f"bulk {direction}, 16 connections, each worker held to {HELD:.0%} of a CPU", "held",
        ("megabytes",), f"bulk-{direction}", (("connections", 16),),
        peers=("sidecar-1", "sidecar-2"), needs_root=True)


def trips(key, title, size, count, repeats=1):
    return Case(key, title, "round-trips", ("rate", "p99", "cpu_thousand"), "round-trips",
                (("connections", count), ("size", size)), repeats=repeats)


def idle(count):
    beside = f"beside {count:,} idle" if count else "and none idle"
    return Case(
        f"idle-{count}", f"round trips of 128 bytes, 64 connections {beside}", "idle",
        ("rate", "p99"), "idle-active", (("connections", 64), ("idle", count)))


CASES = (
    *(bulk(direction, count) for count in (1, 16, 200, 600) for direction in ("up", "down")),
    held("up"), held("down"),
    trips("trips-1", "round trips of 128 bytes, 1 connection", 128, 1, repeats=3),
    trips("trips-64", "round trips of 128 bytes, 64 connections", 128, 64, repeats=3),
    trips("trips-16k", "round trips of 16 KiB, 16 connections", 16384, 16),
    Case("connects", "connect, request, close", "connects", ("rate", "p99", "cpu_thousand"),
         "connects", repeats=3),
    idle(0), idle(IDLE),
    Case("mixed", "round trips on 64 connections beside one bulk stream", "mixed",
         ("p99", "rate", "megabytes"), "mixed"),
    Case("pgbench", "pgbench, select only, 16 clients", "pgbench",
         ("transactions", "cpu_thousand")),
    Case("pgbench-connect", "pgbench, select only, a connection for each transaction", "pgbench",
         ("transactions", "cpu_thousand")),
    Case("start", "from the start of the program", "start", ("listening", "first_byte")),
    Case("memory", f"memory (PSS), at rest and with {IDLE:,} idle connections", "memory",
         ("at_rest", "per_idle"), is_counted=True),
    # On one connection: with more, how many are served at once is a matter of time.
    Case("calls-trip", "system calls per round trip of 128 bytes, 1 connection", "calls",
         ("calls",), "round-trips", (("connections", 1),), is_counted=True),
    Case("calls-connect", "system calls per connect, request, close, one after the other", "calls",
         ("calls",), "connects", (("connections", 1),), is_counted=True),
)
BY_KEY = {x.key: x for x in CASES}
