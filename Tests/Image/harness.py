# Programs, temporary folders, ports and servers for the tests; everything here ends with them.
import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
figures = []
not_run = set()
_running = []
_folders = []


def figure(name, value):
    figures.append((name, value))


def path(*parts):
    return os.path.join(ROOT, *parts)


def tool(name):
    """One of requirements.txt's programs."""
    return os.path.join(os.path.dirname(sys.executable), name)


def text_of(*parts):
    with open(path(*parts), encoding="utf-8") as file:
        return file.read()


def folder():
    made = tempfile.mkdtemp(prefix="sidecar-image-test-")
    _folders.append(made)
    return made


class Outcome:
    def __init__(self, code, out, errors, seconds):
        self.code, self.out, self.errors, self.seconds = code, out, errors, seconds

    def __str__(self):
        return f"exit code {self.code}\n{self.out[-6000:]}\n{self.errors[-6000:]}"


def run(*command, wanted=0, timeout=300, **options):
    """Runs a program to its end. `wanted` is its exit code, or None for any."""
    options.setdefault("cwd", ROOT)
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, timeout=timeout, check=False,
        stdin=options.pop("stdin", subprocess.DEVNULL) if "input" not in options else None,
        text=True, errors="replace", **options)
    outcome = Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
    if wanted is not None and outcome.code != wanted:
        raise AssertionError(f"{' '.join(command)}: wanted {wanted}: {outcome}")
    return outcome


def start(*command, **options):
    """Starts a program that is ended after the tests, at the latest."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    _running.append(process)
    return process


def end(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(condition, seconds, what):
    """Waits for a condition and returns what it returned; `seconds` is generous."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def end_all():
    for process in _running:
        end(process)
    for made in _folders:
        shutil.rmtree(made, ignore_errors=True)


atexit.register(end_all)
