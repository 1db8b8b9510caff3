# Both ends of connections, with bytes that tell where in which stream they belong, so that what is
# lost, doubled or in another's place is seen; and how each stream ended.
import contextlib
import random
import socket
import struct
import threading
import time

PERIOD = 65_521  # a prime: no lost page or buffer is a multiple of it
PIECE = 1 << 18
_bytes = memoryview(random.Random(7).randbytes(PERIOD) * (PIECE // PERIOD + 2))
HEADER = struct.Struct("<cxxxIQQ")
# Write and read; send back; never read; read, and write nothing.
BOTH, ECHO, HOLD, READ = b"b", b"e", b"h", b"r"
PATIENCE = 60
ENDLESS = 1 << 50


def coded(number, direction, position, count):
    """`count` bytes, PIECE at most, of one direction of one connection."""
    start = (number * 7919 + (31 if direction == "down" else 0) + position) % PERIOD
    return _bytes[start:start + count]


class End:
    """What an end has read, and how its reading ended: `fin`, `reset` or `silence`."""

    def __init__(self, expected):
        self.expected = expected
        self.received = 0
        self.is_right = True
        self.how = None
        self.at = None  # when, by time.monotonic()
        # Who writes to the same socket: the kernel tells of a reset once, and perhaps the writer.
        self.writer = None
        self.writer_was_reset = False

    def is_whole(self):
        return self.is_right and self.received == self.expected and self.how == "fin"

    def is_honest(self):
        """An orderly end only where all is there, and no byte that does not belong."""
        return self.is_right and (self.how == "reset" or self.is_whole())

    def __str__(self):
        wrong = "" if self.is_right else ", WRONG BYTES"
        return f"{self.received} of {self.expected}, {self.how}{wrong}"


def read_all(one, number, direction, end, pause=None):
    """Reads to the stream's end. `pause` is called before each read."""
    try:
        while True:
            if pause:
                pause()
            piece = one.recv(PIECE)
            if not piece:
                how = "fin"
                break
            if piece != coded(number, direction, end.received, len(piece)):
                end.is_right = False
            end.received += len(piece)
    except TimeoutError:
        how = "silence"
    except OSError:
        how = "reset"
    end.at = time.monotonic()
    if end.writer and how == "fin":
        end.writer.join(PATIENCE)
    end.how = "reset" if end.writer_was_reset else how


def write_all(one, number, direction, count, piece=PIECE, end=None):
    """Writes it, and ends the stream; false if the other end is gone."""
    sent = 0
    try:
        while sent < count:
            sent += one.send(coded(number, direction, sent, min(piece, count - sent)))
        one.shutdown(socket.SHUT_WR)
        return True
    except ConnectionResetError:
        # Had an end come before, this would be EPIPE (tcp_reset in tcp_input.c).
        if end:
            end.writer_was_reset = True
        return False
    except OSError:
        return False


def begin_writing(one, number, direction, count, end, piece=PIECE):
    """As `write_all`, beside whoever reads `end`."""
    end.writer = threading.Thread(
        target=write_all, args=(one, number, direction, count, piece, end), daemon=True)
    end.writer.start()


class Target:
    """A server that does what each connection's header says, and knows how each one ended."""

    def __init__(self, address="127.0.0.1", make=socket.socket, pause=None, buffer=None):
        self.listener = make()
        if buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, 0))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        self.ends = {}
        self.held = []
        self.pause = pause
        self.accepted = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.held:
            one.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                one, _ = self.listener.accept()
                self.accepted += 1
                threading.Thread(target=self._attend, args=(one,), daemon=True).start()

    def _attend(self, one):
        one.settimeout(PATIENCE)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            header = one.recv(HEADER.size, socket.MSG_WAITALL)
            if len(header) < HEADER.size:
                return one.close()
            mode, number, up, down = HEADER.unpack(header)
            if mode == ECHO:
                echo(one)
            elif mode == HOLD:
                self.held.append(one)
                return None
            elif mode == READ:
                end = self.ends[number] = End(up)
                read_all(one, number, "up", end)
            else:
                end = self.ends[number] = End(up)
                exchange(one, number, end, "up", "down", down, self.pause)
        return one.close()

    def end_of(self, number, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            end = self.ends.get(number)
            if end and end.how:
                return end
            time.sleep(0.002)
        return self.ends.get(number) or End(0)


def exchange(one, number, end, reads, writes, count, pause=None, piece=PIECE):
    """Writes one direction while it reads the other, each to its end."""
    begin_writing(one, number, writes, count, end, piece)
    read_all(one, number, reads, end, pause)
    end.writer.join(PATIENCE)


def echo(one):
    one.settimeout(None)
    while message := one.recv(65536):
        one.sendall(message)


def call(port, mode, number=0, up=0, down=0, make=socket.socket, address="127.0.0.1"):
    """A connection whose header is on its way."""
    one = silent_call(port, make, address)
    one.sendall(HEADER.pack(mode, number, up, down))
    return one


def silent_call(port, make=socket.socket, address="127.0.0.1"):
    """One that says nothing: no byte of it lies unread, for which its kernel would be told of a
    reset whatever the daemon does."""
    one = make()
    one.settimeout(PATIENCE)
    one.connect((address, port))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def transfer(target, port, number, up, down, piece=PIECE, **where):
    """Moves bytes both ways at the same time. What client and target have read."""
    end = End(down)
    try:
        with call(port, BOTH, number, up, down, **where) as one:
            exchange(one, number, end, "down", "up", up, piece=piece)
    except OSError:
        end.how = "reset"
    return end, target.end_of(number, 10)


class Chat(threading.Thread):
    """Messages there and back, one after the other, until `stop`; each is timed."""

    def __init__(self, port, size=64, **where):
        super().__init__(daemon=True)
        self.size = size
        self.seconds = []
        self.failure = None
        self.is_over = False
        self.one = call(port, ECHO, **where)
        self.start()

    def run(self):
        turn = 0
        try:
            while not self.is_over:
                message = bytes(coded(turn, "up", 0, self.size))
                begun = time.monotonic()
                self.one.sendall(message)
                if self.one.recv(self.size, socket.MSG_WAITALL) != message:
                    self.failure = f"message {turn} came back wrong"
                    return
                self.seconds.append(time.monotonic() - begun)
                turn += 1
        except OSError as error:
            self.failure = f"message {turn}: {error}"

    def wait_for(self, more, seconds=20):
        """That many messages from now on; false if it fails."""
        wanted = len(self.seconds) + more
        deadline = time.monotonic() + seconds
        while len(self.seconds) < wanted:
            if self.failure or time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return True

    def stop(self):
        self.is_over = True
        self.join(PATIENCE)
        self.one.close()
        return self.failure
