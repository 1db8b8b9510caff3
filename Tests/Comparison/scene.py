# What a case is made of: a peer at work between clients and a target, both of this program, and
# what either of them gets to see of the other.
import os
import selectors
import socket
import struct
import threading
import time
import zlib

import harness
from forwarder import Forwarder, users

MEBIBYTE = 1 << 20
PIECE = bytes((x * x + x // 251) % 256 for x in range(MEBIBYTE))
# Longer than what a forwarder looks at before it decides what a client speaks.
QUESTION, ANSWER = b"question", b"answered"
PATIENCE = 5  # seconds: for what must come, on a machine that others keep busy
ENDED, RESET, SILENT = "ended", "reset", "silent"


def reset(end):
    """Closes it with a reset instead of an end (socket(7), SO_LINGER)."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def fill(end):
    """Sends until nothing more fits anywhere on the way; how many bytes."""
    sent, deadline = 0, time.monotonic() + PATIENCE
    end.settimeout(0.3)
    while time.monotonic() < deadline:
        try:
            sent += end.send(PIECE)
        except TimeoutError:
            return sent
    raise RuntimeError("nobody reads, and still everything is taken")


class Received:
    """What came until a stream's end, and what that was."""

    def __init__(self, end, patience=PATIENCE):
        self.count, self.sum = 0, 0
        buffer = memoryview(bytearray(MEBIBYTE // 4))
        end.settimeout(patience)
        try:
            while count := end.recv_into(buffer):
                self.count += count
                self.sum = zlib.crc32(buffer[:count], self.sum)
            self.end = ENDED
        except ConnectionResetError:
            self.end = RESET
        except TimeoutError:
            self.end = SILENT

    def is_whole(self, count, ending=ENDED):
        """So many pieces, each byte in its place, and then that end."""
        wanted = 0
        for _ in range(count):
            wanted = zlib.crc32(PIECE, wanted)
        return (self.count, self.sum, self.end) == (count * MEBIBYTE, wanted, ending)


class Background(threading.Thread):
    """A reader or writer beside others; a broken connection is for its other end to tell."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.result = work, None
        self.start()

    def run(self):
        try:
            self.result = self.work()
        except OSError:
            pass

    def wait(self, seconds=4 * PATIENCE):
        self.join(seconds)
        return self.result


def send_pieces(end, count):
    end.settimeout(4 * PATIENCE)
    for _ in range(count):
        end.sendall(PIECE)
    end.shutdown(socket.SHUT_WR)


class Scene:
    """A peer between a listening target and clients; `more` goes to the forwarder."""

    def __init__(self, peer, user=users()[0], wrapper=(), output=None, **more):
        self.target = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.target.settimeout(PATIENCE)
        self.ends, self.output = [], output
        self.way = Forwarder(peer, user, self.target.getsockname()[1], wrapper, **more)

    def __enter__(self):
        try:
            self.way.start(self.output)
            self.way.wait_until_listening()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for end in self.ends:
            end.close()
        self.target.close()
        self.way.end()

    def client(self):
        self.ends.append(socket.create_connection(("127.0.0.1", self.way.port), PATIENCE))
        return self.ends[-1]

    def pair(self):
        """A connection, as both of its ends have it: they have heard of each other."""
        client = self.client()
        client.sendall(QUESTION)
        upstream = self.target.accept()[0]
        self.ends.append(upstream)
        upstream.settimeout(PATIENCE)
        talk(client, upstream, is_first=True)
        return client, upstream


def talk(client, upstream, is_first=False):
    """A question and its answer."""
    if not is_first:
        client.sendall(QUESTION)
    if upstream.recv(len(QUESTION), socket.MSG_WAITALL) != QUESTION:
        raise RuntimeError("the target got other bytes")
    upstream.sendall(ANSWER)
    if client.recv(len(ANSWER), socket.MSG_WAITALL) != ANSWER:
        raise RuntimeError("the client got other bytes")


class Echo:
    """A target that sends back what it gets, and ends when its client does."""

    def __init__(self, listener):
        self.accepted, self.selector = 0, selectors.DefaultSelector()
        listener.setblocking(False)
        self.listener = listener
        self.selector.register(listener, selectors.EVENT_READ)
        self.waker, self.wakes = os.pipe()
        self.selector.register(self.waker, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        os.write(self.wakes, b".")
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket) and key.fileobj is not self.listener:
                key.fileobj.close()
        self.selector.close()
        os.close(self.waker)
        os.close(self.wakes)

    def _serve(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj == self.waker:
                    return
                if key.fileobj is self.listener:
                    self._accept()
                else:
                    self._answer(key.fileobj)

    def _accept(self):
        try:
            end = self.listener.accept()[0]
        except OSError:  # it has left meanwhile
            return
        self.accepted += 1
        end.setblocking(False)
        self.selector.register(end, selectors.EVENT_READ)

    def _answer(self, end):
        try:
            said = end.recv(4096)
            if said:
                end.send(said)
                return
        except OSError:
            pass
        self.selector.unregister(end)
        end.close()


def asks(end, seconds=1):
    """Whether the echo answers in that time."""
    end.settimeout(seconds)
    try:
        end.sendall(QUESTION)
        return end.recv(len(QUESTION), socket.MSG_WAITALL) == QUESTION
    except OSError:
        return False


def waits_for(condition, seconds, pause=0.01):
    try:
        harness.wait_until(condition, seconds, "", pause)
        return True
    except AssertionError:
        return False
