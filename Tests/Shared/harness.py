# Programs, temporary folders, ports and servers for what tests and measures from outside; all of
# it ends with whoever started it.
import atexit
import contextlib
import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Debian keeps the programs of each major version of PostgreSQL apart, and most are not in PATH.
POSTGRESQL = (sorted(glob.glob("/usr/lib/postgresql/*/bin")) or ["/usr/bin"])[-1]
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
    made = tempfile.mkdtemp(prefix="sidecar-test-")
    _folders.append(made)
    return made


def remove(made):
    """A folder that is no longer needed, before the end."""
    _folders.remove(made)
    shutil.rmtree(made, ignore_errors=True)


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


def has_ended(process):
    """Without waiting for it: while nobody has, its number is nobody else's."""
    return process.returncode is not None or os.waitid(
        os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def end(process, by=signal.SIGTERM):
    """Ends a started program, and then what it leaves behind in its process group."""
    if process.returncode is None:
        os.killpg(process.pid, by)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: has_ended(process), 10, "its end", 0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process in _running:
        _running.remove(process)


def threads(process, name):
    """The numbers of a process's threads of that name."""
    found = []
    for task in os.listdir(f"/proc/{process}/task"):
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            with open(f"/proc/{process}/task/{task}/comm", encoding="utf-8") as file:
                if file.read().strip() == name:
                    found.append(int(task))
    return found


def free_port():
    """Below the ports that the kernel gives to outgoing connections: none of these takes it."""
    while True:
        port = random.randrange(10000, 32768)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_until(condition, seconds, what, pause=0.1):
    """Waits for a condition and returns what it returned; `seconds` is generous."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def end_all():
    for process in list(_running):
        end(process)
    for made in _folders:
        shutil.rmtree(made, ignore_errors=True)


atexit.register(end_all)


def as_program(main):
    """Runs it so that however it ends, all that was started ends with it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    finally:
        end_all()
