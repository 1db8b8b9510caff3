# The answers as a table, for a terminal and for README.md. A cell is what all rounds came to, or
# the most frequent of it, with how often that was.
import collections
import textwrap

MARKS = ("<!-- comparison: make compare-publish -->", "<!-- comparison end -->")
WIDTH = 100
YES = "yes"


def cell(rounds, place=0):
    """The most frequent answer; of equally frequent ones the worse."""
    counts = collections.Counter(x[place] for x in rounds)
    answer, count = min(counts.items(), key=lambda x: (-x[1], x[0] == YES, x[0]))
    return answer if count == len(rounds) else f"{answer}, {count} of {len(rounds)}"


def failures(results):
    """What sidecar has not answered with yes each time."""
    return [title for case in results["cases"] for place, title in enumerate(case["titles"])
            if cell(case["answers"]["sidecar"]["rounds"], place) != YES]


def rows(results):
    """For each title: its cells, and the numbers of its notes by peer."""
    notes = numbered(results)
    for case in results["cases"]:
        for place, title in enumerate(case["titles"]):
            marks = {x["peer"]: number for number, key, x in notes if key == case["key"]}
            cells = {key: cell(x["rounds"], place) for key, x in case["answers"].items()}
            yield title, cells, marks


def numbered(results):
    found = [(case["key"], note) for case in results["cases"] for note in case["notes"]]
    return [(number, key, note) for number, (key, note) in enumerate(found, 1)]


def note_text(results, note):
    name = results["peers"][note["peer"]]["name"]
    answer = cell(note["rounds"]) if "rounds" in note else ""
    return f"{name}: {note['text'].format(answer)}"


def as_text(results):
    """A line for each peer below each title."""
    lines = []
    for title, cells, marks in rows(results):
        lines.append(title)
        for key, answer in cells.items():
            mark = f" [{marks[key]}]" if key in marks else ""
            lines.append(f"  {results['peers'][key]['name']:22}{answer}{mark}")
    lines += [f"[{number}] {note_text(results, note)}" for number, _, note in numbered(results)]
    lines += [f"left out: {' '.join(results['left_out'])}"] if results["left_out"] else []
    return [part for line in lines for part in textwrap.wrap(
        line, WIDTH, subsequent_indent="    ", drop_whitespace=True) or [""]]


def as_markdown(results):
    names = [x["name"] for x in results["peers"].values()]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for title, cells, marks in rows(results):
        shown = [answer + (f" <sup>{marks[key]}</sup>" if key in marks else "")
                 for key, answer in cells.items()]
        lines.append(f"| {title} | {' | '.join(shown)} |")
    lines += ["", *(f"{number}. {note_text(results, note)}."
                    for number, _, note in numbered(results))]
    facts = results["facts"]
    versions = ", ".join(f"{x['name']} {x['version']}" for key, x in results["peers"].items()
                         if key != "sidecar")
    words = (f"Asked {results['rounds']} times each on {facts['date']} at commit "
             f"{facts['commit']}, on Linux {facts['kernel']}: {versions}.")
    return [*lines, "", *textwrap.wrap(words, WIDTH, break_long_words=False,
                                       break_on_hyphens=False)]
