# One peer at work: started under a user's account, measured from outside, and ended. Its processes
# are those of its session: no peer leaves it, and what it forks stays in it.
import contextlib
import os
import shlex
import signal
import socket

import harness
from peers import BACKLOG

NOBODY = 65534
ROOT_USER, UNPRIVILEGED = "root", "unprivileged"
TICKS = os.sysconf("SC_CLK_TCK")
PERIOD = 10_000_000  # nanoseconds, of which a held thread gets its share
LISTEN, ESTABLISHED = "0A", "01"


def users():
    """Under whose accounts this run can start a forwarder."""
    return (ROOT_USER, UNPRIVILEGED) if os.geteuid() == 0 else (UNPRIVILEGED,)


def prefix(user):
    """What starts a program as that user. An unprivileged one may have a runner of its own."""
    if user == ROOT_USER or os.geteuid() != 0:
        return ()
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def connections(port, state):
    """How many sockets on the loopback have that local port and state."""
    wanted = f":{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as file:
        fields = (line.split(None, 4) for line in file)
        return sum(1 for x in fields if x[3] == state and x[1].endswith(wanted))


def session(leader):
    """The processes of a session, with their fields from the state on (proc(5), stat)."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            found[int(name)] = fields
    return found


def cpu_seconds(leader):
    """Of a session's processes, and of those that have ended and were waited for by them."""
    return sum(int(x) for fields in session(leader).values() for x in fields[11:15]) / TICKS


def proportional_set_size(leader):
    """In bytes: a page that n processes share counts 1/n for each of them."""
    total = 0
    for process in session(leader):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has just ended
            with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total * 1024


def sockets_per_poller(process):
    """How many sockets each epoll instance of a process watches."""
    folder = f"/proc/{process}"
    links = {x: os.readlink(f"{folder}/fd/{x}") for x in os.listdir(f"{folder}/fd")}
    counts = []
    for number, link in links.items():
        if link != "anon_inode:[eventpoll]":
            continue
        with open(f"{folder}/fdinfo/{number}", encoding="ascii") as file:
            watched = [line.split()[1] for line in file if line.startswith("tfd:")]
        counts.append(sum(1 for x in watched if links.get(x, "").startswith("socket:")))
    return counts


class Forwarder:
    """A peer, ready to start; `wrapper` is a program to run it in, for example strace. `places` are
    those of its settings that only the caller knows."""

    def __init__(self, peer, user, target, wrapper=(), **places):
        self.peer, self.target = peer, target
        self.folder, self.port = harness.folder(), harness.free_port()
        self.process = self.listener = None
        command, variables, configuration = peer.settings(
            port=self.port, target=target, folder=self.folder, **places)
        with open(f"{self.folder}/configuration", "w", encoding="utf-8") as file:
            file.write(configuration)
        if prefix(user):
            os.chown(self.folder, NOBODY, NOBODY)
        if peer.is_given_socket:
            command = self._with_listener(command)
        self.command = (*prefix(user), *wrapper, *command)
        self.environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", **variables}

    def _with_listener(self, command):
        """As a socket unit with NoDelay= would have it (sd_listen_fds(3))."""
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=BACKLOG)
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.listener.setblocking(False)
        script = (f"export LISTEN_PID=$$ LISTEN_FDS=1; exec {shlex.join(command)} "
                  f"3<&{self.listener.fileno()}")
        # Debian's sh understands descriptors of one digit alone.
        return ("sh" if self.listener.fileno() < 10 else "bash", "-c", script)

    def start(self, output=None):
        """`output` takes what it says, instead of a file."""
        with open(f"{self.folder}/log", "wb") as log:
            said = log if output is None else output
            self.process = harness.start(
                *self.command, stdout=said, stderr=said, env=self.environment, cwd=harness.ROOT,
                pass_fds=(self.listener.fileno(),) if self.listener else ())

    def wait_until_listening(self):
        try:
            harness.wait_until(
                lambda: self.has_ended() or connections(self.port, LISTEN), 10, "listening", 0.002)
        except AssertionError:
            pass
        if self.has_ended() or not connections(self.port, LISTEN):
            raise RuntimeError(f"{self.peer.name} does not start: {self.log()}")

    def has_ended(self):
        return harness.has_ended(self.process)

    def log(self):
        """The end of what it said."""
        with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as file:
            return file.read()[-500:].strip()

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def memory(self):
        return proportional_set_size(self.process.pid)

    def hold(self, name, share):
        """Its threads of that name get so much of a CPU each and no more (sched(7),
        SCHED_DEADLINE); root may ask for it."""
        for thread in harness.threads(self.process.pid, name):
            harness.run("chrt", "--deadline", "--sched-runtime", str(int(share * PERIOD)),
                        "--sched-deadline", str(PERIOD), "--sched-period", str(PERIOD),
                        "--pid", "0", str(thread))

    def end_traced(self):
        """Ends what runs below its wrapper, which then ends by itself, its work done."""
        for process, fields in session(self.process.pid).items():
            if int(fields[1]) == self.process.pid:
                os.kill(process, signal.SIGTERM)
        harness.wait_until(self.has_ended, 20, f"the end of {self.peer.name} under trace", 0.01)

    def end(self):
        if self.listener:
            self.listener.close()
        if self.process:
            harness.end(self.process)
        harness.remove(self.folder)

    def __enter__(self):
        try:
            self.start()
            self.wait_until_listening()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()


class Direct:
    """No forwarder: the target's own port."""

    def __init__(self, target):
        self.port = target

    def cpu_seconds(self):
        return None

    def has_ended(self):
        return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def between(peer, user, target):
    """To be entered: starts the peer, waits until it listens, and ends it."""
    return Forwarder(peer, user, target) if peer.command else Direct(target)
