# Faults in the system calls of chosen threads of a running daemon: strace attaches, injects, and
# leaves when asked to, so that start, sandbox and rest are untouched by it.
import contextlib
import os
import re
import signal
import subprocess

import harness
from verdicts import NotHere


class Trace:
    """`faults` is strace's `CALL,CALL:error=…`; from here to the end of the `with` block."""

    def __init__(self, daemon, thread, *faults):
        self.folder = harness.folder()
        self.file = f"{self.folder}/calls"
        calls = ",".join(f"?{x}" for fault in faults for x in fault.split(":")[0].split(","))
        words = ["strace", "-o", self.file, "-e", f"trace={calls}"]
        for fault in faults:
            names, _, what = fault.partition(":")
            known = ",".join(f"?{x}" for x in names.split(","))
            words += ["-e", f"inject={known}:{what}"] if what else []
        self.threads = harness.threads(daemon.pid, thread)
        for thread_id in self.threads:
            words += ["-p", str(thread_id)]
        self.process = harness.start(*words, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        for _ in self.threads:
            said = self.process.stderr.readline()
            if " attached" not in said:
                self.end()
                raise NotHere(f"strace cannot attach: {said.strip()}")
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            harness.end(self.process, signal.SIGINT)
        self.process.stderr.close()

    def text(self):
        with open(self.file, encoding="utf-8", errors="replace") as file:
            return file.read()

    def injected(self):
        return len(re.findall(r"\((?:INJECTED|DELAYED)\)", self.text()))

    def wait_for(self, count, seconds=20):
        return harness.wait_until(
            lambda: self.injected() >= count, seconds, f"{count} injected faults", 0.005)


def missing():
    """Why there are no faults to be had here, if so."""
    sleeper = harness.start("sleep", "60")
    try:
        probe = harness.start(
            "strace", "-o", os.devnull, "-p", str(sleeper.pid), stderr=subprocess.PIPE, text=True)
        said = probe.stderr.readline()
        harness.end(probe, signal.SIGINT)
        probe.stderr.close()
        return None if " attached" in said else f"ptrace is not permitted: {said.strip()}"
    except FileNotFoundError:
        return "strace is missing"
    finally:
        harness.end(sleeper)
