# What a forwarder does about its own work: probes, its own end, a log that nobody reads, and limits
# of descriptors and pipes.
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time

import harness
from forwarder import UNPRIVILEGED, prefix
from scene import (
    PATIENCE, QUESTION, Background, Echo, Received, Scene, asks, send_pieces, talk, waits_for)

PROBES = 100
PROBE_SECONDS = 0.003  # one that was kept from closing for longer was no `nc -z`
DRAINED = 2  # seconds from the last transfer's end to the program's
LOGGED = 800  # connections: more than anybody's buffers hold lines for
DESCRIPTORS, FLOOD, HELD = 256, 300, 5
PACE = 0.002  # seconds: nobody's backlog is too short for it
WATCHED, SPIN = 1.5, 0.5  # seconds; of one CPU
PIECES, COLLAPSED = 32, 4


def probes(peer):
    """Clients that connect and close at once, as `nc -z` and TCP health checks do."""
    with Scene(peer) as scene, Echo(scene.target) as echo:
        slow = sum(_probe(scene.way.port) > PROBE_SECONDS for _ in range(PROBES))
        time.sleep(0.3)
        # Still awake, and what it was to do before is done.
        if not asks(scene.client(), PATIENCE):
            raise RuntimeError("an ordinary client is not served")
        reached = echo.accepted - 1
    return "yes" if reached <= slow else f"{'all' if reached >= PROBES - slow else 'some'} reach it"


def _probe(port):
    began = time.monotonic()
    socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    return time.monotonic() - began


def drain(peer, by=signal.SIGTERM):
    """It is told to stop while bytes are on the way, in both directions."""
    with Scene(peer) as scene:
        down, up = scene.pair(), scene.pair()
        sending = [Background(lambda: send_pieces(down[1], PIECES)),
                   Background(lambda: send_pieces(up[0], PIECES))]
        time.sleep(0.2)
        if not all(x.is_alive() for x in sending):
            raise RuntimeError("nothing is under way: buffers took it all")
        os.kill(scene.way.process.pid, by)
        accepts = not peer.is_given_socket and not waits_for(
            lambda: scene.way.has_ended() or not harness.accepts(scene.way.port), DRAINED)
        scene.target.close()  # who asked in time and is gone was passed on: nobody takes it there
        time.sleep(0.5)
        is_first = scene.way.has_ended()
        reading = Background(lambda: Received(down[0]).is_whole(PIECES))
        is_whole = Received(up[1]).is_whole(PIECES) & bool(reading.wait())
        for end in (*down, *up):
            end.close()
        for work in sending:
            work.wait()
        if not is_whole:
            return "cuts transfers"
        if is_first:
            return "exits before them"
        if accepts:
            return "goes on accepting"
        return "yes" if waits_for(scene.way.has_ended, DRAINED) else "does not exit"


class StalledPipe:
    """A log that nobody reads, of a page."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)

    def lines(self):
        """What found room."""
        os.set_blocking(self.reader, False)
        try:
            return os.read(self.reader, 65536).count(b"\n")
        except BlockingIOError:
            return 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.reader)
        os.close(self.writer)


class StalledSyslog:
    """A system log's socket that nobody reads."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.chmod(path, 0o777)
        self.writer = None

    def lines(self):
        self.socket.setblocking(False)
        count = 0
        try:
            while self.socket.recv(65536):
                count += 1
        except BlockingIOError:
            return count

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def stalled_log(peer):
    """It writes a line or more for each connection, and nobody reads them."""
    folder = harness.folder()
    os.chmod(folder, 0o755)
    is_syslog = "{names}" in peer.configuration
    log = StalledSyslog(f"{folder}/log") if is_syslog else StalledPipe()
    # The log is closed first: who waits for it can be ended then.
    with Scene(peer, output=log.writer, names=f"{folder}/log") as scene, log:
        held = scene.pair()
        with Echo(scene.target):
            for _ in range(LOGGED):
                try:
                    with socket.create_connection(("127.0.0.1", scene.way.port), 2) as client:
                        if not asks(client, 2):
                            return "forwarding stops"
                except OSError:
                    return "forwarding stops"
        talk(*held)
        lines = log.lines()
    if lines > LOGGED // 2:
        raise RuntimeError(f"the log has taken {lines} lines")
    return "yes" if lines else "no log"


def descriptors(peer):
    """More clients than it has descriptors for, and then fewer again."""
    wrapper = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")
    with Scene(peer, wrapper=wrapper) as scene, Echo(scene.target):
        held = [scene.client() for _ in range(HELD)]
        if not all(asks(x, PATIENCE) for x in held):
            raise RuntimeError("it serves nobody")
        flood = _asking(scene, FLOOD)
        time.sleep(1)
        if scene.way.has_ended():
            return "ends", "no"
        before = scene.way.cpu_seconds()
        time.sleep(WATCHED)
        spins = (scene.way.cpu_seconds() - before) / WATCHED > SPIN
        lives = all(asks(x, PATIENCE) for x in held)
        dropped = sum(_was_dropped(x) for x in flood)
        for client in flood:
            client.close()
        recovers = waits_for(lambda: asks(scene.client(), 1), 2 * PATIENCE)
    return _at_the_limit(lives, spins, recovers), "dropped" if dropped else "yes"


def _at_the_limit(lives, spins, recovers):
    if not lives:
        return "established ones hang"
    if not recovers:
        return "does not recover"
    return "spins" if spins else "yes"


def _asking(scene, count):
    """So many clients; some are not connected as long as nobody accepts them."""
    clients = []
    for _ in range(count):
        clients.append(socket.socket())
        clients[-1].setblocking(False)
        clients[-1].connect_ex(("127.0.0.1", scene.way.port))
        time.sleep(PACE)
    for client in clients:
        with contextlib.suppress(OSError):
            client.send(QUESTION)
    scene.ends += clients
    return clients


def _was_dropped(client):
    try:
        return client.recv(len(QUESTION)) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


class QuotaHolder:
    """Pipes of the unprivileged user's, until it may have none larger than two pages."""

    PROGRAM = """\
import fcntl, os, resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held, size = [], 1 << 20
while size > 8192:
    held.append(os.pipe())
    try:
        fcntl.fcntl(held[-1][0], fcntl.F_SETPIPE_SZ, size)
    except PermissionError:
        size //= 2
while fcntl.fcntl(held[-1][0], fcntl.F_GETPIPE_SZ) > 8192:
    held.append(os.pipe())
print("held", flush=True)
os.read(0, 1)
"""

    def __enter__(self):
        self.process = subprocess.Popen(
            [*prefix(UNPRIVILEGED), sys.executable, "-c", self.PROGRAM], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"held\n":
            raise RuntimeError("the quota for pipes cannot be used up")

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def pipe_quota(peer):
    """An unprivileged user's pipes are used up; the speed is compared with that of before."""
    with Scene(peer, UNPRIVILEGED) as scene:
        free = min(_transfer(scene) for _ in range(2))
    with QuotaHolder(), Scene(peer, UNPRIVILEGED) as scene:
        short = min(_transfer(scene) for _ in range(2))
    if short is None or short > 2 * PATIENCE:
        return "stalls"
    return "yes" if short < COLLAPSED * free else f"over {COLLAPSED} times slower"


def _transfer(scene):
    """The seconds that it takes to the client, whole."""
    client, upstream = scene.pair()
    began = time.monotonic()
    sending = Background(lambda: send_pieces(upstream, PIECES))
    if not Received(client).is_whole(PIECES):
        raise RuntimeError("bytes are missing")
    sending.wait()
    return time.monotonic() - began
