# Asks sidecar and its peers the same questions, and says what each of them does. All of sidecar's
# answers must be yes: otherwise the run fails.
# Usage: main.py [--publish]
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import harness
import machine
import pages
import table
from cases import BY_KEY, CASES, COLUMNS

OUT = harness.path(".build", "compare")
ROUNDS = 3


def chosen(environment):
    """COMPARE_CASES and COMPARE_PEERS choose less of it; sidecar is always asked."""
    cases = environment.get("COMPARE_CASES", "").replace(",", " ").split()
    keys = environment.get("COMPARE_PEERS", "").replace(",", " ").split()
    unknown = (set(cases) - {x.key for x in CASES}) | (set(keys) - set(COLUMNS))
    if unknown:
        raise SystemExit(f"there is no {' '.join(sorted(unknown))}")
    return ([x for x in CASES if not cases or x.key in cases],
            [x for x in COLUMNS if not keys or x in keys or x == "sidecar"])


def ask(case, peer, run=None):
    """Each round's answers, one for each of the case's titles."""
    answers = []
    for _ in range(ROUNDS):
        try:
            answers.append(case.cells(peer, run))
        except (RuntimeError, AssertionError, OSError) as error:
            print(f"compare: {case.key}: {peer.name}: {error}", file=sys.stderr)
            answers.append(("error",) * len(case.titles))
    return answers


def answers_to(case, keys):
    """What the peers and the notes' settings came to."""
    notes = [x for x in case.notes if x.peer in keys]
    wanted = [(case.peer(x), None) for x in keys]
    wanted += [(x.setting, x.run) for x in notes if x.setting]
    with ThreadPoolExecutor(len(wanted) if case.waits else 1) as pool:
        asked = iter([
            {"rounds": rounds, "settings": described(peer)} for (peer, _), rounds in zip(
                wanted, pool.map(lambda x: ask(case, *x), wanted))])
    return {
        "key": case.key, "titles": list(case.titles),
        "answers": {key: next(asked) for key in keys},
        "notes": [{"peer": x.peer, "text": x.text, **(next(asked) if x.setting else {})}
                  for x in notes]}


def described(peer):
    command, variables, configuration = peer.settings()
    return {"command": command, "variables": variables, "configuration": configuration}


def run():
    machine.raise_descriptor_limit()
    cases, keys = chosen(os.environ)
    missing = {x: BY_KEY[x].missing() for x in keys}
    if missing["sidecar"]:
        raise SystemExit("build first: make compare does")
    left_out = [x for x in keys if missing[x]]
    if os.geteuid() != 0:
        left_out += [x.key for x in cases if x.needs_root]
        cases = [x for x in cases if not x.needs_root]
    began, keys = time.monotonic(), [x for x in keys if not missing[x]]
    results = {
        "facts": machine.facts(), "rounds": ROUNDS, "left_out": left_out,
        "is_whole": len(cases) == len(CASES) and len(keys) == len(COLUMNS),
        "peers": {x: {"name": BY_KEY[x].name, "version": BY_KEY[x].version()} for x in keys},
        "cases": [],
    }
    for case in cases:
        results["cases"].append(answers_to(case, keys))
        print(f"{case.key}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    name = "results.json" if results["is_whole"] else "part.json"
    pages.write(f"{OUT}/{name}", json.dumps(results, indent=1) + "\n")
    print("\n".join(table.as_text(results)))
    print(f"in {OUT}: {name}, with every setting; it took {time.monotonic() - began:.0f} s")
    failed = table.failures(results)
    if failed:
        raise SystemExit(f"sidecar fails: {', '.join(failed)}")


def publish():
    with open(f"{OUT}/results.json", encoding="utf-8") as file:
        results = json.load(file)
    if table.failures(results):
        raise SystemExit("sidecar has failed in that run: it is not published")
    pages.write_between(table.MARKS, "\n".join(table.as_markdown(results)))
    print("written: README.md")


def main():
    mode = sys.argv[1:]
    if mode == []:
        run()
    elif mode == ["--publish"]:
        publish()
    else:
        raise SystemExit("usage: main.py [--publish]")


if __name__ == "__main__":
    harness.as_program(main)
