# System calls, counted by strace -c: they do not depend on how fast or busy a machine is.
import os

import forwarder
import harness
import load


def parse(text):
    """Calls by name, of strace's table. A column is left blank where a call had no errors."""
    counts = {}
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("------"):
            break
    for line in lines:
        fields = line.split()
        if line.startswith("------"):
            break
        counts[fields[-1]] = int(fields[3])
    return counts


def difference(few, many):
    """Calls for each operation that `many` has more than `few`; each is (operations, counts)."""
    more = many[0] - few[0]
    if more <= 0:
        raise ValueError("the longer run did no more than the shorter")
    names = {*few[1], *many[1]}
    each = {x: (many[1].get(x, 0) - few[1].get(x, 0)) / more for x in names}
    return {x: each[x] for x in sorted(each, key=lambda x: -each[x]) if abs(each[x]) >= 0.001}


def count(case, peer, user, seconds):
    """How many operations there were in that time, and what calls the forwarder made."""
    folder = harness.folder()
    os.chmod(folder, 0o777)  # strace is the forwarder's user
    table = f"{folder}/calls"
    wrapper = ("strace", "-f", "-c", "-o", table)
    with load.Server() as target, forwarder.Forwarder(peer, user, target.port, wrapper) as way:
        report = load.run(case.load, way.port, seconds, **dict(case.options))
        if report.get("failure"):
            raise RuntimeError(report["failure"])
        way.end_traced()
    with open(table, encoding="utf-8") as file:
        counts = parse(file.read())
    harness.remove(folder)
    return report["total"]["operations"], counts
