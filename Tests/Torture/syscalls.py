# Faults in system calls: what the kernel may answer, but hardly ever does, injected into the
# daemon's worker or its log writer while connections are open and others come.
import re
import threading
import time

import harness
from register import case
from daemon import Daemon
from streams import (
    BOTH, Chat, End, Target, call, exchange, read_all, silent_call, transfer)
from tracing import Trace
from verdicts import percentile

WORKER, LOG = "sidecar-worker", "sidecar-log"
MEBIBYTE = 1 << 20
READS = "recvfrom,read,epoll_wait,epoll_pwait,splice,sendto,accept4,poll,ppoll"


def daemon_for(target, **variables):
    return Daemon(target.port, WORKERS=1, LOG_LEVEL="debug", **variables)


def in_background(body, *arguments):
    """Runs it beside; what it returned is `result[0]` once it is done."""
    result = []
    thread = threading.Thread(target=lambda: result.append(body(*arguments)), daemon=True)
    thread.start()
    return thread, result


def judge_whole(verdicts, pairs):
    """Each stream of these transfers, at both ends: all of it, then its end."""
    broken = [str(end) for pair in pairs for end in pair if not end.is_whole()]
    moved = sum(end.received for pair in pairs for end in pair)
    verdicts.check("both ways, every byte", broken[0] if broken else f"{moved} bytes",
                   "whole, then a FIN", pairs and not broken)


def judge_chat(verdicts, chat):
    failure = chat.stop()
    verdicts.check("the connection beside", failure or f"{len(chat.seconds)} messages",
                   "goes on", not failure)


# Clients that wait while nobody can be accepted or connected.

LISTENER = [
    # fault, what the log says of it once, and a word of its advice
    ("accept4:error=EMFILE", "accepting paused: no free descriptors", "nofile"),
    ("accept4:error=ENFILE", "accepting paused: no free descriptors", "nofile"),
    ("accept4:error=ENOMEM", "accepting paused: no memory", "memory limit"),
    ("accept4:error=ENOBUFS", "accepting paused: no memory", "memory limit"),
    ("accept4:error=EPERM", "accepting paused: the system refuses", "security policy"),
    ("socket:error=EMFILE", "accepting paused: no free descriptors", "nofile"),
    ("socket:error=ENOMEM", "accepting paused: no memory", "memory limit"),
    ("accept4:error=ECONNABORTED:when=1..3", None, None),
    ("accept4:error=EAGAIN:when=1..3", None, None),
]


def listener_case(fault, words, advice):
    is_brief = "when=" in fault

    def body(verdicts):
        with Target() as target, daemon_for(target) as daemon:
            chat = Chat(daemon.port)
            chat.wait_for(1)
            with Trace(daemon, WORKER, fault) as trace:
                waiting, result = in_background(transfer, target, daemon.port, 1, 5000, 5000)
                trace.wait_for(1 if is_brief else 3)
                if not is_brief:
                    before, began = trace.injected(), time.monotonic()
                    time.sleep(0.5)  # a rate needs a time
                    rate = (trace.injected() - before) / (time.monotonic() - began)
                    verdicts.at_most("tries while it lasts", rate, 50, "a second")
                verdicts.check("messages meanwhile", len(chat.seconds), "go on", chat.wait_for(20))
            ended = time.monotonic()
            waiting.join(20)
            verdicts.at_most("served after the fault", time.monotonic() - ended, 2.0, "s")
            judge_whole(verdicts, result)
            judge_chat(verdicts, chat)
            if words:
                said = daemon.lines(words)
                verdicts.equal("said", f"{len(said)} times", "1 times")
                verdicts.check("with advice", advice, "in the line", said and advice in said[0])
            else:
                verdicts.equal("said", f"{len(daemon.lines('accepting paused'))} times", "0 times")
            daemon.judge_rest(verdicts)
    case(f"syscall: {fault}", "ptrace", fault in SLICE, alone=False)(body)


# What no connection may notice.

UNNOTICED = [
    ("fcntl EPERM", "fcntl:error=EPERM"),
    ("pipe2 EMFILE", "pipe2:error=EMFILE"),
    ("splice EINVAL", "splice:error=EINVAL"),
    ("splice ENOSYS", "splice:error=ENOSYS"),
    ("splice EPERM", "splice:error=EPERM"),
    ("every second call EINTR", f"{READS}:error=EINTR:when=1+2"),
    ("epoll_wait tells nothing", "epoll_wait,epoll_pwait:retval=0:when=1+2"),
    ("late events", "epoll_wait,epoll_pwait,accept4,connect:delay_enter=2ms"),
    ("late recvfrom and sendto", "recvfrom,sendto:delay_enter=1ms"),
    ("slow recvfrom and sendto", "recvfrom,sendto:delay_exit=1ms"),
    ("late splice", "splice:delay_enter=2ms"),
    ("slow splice", "splice:delay_exit=2ms"),
    # The second watch is that of the first connection's target, which is on this machine.
    ("epoll_ctl ENOMEM", "epoll_ctl:error=ENOMEM:when=2"),
    ("options refused", "setsockopt,getsockopt,ioctl:error=ENOPROTOOPT"),
    ("late shutdown and close", "shutdown,close,close_range:delay_enter=2ms"),
]


def through_pipes(fault):
    """What makes the daemon use pipes from the first byte on, for a fault that is to meet one."""
    meets = re.match("splice|pipe2|fcntl", fault)
    return {"SIDECAR_TRANSFER": "splice"} if meets else {}


def unnoticed_case(name, fault):
    def body(verdicts):
        size = 8 * MEBIBYTE
        with Target() as target, daemon_for(target, **through_pipes(fault)) as daemon:
            # From the first byte on: what has a pipe already makes no other.
            with Trace(daemon, WORKER, fault) as trace:
                chat = Chat(daemon.port)
                began = time.monotonic()
                jobs = [in_background(transfer, target, daemon.port, x, size, size)
                        for x in (1, 2)]
                chat.wait_for(50)
                for job, _ in jobs:
                    job.join(60)
                spent = time.monotonic() - began
                failure = chat.stop()
                judge_whole(verdicts, [x for _, result in jobs for x in result])
                # strace must not leave amid a call that it has replaced: that would fail.
                harness.wait_until(lambda: len(daemon.lines("connection ended")) == 3, 10, "ends")
                trace.wait_for(1)
                verdicts.note("faults", trace.injected())
            verdicts.note("time", f"{spent:.2f} s")
            verdicts.check("the connection beside", failure or f"{len(chat.seconds)} messages",
                           "goes on", not failure)
            daemon.judge_rest(verdicts)
    case(f"syscall: {name}", "ptrace", name in SLICE, alone=False)(body)


# What ends the connection that it befalls: by a reset, never by an orderly end.

ENDING = [
    "recvfrom:error=ENOMEM:when=4",
    "recvfrom:error=ENOBUFS:when=4",
    "sendto:error=ENOMEM:when=4",
    "sendto:error=ENOBUFS:when=4",
    "splice:error=ENOMEM:when=9",
    "splice:error=ECONNRESET:when=10",
]


def ending_case(fault):
    def body(verdicts):
        # One way at a time: where nothing lies unread, only the daemon can make the end a reset.
        for up, down in ((64 * MEBIBYTE, 0), (0, 64 * MEBIBYTE)):
            judge_ending(verdicts, fault, up, down)
    case(f"syscall: {fault}", "ptrace", fault in SLICE, alone=False)(body)


def judge_ending(verdicts, fault, up, down):
    with Target() as target, daemon_for(target, **through_pipes(fault)) as daemon:
        chat = Chat(daemon.port)
        chat.wait_for(1)
        # Only its own worker thread is traced; the connection beside is idle meanwhile.
        chat.is_over = True
        chat.join(5)
        with Trace(daemon, WORKER, fault) as trace:
            client, server = transfer(target, daemon.port, 1, up, down)
            trace.wait_for(1)
        for name, end in (("client", client), ("target", server)):
            verdicts.check(f"the {name} read", end, "whole or a reset", end.is_honest())
        verdicts.check("one of them", "reset" if "reset" in (client.how, server.how) else "no",
                       "was reset", "reset" in (client.how, server.how))
        chat.one.sendall(b"x")
        verdicts.check("the connection beside", "answers", "goes on",
                       chat.one.recv(1) == b"x")
        chat.one.close()
        said = daemon.wait_for_line("connection ended connection=2 ")[0]
        verdicts.check("the log", said.split(" ended_by=")[-1],
                       "client or target, reason=error or reset",
                       re.search("=(client|target) reason=(error|reset)$", said))
        daemon.judge_rest(verdicts)


SLICE = {
    "accept4:error=EMFILE", "accept4:error=EPERM", "socket:error=ENOMEM", "splice EINVAL",
    "splice ENOSYS", "splice EPERM", "fcntl EPERM", "pipe2 EMFILE", "every second call EINTR",
    "epoll_ctl ENOMEM", "sendto:error=ENOBUFS:when=4", "splice:error=ENOMEM:when=9",
}
for one in LISTENER:
    listener_case(*one)
for one in UNNOTICED:
    unnoticed_case(*one)
for one in ENDING:
    ending_case(one)


# What turns one client away: it is reset, and the log says why.

REFUSING = [
    ("connect EADDRNOTAVAIL", "connect:error=EADDRNOTAVAIL", "no_local_port", "connection pool"),
    ("connect EPERM", "connect:error=EPERM", "not_permitted", "firewall rule"),
    ("connect ENETUNREACH", "connect:error=ENETUNREACH", "network_unreachable", "route"),
    ("epoll_ctl ENOSPC", "epoll_ctl:error=ENOSPC", "system_error", "look up errno"),
]


def refusing_case(name, fault, cause, advice):
    def body(verdicts):
        with Target() as target, daemon_for(target) as daemon:
            chat = Chat(daemon.port)
            chat.wait_for(1)
            with Trace(daemon, WORKER, fault) as trace:
                client = End(10)
                with silent_call(daemon.port) as one:
                    read_all(one, 1, "down", client)
                trace.wait_for(1)
            verdicts.equal("the client", client.how, "reset")
            said = daemon.wait_for_line(f"cause={cause}")
            verdicts.check("the log", cause, f"once, and {advice}",
                           len(said) == 1 and advice in said[0])
            judge_whole(verdicts, [transfer(target, daemon.port, 2, 1000, 1000)])
            judge_chat(verdicts, chat)
            daemon.judge_rest(verdicts)
    case(f"syscall: {name}", "ptrace", False, alone=False)(body)


for one in REFUSING:
    refusing_case(*one)


@case("syscall: short splices", "ptrace", alone=False)
def short_splices(verdicts):
    """A pipe fills by slots: small segments fill it long before its bytes do; and a slow reader's
    socket takes less than a pipe holds."""
    size = 24 * MEBIBYTE
    with Target(pause=lambda: time.sleep(0.0005), buffer=16_384) as target, \
            daemon_for(target, SIDECAR_TRANSFER="splice") as daemon:
        with Trace(daemon, WORKER, "splice") as trace:
            with call(daemon.port, BOTH, 1, size, 0) as one:
                end = End(0)
                exchange(one, 1, end, "down", "up", size, piece=3000)
            pair = end, target.end_of(1)
            asked = re.findall(r"splice\(\d+, NULL, \d+, NULL, (\d+), \S+\) = (\d+)", trace.text())
        short = sum(1 for wanted, moved in asked if 0 < int(moved) < int(wanted))
        verdicts.at_least("splices that moved less than asked", short, 5)
        judge_whole(verdicts, [pair])
        daemon.judge_rest(verdicts)


LOG_FAULTS = ["write:error=ENOSPC", "write:error=EPIPE", "write:error=EIO",
              "write:error=EINTR:when=1+2", "write:error=EAGAIN:when=1+2",
              "write:delay_enter=200ms"]


def quietest_p99(chat):
    """In milliseconds, of three times 200 messages: what else the machine does only adds to it."""
    found = []
    for _ in range(3):
        chat.seconds.clear()
        chat.wait_for(200)
        found.append(percentile(chat.seconds, 0.99) * 1e3)
    return min(found)


def write_lines(target, daemon, pairs, is_over):
    """One connection after the other, so that there is always something to log."""
    while not is_over.wait(0.002):
        pairs.append(transfer(target, daemon.port, len(pairs) + 1, 2000, 2000))


def log_case(fault):
    is_lossy = any(x in fault for x in ("ENOSPC", "EPIPE", "EIO"))

    def body(verdicts):
        with Target() as target, daemon_for(target) as daemon:
            chat, pairs, is_over = Chat(daemon.port), [], threading.Event()
            chat.wait_for(1)
            writing, _ = in_background(write_lines, target, daemon, pairs, is_over)
            without = quietest_p99(chat)
            with Trace(daemon, LOG, fault) as trace:
                trace.wait_for(1)
                beside = quietest_p99(chat)
                is_over.set()
                writing.join(20)
            judge_whole(verdicts, pairs)
            verdicts.at_most("p99 beside", beside, without * 3 + 20, "ms")
            transfer(target, daemon.port, len(pairs) + 1, 5000, 5000)
            daemon.wait_for_line(f"connection ended connection={len(pairs) + 2} ")
            seen = len(re.findall(r"connection (?:opened|ended) ", daemon.log()))
            lost = sum(int(x) for x in re.findall(r"log lines lost lost=(\d+)", daemon.log()))
            verdicts.note("lines seen, lines said to be lost", f"{seen}, {lost}")
            # The chat's first one, and two of each other connection.
            verdicts.equal("together", seen + lost, 2 * len(pairs) + 3)
            verdicts.check("lost", lost, "> 0" if is_lossy else "= 0", (lost > 0) == is_lossy)
            judge_chat(verdicts, chat)
            daemon.judge_rest(verdicts)
    case(f"stdout: {fault}", "ptrace", "ENOSPC" in fault)(body)


for one in LOG_FAULTS:
    log_case(one)
