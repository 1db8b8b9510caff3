# Puts a whole run's results into the repository: charts, a page with everything, and the part of
# README.md between its two marks. No figure gets there in another way.
import html
import textwrap

import charts
import goals
import harness
import report
from pages import write, write_between

MARKS = ("<!-- benchmarks: make bench-publish -->", "<!-- benchmarks end -->")
FOLDER = "Tests/Benchmarks/results"
PAGE = f"{FOLDER}/README.md"
SHOWN = ("bulk-1", "bulk-200", "trips-64", "connects", "idle", "memory")


def goals_as_markdown(rows):
    return ["| goal | measured | reached |", "|---|---|---|",
            *(f"| {x.text} | {x.measured} | {x.verdict} |" for x in rows)]


def section(results):
    """What README.md shows."""
    facts = results.facts
    titles = {x.key: x.title for x in charts.CHARTS}
    variants = [x for x in results.peers if x.rpartition("-")[0] in results.peers]
    versions = ", ".join(f"{x['name']} {x['version']}" for key, x in results.peers.items()
                         if x["version"] and key != "sidecar" and key not in variants)
    words = (
        f"Measured on {facts['date']} at commit {facts['commit']}, beside {versions}: "
        f"{facts['cpus']} CPUs ({facts['cpu']}), Linux {facts['kernel']}, load generator and "
        f"target on the same CPUs and a loopback of its own "
        f"({facts['net.ipv4.tcp_congestion_control']}), of which other programs used "
        f"{results.others():.1%}; {report.settings_line(results)}. A bar is a median, its whisker "
        f"goes from the lowest to the highest; `!` says that there were errors. [The other cases, "
        f"all figures, the goals "
        f"and how each peer was set up]({PAGE}).")
    return "\n".join([*textwrap.wrap(words, 100, break_long_words=False, break_on_hyphens=False),
                      "", *(f"![{html.escape(titles[x])}]({FOLDER}/{x}.svg)" for x in SHOWN)])


def page(results, rows, keys):
    titles = {x.key: x.title for x in charts.CHARTS}
    return "\n".join([
        "# Benchmarks", "", "Written by `make bench-publish`; by nobody's hand.", "",
        "```", *report.heading(results), "```", "", "## Goals", "", *goals_as_markdown(rows), "",
        "## Charts", "", *(f"![{html.escape(titles[x])}]({x}.svg)" for x in keys), "",
        "## Tables", "", "×: sidecar's figure divided by that one's. !: there were errors.", "",
        "```", *report.tables(results), "```", "", "## Settings", "", "```",
        *report.configurations(results), "```", ""])


def publish(results):
    if not results.settings["is_whole"]:
        raise SystemExit("only a whole run is published: make bench, without BENCH_CASES, "
                         "BENCH_PEERS")
    rows = goals.judge(results)
    drawn = charts.all_drawn(results)
    for key, svg in drawn.items():
        write(harness.path(FOLDER, f"{key}.svg"), svg)
    write(harness.path(PAGE), page(results, rows, drawn))
    write_between(MARKS, section(results))
    print(f"written: README.md, {PAGE} and {len(drawn)} charts beside it")
