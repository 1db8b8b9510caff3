# Runs the cases, shows each figure beside its bound, and ends with 1 if one does not hold.
# Usage: main.py [--slice] [NAME ...]: all cases, or those whose names begin with a word
import os
import signal
import sys
import time

import harness

import beside
import register
import verdicts
# Each of these registers its cases.
import syscalls, network, output, crowds, abuse

# No case is begun after that: all of it takes less than ten minutes.
LIMIT_SECONDS = 9 * 60


def chosen(words):
    in_slice = "--slice" in words
    names = [x for x in words if not x.startswith("--")]
    return [x for x in register.CASES if (x.in_slice or not in_slice)
            and (not names or any(x.name.startswith(name) for name in names))]


def run(wanted, found, spent, is_late):
    """First those that may run beside others: their processes are made while there is no thread."""
    for one in wanted:
        register.missing(one)  # is found out once, for all
    for one, rows, seconds in beside.run([x for x in wanted if not x.alone], is_late):
        found.take(rows)
        spent.append((seconds, one.name))
    for one in wanted:
        found.case, started = one.name, time.monotonic()
        if one.alone and not is_late():
            register.run(one, found)
            spent.append((time.monotonic() - started, one.name))
    for one in wanted:
        if one.name not in (name for _, name in spent):
            found.case = one.name
            found.not_run(f"{LIMIT_SECONDS // 60} minutes are over")


def main():
    os.chdir(harness.ROOT)
    sys.stdout.reconfigure(line_buffering=True)
    # What was made is removed whatever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = chosen(sys.argv[1:])
    if not wanted:
        raise SystemExit("no such case; there are:\n" + "\n".join(x.name for x in register.CASES))
    began = time.monotonic()
    found, spent = verdicts.Verdicts(), []
    try:
        run(wanted, found, spent, lambda: time.monotonic() - began > LIMIT_SECONDS)
    finally:
        harness.end_all()
    print(f"\n{verdicts.table(found.rows)}\n")
    print("longest: " + ", ".join(
        f"{name} {seconds:.0f} s" for seconds, name in sorted(spent, reverse=True)[:6]))
    failed = sorted({x.case for x in found.failed()})
    not_run = {x.case: x.figure for x in found.rows
               if x.verdict == "NOT RUN" and x.case not in failed}
    for name, reason in not_run.items():
        print(f"NOT RUN HERE: {name}: {reason}")
    passed = len(wanted) - len(failed) - len(not_run)
    print(f"torture: {passed} cases passed, {len(failed)} failed, {len(not_run)} not run, "
          f"{time.monotonic() - began:.0f} s")
    for name in failed:
        print(f"FAILED: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
