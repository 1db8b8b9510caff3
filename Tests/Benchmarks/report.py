# The results as text for a terminal: what was measured on what, a table for each case, the goals.
import textwrap

from cases import BY_KEY, CASES, METRICS
from peers import NAMES, PEERS
from wording import number, ratio

WIDTH = 98
NAME_WIDTH = 23


def heading(results):
    facts = results.facts
    lines = [
        f"sidecar beside other forwarders, {facts['date']}, commit {facts['commit']}",
        f"  Linux {facts['kernel']} {facts['architecture']}, {facts['cpus']} CPUs, {facts['cpu']}, "
        f"{facts['memory_mb']:,} MB",
        f"  load when it began {facts['load']:.2f}; other programs used "
        f"{results.others():.1%} of the CPUs meanwhile (median)",
        f"  nofile {facts['descriptors']}, pipe quota {facts['fs.pipe-user-pages-soft']} pages, "
        f"congestion control {facts['net.ipv4.tcp_congestion_control']}",
        f"  {settings_line(results)}",
    ]
    return lines


def settings_line(results):
    made = results.settings
    rounds = f"{made['rounds']} rounds" if made["rounds"] != 1 else "one round"
    most = max(x.repeats for x in CASES)
    return (f"{rounds} of {made['seconds']:g} s for each case and peer, {most} times where peers "
            f"are close, shuffled (seed {made['seed']})")


def configurations(results):
    """How each peer was run."""
    lines = ["how each was run:"]
    for key, peer in results.peers.items():
        if not peer["command"]:
            continue
        variables = " ".join(f"{name}={value}" for name, value in peer["variables"].items())
        command = " ".join(x for x in (variables, " ".join(peer["command"])) if x)
        head = f"  {NAMES.get(key, key)} {peer['version']}: "
        lines += textwrap.wrap(head + command, WIDTH, subsequent_indent="      ",
                               break_on_hyphens=False, break_long_words=False)
        if peer["is_given_socket"]:
            lines.append("      with a listening socket that has TCP_NODELAY, as its unit would")
        lines += [f"      | {x}" for x in peer["configuration"].splitlines()]
    return lines


def _cells(results, case, user, peer):
    """One line of a case's table: the median and the ratio of each metric, the first's spread."""
    cells = []
    for name in case.metrics:
        metric = METRICS[name]
        found = results.spread(case.key, user, peer, name)
        if found is None:
            cells += ["–", "", ""]
            continue
        median, low, high = (number(x, metric.digits, metric.is_cost)
                             for x in (found.median, found.low, found.high))
        shows_spread = name == case.metrics[0] and found.count > 1
        cells += [median, f"{low}–{high}" if shows_spread else "",
                  ratio(results.ratio(case.key, user, peer, name), metric.is_cost)]
    return cells


def _titles(case):
    return [x for name in case.metrics for x in (METRICS[name].short, "", "×")]


def table(results, case, user):
    """Best first, with sidecar's ratio to each, and what went wrong below."""
    first = METRICS[case.metrics[0]]
    peers = results.measured_peers(case.key, user)

    def place(peer):
        value = results.median(case.key, user, peer, case.metrics[0])
        return (value is None, (value or 0) if first.is_cost else -(value or 0))

    rows = [["", *_titles(case)]]
    notes = []
    for peer in sorted(peers, key=place):
        errors = results.errors(case.key, user, peer)
        mark = " !" if errors else ""
        rows.append([NAMES.get(peer, peer) + mark, *_cells(results, case, user, peer)])
        if errors:
            notes += error_notes(results, case, user, peer, errors)
        short, samples = results.short_of_memory(case.key, user, peer)
        if short:
            notes.append(f"  memory for TCP ran short in {short} of {samples} samples:"
                         f" {NAMES.get(peer, peer)}")
    who = f", {user} user" if len(case.users) > 1 else ""
    return [f"{case.title}{who}", *columns(rows), *notes]


def error_notes(results, case, user, peer, errors):
    counts = ", ".join(f"{kind} {count:,}" for kind, count in errors.items())
    reasons = {x["failure"] for x in results.of(case.key, user, peer) if x["failure"]}
    text = f"! {NAMES.get(peer, peer)}: {counts}" + "".join(
        f"; {' '.join(x.split())[-120:]}" for x in sorted(reasons))
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def columns(rows):
    """Names to the left, figures to the right; a column without any is left out."""
    rows = list(zip(*(x for x in zip(*rows) if any(x))))
    widths = [max(len(x) for x in column) for column in zip(*rows)]
    widths[0] = max(widths[0], NAME_WIDTH)
    return ["  " + "  ".join(cell.ljust(width) if place == 0 else cell.rjust(width)
                             for place, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]


def tables(results):
    lines = []
    for case in CASES:
        for user in results.users(case.key):
            lines += [*table(results, case, user), ""]
    return lines


def goal_table(rows):
    """Each is a goals.Row. What a smaller run leaves out is not listed."""
    rows = [x for x in rows if x.is_measured]
    lines = [f"  {'goal':<50} {'measured':<32} reached"]
    for row in rows:
        measured = textwrap.wrap(row.measured, 32) or [""]
        text = textwrap.wrap(row.text, 50)
        for place in range(max(len(measured), len(text))):
            left = text[place] if place < len(text) else ""
            middle = measured[place] if place < len(measured) else ""
            lines.append(f"  {left:<50} {middle:<32} {row.verdict if place == 0 else ''}".rstrip())
    reached = sum(1 for x in rows if x.is_reached)
    judged = sum(1 for x in rows if x.is_reached is not None)
    return [*lines, f"  {reached} of {judged} reached, {len(rows) - judged} not judged"]


def whole(results, rows):
    order = [x.key for x in PEERS]
    left_out = [f"  {NAMES[key]} is left out: {why}" for key, why in sorted(
        results.settings["left_out"].items(), key=lambda x: order.index(x[0]))]
    return "\n".join([
        *heading(results), *left_out, "", *configurations(results), "",
        "×: sidecar's figure divided by that one's. !: there were errors.", "",
        *tables(results), "goals", *goal_table(rows)])


def progress(done, planned, case_key, user, peer):
    return f"{done}/{planned} {BY_KEY[case_key].title}, {user}: {NAMES[peer]}"[:WIDTH]
