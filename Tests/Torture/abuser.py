# One who means no good, as a process of its own: does one thing to a port until it is ended, and
# prints how often it did so.
# Usage: abuser.py KIND PORT [HOLD_PORT]: what leads to HOLD_PORT is accepted there and never read
import itertools
import random
import selectors
import signal
import socket
import struct
import sys
import time

from streams import BOTH, ENDLESS, HEADER, HOLD

NOW = struct.pack("ii", 1, 0)
# A thousand a second is asked for; more is tried, so that a busy machine reaches it too.
PACE = 1500


def connected(port):
    one = socket.create_connection(("127.0.0.1", port), 10)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def crowd(port, count):
    return [connected(port) for _ in range(count)]


def paced(act):
    """Does it PACE times a second; yields how often so far."""
    begun = time.monotonic()
    for done in itertools.count(1):
        act()
        ahead = done / PACE - (time.monotonic() - begun)
        if ahead > 0:
            time.sleep(ahead)
        yield done


def resets(port, _):
    """A byte, so that the target is asked for, and a reset."""
    def one_more():
        one = connected(port)
        one.sendall(b"x")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
        one.close()
    return paced(one_more)


def probes(port, _):
    return paced(lambda: connected(port).close())


def silent(port, _):
    """1,000 who say nothing, all at once, and again."""
    for done in itertools.count(1):
        held = crowd(port, 1000)
        yield done * 1000
        time.sleep(0.2)
        for one in held:
            one.close()


def unread(_, port):
    """Ask for everything and read nothing."""
    held = crowd(port, 50)
    for number, one in enumerate(held):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.sendall(HEADER.pack(BOTH, number, ENDLESS, ENDLESS))
    yield len(held)
    signal.pause()


def stuffed(_, port):
    """Send without end to a target that does not read."""
    return pushing(port, 0)


def urgent(_, port):
    """As that, and each piece ends in urgent data."""
    return pushing(port, socket.MSG_OOB)


def pushing(port, flags):
    held = crowd(port, 50)
    selector = selectors.DefaultSelector()
    piece = bytes(500 if flags else 65536)
    for number, one in enumerate(held):
        one.sendall(HEADER.pack(HOLD, number, 0, 0))
        one.setblocking(False)
        selector.register(one, selectors.EVENT_WRITE)
    done = 0
    while True:
        for key, _ in selector.select(1):
            try:
                done += key.fileobj.send(piece, flags)
            except BlockingIOError:
                pass
        yield done


def slow(port, _):
    """300 connections with one byte a second each."""
    held = crowd(port, 300)
    turns = itertools.cycle(held)
    for done in itertools.count(1):
        next(turns).sendall(random.randbytes(1))
        time.sleep(1 / len(held))
        yield done


def loris(port, _):
    """Slow ones who never finish their question, and come back whenever they are sent away."""
    held = [connected(port) for _ in range(64)]
    for done in itertools.count(1):
        for place, one in enumerate(held):
            try:
                one.sendall(b"G" if done == 1 else b"E")
            except OSError:
                one.close()
                held[place] = connected(port)
            yield done * len(held)
            time.sleep(1 / len(held))


KINDS = {x.__name__: x for x in (
    resets, probes, silent, unread, stuffed, urgent, slow, loris)}


def main():
    kind, port = sys.argv[1], int(sys.argv[2])
    hold = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    said = 0
    for done in KINDS[kind](port, hold):
        if time.monotonic() - said > 0.05:
            said = time.monotonic()
            print(done, flush=True)


if __name__ == "__main__":
    main()
