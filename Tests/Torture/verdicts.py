# What a case has to say: figures beside their bounds, and whether they hold. What could not be had
# where it runs is neither passed nor failed.
import dataclasses
import statistics


class NotHere(Exception):
    """Why a case cannot be run on this machine."""


@dataclasses.dataclass
class Row:
    case: str
    what: str
    figure: str
    bound: str
    verdict: str


class Verdicts:
    def __init__(self, show=print):
        self.rows = []
        self.case = ""
        self._show = show

    def add(self, what, figure, bound, verdict):
        row = Row(self.case, what, str(figure), str(bound), verdict)
        self.rows.append(row)
        self._show(line(row))

    def take(self, rows):
        """What a case has found elsewhere."""
        self.rows += rows
        for row in rows:
            self._show(line(row))

    def check(self, what, figure, bound, holds):
        self.add(what, figure, bound, "ok" if holds else "FAILED")

    def at_most(self, what, figure, bound, unit=""):
        self.check(what, with_unit(figure, unit), f"<= {with_unit(bound, unit)}", figure <= bound)

    def at_least(self, what, figure, bound, unit=""):
        self.check(what, with_unit(figure, unit), f">= {with_unit(bound, unit)}", figure >= bound)

    def equal(self, what, figure, bound):
        self.check(what, figure, f"= {bound}", figure == bound)

    def note(self, what, figure):
        """A figure without a bound."""
        self.add(what, figure, "", "")

    def not_run(self, why):
        self.add("not run", why, "", "NOT RUN")

    def failed(self):
        return [x for x in self.rows if x.verdict == "FAILED"]


def with_unit(number, unit):
    text = f"{number:.3g}" if isinstance(number, float) and abs(number) < 100 else f"{number:.0f}"
    return f"{text} {unit}" if unit else text


def line(row):
    bound = f"  ({row.bound})" if row.bound else ""
    return f"{row.verdict or 'figure':<8}{row.case:<32}  {row.what}: {row.figure}{bound}"


def table(rows):
    """All of it, in columns."""
    cells = [("case", "what", "figure", "bound", "verdict")]
    cells += [(x.case, x.what, x.figure, x.bound, x.verdict) for x in rows]
    widths = [min(60, max(len(x[column]) for x in cells)) for column in range(4)]
    cells = [tuple(text.replace("\n", " ") for text in x) for x in cells]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(x, widths)) + f"  {x[4]}"
        for x in cells)


def growth(samples):
    """The last third of a series against the second: what still rises after the warm-up."""
    third = len(samples) // 3
    if third == 0:
        raise ValueError(f"{len(samples)} samples are too few")
    return statistics.median(samples[-third:]) - statistics.median(samples[third:-third])


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
