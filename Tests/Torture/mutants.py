# Mistakes made on purpose in a copy of the sources: each case must fail of the one that makes its
# claim untrue, in the words that tell of it. Usage: mutants.py [NAME...], of mistakes.py
import os
import re
import subprocess
import sys

import harness
import mutation

import register
import syscalls, network, output, crowds, abuse  # each registers its cases
from mistakes import MISTAKES


def build(copy):
    plain = {x: y for x, y in os.environ.items() if x not in ("MAKEFLAGS", "MAKELEVEL")}
    built = harness.run("make", "-C", copy.folder, "build", "VERSION=mistake", wanted=None,
                        env=plain, timeout=900)
    if built.code != 0:
        print(built)
    return built.code == 0


def torture(copy, names):
    """What was said to have failed, and whether all of them could be run."""
    said = harness.run(
        sys.executable, "-B", harness.path("Tests", "Torture", "main.py"), *names, wanted=None,
        timeout=900, env={**os.environ, "SIDECAR_BINARY": copy.path(".build", "sidecar")})
    failed = re.findall(r"^FAILED  (.*?)  +(.*)$", said.out, re.M)
    not_run = set(re.findall(r"^NOT RUN HERE: (.*): ", said.out, re.M))
    return failed, {x for x in names if any(line.startswith(x) for line in not_run)}


def try_one(copy, mistake):
    """How many of its cases did not notice it."""
    with copy.mistake(mistake.file, mistake.old, mistake.new) as applies:
        if not applies:
            print(f"{mistake.name}: NO LONGER APPLIES to {mistake.file}")
        if not applies or not build(copy):
            return len(mistake.cases)
        failed, not_run = torture(copy, mistake.cases)
    missed = 0
    for case in mistake.cases:
        words = [line for name, line in failed if name == case]
        telling = [x for x in words if re.match(mistake.fails, x)]
        missed += not telling and case not in not_run
        verdict = telling[0] if telling else "NOT RUN HERE" if case in not_run else \
            f"SURVIVES {words}"
        print(f"{mistake.name} | {case} | {verdict}", flush=True)
    return missed


def main(names):
    chosen = [x for x in MISTAKES if not names or x.name in names]
    unseen = {x.name for x in register.CASES} - {case for x in MISTAKES for case in x.cases}
    for case in sorted(unseen):
        print(f"no mistake is made for: {case}")
    os.chdir(harness.ROOT)
    copy = mutation.Copy("torture-mutants", "Sources", ".ci", "Makefile", "Package.swift")
    missed = sum(try_one(copy, x) for x in chosen)
    print(f"{len(chosen)} mistakes, {sum(len(x.cases) for x in chosen)} cases, {missed} unnoticed")
    return 1 if missed or unseen or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
