# Faults of the network, in networks made for it: hosts that vanish, addresses that swallow what is
# sent to them, slow and lossy cables; and targets that are killed.
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import harness
from register import case
from daemon import Daemon
from spaces import Path, with_files
from streams import (
    BOTH, ENDLESS, HOLD, READ, Chat, End, Target, begin_writing, call, read_all, silent_call,
    transfer)
from syscalls import in_background, judge_chat, judge_whole
from verdicts import percentile

MEBIBYTE = 1 << 20
HOSTS = "127.0.0.1 localhost\n"


def daemon_in(path, target, wrapper=None, **variables):
    return Daemon(target.port, path.middle.wrapper if wrapper is None else wrapper, **{
        "LISTEN_HOST": Path.NEAR, "TARGET_HOST": Path.TARGET, "WORKERS": 1, **variables})


def background_read(one, number, direction, writes=False):
    """Reads it to its end, and writes the other direction without end."""
    end = End(ENDLESS)
    if writes:
        begin_writing(one, number, "up", ENDLESS, end)
    threading.Thread(target=read_all, args=(one, number, direction, end), daemon=True).start()
    return end


def watch_peers(path, target, daemon):
    """Three connections: idle, sending, receiving. What each end of them reads."""
    idle, sending, receiving = (
        call(daemon.port, mode, number, ENDLESS, ENDLESS, **path.from_client)
        for number, mode in ((1, READ), (2, READ), (3, BOTH)))
    ends = {number: background_read(one, number, "down", one is sending)
            for number, one in ((1, idle), (2, sending), (3, receiving))}
    harness.wait_until(lambda: len(target.ends) == 3, 10, "three connections", 0.005)
    harness.wait_until(lambda: target.ends[2].received > MEBIBYTE
                       and ends[3].received > MEBIBYTE, 10, "bytes both ways", 0.005)
    return (idle, sending, receiving), ends


def vanished_case(who, seconds, in_slice):
    def body(verdicts):
        with Path() as path, Target(Path.TARGET, path.target.socket) as target, \
                daemon_in(path, target, PEER_TIMEOUT=f"{seconds}s") as daemon:
            sockets, ends = watch_peers(path, target, daemon)
            getattr(path, who).drop()
            gone = time.monotonic()
            survivors = ends if who == "target" else dict(target.ends)
            names = {1: "idle", 2: "client sends", 3: "target sends"}
            for number, end in survivors.items():
                harness.wait_until(lambda e=end: e.how, seconds * 4 + 10, names[number], 0.002)
            for number, end in sorted(survivors.items()):
                # Keepalive counts whole seconds: one until it asks, one until it asks again.
                verdicts.at_most(f"{names[number]}: noticed after", end.at - gone,
                                 max(seconds, 2) + 0.3, "s")
                verdicts.equal(f"{names[number]}: the survivor reads", end.how, "reset")
            said = f"ended_by={who} reason=vanished"
            harness.wait_until(lambda: len(daemon.lines("connection ended")) == 3, 5, "3 lines")
            verdicts.equal("said", len(daemon.lines(said)), 3)
            for one in sockets:
                one.close()
            daemon.judge_rest(verdicts)
    case(f"network: {who} vanishes, {seconds} s", "spaces", in_slice)(body)


for long in (1, 3, 10):
    vanished_case("target", long, long == 3)
    vanished_case("client", long, False)


@case("network: paused target vanishes", "spaces", in_slice=False)
def paused_vanishes(verdicts):
    """One that had closed its window is asked ever more seldom by the kernel, so that it takes
    longer than PEER_TIMEOUT."""
    seconds = 3
    with Path() as path, Target(Path.TARGET, path.target.socket) as target, \
            daemon_in(path, target, PEER_TIMEOUT=f"{seconds}s") as daemon:
        one = call(daemon.port, HOLD, 1, **path.from_client)
        end = background_read(one, 1, "down", writes=True)
        harness.wait_until(lambda: target.held, 10, "a connection", 0.005)
        time.sleep(seconds * 1.5)  # longer than a peer may be silent: this one only pauses
        verdicts.check("meanwhile", end.how or "open", "open", not end.how)
        path.target.drop()
        gone = time.monotonic()
        harness.wait_until(lambda: end.how, 60, "the end", 0.005)
        verdicts.at_most("noticed after", end.at - gone, seconds * 6.0, "s")
        verdicts.equal("the client reads", end.how, "reset")
        one.close()
        daemon.judge_rest(verdicts)


@case("network: an address swallows", "spaces")
def one_black_hole(verdicts):
    dead = "10.77.2.3"
    hosts = f"{HOSTS}{dead} db\n{Path.TARGET} db\n"
    with Path([dead]) as path, Target(Path.TARGET, path.target.socket) as target:
        path.target.drop_to(dead)
        wrapper = with_files(path.middle, hosts=hosts)
        with daemon_in(path, target, wrapper, TARGET_HOST="db", CONNECT_TIMEOUT="5s") as daemon:
            jobs = [in_background(lambda n=number: transfer(
                target, daemon.port, n, 1000, 1000, **path.from_client)) for number in range(16)]
            for job, _ in jobs:
                job.join(20)
            judge_whole(verdicts, [x for _, result in jobs for x in result])
            said = daemon.wait_for_line("connection ended")
            slowest = max(float(x.split("connect_ms=")[1].split()[0]) for x in said)
            # The second address is tried after 250 ms; some of 16 begin with the dead one.
            verdicts.at_most("slowest connect", slowest, 600, "ms")
            verdicts.at_least("of those that raced", slowest, 240, "ms")
            daemon.judge_rest(verdicts)


@case("network: all addresses swallow", "spaces")
def all_black_holes(verdicts):
    hosts = f"{HOSTS}10.77.2.3 db\n10.77.2.4 db\n"
    with Path(["10.77.2.3", "10.77.2.4"]) as path, \
            Target(Path.TARGET, path.target.socket) as target:
        path.target.drop()
        wrapper = with_files(path.middle, hosts=hosts)
        with daemon_in(path, target, wrapper, TARGET_HOST="db", CONNECT_TIMEOUT="1500ms") as daemon:
            end, begun = End(10), time.monotonic()
            with silent_call(daemon.port, **path.from_client) as one:
                read_all(one, 1, "down", end)
            spent = time.monotonic() - begun
            verdicts.equal("the client reads", end.how, "reset")
            verdicts.check("after", f"{spent:.2f} s", "1.5 s of CONNECT_TIMEOUT, within 0.3 s",
                           1.4 <= spent <= 1.8)
            said = daemon.wait_for_line("cause=timed_out")
            verdicts.check("advice", "security group", "in the log", "security group" in said[0])
            daemon.judge_rest(verdicts)


def on_cable(verdicts, path, target, daemon, size, compare):
    """Bulk both ways and messages beside; the same past the sidecar is what it is judged by."""
    p99 = {}
    for way, port, where in (("past", target.port, path.past),
                             ("through", daemon.port, path.from_client)):
        target.ends.clear()
        chat = Chat(port, **where)
        chat.wait_for(5)
        began = time.monotonic()
        pair = transfer(target, port, 1, size, size, **where)
        verdicts.note(f"time {way}", f"{time.monotonic() - began:.2f} s")
        chat.wait_for(5)
        p99[way] = percentile(chat.seconds, 0.99) * 1e3
        judge_chat(verdicts, chat)
        if way == "through":
            judge_whole(verdicts, [pair])
    verdicts.note("p99 beside it, past", f"{p99['past']:.1f} ms")
    if compare:
        verdicts.at_most("p99 beside it, through", p99["through"], p99["past"] * 3 + 100, "ms")


CABLES = [
    ("a rate limit", ("tbf", "rate", "30mbit", "burst", "32kb", "latency", "50ms"), 2, True),
    ("reordered packets", ("netem", "delay", "5ms", "reorder", "25%", "50%"), 1, False),
    ("doubled packets", ("netem", "duplicate", "5%"), 1, False),
]


def cable_case(name, words, size, compare):
    def body(verdicts):
        with Path() as path, Target(Path.TARGET, path.target.socket) as target:
            path.shape(*words)
            with daemon_in(path, target) as daemon:
                on_cable(verdicts, path, target, daemon, size * MEBIBYTE, compare)
                daemon.judge_rest(verdicts)
    case(f"network: {name}", "spaces", False)(body)


for cable in CABLES:
    cable_case(*cable)


@case("network: lost packets", "spaces", in_slice=False)
def lost_packets(verdicts):
    with Path() as path, Target(Path.TARGET, path.target.socket) as target:
        for space in path.all:
            space.lose(0.01)
        with daemon_in(path, target) as daemon:
            on_cable(verdicts, path, target, daemon, MEBIBYTE, False)
            daemon.judge_rest(verdicts)


KILLED = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
held = []
while True:
    held.append(listener.accept()[0])
    print(held[-1].recv(1), flush=True)
"""


@case("network: the target is killed", alone=False)
def killed_target(verdicts):
    """With bytes that it has not read its kernel resets, without it ends: as past the sidecar."""
    def ends(through):
        server = harness.start(sys.executable, "-c", KILLED, stdout=subprocess.PIPE, text=True)
        port = int(server.stdout.readline())
        with Daemon(port) as daemon:
            found = []
            for count in (1, 100_000):
                one = socket.create_connection(
                    ("127.0.0.1", daemon.port if through else port), 10)
                one.sendall(b"x" * count)
                server.stdout.readline()
                found.append((one, background_read(one, 1, "down")))
            time.sleep(0.1)  # until what was sent lies in the target's buffer
            os.kill(server.pid, signal.SIGKILL)
            for one, end in found:
                harness.wait_until(lambda e=end: e.how, 10, "the end", 0.002)
                one.close()
            if through:
                daemon.judge_rest(verdicts)
        server.stdout.close()
        return [end.how for _, end in found]
    past = ends(False)
    verdicts.equal("past it, clients read", past, ["fin", "reset"])
    verdicts.equal("through it", ends(True), past)
