# Measures sidecar and its peers in turn, and reports what came of it.
# Usage: main.py [--quick | --report | --publish]
import os
import random
import sys
import time

import charts
import database
import forwarder
import goals
import harness
import load
import machine
import measure
import network
import pages
import peers
import publish
import report
from cases import CASES
from results import Results

OUT = harness.path(".build", "bench")
DISTURBED = 0.1  # of the CPUs: used by others, that much changes a figure
# A further round is not begun when it would not end within `limit`, in seconds; the report says how
# many there were. In the quick run a second one is a matter of luck.
WHOLE = {"rounds": 5, "seconds": 0.7, "limit": 44 * 60, "tries": 2,
         "users": forwarder.users(), "cases": "", "peers": ""}
QUICK = {"rounds": 2, "seconds": 0.3, "limit": 80, "tries": 1, "users": (forwarder.UNPRIVILEGED,),
         "cases": "bulk-down-1,bulk-up-16,trips-64,connects,calls-trip,calls-connect,start",
         "peers": "direct,sidecar,haproxy,haproxy-splice,nginx,proxyd,socat"}


def chosen(words, known):
    """Those named by `words`, or by the beginning of their names; all of them without words."""
    wanted = [x for x in words.replace(",", " ").split() if x]
    unknown = [x for x in wanted if not any(_is_named(key, x) for key in known)]
    if unknown:
        raise SystemExit(f"there is no {' '.join(unknown)}; there are {' '.join(known)}")
    return [key for key in known if not wanted or any(_is_named(key, x) for x in wanted)]


def _is_named(key, word):
    return key == word or key.startswith(f"{word}-")


def settings(defaults, environment):
    rounds = environment.get("BENCH_ROUNDS") or str(defaults["rounds"])
    if not rounds.isdigit() or not 1 <= int(rounds) <= 99:
        raise SystemExit(f"BENCH_ROUNDS={rounds}: expected 1 to 99")
    return {
        "rounds": int(rounds), "seconds": defaults["seconds"], "seed": 6,
        **{x: defaults[x] for x in ("limit", "tries", "users")},
        "cases": chosen(environment.get("BENCH_CASES") or defaults["cases"],
                        [x.key for x in CASES]),
        "peers": _chosen_peers(environment.get("BENCH_PEERS") or defaults["peers"]),
        "is_whole": defaults is WHOLE and not any(
            environment.get(x) for x in ("BENCH_CASES", "BENCH_PEERS")),
    }


def _chosen_peers(words):
    """Sidecar is always measured: all others are compared with it. A name is one peer's alone."""
    known = [x.key for x in peers.PEERS]
    wanted = words.replace(",", " ").split()
    unknown = set(wanted) - set(known)
    if unknown:
        raise SystemExit(f"there is no {' '.join(sorted(unknown))}; there are {' '.join(known)}")
    return [x for x in known if not wanted or x in wanted or x == "sidecar"]


def present(keys):
    """The peers that are here, and why others are not."""
    here, left_out = [], {}
    for peer in peers.PEERS:
        if peer.key not in keys:
            continue
        missing = peer.missing()
        if missing:
            of = f" (Debian's {peer.package})" if peer.package else ""
            left_out[peer.key] = f"{' '.join(missing)} is not here{of}"
        else:
            here.append(peer)
    return here, left_out


def plan(case_keys, here, users, has_database):
    """What is measured: (case, user, peer), without what makes no sense."""
    made = []
    for case in CASES:
        if case.key not in case_keys or (case.group == "pgbench" and not has_database):
            continue
        for user in case.users:
            for peer in here:
                is_apt = not peer.only or case.group in peer.only or case.key in peer.only
                is_apt &= user == forwarder.UNPRIVILEGED or peer.uses_pipes
                is_apt &= not case.peers or peer.key in case.peers
                is_apt &= not case.needs_root or forwarder.ROOT_USER in users
                needs_program = case.group in ("start", "memory", "calls")
                if user in users and is_apt and (peer.command or not needs_program):
                    made.append((case, user, peer))
    return made


def turns(planned, rounds, seed):
    """The samples in their order: as turn 0 what is counted once, then round by round and case by
    case, the peers in another order each time, so that what drifts meets all of them alike."""
    order = random.Random(seed)
    yield 0, [x for x in planned if x[0].is_counted]
    for turn in range(1, rounds + 1):
        samples = []
        for case in CASES:
            for user in case.users:
                here = [x for x in planned if x[0] is case and x[1] == user]
                for _ in range(0 if case.is_counted else case.repeats):
                    order.shuffle(here)
                    samples += here
        yield turn, samples


class Progress:
    """One line on a terminal that is written over."""

    def __init__(self, planned):
        self.planned, self.done = planned, 0

    def show(self, case, user, peer):
        self.done += 1
        if sys.stderr.isatty():
            line = report.progress(self.done, self.planned, case.key, user, peer.key)
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    @staticmethod
    def clear():
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def quietest(tries, take):
    """A sample again while other programs disturb it; the one that they disturb least."""
    samples = []
    for _ in range(tries):
        samples.append(take())
        if samples[-1]["failure"] or samples[-1]["machine"]["others"] < DISTURBED:
            return samples[-1]
    return min(samples, key=lambda x: x["machine"]["others"])


def measure_all(results, planned, server):
    made, began = results.settings, time.monotonic()
    order = list(turns(planned, made["rounds"], made["seed"]))
    progress = Progress(sum(len(samples) for _, samples in order))
    longest, made["rounds"] = 0.0, 0
    hopeless = set()  # who did not end within its time is not waited for again
    for turn, samples in order:
        turn_began = time.monotonic()
        if turn_began - began + longest > made["limit"]:
            break
        for case, user, peer in samples:
            progress.show(case, user, peer)
            if (case, user, peer) in hopeless:
                continue
            sample = quietest(made["tries"], lambda: measure.sample(
                case, peer, user, made["seconds"], server))
            results.add(case.key, user, peer.key, turn, sample)
            if (sample["failure"] or "").startswith(load.NO_END):
                hopeless.add((case, user, peer))
        if turn > 0:
            longest = max(longest, time.monotonic() - turn_began)
        made["rounds"] = turn
    progress.clear()
    made["took"] = time.monotonic() - began


def run(defaults, out):
    machine.raise_descriptor_limit()
    network.enter_own()
    made = settings(defaults, os.environ)
    if defaults is WHOLE and not made["is_whole"]:
        out += "/part"  # the last whole run can still be published
    here, made["left_out"] = present(made["peers"])
    if "sidecar" in made["left_out"] or not os.path.exists(load.PROGRAM):
        raise SystemExit("build first: make bench does")
    wants_database = any(x.startswith("pgbench") for x in made["cases"])
    has_database = wants_database and not database.is_missing()
    if wants_database and not has_database:
        made["missing_cases"] = "pgbench is not here (Debian's postgresql)"
    planned = plan(made["cases"], here, made["users"], has_database)
    described = {x.key: describe(x, x.version()) for x in here}
    facts = {**machine.facts(), "binary": os.path.getsize(harness.path(peers.SIDECAR))}
    results = Results(facts, described, made)
    server = database.Server() if has_database else None
    try:
        if server:
            results.facts["postgresql"] = server.version()
        measure_all(results, planned, server)
    finally:
        if server:
            server.end()
    results.save(f"{out}/results.json")
    for key, svg in charts.all_drawn(results).items():
        pages.write(f"{out}/charts/{key}.svg", svg)
    print(report.whole(results, goals.judge(results)))
    print(f"in {out}: results.json, charts; it took {made['took'] / 60:.1f} minutes")


def describe(peer, version):
    command, variables, configuration = peer.settings()
    return {"name": peer.name, "version": version, "command": list(command),
            "variables": variables, "configuration": configuration,
            "is_given_socket": peer.is_given_socket}


def main():
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode == "":
        run(WHOLE, OUT)
    elif mode == "--quick":
        run(QUICK, f"{OUT}/quick")
    elif mode == "--report":
        results = Results.read(f"{OUT}/results.json")
        print(report.whole(results, goals.judge(results)))
    elif mode == "--publish":
        publish.publish(Results.read(f"{OUT}/results.json"))
    else:
        raise SystemExit("usage: main.py [--quick | --report | --publish]")


if __name__ == "__main__":
    harness.as_program(main)
