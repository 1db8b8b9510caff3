# The load generator: its far end for one measurement at a time, and its runs.
import json
import subprocess

import harness

PROGRAM = harness.path(".build", "bench", "release", "Load")
# Setting up and ending thousands of connections through a slow forwarder takes that long.
PATIENCE = 30
NO_END = "no end within"


class Server:
    """The target of a measurement. Each has its own: none inherits another's sockets."""

    def __init__(self):
        self.port = harness.free_port()
        self.process = harness.start(
            PROGRAM, "serve", "--port", str(self.port), stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        if said.split()[:2] != ["listening", "on"]:
            harness.end(self.process)
            raise RuntimeError(f"Load does not serve: {said!r}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        harness.end(self.process)
        self.process.stdout.close()


def arguments(case, port, seconds, **options):
    more = [str(x) for name, value in options.items() for x in (f"--{name}", value)]
    return [PROGRAM, "run", case, "--port", str(port), "--seconds", str(seconds), *more]


def run(case, port, seconds, **options):
    """What a run reports; `failure` says why it reports nothing."""
    try:
        said = harness.run(*arguments(case, port, seconds, **options), wanted=None,
                           timeout=seconds + PATIENCE)
    except subprocess.TimeoutExpired:
        return {"failure": f"{NO_END} {seconds + PATIENCE} s"}
    return report(said.code, said.out, said.errors)


def report(code, out, errors):
    if code != 0:
        return {"failure": errors.strip()[-200:] or f"exit code {code}"}
    try:
        return json.loads(out)
    except ValueError:
        return {"failure": f"no JSON: {out[:80]!r}"}
