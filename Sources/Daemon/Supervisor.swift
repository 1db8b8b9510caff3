// The main thread: opens the listeners, starts the workers, and then waits for signals. Performs
// what Lifecycle decides; as PID 1 it reaps what others leave behind.
import Core
import Linux
import Synchronization

final class Supervisor {
  private let shared: Shared
  private let signals: SignalQueue
  private let poller: Poller
  private let log: LogRing
  private var line: LogLine
  private var lifecycle: Lifecycle
  private var stopSignal: StaticString = "SIGTERM"
  private var resolver: Resolver?
  private var operations: Operations?

  private static let signalToken: UInt64 = 0
  private static let wakeToken: UInt64 = 1
  /// A reader of the log that takes nothing must not hold the exit up for longer.
  private static let logEndTime = Nanoseconds.seconds(1)

  init(shared: Shared, log: LogRing) throws(Errno) {
    self.shared = shared
    self.log = log
    line = LogLine(format: shared.settings.logFormat)
    lifecycle = Lifecycle(
      drainDelay: shared.settings.drainDelay, drainTimeout: shared.settings.drainTimeout,
      listens: shared.settings.mode == .proxy)
    signals = try SignalQueue()
    poller = try Poller()
    try watch(
      signals.descriptor.number, with: poller.number, for: .reading, token: Self.signalToken)
    try watch(
      shared.supervisorWake.descriptor.number, with: poller.number, for: .reading,
      token: Self.wakeToken)
  }

  /// Opens what operators ask at: before anybody is forwarded, so that they are answered from the
  /// start.
  /// - Throws: what keeps the metrics port from being listened on.
  func openOperations(metrics: Listener?) throws(Errno) {
    let operations = Operations(shared: shared, poller: poller.number) { [self] in report($0, $1) }
    self.operations = operations
    operations.openControl(now: .now)
    if let metrics { try operations.openMetrics(metrics) }
  }

  private var state: StatusReport.State {
    if shared.settings.mode == .sleep { return .asleep }
    return lifecycle.isServing ? .serving : .draining
  }

  /// Starts the threads, says so, and returns when it is time to exit.
  func run() throws(Errno) {
    var confinement = Confinement()
    confinement.begin(shared.settings)
    try shared.writer.start()
    for index in shared.doors.indices { try Worker(index: index, shared: shared).start() }
    confinement.complete(shared.settings, mayListen: !(operations?.isControlOpen ?? true))
    operations?.sandbox = confinement.state
    reportStart(confinement.state)
    let resolver = Resolver(shared: shared, poller: poller.number) { [self] in report($0, $1) }
    self.resolver = resolver
    operations?.names = { resolver.counts }
    while follow() {
      operations?.state = state
      let now = Instant.now
      due = min(resolver.serve(now: now) ?? .never, operations?.serve(now: now) ?? .never)
      let count = poller.wait(milliseconds: waitMilliseconds())
      for index in 0..<count { handle(poller.event(index).token) }
      takeSignals()
    }
    report(.info) { $0.stopped(at: .now) }
    shared.writer.end(within: Self.logEndTime)
  }

  private func handle(_ token: UInt64) {
    if token == Self.wakeToken {
      shared.supervisorWake.take()
    } else if token >= Resolver.firstToken {
      resolver?.handle(token, now: .now)
    } else if let operations, operations.owns(token) {
      operations.handle(token, now: .now)
    }
  }

  private var deadline: Instant?
  private var due = Instant.never

  private func waitMilliseconds() -> Int32 {
    let next = min(deadline ?? .never, due)
    guard next != .never else { return -1 }
    return Int32(clamping: max(0, (next - .now).wholeMilliseconds))
  }

  /// False when it is time to exit.
  private func follow() -> Bool {
    while true {
      let open = shared.open.load(ordering: .sequentiallyConsistent)
      switch lifecycle.next(now: .now, open: open) {
      case .wait(let until):
        deadline = until
        return true
      case .closeListeners: closeListeners()
      case .cut(let reason):
        if reason == .drainTimeout {
          report(.warn) { $0.drainTimedOut(cut: open, at: .now) }
          tellWorkers(.cutAfterDrainTimeout)
        } else {
          tellWorkers(.cutAfterSecondSignal)
        }
      case .exit:
        if shared.settings.mode == .proxy && !lifecycle.hasCut {
          report(.info) { $0.drained(at: .now) }
        }
        return false
      }
    }
  }

  private func takeSignals() {
    while let signal = signals.next() {
      switch signal {
      case .childEnded: reapChildren()
      case .userDefined: operations?.logStatus(now: .now)
      case .terminate, .interrupt:
        stopSignal = signal == .terminate ? "SIGTERM" : "SIGINT"
        let isFirst = lifecycle.isServing
        lifecycle.receiveStop(now: .now)
        if isFirst && shared.settings.mode == .proxy {
          tellWorkers(.delaying)
          let open = shared.open.load(ordering: .relaxed)
          report(.info) { $0.draining(signal: stopSignal, open: open, at: .now) }
        }
      }
    }
  }

  private func tellWorkers(_ phase: Phase) {
    shared.phase.store(phase, ordering: .releasing)
    for door in shared.doors { door.wake.signal() }
  }

  /// Each worker takes who waits in the backlog and leaves; then the listeners are closed. A worker
  /// in the middle of a turn answers within it: microseconds.
  private func closeListeners() {
    tellWorkers(.draining)
    while shared.closedDoors.load(ordering: .sequentiallyConsistent) < shared.doors.count {
      let count = poller.wait(milliseconds: -1)
      for index in 0..<count { handle(poller.event(index).token) }
      takeSignals()
    }
    shared.listeners = []
  }

  // MARK: The log

  private func reportStart(_ sandbox: SandboxState) {
    for listener in shared.listeners {
      let target = shared.settings.forwards[Int(listener.forward)].target
      do throws(Errno) {
        let endpoint = Endpoint(try listener.socket.localAddress())
        report(.info) { $0.listening(listen: endpoint, target: target, at: .now) }
      } catch {}
    }
    if let asked = shared.limits.loweredFrom {
      report(.warn) {
        $0.maxConnectionsLowered(asked: asked, allowed: shared.limits.connections, at: .now)
      }
    }
    var level = LogLevel.info
    if case .incomplete = sandbox { level = .warn }
    report(level) { $0.sandbox(sandbox, at: .now) }
    report(.info) {
      $0.started(
        version: releaseVersion(), mode: shared.settings.mode, workers: shared.limits.workers,
        maxConnections: shared.limits.connections, at: .now)
    }
  }

  private func report(_ level: LogLevel, _ build: (inout LogLine) -> Void) {
    guard level <= shared.settings.logLevel else { return }
    build(&line)
    log.append(line.bytes)
    shared.writer.notify(of: log)
  }
}
