# That what judges would notice: streams that are cut, doubled or swapped, ends that are no ends,
# memory that grows, a case that vanishes.
import os
import random
import socket
import unittest

import beside
from register import Case
from streams import End, coded, read_all, write_all
from verdicts import Verdicts, growth, percentile


def reading(*pieces, expected=300_000):
    """What an end makes of these bytes and an orderly end."""
    ours, theirs = socket.socketpair()
    end = End(expected)
    with ours, theirs:
        for piece in pieces:
            theirs.sendall(piece)
        theirs.shutdown(socket.SHUT_WR)
        read_all(ours, 1, "up", end)
    return end


def stream(number, direction, *ranges):
    return [bytes(coded(number, direction, first, last - first)) for first, last in ranges]


class Streams(unittest.TestCase):
    def test_whole(self):
        end = reading(*stream(1, "up", (0, 100_000)), expected=100_000)
        self.assertTrue(end.is_whole() and end.is_honest())

    def test_an_orderly_end_of_a_cut_stream_is_none(self):
        end = reading(*stream(1, "up", (0, 99_999)), expected=100_000)
        self.assertFalse(end.is_whole() or end.is_honest())

    def test_wrong_bytes(self):
        for name, pieces in {
                "lost": stream(1, "up", (0, 4096), (8192, 100_000)),
                "doubled": stream(1, "up", (0, 8192), (4096, 100_000)),
                "another connection's": stream(2, "up", (0, 100_000)),
                "the other direction's": stream(1, "down", (0, 100_000))}.items():
            self.assertFalse(reading(*pieces).is_right, name)

    def test_a_reset_that_the_writer_was_told_of(self):
        listener = socket.create_server(("127.0.0.1", 0))
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        end = End(100)
        with listener, ours:
            ours.sendall(b"x")
            while not theirs.recv(1, socket.MSG_PEEK):
                pass
            theirs.close()  # with a byte unread: a reset
            while write_all(ours, 1, "up", 1 << 20, end=end):
                pass
            read_all(ours, 1, "down", end)
        self.assertEqual(end.how, "reset")


class Figures(unittest.TestCase):
    def test_growth(self):
        noise = random.Random(3)
        flat = [500 + noise.randrange(8) for _ in range(60)]
        rising = [x + 4 * turn for turn, x in enumerate(flat)]
        self.assertLess(abs(growth(flat)), 8)
        self.assertGreater(growth(rising), 64)
        with self.assertRaises(ValueError):
            growth([1, 2])

    def test_percentile(self):
        self.assertEqual(percentile(range(1000), 0.99), 990)
        self.assertEqual(percentile([7], 0.99), 7)

    def test_verdicts(self):
        found = Verdicts(show=lambda _: None)
        found.at_most("a", 3, 3)
        found.at_least("b", 3, 4)
        found.not_run("no")
        found.note("d", 1)
        self.assertEqual([x.what for x in found.failed()], ["b"])


class Beside(unittest.TestCase):
    def outcomes(self, *bodies, is_late=lambda: False):
        cases = [Case(str(x), body, "", True, False) for x, body in enumerate(bodies)]
        return {one.name: [x.verdict for x in rows]
                for one, rows, _ in beside.run(cases, is_late)}

    def test_each_case_has_its_own_verdicts(self):
        good, bad = lambda found: found.equal("a", 1, 1), lambda found: found.equal("a", 1, 2)
        self.assertEqual(self.outcomes(good, bad, good, good, good, bad), {
            "0": ["ok"], "1": ["FAILED"], "2": ["ok"], "3": ["ok"], "4": ["ok"], "5": ["FAILED"]})

    def test_one_whose_process_ends_amid_it_has_failed(self):
        self.assertEqual(self.outcomes(lambda _: os._exit(0)), {"0": ["FAILED"]})

    def test_none_is_begun_late(self):
        self.assertEqual(self.outcomes(lambda _: None, is_late=lambda: True), {})


if __name__ == "__main__":
    unittest.main()
