# The results as pictures: bars with the median, its spread as a whisker, and the figure beside it.
# They are SVG with styles of their own, so that they can be read on a light and on a dark page.
import dataclasses
import html

from cases import METRICS
from forwarder import ROOT_USER, UNPRIVILEGED
from peers import NAMES
from wording import number

# As wide as a README's column.
WIDTH, MARGIN = 830, 10
NAMES_WIDTH, GAP, FIGURE_WIDTH = 160, 24, 62
TOP, ROW, BAR = 62, 24, 14
LEFT_OUT = ("sidecar-1", "sidecar-2", "haproxy-auto")
SHOWN = tuple(x for x in NAMES if x not in LEFT_OUT)

STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.quiet { fill: #59636e }
.ours { font-weight: 600 }
rect { fill: #afb8c1 }
rect.ours { fill: #0969da }
rect.none { fill: none; stroke: #afb8c1 }
path { stroke: #1f2328; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .quiet { fill: #9198a1 }
  rect { fill: #545d68 }
  rect.ours { fill: #4493f8 }
  rect.none { fill: none; stroke: #656c76 }
  path { stroke: #f0f6fc }
}"""


@dataclasses.dataclass(frozen=True)
class Panel:
    title: str
    case: str
    metric: str


@dataclasses.dataclass(frozen=True)
class Chart:
    key: str
    title: str
    panels: tuple
    user: str = UNPRIVILEGED


def _bulk(count, user=UNPRIVILEGED):
    ways = (("up", "to the target"), ("down", "to the client"))
    root = ", as root" if user == ROOT_USER else ""
    return Chart(
        f"bulk-{count}" + ("-root" if root else ""),
        f"Bulk, {count} connection{'s' if count > 1 else ''}{root}",
        tuple(Panel(f"{name}, MB/s", f"bulk-{way}-{count}", "megabytes") for way, name in ways)
        + (Panel("CPU per GB, ms", f"bulk-up-{count}", "cpu_gigabyte"),), user)


def _trips(key, title):
    return Chart(key, title, (
        Panel("round trips per second", key, "rate"), Panel("p99, µs", key, "p99"),
        Panel("CPU per 1,000, ms", key, "cpu_thousand")))


CHARTS = (
    *(_bulk(count) for count in (1, 16, 200, 600)),
    *(_bulk(count, ROOT_USER) for count in (16, 200, 600)),
    _trips("trips-1", "Round trips of 128 bytes, 1 connection"),
    _trips("trips-64", "Round trips of 128 bytes, 64 connections"),
    _trips("trips-16k", "Round trips of 16 KiB, 16 connections"),
    Chart("connects", "Connect, request, close", (
        Panel("connections per second", "connects", "rate"), Panel("p99, µs", "connects", "p99"),
        Panel("CPU per 1,000, ms", "connects", "cpu_thousand"))),
    Chart("idle", "Round trips on 64 connections, beside idle ones", (
        Panel("none idle, per second", "idle-0", "rate"),
        Panel("8,000 idle, per second", "idle-8000", "rate"),
        Panel("8,000 idle, p99 in µs", "idle-8000", "p99"))),
    Chart("mixed", "Round trips on 64 connections beside one bulk stream", (
        Panel("p99, µs", "mixed", "p99"), Panel("round trips per second", "mixed", "rate"),
        Panel("bulk stream, MB/s", "mixed", "megabytes"))),
    Chart("pgbench", "pgbench on PostgreSQL, select only, 16 clients", (
        Panel("transactions per second", "pgbench", "transactions"),
        Panel("with a connection for each", "pgbench-connect", "transactions"))),
    Chart("memory", "Memory (PSS)", (
        Panel("at rest, kB", "memory", "at_rest"),
        Panel("per idle connection, bytes", "memory", "per_idle"))),
    Chart("start", "From the start of the program", (
        Panel("until it listens, ms", "start", "listening"),
        Panel("until the first byte is back, ms", "start", "first_byte"))),
    Chart("calls", "System calls", (
        Panel("per round trip", "calls-trip", "calls"),
        Panel("per short connection", "calls-connect", "calls"))),
)


def measured(results, chart):
    """Those with a figure in a panel, best first by the first panel."""
    first = chart.panels[0]
    known = {x: results.median(first.case, chart.user, x, first.metric) for x in SHOWN}
    sign = 1 if METRICS[first.metric].is_cost else -1
    shown = [x for x in SHOWN if any(
        results.median(panel.case, chart.user, x, panel.metric) is not None
        for panel in chart.panels)]
    return sorted(shown, key=lambda x: (known[x] is None, sign * (known[x] or 0)))


def draw(results, chart):
    """The SVG, or nothing where nothing was measured."""
    peers = measured(results, chart)
    if "sidecar" not in peers:
        return None
    height = TOP + ROW * len(peers) + MARGIN
    title = html.escape(chart.title)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        'role="img">', f"<title>{title}</title>", f"<style>\n{STYLE}\n</style>",
        text(MARGIN, 22, chart.title, "title")]
    for place, peer in enumerate(peers):
        kind = "ours" if peer == "sidecar" else ""
        lines.append(text(NAMES_WIDTH, TOP + ROW * place + 16, NAMES[peer], kind, "end"))
    width = (WIDTH - NAMES_WIDTH - MARGIN) / len(chart.panels) - GAP
    for place, panel in enumerate(chart.panels):
        left = NAMES_WIDTH + GAP / 2 + place * (width + GAP)
        lines += _panel(results, chart, panel, peers, left, width)
    return "\n".join([*lines, "</svg>", ""])


def _panel(results, chart, panel, peers, left, width):
    metric = METRICS[panel.metric]
    good = "less is better" if metric.is_cost else "more is better"
    lines = [text(left, 42, panel.title), text(left, 56, good, "quiet")]
    spreads = {x: results.spread(panel.case, chart.user, x, panel.metric) for x in peers}
    most = max((x.high for x in spreads.values() if x), default=0)
    scale = (width - FIGURE_WIDTH) / most if most else 0
    for place, peer in enumerate(peers):
        top = TOP + ROW * place + (ROW - BAR) / 2
        found = spreads[peer]
        if found is None:
            lines.append(text(left, top + 11, "–", "quiet"))
            continue
        kind = {"sidecar": "ours", "direct": "none"}.get(peer, "")
        named = f' class="{kind}"' if kind else ""
        lines.append(f'<rect{named} x="{left:.1f}" y="{top:.1f}" '
                     f'width="{max(found.median * scale, 1):.1f}" height="{BAR}"/>')
        end = left + found.median * scale
        if found.count > 1:
            low, high, middle = left + found.low * scale, left + found.high * scale, top + BAR / 2
            lines.append(f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {top + 4:.1f}v6'
                         f'M{high:.1f} {top + 4:.1f}v6"/>')
            end = max(end, high)
        mark = " !" if results.errors(panel.case, chart.user, peer) else ""
        shown = number(found.median, metric.digits, metric.is_cost) + mark
        lines.append(text(end + 6, top + 11, shown, "ours" if kind == "ours" else ""))
    return lines


def text(x, y, words, kind="", anchor=""):
    more = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{html.escape(words)}</text>'


def all_drawn(results):
    """Key and SVG of every chart there are figures for."""
    made = {chart.key: draw(results, chart) for chart in CHARTS}
    return {key: svg for key, svg in made.items() if svg}
