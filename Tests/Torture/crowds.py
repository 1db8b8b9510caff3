# Many connections: short ones by the hundred thousand, held ones by the thousand, and more of them
# than there is room for.
import contextlib
import resource
import socket
import time

import harness
import load
from daemon import Daemon
from register import case
from spaces import Space
from streams import ECHO, HEADER, HOLD, Chat, Target
from verdicts import NotHere, growth


def sockets_to(port, *states):
    said = harness.run("ss", "-Htan", *(x for state in states for x in ("state", state)),
                       f"dport = :{port}")
    return len(said.out.splitlines())


def short_connections(verdicts, wanted, turn, seconds):
    """The server closes first, then the client, in turns of so many seconds."""
    with load.Server() as server, Daemon(server.port) as daemon:
        before = daemon.memory()
        done, errors, memory, waiting, began = 0, {}, [], [], time.monotonic()
        while done < wanted or len(memory) < 6:
            if time.monotonic() - began > seconds:
                break
            for who in ("connects", "client-closes"):
                report = load.run(who, daemon.port, turn)
                if report.get("failure"):
                    raise AssertionError(report["failure"])
                done += report["total"]["connections"]
                for name, count in report["errors"].items():
                    errors[name] = errors.get(name, 0) + count
            memory.append(daemon.memory())
            waiting.append(sockets_to(server.port, "time-wait"))
        spent = time.monotonic() - began
        verdicts.note("connections", f"{done}, {done / spent:.0f} a second")
        if done < wanted:
            verdicts.not_run(f"only {done} of {wanted} connections in {seconds} s")
        verdicts.equal("errors", sum(errors.values()), 0)
        verdicts.note("most ports of its own in TIME_WAIT", max(waiting))
        verdicts.at_most("memory, last third against the one before", growth(memory), 64, "KiB")
        verdicts.note("memory, first and last", f"{before}, {memory[-1]} KiB")
        harness.wait_until(lambda: daemon.status()["connections_open"] == 0, 10, "rest")
        verdicts.equal("sockets left to the target",
                       sockets_to(server.port, "established", "fin-wait-1", "fin-wait-2",
                                  "close-wait", "closing", "last-ack"), 0)
        accepted = daemon.status()["forwards"][0]["accepted"]
        verdicts.at_least("accepted, by its own count", accepted, done)
        daemon.judge_rest(verdicts)


@case("crowd: short connections, 20,000")
def few_short(verdicts):
    short_connections(verdicts, 20_000, 0.25, 40)


@case("crowd: short connections, 200,000", in_slice=False)
def many_short(verdicts):
    short_connections(verdicts, 200_000, 1.5, 150)


@case("crowd: 8,000 held", in_slice=False)
def held(verdicts):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 17_000:
        raise NotHere("8,000 connections want a descriptor limit of 17,000")
    with load.Server() as server, Daemon(server.port) as daemon:
        trips = load.run("round-trips", daemon.port, 2.0, connections=64)
        before = daemon.memory()
        crowd = load.run("idle-active", daemon.port, 2.0, idle=8000, connections=64)
        for report in (trips, crowd):
            if report.get("failure"):
                raise AssertionError(report["failure"])
        verdicts.equal("errors", sum(crowd["errors"].values()), 0)
        alone = trips["latency_us"]["p99"] / 1e3
        verdicts.note("p99 of 64 alone", f"{alone:.2f} ms")
        verdicts.at_most("p99 of 64 beside 8,000", crowd["latency_us"]["p99"] / 1e3,
                         alone * 2 + 5, "ms")
        harness.wait_until(daemon.is_at_rest, 20, "rest")
        each = (daemon.memory() - before) * 1024 / 8000
        verdicts.at_most("memory kept of each", each, 400, "bytes")
        daemon.judge_rest(verdicts)


class Caller:
    """Asks for an echo, and knows whether it came."""

    def __init__(self, port):
        self.one = socket.create_connection(("127.0.0.1", port), 10)
        self.one.sendall(HEADER.pack(ECHO, 0, 0, 0) + b"?")
        self.one.setblocking(False)
        self.answer = None

    def look(self):
        if self.answer is None:
            with contextlib.suppress(BlockingIOError):
                try:
                    self.answer = self.one.recv(1)
                except ConnectionError:
                    self.answer = b""
        return self.answer


def flood(verdicts, daemon, clients, words, most):
    """More clients than places: those that have one are served, the others wait for theirs."""
    chat = Chat(daemon.port)
    chat.wait_for(1)
    crowd = [Caller(daemon.port) for _ in range(clients)]
    said = daemon.wait_for_line(words)
    served = harness.wait_until(
        lambda: [x for x in crowd if x.look() is not None], 10, "an answer", 0.01)
    chat.wait_for(200)  # whoever has no place has been told nothing meanwhile
    served = [x for x in crowd if x.look() is not None]
    verdicts.at_most("served at once", len(served), most)
    verdicts.equal("turned away", sum(1 for x in crowd if x.look() == b""), 0)
    verdicts.at_most("descriptors", daemon.descriptors(), daemon.status()["descriptors_limit"])
    waiting = set(crowd)

    def make_room():
        for x in list(waiting):
            if x.look() is not None:
                x.one.close()
                waiting.discard(x)
        return not waiting
    harness.wait_until(make_room, 30, "an answer for everybody", 0.002)
    verdicts.equal("served in the end", sum(1 for x in crowd if x.answer == b"?"), clients)
    # Each of two workers may say it, and again after 10 s.
    verdicts.at_most("said", len(daemon.lines(words)), 2, "times")
    verdicts.note("as", said[0].split(" warn  ")[-1])
    failure = chat.stop()
    verdicts.check("the connection beside", failure or f"{len(chat.seconds)} messages",
                   "goes on", not failure)
    daemon.judge_rest(verdicts)


@case("crowd: more than MAX_CONNECTIONS", alone=False)
def too_many(verdicts):
    with Target() as target, Daemon(target.port, MAX_CONNECTIONS=50) as daemon:
        flood(verdicts, daemon, 300, "connection limit reached", 49)


@case("crowd: a descriptor limit of 120", alone=False)
def few_descriptors(verdicts):
    with Target() as target, \
            Daemon(target.port, ("prlimit", "--nofile=120:120"), WORKERS=2) as daemon:
        limit = daemon.status()["connections_limit"]
        verdicts.note("MAX_CONNECTIONS by itself", limit)
        verdicts.at_most("descriptors it may come to need", 2 * limit, 120)
        flood(verdicts, daemon, 300, "connection limit reached", limit - 1)


@case("crowd: no descriptors", in_slice=False, alone=False)
def no_descriptors(verdicts):
    """The limit is lowered under it, while it runs: accepting pauses, and goes on."""
    with Target() as target, Daemon(target.port, WORKERS=1) as daemon:
        chat = Chat(daemon.port)
        chat.wait_for(1)
        usual = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (40, usual[1]))
        crowd = [Caller(daemon.port) for _ in range(60)]
        said = daemon.wait_for_line("accepting paused: no free descriptors")
        chat.wait_for(200)
        served = [x for x in crowd if x.look() is not None]
        verdicts.at_most("served at once", len(served), 20)
        verdicts.equal("turned away", sum(1 for x in served if x.answer == b""), 0)
        verdicts.equal("health meanwhile", daemon.health().code, 0)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, usual)
        harness.wait_until(lambda: all(x.look() is not None for x in crowd), 10, "answers", 0.005)
        verdicts.equal("served in the end", sum(1 for x in crowd if x.answer == b"?"), 60)
        verdicts.equal("said", len(daemon.lines("accepting paused")), len(said))
        for x in crowd:
            x.one.close()
        failure = chat.stop()
        verdicts.check("the connection beside", failure or "open", "goes on", not failure)
        daemon.judge_rest(verdicts)


@case("crowd: no ports of its own", "spaces", alone=False)
def no_ports(verdicts):
    """200 local ports, none reused: the daemon runs out of them towards its one target."""
    ports = 200
    with Space() as space:
        space.set("net/ipv4/tcp_tw_reuse", 0)
        with Target("127.0.0.1", space.socket) as target, \
                Daemon(target.port, space.wrapper, WORKERS=1, LISTEN_HOST="") as daemon:
            space.set("net/ipv4/ip_local_port_range", f"40000 {39999 + ports}")

            def caller(number):
                one = space.socket()
                one.settimeout(10)
                # Two addresses, so that clients do not run out of ports themselves.
                one.connect((f"127.0.0.{1 + number % 2}", daemon.port))
                if number < ports:  # with bytes unread, the others would be reset in any case
                    one.sendall(HEADER.pack(HOLD, number, 0, 0))
                return one
            crowd = [caller(x) for x in range(ports)]
            harness.wait_until(lambda: len(target.held) == ports, 10, "the target full", 0.01)
            crowd += [caller(x) for x in range(ports, ports + 60)]
            said = daemon.wait_for_line("cause=no_local_port")
            verdicts.check("said", f"{len(said)} times", "once, with advice",
                           len(said) == 1 and "connection pool" in said[0])
            verdicts.equal("connections to the target", len(target.held), ports)
            reset = 0
            for one in crowd[ports:]:
                with contextlib.suppress(ConnectionError):
                    one.recv(1)
                    continue
                reset += 1
            verdicts.equal("clients that were reset", reset, 60)
            # Where the target ends first, the port is free at once.
            for one in target.held:
                one.close()
            for one in crowd:
                one.close()
            harness.wait_until(daemon.is_at_rest, 15, "rest", 0.02)
            again = caller(0)
            harness.wait_until(lambda: len(target.held) > ports, 10, "one more", 0.01)
            again.close()
            target.held[-1].close()
            daemon.judge_rest(verdicts)
