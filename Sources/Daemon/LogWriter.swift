// The thread that writes the log to standard output, and alone may be stopped by it. Sleeps until a
// line is there, then gathers what follows closely; ends when asked, once everything is written.
import Core
import Linux
import Synchronization

/// Takes lines from every ring to standard output.
final class LogWriter: @unchecked Sendable {
  private let doors: [WorkerDoor]
  private let supervisor: LogRing
  private let wake: EventCounter
  private let state = Atomic<State>(.awake)
  private let isEnding = Atomic<Bool>(false)
  private let lost = Atomic<UInt64>(0)
  /// Told when everything is written, after `end`.
  private let ended: EventCounter
  private var line: LogLine
  /// Lost, but not said yet.
  private var unsaidLines: UInt64 = 0
  /// The last write failed.
  private var isBroken = false

  private enum State: UInt8, AtomicRepresentable {
    case awake
    /// Lines are gathered.
    case napping
    case asleep
  }

  /// How long lines are gathered after others were written: under load, some hundred cost two
  /// system calls then, and a reader notices nothing. CPU time per 1,000 connections of 8 clients
  /// with 1, 10, 50, 200 ms: 65.3, 65.3, 64.8, 66.0 ms, of 64: 60.8, 62.4, 63.5, 61.9: noise.
  private static let napMilliseconds: Int32 = 50

  init(doors: [WorkerDoor], supervisor: LogRing, format: LogFormat) throws(Errno) {
    self.doors = doors
    self.supervisor = supervisor
    line = LogLine(format: format)
    wake = try EventCounter(blocking: true)
    ended = try EventCounter(blocking: false)
  }

  /// Lines that found no room, or an output that took nothing, as far as they were noticed.
  var lostLines: UInt64 { lost.load(ordering: .relaxed) }

  func start() throws(Errno) {
    let argument = Unmanaged.passRetained(self).toOpaque()
    try startThread(
      name: "sidecar-log",
      { Unmanaged<LogWriter>.fromOpaque($0!).takeRetainedValue().run() }, argument)
  }

  /// Called after lines were queued in `ring`. A system call only when the writer sleeps, or when
  /// they must not wait until it has napped: the workers' lines may, while there is room for more.
  func notify(of ring: LogRing) {
    let found = state.load(ordering: .sequentiallyConsistent)
    guard found == .asleep || found == .napping && mustWake(ring) else { return }
    if state.exchange(.awake, ordering: .sequentiallyConsistent) != .awake { wake.signal() }
  }

  private func mustWake(_ ring: LogRing) -> Bool {
    ring === supervisor ? !ring.isEmpty : ring.isHalfFull
  }

  /// Writes what is queued and ends; waits for that at most so long, because the reader may be
  /// gone. Takes no descriptor: there may be none.
  func end(within limit: Nanoseconds) {
    isEnding.store(true, ordering: .sequentiallyConsistent)
    wake.signal()
    ended.take(within: Int32(limit.wholeMilliseconds))
  }

  private func run() {
    while true {
      // Asked first: what is queued before the end is asked for is written.
      let mustEnd = isEnding.load(ordering: .sequentiallyConsistent)
      let wroteSome = drain()
      if mustEnd {
        if !wroteSome { break }
      } else if wroteSome {
        rest(.napping, unless: mustWake) { wake.take(within: Self.napMilliseconds) }
      } else {
        rest(.asleep, unless: { !$0.isEmpty }) { wake.take() }
      }
    }
    ended.signal()
  }

  /// A line that was queued before the state was known gave no signal: hence `isNeeded`.
  private func rest(_ kind: State, unless isNeeded: (LogRing) -> Bool, _ wait: () -> Void) {
    state.store(kind, ordering: .sequentiallyConsistent)
    if !isNeeded(supervisor) && !doors.contains(where: { isNeeded($0.log) }) { wait() }
    state.store(.awake, ordering: .sequentiallyConsistent)
  }

  /// Each ring's lines as of now, the supervisor's last: what it says of connections that have
  /// ended comes after what the workers say of them.
  private func drain() -> Bool {
    let supervisorEnd = supervisor.end
    var wroteSome = false
    for door in doors where write(door.log, before: door.log.end) { wroteSome = true }
    if write(supervisor, before: supervisorEnd) { wroteSome = true }
    lose(supervisor.takeLost())
    for door in doors { lose(door.log.takeLost()) }
    // Where nothing can be written, nothing can be said of it either: with the next line that can.
    guard unsaidLines > 0 && wroteSome && !isBroken else { return wroteSome }
    line.linesLost(unsaidLines, at: .now)
    if line.bytes.withUnsafeBytes({ write($0) }) { unsaidLines = 0 }
    return true
  }

  private func lose(_ lines: UInt64) {
    guard lines > 0 else { return }
    unsaidLines += lines
    lost.add(lines, ordering: .relaxed)
  }

  /// Whole lines, because `end` is the end of one: the ring's own end may cut one in two.
  private func write(_ ring: LogRing, before end: Int) -> Bool {
    var wroteSome = false
    while let bytes = ring.front(before: end) {
      if !write(bytes) {
        lose(bytes.reduce(into: 0) { if $1 == UInt8(ascii: "\n") { $0 += 1 } })
      }
      ring.remove(bytes.count)
      wroteSome = true
    }
    return wroteSome
  }

  /// False for output that is closed or broken: it swallows the log, and forwarding goes on.
  private func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
    do throws(Errno) {
      try writeAll(bytes, to: 1)
      isBroken = false
    } catch {
      isBroken = true
    }
    return !isBroken
  }
}
