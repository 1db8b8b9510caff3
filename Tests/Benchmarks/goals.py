# What the benchmark is to show, and whether it does: each goal is a row with what was measured.
import dataclasses

from cases import BY_KEY, HELD, IDLE, METRICS
from forwarder import UNPRIVILEGED
from peers import NAMES, RIVALS
from wording import number

# Where less of the machine than this is idle, the ends have not left two workers enough.
ROOM = 0.15
# Two runs never start and end with exactly the same calls, and a busy machine allows few round
# trips between: that much per round trip is no call of its own.
STRAY_CALLS = 0.05


@dataclasses.dataclass(frozen=True)
class Row:
    text: str
    measured: str
    # Nothing where it cannot be judged.
    is_reached: bool | None
    is_measured: bool = True

    @property
    def verdict(self):
        return {True: "yes", False: "NO", None: "–"}[self.is_reached]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure to compare with a limit; nothing where it was not measured."""
    label: str
    value: float | None


def row(text, figures, limit, at_most=False, unit="×", digits=2):
    """Reached when every figure keeps the limit, and none is missing."""
    known = [x for x in figures if x.value is not None]
    if not known:
        return Row(text, "not measured", None, is_measured=False)
    measured = ", ".join(f"{x.label} {number(x.value, digits, is_cost=at_most)}{unit}".strip()
                         for x in known)
    keeps = all((x.value <= limit) if at_most else (x.value >= limit) for x in known)
    return Row(text, measured, keeps if len(known) == len(figures) or not keeps else None)


def best(results, case, metric, user=UNPRIVILEGED):
    """The peer with the best median, and sidecar's ratio to it."""
    known = {x: results.median(case, user, x, metric) for x in RIVALS}
    known = {x: value for x, value in known.items() if value is not None}
    if not known or results.median(case, user, "sidecar", metric) is None:
        return Figure("", None)
    choose = min if METRICS[metric].is_cost else max
    peer = choose(known, key=known.get)
    return Figure(f"({NAMES[peer]})", results.ratio(case, user, peer, metric))


def both_ways(results, count, metric, peer):
    return [Figure(way, results.ratio(f"bulk-{way}-{count}", UNPRIVILEGED, peer, metric))
            for way in ("up", "down")]


def beside_large(results, made, count, metric, peer):
    """The row, and in it, not judged, what a peer tuned for bulk alone comes to."""
    large = [x for x in both_ways(results, count, metric, f"{peer}-large") if x.value is not None]
    if not large:
        return made
    shown = ", ".join(f"{number(x.value, 2, METRICS[metric].is_cost)}×" for x in large)
    return dataclasses.replace(made, measured=f"{made.measured} (large buffers: {shown})")


def bulk(results):
    rows = []
    for count, limits in ((1, (1.9, 1.9, 1.0)), (16, (2.2, 2.2, 1.05)), (200, (2.2, 2.2, 1.05))):
        for peer, limit in zip(("haproxy", "nginx", "proxyd"), limits):
            plural = "connection" if count == 1 else "connections"
            made = row(f"bulk, {count} {plural}: ≥ {limit:g}× {NAMES[peer]}",
                       both_ways(results, count, "megabytes", peer), limit)
            rows.append(beside_large(results, made, count, "megabytes", peer))
        if count == 1:
            made = row("bulk, 1 connection: CPU per GB ≤ 0.33× nginx",
                       both_ways(results, 1, "cpu_gigabyte", "nginx"), 0.33, at_most=True)
            rows.append(beside_large(results, made, 1, "cpu_gigabyte", "nginx"))
    rows.append(row("no cliff: bulk, 600 connections ≥ 0.9× of its own 200", [
        Figure(way, _quotient(
            results.median(f"bulk-{way}-600", UNPRIVILEGED, "sidecar", "megabytes"),
            results.median(f"bulk-{way}-200", UNPRIVILEGED, "sidecar", "megabytes")))
        for way in ("up", "down")], 0.9))
    return rows


def _quotient(above, below):
    return above / below if above is not None and below else None


def small(results):
    rows = []
    for case, title in (("trips-1", "round trips, 1 connection"),
                        ("trips-64", "round trips, 64 connections")):
        rows.append(row(f"{title}: ≥ 1.0× the best peer", [best(results, case, "rate")], 1.0))
        rows.append(row(f"{title}: p99 ≤ 1.0× the best peer's", [best(results, case, "p99")], 1.0,
                        at_most=True))
    rows.append(row("connect, request, close: ≥ 1.0× the best peer",
                    [best(results, "connects", "rate")], 1.0))
    rows.append(row("connect, request, close: CPU ≤ 0.95× the best peer's",
                    [best(results, "connects", "cpu_thousand")], 0.95, at_most=True))
    beside = results.median(f"idle-{IDLE}", UNPRIVILEGED, "sidecar", "rate")
    alone = results.median("idle-0", UNPRIVILEGED, "sidecar", "rate")
    rows.append(row(f"64 active beside {IDLE:,} idle: ≥ 0.95× of the same without",
                    [Figure("", _quotient(beside, alone))], 0.95))
    return rows


def counts(results):
    user = UNPRIVILEGED
    trip = results.median("calls-trip", user, "sidecar", "calls")
    rows = [row("round trip of 128 bytes: ≤ 3 system calls each way",
                [Figure("both ways", trip)], 6 + STRAY_CALLS, at_most=True, unit="")]
    least = best(results, "calls-connect", "calls")
    rows.append(row("a short connection: fewer system calls than every peer",
                    [least], 1 - 1e-9, at_most=True))
    rows.append(row("memory at rest ≤ 600 kB", [Figure("", results.median(
        "memory", user, "sidecar", "at_rest"))], 600, at_most=True, unit=" kB", digits=0))
    rows.append(row("memory per idle connection ≤ 200 bytes", [Figure("", results.median(
        "memory", user, "sidecar", "per_idle"))], 200, at_most=True, unit=" bytes", digits=0))
    rows.append(row("start to listening ≤ 3 ms", [Figure("", results.median(
        "start", user, "sidecar", "listening"))], 3, at_most=True, unit=" ms"))
    rows.append(row("binary ≤ 250,000 bytes", [Figure("", results.facts.get("binary"))], 250_000,
                    at_most=True, unit=" bytes", digits=0))
    return rows


def workers(results):
    """Faster where the ends leave room for two, and as fast wherever they do not."""
    ways = ("up", "down")
    roomy = row(
        f"two workers ≥ 1.3× one on bulk 16, each held to {HELD:.0%} of a CPU",
        [Figure(x, _two_by_one(results, f"held-{x}-16", UNPRIVILEGED, "megabytes"))
         for x in ways], 1.3)
    idle = (results.idle(f"held-{x}-16", UNPRIVILEGED, "sidecar-2") for x in ways)
    least = min((x for x in idle if x is not None), default=1)
    if least < ROOM:
        roomy = Row(roomy.text, f"no room: {least:.0%} of the CPUs idle beside two", None)
    elsewhere = []
    for case in (x for x in BY_KEY.values() if x.group != "held"):
        metric = next((x for x in ("transactions", "rate", "megabytes") if x in case.metrics), "")
        for user in results.users(case.key):
            value = _two_by_one(results, case.key, user, metric)
            if value is not None:
                elsewhere.append(Figure(f"{case.key}, {user}", value))
    worst = sorted(elsewhere, key=lambda x: x.value)[:1]
    uneven = results.median("memory", UNPRIVILEGED, "sidecar-2", "uneven")
    return [
        roomy, row("two workers ≥ 0.95× one everywhere else", worst, 0.95),
        row(f"{IDLE:,} connections: each worker within ±1 of even",
            [Figure("apart by", uneven)], 2, at_most=True, unit="", digits=1)]


def _two_by_one(results, case, user, metric):
    return results.ratio(case, user, "sidecar-1", metric, of="sidecar-2")


def judge(results):
    return [*bulk(results), *small(results), *counts(results), *workers(results)]
