# The shipped binary as it is tortured: started, looked at from outside through /proc, asked by its
# own commands, and ended.
import contextlib
import json
import os
import re
import signal
import time

import harness

BINARY = os.environ.get("SIDECAR_BINARY") or harness.path(".build", "sidecar")
# Descriptors and memory come to rest a second or two after the last connection (pipes are kept).
REST_SECONDS = 15


class Daemon:
    """Runs until its `with` block ends. `out` takes its log where that is not to be a file."""

    def __init__(self, target=None, wrapper=(), out=None, **variables):
        self.port = harness.free_port()
        # Its commands run as it does: a network has abstract sockets of its own.
        self.wrapper = wrapper
        self.folder = harness.folder()
        os.chmod(self.folder, 0o755)
        self.log_file = f"{self.folder}/log"
        values = {"LISTEN_HOST": "127.0.0.1", "DRAIN_TIMEOUT": "2s", "SANDBOX": "on",
                  "WORKERS": 2}
        if "FORWARDS" not in variables:
            values.update(LISTEN_PORT=self.port, TARGET_HOST="127.0.0.1", TARGET_PORT=target)
        values.update(variables)
        self.environment = {name: str(value) for name, value in values.items()}
        own = None
        if out is None:
            own = out = open(self.log_file, "wb")
        self.process = harness.start(
            *wrapper, BINARY, stdout=out, stderr=out, cwd=harness.ROOT,
            env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", **self.environment})
        if own:
            own.close()
        self.pid = self.process.pid

    def __enter__(self):
        try:
            harness.wait_until(self._has_started, 20, "the daemon's start", 0.005)
            # The one that asked may still have its place.
            self.base_descriptors = min(self._descriptors_in(0.05))
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def _has_started(self):
        if self.has_ended():
            raise AssertionError(f"the daemon does not start: {self.log()[-500:]}")
        return self.health().code == 0

    def end(self):
        harness.end(self.process, signal.SIGTERM)
        harness.remove(self.folder)

    def stop(self):
        """Its exit code, after SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)
        harness.wait_until(self.has_ended, 20, "the daemon's end", 0.01)
        return self.process.wait()

    # What it says.

    def log(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self.log_file, encoding="utf-8", errors="replace") as file:
                return file.read()
        return ""

    def lines(self, words):
        return [x for x in self.log().splitlines() if words in x]

    def wait_for_line(self, words, seconds=10):
        return harness.wait_until(lambda: self.lines(words), seconds, f"{words} in the log", 0.01)

    def ask(self, *words):
        return harness.run(*self.wrapper, BINARY, *words, wanted=None, timeout=20,
                           env=self.environment)

    def health(self):
        return self.ask("health")

    def status(self):
        said = self.ask("status", "--json")
        if said.code != 0:
            raise AssertionError(f"status: {said}")
        return json.loads(said.out)

    # What it is, from outside.

    def has_ended(self):
        return harness.has_ended(self.process)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _descriptors_in(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            yield self.descriptors()
            time.sleep(0.005)

    def memory(self):
        """The resident set, in KiB."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(x.split()[1]) for x in file if x.startswith("Rss:"))

    def wakeups(self):
        """How often its threads were given a CPU so far."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(FileNotFoundError):
                with open(f"/proc/{self.pid}/task/{task}/status", encoding="ascii") as file:
                    total += sum(int(x) for x in re.findall(r"ctxt_switches:\s+(\d+)", file.read()))
        return total

    # At rest.

    def is_at_rest(self):
        return self.descriptors() == self.base_descriptors

    def judge_rest(self, verdicts):
        """Alive, every descriptor given back, and neither turning nor waking for nothing."""
        if self.has_ended():
            return verdicts.check("the daemon", "has ended", "alive", False)
        with contextlib.suppress(AssertionError):
            harness.wait_until(self.is_at_rest, REST_SECONDS, "rest", 0.02)
        verdicts.equal("descriptors at rest", self.descriptors(), self.base_descriptors)
        before = self.wakeups()
        time.sleep(0.4)  # nothing is waited for: nothing may happen
        return verdicts.at_most("wakeups in 0.4 s at rest", self.wakeups() - before, 20)
