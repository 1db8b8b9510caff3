// What is no socket: counters, signals, small files, and standard output, which may stall.

/// eventfd(2).
final class EventCounter: Object {
  private var count: UInt64 = 0
  private let isBlocking: Bool
  private var waiting: [Fiber] = []

  init(isBlocking: Bool) { self.isBlocking = isBlocking }

  override func readiness() -> UInt32 { count > 0 ? Ready.input | Ready.output : Ready.output }

  func signal() {
    count += 1
    for fiber in waiting { sim.wake(fiber) }
    changed()
  }

  func take() -> Int {
    while count == 0 {
      guard isBlocking else { return Int(Code.wouldBlock) }
      _ = awaitSignal(until: .never)
    }
    count = 0
    sim.progress()
    return 8
  }

  /// False when the time is over.
  func awaitSignal(until deadline: Time) -> Bool {
    while count == 0 {
      let fiber = sim.current!
      waiting.append(fiber)
      let isWoken = sim.wait(until: deadline)
      waiting.removeAll { $0 === fiber }
      if !isWoken { return count > 0 }
    }
    return true
  }
}

/// signalfd(2): a signal that waits already is not told twice.
final class SignalQueue: Object {
  private var waiting: [Int32] = []

  override func readiness() -> UInt32 { waiting.isEmpty ? 0 : Ready.input }

  /// False when it waits already.
  @discardableResult
  func raise(_ signal: Int32) -> Bool {
    guard !waiting.contains(signal) else { return false }
    waiting.append(signal)
    changed()
    return true
  }

  func next() -> Int32 {
    guard !waiting.isEmpty else { return 0 }
    sim.progress()
    return waiting.removeFirst()
  }
}

/// Small files that are there.
final class Files {
  struct Content {
    var bytes: [UInt8]
    var version: Int64
  }

  private(set) var contents: [String: Content] = [:]

  init(_ plan: Plan) {
    set("/etc/resolv.conf", plan.resolvConf)
    set("/etc/hosts", plan.hosts)
    let quota = String(plan.pipeQuotaPages)
    set("/proc/sys/fs/pipe-user-pages-soft", quota)
  }

  func set(_ path: String, _ text: String) {
    let version = (contents[path]?.version ?? 0) + 1
    contents[path] = Content(bytes: Array(text.utf8), version: version)
  }
}

final class OpenFile: Object {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  func read(_ bytes: UnsafeMutableRawPointer, _ limit: Int) -> Int {
    let count = min(limit, rest.count)
    rest.withUnsafeBytes { bytes.copyMemory(from: $0.baseAddress!, byteCount: count) }
    rest.removeFirst(count)
    sim.progress()
    return count
  }
}

/// Standard output, a pipe to somebody who may be slow, stop for a while, or go away.
final class Output: Object {
  private(set) var text: [UInt8] = []
  var stalledUntil: Time = 0
  var isBroken = false

  func write(_ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    while sim.now < stalledUntil {
      sim.reach(.stalledOutput)
      _ = sim.wait(until: stalledUntil)
    }
    guard !isBroken else { return Int(Code.brokenPipe) }
    var taken = count
    if sim.plan.isOutputShort, count > 1 { taken = sim.chance.number(1...count) }
    if sim.isTraced {
      let line = String(
        decoding: UnsafeRawBufferPointer(start: bytes, count: taken), as: UTF8.self)
      sim.trace("  log: \(line)")
    }
    text += UnsafeRawBufferPointer(start: bytes, count: taken)
    sim.progress()
    return taken
  }
}
