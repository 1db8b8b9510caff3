# The mistakes that mutants.py makes: in which file below Sources, what is there and what becomes of
# it, the words in which a case must say that it failed, and the cases that must.
import collections

Mistake = collections.namedtuple("Mistake", "name file old new fails cases")

ACCEPT4 = [f"syscall: accept4:error={x}" for x in (
    "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EPERM")]
SPLICE = [f"syscall: splice {x}" for x in ("EINVAL", "ENOSYS", "EPERM")]
SHORT = [f"syscall: {x}" for x in ("late events", "late shutdown and close", "short splices")]
CABLES = [f"network: {x}" for x in (
    "a rate limit", "reordered packets", "doubled packets", "lost packets")]
ENDING = [f"syscall: {x}" for x in (
    "recvfrom:error=ENOMEM:when=4", "recvfrom:error=ENOBUFS:when=4", "sendto:error=ENOMEM:when=4",
    "sendto:error=ENOBUFS:when=4", "splice:error=ENOMEM:when=9",
    "splice:error=ECONNRESET:when=10")]
REFUSING = [f"syscall: {x}" for x in (
    "connect EADDRNOTAVAIL", "connect EPERM", "connect ENETUNREACH", "epoll_ctl ENOSPC")]
VANISHED = [f"network: {who} vanishes, {x} s" for who in ("target", "client") for x in (1, 3, 10)]

WATCH_NEARBY = ("        try watch(\n"
                "          attempt.number, with: door.poller.number, for: .input,"
                " token: token(slot, .upstream))\n")
PROVE = "        result = prove(connection, attempt)\n"

MISTAKES = [Mistake(*x) for x in (
    ("tries again at once", "Daemon/Acceptor.swift",
     "  static let pause = Nanoseconds.milliseconds(100)\n",
     "  static let pause = Nanoseconds.milliseconds(1)\n", "tries while it lasts", ACCEPT4),
    ("sends before it watches", "Daemon/Connector.swift",
     WATCH_NEARBY + PROVE, PROVE + WATCH_NEARBY,
     "the connection beside|broke off", ["syscall: epoll_ctl ENOMEM"]),
    ("turns clients away in a shortage", "Daemon/Connector.swift",
     "      if failure.isShortage {\n", "      if failure.isShortage && now == .never {\n",
     "broke off: .* injected faults",
     ["syscall: socket:error=EMFILE", "syscall: socket:error=ENOMEM"]),
    ("does not go on after a shortage", "Daemon/Acceptor.swift",
     "    timers.set(TimerKey.resumeAccepting, now + Accepting.pause)\n    guard", "    guard",
     "broke off: .* answers", ["crowd: no descriptors"]),
    ("takes one client's death for a shortage", "Daemon/Translation.swift",
     "    case .connectionAborted, .protocolError,", "    case .protocolError,", "said",
     ["syscall: accept4:error=ECONNABORTED:when=1..3"]),
    ("takes no client for a shortage", "Linux/SocketSetup.swift",
     "    if number == -Errno.wouldBlock.code { return nil }\n", "", "said",
     ["syscall: accept4:error=EAGAIN:when=1..3"]),
    ("cannot do without a pipe", "Daemon/Mover.swift",
     "      if !lane.hasPipe { return .refused }\n", "      if !lane.hasPipe { return nil }\n",
     "both ways", ["syscall: fcntl EPERM", "syscall: pipe2 EMFILE"]),
    ("cannot do without splice", "Daemon/Mover.swift",
     "    self == .invalid || self == .notImplemented || self == .notPermitted\n",
     "    self == .refused\n", "both ways", SPLICE),
    ("does not call again", "CLinux/CLinux.c",
     "    do result_ = (call); while (result_ < 0 && errno == EINTR); \\\n",
     "    do result_ = (call); while (0); \\\n", "both ways|together|lost",
     ["syscall: every second call EINTR", "stdout: write:error=EINTR:when=1+2"]),
    ("wants an event of each wait, or its time", "CLinux/CLinux.c",
     "    int count = epoll_wait(poller, raw, LINUX_EVENTS_AT_ONCE, milliseconds);\n",
     "    int64_t end = linux_monotonic_nanoseconds() + milliseconds * INT64_C(1000000);\n"
     "    int count = epoll_wait(poller, raw, LINUX_EVENTS_AT_ONCE, milliseconds);\n"
     "    if (count == 0 && (milliseconds < 0 || linux_monotonic_nanoseconds() < end)) abort();\n",
     "both ways", ["syscall: epoll_wait tells nothing"]),
    ("cannot do without options", "CLinux/CLinux.c",
     "    return OR_ERRNO(\n        setsockopt(socket, known[option].level, known[option].name,"
     " &value, sizeof value));\n",
     "    if (setsockopt(socket, known[option].level, known[option].name, &value, sizeof value))\n"
     "        abort();\n    return 0;\n", "both ways|broke off", ["syscall: options refused"]),
    ("drops the rest of a short send", "Core/Flow.swift",
     "      heldBytes -= Int32(moved)\n", "      heldBytes = 0\n", "both ways", SHORT + CABLES),
    ("takes a full buffer for an empty socket", "Core/Flow.swift",
     "      guard count < limit else {",
     "      guard count < limit else {\n        flags.remove(.mayRead)\n       ", "both ways",
     ["syscall: late recvfrom and sendto", "syscall: slow recvfrom and sendto"]),
    ("takes a full pipe for an empty socket", "Core/Flow.swift",
     "      take(count, into: .pipe, &left)\n",
     "      take(count, into: .pipe, &left)\n      flags.remove(.mayRead)\n", "both ways",
     ["syscall: late splice", "syscall: slow splice"]),
    ("keeps its pipes", "Daemon/ConnectionTimers.swift",
     "      pipes.trim()\n", "", "descriptors at rest|broke off: .* rest",
     ["syscall: slow splice"]),
    ("ends cut streams in order", "Core/Relay.swift",
     "    return .close(resets: failedEnd != nil || wasAborted)\n",
     "    return .close(resets: false)\n",
     "the (client|target) read|one of them|through it", ENDING + ["network: the target is killed"]),
    ("sends clients away in order", "Daemon/Client.swift",
     "    connection.pointee.client.resetOnClose()\n    discard(slot)\n", "    discard(slot)\n",
     "the client|clients", REFUSING + [
         "crowd: no ports of its own", "network: all addresses swallow",
         "stdout: a flood of failures"]),
    ("counts a warning once", "Core/WarningFold.swift",
     "        entries[index].folded += 1\n", "        entries[index].folded = 1\n",
     "failures told of", ["stdout: a flood of failures"]),
    ("does not count what it cannot write", "Daemon/LogWriter.swift",
     "{ if $1 == UInt8(ascii: \"\\n\") { $0 += 1 } })\n",
     "{ if $1 == 0 { $0 += 1 } })\n", "together",
     [f"stdout: write:error={x}" for x in ("ENOSPC", "EPIPE", "EIO")]),
    ("does not wait for its reader", "Linux/File.swift",
     "    } else if count == Int64(-Errno.wouldBlock.code) {\n",
     "    } else if count == .min {\n", "together|lost", ["stdout: write:error=EAGAIN:when=1+2"]),
    ("waits for its log", "Daemon/Worker.swift",
     "        shared.writer.notify(of: door.log)\n",
     "        shared.writer.notify(of: door.log)\n        while !door.log.isEmpty {}\n",
     "p99|lines lost|broke off",
     ["stdout: is never read", "stdout: is read slowly", "stdout: write:delay_enter=200ms"]),
    ("does not count what finds no room", "Daemon/LogRing.swift",
     "      lost.add(1, ordering: .relaxed)\n", "", "together",
     ["stdout: is never read", "stdout: is read slowly"]),
    ("dies with its reader", "CLinux/CLinux.c",
     "    signal(SIGPIPE, SIG_IGN);\n", "", "both ways|broke off|the daemon",
     ["stdout: is closed"]),
    ("waits too long for a peer", "Core/PeerWatch.swift",
     "    userTimeoutMilliseconds = Int32(milliseconds * 2 / 3)\n",
     "    userTimeoutMilliseconds = Int32(milliseconds * 10 / 3)\n", "[a-z ]+: noticed after",
     VANISHED),
    ("takes a pause for a death", "Core/PeerWatch.swift",
     "  return isLifted ? .nothing : .liftUserTimeout\n", "  return .nothing\n", "meanwhile",
     ["network: paused target vanishes"]),
    ("never misses who paused", "Core/PeerWatch.swift",
     "  if isSilent { return .vanished }\n", "  if isSilent { return .nothing }\n",
     "noticed after|broke off", ["network: paused target vanishes"]),
    ("tries one address for long", "Core/Race.swift",
     "  static let attemptDelay = Nanoseconds.milliseconds(250)\n",
     "  static let attemptDelay = Nanoseconds.milliseconds(1500)\n", "slowest connect",
     ["network: an address swallows"]),
    ("waits too long for a target", "Daemon/Connector.swift",
     "      end: connection.pointee.accepted + settings.connectTimeout)",
     "      end: connection.pointee.accepted + settings.connectTimeout + .seconds(1))", "after",
     ["network: all addresses swallow"]),
    ("takes one too many", "Daemon/Shared.swift",
     "if open.add(1, ordering: .relaxed).newValue <= limits.connections {",
     "if open.add(1, ordering: .relaxed).newValue <= limits.connections + 1 {", "served at once",
     ["crowd: more than MAX_CONNECTIONS", "crowd: a descriptor limit of 120"]),
    ("leaks a kilobyte of each connection", "Daemon/Closing.swift",
     "    table.remove(slot)\n", "    table.remove(slot)\n    _ = allocate(bytes: 1024)\n",
     "memory", ["crowd: short connections, 20,000", "crowd: short connections, 200,000",
                "crowd: 8,000 held", "abuse: resets", "abuse: probes", "abuse: silent",
                "abuse: slow"]),
    ("keeps the target's socket", "Linux/Socket.swift",
     "    linux_close_both(one.descriptor.release(), other.descriptor.release())\n",
     "    _ = linux_close(one.descriptor.release())\n    _ = other.descriptor.release()\n",
     "sockets left|descriptors at rest|errors|broke off: .* rest",
     ["crowd: short connections, 20,000", "abuse: unread", "abuse: stuffed", "abuse: urgent"]),
    ("takes its time for resets", "Daemon/Closing.swift",
     "    if resets {\n",
     "    if resets {\n      while Instant.now < now + .milliseconds(10) {}\n",
     "p99, this one", ["abuse: resets"]),
    ("lets askers keep their places", "Daemon/ReplyServer.swift",
     "        let place = freePlace()\n",
     "        guard clients.contains(where: { $0 == nil }) else { continue }\n"
     "        let place = freePlace()\n", "broke off", ["abuse: loris"]),
    ("takes urgent bytes out of the stream", "CLinux/CLinux.c",
     "        [LINUX_URGENT_INLINE] = {SOL_SOCKET, SO_OOBINLINE},\n",
     "        [LINUX_URGENT_INLINE] = {SOL_SOCKET, SO_REUSEADDR},\n", "the target read",
     ["abuse: urgent bytes in their place"]),
)]
