# Mistakes made on purpose in a copy of the real sources, each of which the simulation must find:
# one at least for each thing that must hold. Usage: mutants.py [NAME...]
import concurrent.futures
import os
import queue
import re
import subprocess
import sys
import time

import mutation

SCHEDULES = "400000"

WATCH_NEARBY = ("        try watch(\n"
                "          attempt.number, with: door.poller.number, for: .input,"
                " token: token(slot, .upstream))\n")
PROVE = "        result = prove(connection, attempt)\n"

# Name, what must hold, file below Sources, what is there, what the mistake makes of it.
MUTANTS = [
    ("drops the rest of a short send", "every byte arrives, in order", "Core/Flow.swift",
     "      heldBytes -= Int32(moved)\n", "      heldBytes = 0\n"),
    ("stashes from the wrong place", "every byte arrives, in order", "Daemon/Mover.swift",
     "stash.copyMemory(from: buffer + offset, byteCount: count)",
     "stash.copyMemory(from: buffer + offset / 2, byteCount: count)"),
    ("ends before the last byte", "an end comes after the last byte", "Core/Flow.swift",
     "    case .stash: return mayWrite ? .sendStash(offset: offset, count: count) : .wait\n",
     "    case .stash:\n"
     "      if !mayWrite { return flags.contains(.readsToTheEnd) ? .endSending : .wait }\n"
     "      return .sendStash(offset: offset, count: count)\n"),
    ("ends in order after a reset", "a cut stream ends in a reset", "Core/Flow.swift",
     "    guard flags.contains(.sourceFailed) else { return .endSending }\n",
     "    guard flags.contains(.mustCopy) else { return .endSending }\n"
     "    guard heldBytes > 0 else { return .endSending }\n"),
    ("believes a splice of nothing", "an end comes after the last byte", "Core/Flow.swift",
     "    case .ended: copyNext()  // only recv(2) proves the end of the stream\n",
     "    case .ended: flags.insert(.sourceEnded)\n"),
    ("closes a vanished end in order", "a cut stream ends in a reset", "Core/Relay.swift",
     "resets: failedEnd != nil || wasAborted)",
     "resets: (failedEnd != nil && verdict?.reason != .vanished) || wasAborted)"),
    ("sends before it watches", "every byte arrives, in order", "Daemon/Connector.swift",
     WATCH_NEARBY + PROVE, PROVE + WATCH_NEARBY),
    ("dials on without memory", "a cut stream ends in a reset", "Daemon/Connector.swift",
     "        if connection.pointee.relay.wasAborted {\n", "        if false {\n"),
    ("reads past an urgent byte", "no byte is lost", "Daemon/Closing.swift",
     "    if end == .upstream { setUpUpstream(connection) }\n", ""),
    ("forgets a name server's sockets", "every descriptor is closed", "Daemon/Resolver.swift",
     "    for slot in 0..<Lookup.slots { exchanges[index * Lookup.slots + slot] = nil }\n",
     "    for slot in 0..<0 { exchanges[index * Lookup.slots + slot] = nil }\n"),
    ("closes twice", "no call on a closed descriptor", "Linux/Socket.swift",
     "linux_close_both(one.descriptor.release(), other.descriptor.release())",
     "linux_close_both(one.descriptor.number, other.descriptor.number)"),
    ("lends a pipe that is not empty", "pipes are given back empty", "Core/Flow.swift",
     "    case .pipe: heldBytes == 0 ? .returnPipe : .discard\n", "    case .pipe: .returnPipe\n"),
    ("takes a full pipe for an empty socket", "no stall", "Core/Flow.swift",
     "      take(count, into: .pipe, &left)\n",
     "      take(count, into: .pipe, &left)\n"
     "      if count < Int(rules.fillBytes) { flags.remove(.mayRead) }\n"),
    ("keeps a free place to itself", "no stall", "Daemon/Shared.swift",
     "    if waitingForPlace.load(ordering: .sequentiallyConsistent) != 0 {\n",
     "    if waitingForPlace.load(ordering: .sequentiallyConsistent) == .max {\n"),
    ("holds every message back", "no stall", "Core/Flow.swift",
     "    flags.contains(.readsToTheEnd) && flags.isDisjoint(with: [.mustCopy, .sourceFailed])\n",
     "    true\n"),
    ("takes another attempt's end for its own", "no stall", "Daemon/Connector.swift",
     "if areMixed {", "if areMixed && index < 0 {"),
    ("connects without a word", "no stall", "Daemon/Connector.swift",
     "if connection.pointee.relay.clientHasStirred {", "if true {"),
    ("asks for delivery later and later", "no stall", "Daemon/Connection.swift",
     "    if checksDeliveryAt <= now || checksDeliveryAt == .never {\n", "    if true {\n"),
    ("watches while it cannot accept", "no spin", "Daemon/Acceptor.swift",
     "    if accepting.state == .watching { stopWatching(.pausedForShortage) }\n",
     "    accepting.saysShortageAgain = now\n"),
    ("takes one too many", "MAX_CONNECTIONS holds", "Daemon/Shared.swift",
     "if open.add(1, ordering: .relaxed).newValue <= limits.connections {",
     "if open.add(1, ordering: .relaxed).newValue <= limits.connections + 1 {"),
    ("asks without a budget", "the DNS budget holds", "Core/NameServers.swift",
     "    guard emptyAt + Self.interval <= now else { return emptyAt + Self.interval }\n", ""),
    ("takes pipes beyond its share", "the pipe quota is respected", "Daemon/PipePool.swift",
     "    guard made < share.count else { return .none }\n", ""),
    ("waits too long for a target", "CONNECT_TIMEOUT holds", "Daemon/Connector.swift",
     "      end: connection.pointee.accepted + settings.connectTimeout)",
     "      end: connection.pointee.accepted + settings.connectTimeout + .seconds(1))"),
    ("lets idle connections be", "IDLE_TIMEOUT holds", "Daemon/ConnectionTimers.swift",
     "      deadline = min(deadline, connection.pointee.lastMoved + idle)\n",
     "      deadline = min(deadline, connection.pointee.lastMoved + idle + .seconds(1))\n"),
    ("never misses a peer", "PEER_TIMEOUT holds", "Core/PeerWatch.swift",
     "  if isSilent { return .vanished }\n", "  if isSilent { return .nothing }\n"),
    ("drains for ever", "DRAIN_TIMEOUT holds", "Core/Lifecycle.swift",
     "      guard end <= now else { return .wait(until: end) }\n"
     "      state = .ending(until: now + Self.cutTime)\n",
     "      guard end == .never else { return .wait(until: .never) }\n"
     "      state = .ending(until: now + Self.cutTime)\n"),
    ("leaves before all has arrived", "draining loses nothing", "Daemon/Supervisor.swift",
     "          tellWorkers(.delaying)\n", ""),
    ("forgets what a pipe moved", "the counters are true", "Daemon/Mover.swift",
     "      if failing != source { countMoved(count, from: source, connection) }\n",
     "      if failing != source, step != .drainPipe(count: count) {\n"
     "        countMoved(count, from: source, connection)\n      }\n"),
    ("passes probes on", "the target sees no probe", "Daemon/Client.swift",
     "    case .ended: settings.probes == .absorb\n", "    case .ended: false\n"),
    ("does not look at a DNS answer's number", "no forged address", "Core/DNSReader.swift",
     "header.id == id, header.isAnswer", "header.id | id > 0 || id == 0, header.isAnswer"),
    ("listens to operators once", "health is answered after a shortage",
     "Daemon/ReplyServer.swift",
     "    listensAgain = spare.number < 0 || !isListening ? now + Self.pauseTime : nil\n",
     "    listensAgain = spare.number < 0 ? now + Self.pauseTime : nil\n"),
    ("indexes past the end", "no trap", "Daemon/Dialing.swift",
     "  func removeLast() { attempts.removeLast() }", "  func removeLast() { remove(at: 4) }"),
]


class Copy(mutation.Copy):
    """With what was built of it: each mistake is built upon the one before."""

    def __init__(self, number):
        super().__init__(os.path.join("mutants", str(number)), "Sources",
                         os.path.join("Tests", "Simulation"), "Package.swift")
        self.scratch = self.path(".build")

    def build(self):
        """What the compiler says against it, if anything."""
        command = ["swift", "build", "-c", "release", "--product", "Simulate", "--scratch-path",
                   self.scratch]
        result = subprocess.run(command, cwd=self.folder, env={**os.environ, "SIMULATION": "1"},
                                capture_output=True, text=True)
        return result.stdout[-1500:] + result.stderr[-1500:] if result.returncode else ""

    def simulate(self):
        """Whether a mistake was found: by which words, after how many schedules. One process goes
        through the seeds in order, so that it is always the same one that finds it."""
        command = [os.path.join(self.scratch, "release", "Simulate"), "--schedules", SCHEDULES,
                   "--jobs", "1", "--failures", "1"]
        result = subprocess.run(command, env={**os.environ, "SWIFT_BACKTRACE": "enable=no"},
                                capture_output=True, text=True, errors="replace")
        found = re.search(r"^seed (\d+): (.*)$", result.stdout, re.M)
        count = re.search(r"^(\d+) schedules,", result.stdout, re.M)
        return found, int(count.group(1)) if count else 0

    def try_one(self, name, rule, file, old, new):
        """Whether it was caught, and what is to be said of it."""
        with self.mistake(file, old, new) as applies:
            if not applies:
                return False, f"{name}: NO LONGER APPLIES to {file}"
            errors = self.build()
            if errors:
                return False, f"{errors}{name}: DOES NOT BUILD"
            found, count = self.simulate()
        words = f"{found.group(2)} (seed {found.group(1)})" if found else "SURVIVES"
        return found is not None, f"{count:>7} schedules | {rule} | {name} | {words}"


def main(names):
    began = time.monotonic()
    chosen = [mutant for mutant in MUTANTS if not names or mutant[0] in names]
    # The compiler of a whole module keeps one CPU busy: each has a copy.
    jobs = max(1, min(len(os.sched_getaffinity(0)), len(chosen)))
    copies = queue.SimpleQueue()
    for number in range(jobs):
        copies.put(Copy(number))

    def try_one(mutant):
        copy = copies.get()
        try:
            return copy.try_one(*mutant)
        finally:
            copies.put(copy)

    caught = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for is_caught, words in pool.map(try_one, chosen):
            print(words, flush=True)
            caught += is_caught
    print(f"{caught} of {len(chosen)} mutants caught, {time.monotonic() - began:.0f} s")
    return 0 if caught == len(chosen) and chosen else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
