# Tests the load generator itself: that it finds nothing wrong where nothing is, and does find what
# a bad forwarder does. Wants .build/bench/release/Load (`make test-bench` builds it).
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOAD = os.path.join(ROOT, ".build", "bench", "release", "Load")
CASES = ("bulk-up", "bulk-down", "round-trips", "connects", "idle-active", "mixed", "first-byte",
         "client-closes")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def run(case, port, *options, seconds="0.2"):
    """Exit code and, where there are any, figures."""
    words = (LOAD, "run", case, "--port", str(port), "--seconds", seconds, *options)
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    if len(lines) > 1:
        raise AssertionError(f"more than one line: {lines}")
    return done.returncode, json.loads(lines[0]) if lines else None


class Server:
    def __enter__(self):
        self.port = free_port()
        words = (LOAD, "serve", "--port", str(self.port))
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.first_line = self.process.stdout.readline()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


class BadForwarder:
    """Forwards; but `fault` makes of each piece what is to be sent instead: None for nothing more,
    ever. It is told the direction ("up" or "down") and where in the stream the piece begins."""

    def __init__(self, target, fault, resets=False):
        self.target, self.fault, self.resets = target, fault, resets
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                self.sockets += [client, server]
                for pair in ((client, server, "up"), (server, client, "down")):
                    pair[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self.move, args=pair, daemon=True).start()
        except OSError:
            pass

    def move(self, source, target, direction):
        position = 0
        try:
            while piece := source.recv(65536):
                changed = self.fault(direction, position, piece)
                position += len(piece)
                if changed is None:
                    return self.cut(source, target)
                target.sendall(changed)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self, *pair):
        for end in pair:
            if self.resets:
                linger = struct.pack("ii", 1, 0)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            else:
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in self.sockets:
            end.close()


def after_header(fault, where=("up", "down")):
    """A fault of what follows the header, which is a piece of its own where it is answered."""
    return lambda direction, position, piece: (
        fault(piece) if position >= 16 and direction in where else piece)


flips = after_header(lambda piece: piece[:-1] + bytes([piece[-1] ^ 1]), ("up",))
loses = after_header(lambda piece: piece[:-1] if len(piece) > 100 else piece)
cuts = after_header(lambda piece: None)
swallows = after_header(lambda piece: b"")


def delays(direction, position, piece):
    time.sleep(0.01)
    return piece


class Good(unittest.TestCase):
    def test_every_case_is_sane_and_without_errors(self):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        options = {
            "bulk-up": ("--connections", "16"), "bulk-down": ("--connections", "16"),
            "round-trips": ("--connections", "16", "--size", "100000"),
            "idle-active": ("--idle", str(min(8000, limit - 200))),
        }
        with Server() as server:
            self.assertEqual(server.first_line, f"listening on {server.port}\n")
            for case in CASES:
                with self.subTest(case):
                    code, figures = run(case, server.port, *options.get(case, ()))
                    self.assertEqual(code, 0)
                    self.check(case, figures)
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(10), 0)

    def check(self, case, figures):
        self.assertEqual(figures["case"], case)
        self.assertEqual(set(figures["errors"].values()), {0})
        seconds = figures["seconds"]
        if case != "first-byte":
            self.assertTrue(0.2 <= seconds < 2, seconds)
        bulk = case.startswith("bulk")
        done = figures["bytes"] / 1e6 if bulk else figures["operations"]
        self.assertAlmostEqual(figures["per_second"] * seconds / done, 1, places=2)
        self.assertGreater(figures["bytes"], 0)
        self.assertGreaterEqual(figures["total"]["bytes"], figures["bytes"])
        self.assertGreaterEqual(figures["total"]["operations"], figures["operations"])
        self.assertGreaterEqual(figures["total"]["connections"], figures["connections"])
        if bulk:
            return self.assertIsNone(figures["latency_us"])
        latency = [figures["latency_us"][name] for name in ("p50", "p90", "p99", "max")]
        self.assertEqual(latency, sorted(latency))
        self.assertGreater(latency[0], 1)
        # Nobody waits longer for all of them together than there was time.
        busy = figures["operations"] * latency[0] / 2e6
        lanes = 1 if case == "first-byte" else figures["connections"]
        self.assertLess(busy, lanes * (seconds + 0.5))
        if case == "first-byte":
            self.assertEqual(figures["operations"], 100)

    def test_the_target_itself_is_asked_what_has_arrived(self):
        """By a forwarder that lets the question wait, as one does that is busy with a stream."""
        def wait(direction, position, piece):
            return b"" if direction == "down" and position >= 16 else piece
        with Server() as server, BadForwarder(server.port, wait) as forwarder:
            _, figures = run("bulk-up", forwarder.port)
            self.assertEqual(figures["bytes"], 0)
            _, figures = run("bulk-up", forwarder.port, "--target", str(server.port))
            self.check("bulk-up", figures)

    def test_a_delay_is_seen_in_full(self):
        with Server() as server, BadForwarder(server.port, delays) as forwarder:
            for case in ("round-trips", "connects"):
                _, figures = run(case, forwarder.port)
                self.assertGreater(figures["latency_us"]["p50"], 20_000)


class Bad(unittest.TestCase):
    def errors(self, case, fault, *options, resets=False):
        with Server() as server, BadForwarder(server.port, fault, resets) as forwarder:
            code, figures = run(case, forwarder.port, *options)
        self.assertEqual(code, 0)
        return {name for name, count in figures["errors"].items() if count > 0}

    def test_other_bytes_are_wrong(self):
        self.assertEqual(self.errors("round-trips", flips), {"wrong"})
        self.assertEqual(self.errors("idle-active", flips, "--idle", "5"), {"wrong"})

    def test_a_lost_byte_of_a_stream_is_wrong(self):
        self.assertEqual(self.errors("bulk-down", loses), {"wrong"})
        self.assertEqual(self.errors("bulk-up", loses, "--size", "4096"), {"wrong"})

    def test_the_lost_end_of_a_stream_is_wrong(self):
        def lose(direction, position, piece):
            return piece if direction == "down" or position < 1_000_000 else b""
        self.assertEqual(self.errors("bulk-up", lose), {"wrong"})

    def test_cut_connections_are_closed_or_reset(self):
        for case in ("round-trips", "bulk-down", "mixed"):
            self.assertEqual(self.errors(case, cuts), {"closed"})
            self.assertEqual(self.errors(case, cuts, resets=True), {"reset"})

    def test_silence_is_counted(self):
        for case in ("round-trips", "bulk-down", "bulk-up", "mixed"):
            with self.subTest(case):
                self.assertEqual(self.errors(case, swallows), {"closed"})

    def test_cut_answers_of_short_connections_are_closed(self):
        def cut(direction, _, piece):
            return None if direction == "down" else piece
        self.assertEqual(self.errors("connects", cut), {"closed"})

    def test_nobody_there_and_misuse_are_failures(self):
        for case in CASES:
            self.assertEqual(run(case, free_port()), (1, None))
        self.assertEqual(run("round-trips", 1, "--connections", "none"), (64, None))
        self.assertEqual(run("no-such-case", 1), (64, None))


if __name__ == "__main__":
    unittest.main()
